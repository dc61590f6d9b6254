"""Random expressions with assertions and scenarios, and expressions worth a name."""

from __future__ import annotations

from hypothesis import strategies as st

from tract_ref_suites.checks.dims import DimProblem
from tract_ref_suites.strategies.dims import tdims

ASSERTIONS: tuple[str, ...] = (
    "S >= 0",
    "S <= 7",
    "S < T",
    "T >= 1",
    "P == 2",
    "S == T + 1",
    "2*S <= T + P",
    "S + T <= 9",
    "max(S,T) >= 3",
    "min(S,P) >= 1",
    "S*T >= P",
    "S/2 >= P",
)
SCENARIOS: tuple[tuple[str, str], ...] = (
    ("tg", "S == 1"),
    ("pp", "P == 1"),
    ("pp", "T >= 0"),
    ("long", "S >= 5"),
)


_NEAR = st.integers(-3, 2)


@st.composite
def boxes(draw: st.DrawFn) -> DimProblem:
    """Draw a comparison or a product of symbols that are bounded on both sides, often below 0."""
    bounds = {name: (low := draw(_NEAR), low + draw(st.integers(0, 4))) for name in ("S", "T")}
    known = [f"{n} >= {low}" for n, (low, _) in bounds.items()]
    known += [f"{n} <= {high}" for n, (_, high) in bounds.items()]
    a, b = draw(st.integers(-3, 3)), draw(st.sampled_from((1, -1, 2)))
    text = draw(
        st.sampled_from(
            (f"(S+{a}>=0)", f"({b}*S+{a}==0)", f"(T>=S+{a})", f"{b}*S*T", "S*S", f"S*T+{a}*S")
        )
    )
    return DimProblem(text, tuple(known))


def dim_problems() -> st.SearchStrategy[DimProblem]:
    """Draw an expression, up to three assertions, and now and then scenarios; or a box."""
    return _mixed() | boxes()


def _mixed() -> st.SearchStrategy[DimProblem]:
    known = st.lists(st.sampled_from(ASSERTIONS), max_size=3, unique=True)
    scenarios = st.just([]) | st.lists(st.sampled_from(SCENARIOS), max_size=3, unique=True)
    return st.builds(
        lambda written, promises, named, other: DimProblem(
            written.text, tuple(promises), tuple(named), other.text
        ),
        tdims(broadcasts=True),
        known,
        scenarios,
        tdims(max_leaves=3),
    )


def _hand(text: str, *known: str) -> DimProblem:
    return DimProblem(text, known)


# Rows of the tables of tract's own results first, right and wrong ones.
HAND: dict[str, DimProblem] = {
    "quotient-of-minus-symbol": _hand("(5-S)/4"),
    "quotient-of-minus-even": _hand("(4-S)/2"),
    "quotient-of-odd-minus-even": _hand("(7-2*S)/2"),
    "quotient-of-minus-three": _hand("(10-3*S)/4"),
    "half-less-whole": _hand("S/2-S"),
    "halves-of-both-signs": _hand("(S+1)/2+(1-S)/2"),
    "quotient-of-two-symbols": _hand("(2*A+B)/2"),
    "quotient-of-quotient": _hand("((S+1)/2+1)/2"),
    "common-factor": _hand("(14*S+6)/8"),
    "common-factor-in-a-broadcast": _hand("(14*S+6)#T"),
    "large-factor": _hand("S*4611686018427387904*4"),
    "two-sums": _hand("(S+1)*(T+1)"),
    "product-in-a-quotient": _hand("(S*3)/2-S"),
    "clamp-between": _hand("min(1,max(0,X))"),
    "ramps": _hand("min(1,max(0,(T+1)*P-S))-min(1,max(0,T*P-S))", "T>=0", "P>=1", "S>=P"),
    "size-and-smaller-size": _hand("S#min(S,P)", "S>=0", "P>=0"),
    "size-and-positive-size": _hand("S#min(S,P)", "S>0", "P>0"),
    "size-and-unknown-size": _hand("S#P", "S>=1", "S<=9"),
    "size-of-zero": _hand("S#T", "S>=0", "T>=1"),
    "three-neighbours": _hand("(S>=0)", "S>=-2", "S<=0"),
    "three-neighbours-equal": _hand("(S==0)", "S>=-2", "S<=0"),
    "product-of-both-signs": _hand("S*T", "S>=-2", "S<=2", "T>=1", "T<=3"),
    "half-of-positive": _hand("S/2", "S>=1"),
    "size-in-itself": _hand("S#(S#T)#1"),
    "strict": _hand("max(0,S-T)", "S>=T"),
    "strictly-below": _hand("max(0,T-S)-(S>=T+1)", "S>T"),
    "five-or-more": _hand("max(6,S)", "S>4"),
    "at-least-half": _hand("(2*S>=5)"),
    "equal-to-odd": _hand("(2*S==5)+(2*S==6)+(T==S)"),
    "sign-of-equality": _hand("(3-S==T)"),
    "scenarios": DimProblem(
        "min(P,S#(P+S))", ("S>=0", "P>=0"), (("tg", "S==1"), ("pp", "P==0"))
    ),
    "scenarios-that-part": DimProblem(
        "max(S,P)", ("S>=0", "P>=0"), (("tg", "S==0"), ("pp", "P==0"))
    ),
    "solved": _hand("S-T", "S==T+1", "T==3"),
    "square": _hand("(S>=2)*(S>=2)*S"),
    "smaller-of-factor": _hand("3*min(0,S-2)"),
    "clamp-halved": _hand("max(0,S-3)/2"),
    "absorbed": _hand("max(S,min(S,T))-min(S,max(S,T-1))"),
    "not-absorbed": _hand("max(S,min(S+1,T))"),
    "falling": _hand("7-S"),
    "largest-constant": _hand("max(S+3,S+2)-min(S+3,S+2)"),
    "window": _hand("max(0,(S+1-3)/2+1)", "S>=0"),
    "rounded-up": _hand("(S+3)/4", "S>=1"),
    "linear": _hand("7-3*S-S+2*S"),
}  # fmt: skip
