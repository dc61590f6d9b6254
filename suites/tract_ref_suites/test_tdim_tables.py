"""The tables of the specification, row by row: division, proofs, bounds, clamps, streaming shapes.

Values are judged by `dims_text`, which reads the text as written and rewrites nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tract_ref.dim import Scope, ceil_div, evaluate, parse_dim, slope, substitute, sym
from tract_ref.errors import EvalError, Inconclusive
from tract_ref_suites.dims_text import NoValueError, holds, names_of, value_of

# Written, our normal form, values of S, floor values.
DIVISION = [
    ("(5-S)/4", "1+-1*S+(1+3*S)/4", (0, 1, 2, 3, 4, 5), (1, 1, 0, 0, 0, 0)),
    ("(4-S)/2", "2+-1*S+(S)/2", (0, 1, 2, 3, 4), (2, 1, 1, 0, 0)),
    ("(7-2*S)/2", "3+-1*S", (0, 1, 2, 3), (3, 2, 1, 0)),
    ("(10-3*S)/4", "2+-1*S+(S+2)/4", (0, 1, 2, 3), (2, 1, 1, 0)),
    ("S/2-S", "-1*S+(S)/2", (0, 1, 2, 3, 4), (0, -1, -1, -2, -2)),
    ("10+S/2-S", "10+-1*S+(S)/2", (0, 1, 2, 3, 4), (10, 9, 9, 8, 8)),
    ("(S+1)/2-S", "-1*S+(S+1)/2", (0, 1, 2, 3, 4), (0, 0, -1, -1, -2)),
    ("(S-1)/2", "-1+(S+1)/2", (0, 1, 2, 3), (-1, 0, 0, 1)),
    ("(S-5)/4", "-2+(S+3)/4", (0, 1, 2, 5), (-2, -1, -1, 0)),
    ("(1-S)/2", "-1*S+(S+1)/2", (0, 1, 2, 3), (0, 0, -1, -1)),
    ("(-2*S+1)/2", "-1*S", (0, 1, 2), (0, -1, -2)),
    ("(S+1)/2+(1-S)/2", "-1*S+2*(S+1)/2", (-2, -1, 0, 1, 2), (0, 1, 0, 1, 0)),
    ("S-S/2", "S+-1*(S)/2", (-1, 0, 1, 2, 3), (0, 0, 1, 1, 2)),
    ("(S-S/2*2)/2", "0", (-1, 0, 1, 2, 3), (0, 0, 0, 0, 0)),
    ("S/2/3", "(S)/6", (-1, 0, 5, 6, 7, 12), (-1, 0, 0, 1, 1, 2)),
    ("(S/2+1)/2", "(S+2)/4", (-1, 0, 1, 2, 5, 6), (0, 0, 0, 1, 1, 2)),
    ("((S+1)/2+1)/2", "(S+3)/4", (0, 1, 2, 4, 5), (0, 1, 1, 1, 2)),
    ("(T-S)/2", "-1*S+(S+T)/2", (0, 1, 2, 3), (1, 1, 0, 0)),
    ("S*4611686018427387904*4", "18446744073709551616*S", (-1, 0, 1), (-(2**64), 0, 2**64)),
]
DIVISION_IDS = [row[0] for row in DIVISION]


@pytest.mark.parametrize(("text", "ours", "s_values", "floors"), DIVISION, ids=DIVISION_IDS)
def test_division_table_has_floor_values(
    text: str, ours: str, s_values: tuple[int, ...], floors: tuple[int, ...]
) -> None:
    dim = parse_dim(text)
    assert str(dim) == ours
    assert parse_dim(ours) is dim
    assert tuple(evaluate(dim, {"S": s, "T": 3}) for s in s_values) == floors
    for s, t in itertools.product(range(-30, 61), (-4, 3)):
        bindings = {"S": s, "T": t}
        assert evaluate(dim, bindings) == value_of(text, bindings), bindings


def test_a_whole_multiple_of_another_symbol_leaves_the_quotient() -> None:
    dim = parse_dim("(2*A+B)/2")
    assert str(dim) == "A+(B)/2"
    assert evaluate(dim, {"A": 1, "B": -1}) == 0
    for a, b in itertools.product(range(-9, 10), repeat=2):
        assert evaluate(dim, {"A": a, "B": b}) == (2 * a + b) // 2


def test_a_row_that_the_real_engine_gets_wrong_keeps_both_its_values() -> None:
    """(2*S+1)/2 is S for floor whatever S is; no assertion is needed."""
    assert parse_dim("(2*S+1)/2") is sym("S")
    assert value_of("(2*S+1)/2", {"S": -1}) == -1


PROOFS = [
    ("S>=0", "min(S,0)", "0"),
    ("S>=0", "max(S,0)", "S"),
    ("S>=0", "min(S,-1)", "-1"),
    ("S>=0", "max(S,-1)", "S"),
    ("S>8", "max(1,-1+(S+1)/4)", "-1+(S+1)/4"),
    ("S>8", "min(1,-1+(S+1)/4)", "1"),
    ("S>50", "min(-3+2*(S+1)/4,-1+(S+1)/4)", "-1+(S+1)/4"),
    ("S>=0;P>=0", "min(0,S#(P+S))", "0"),
    ("S>=0;P>=0", "min(S,S+P)", "S"),
    ("S>=0;P>=0", "max(S,S+P)", "P+S"),
    ("S>0;P>0", "S#min(S,P)", "S"),
    ("S>=0;P>=0", "S#min(S,P)", "broadcast((min(P,S)), (S))"),
    ("S<=4", "min(S,4)", "S"),
    ("S<=4", "max(S,4)", "4"),
    ("S<=4", "min(S,5)", "S"),
    ("P>=0;S>=0;P+S<4096", "max(0,4096-P)", "4096+-1*P"),
    ("P>=0;S>=0;P+S<4096", "max(0,4095-P)", "4095+-1*P"),
    ("P>=0;S>=0;P+S<4096", "max(0,4094-P)", "max(0,4094+-1*P)"),
    ("P>=0;S>=0;P+S<4096", "min(4096,P+S)", "P+S"),
    ("S==3", "S+1", "4"),
    ("S==3", "2*S", "6"),
    ("", "min(S+3,S+2)", "S+2"),
    ("", "max(S+3,S+2)", "S+3"),
    ("", "min(S,min(T,P))", "min(P,S,T)"),
    (
        "T>=0;P>=1;S>=P",
        "min(1,max(0,(T+1)*P-S))-min(1,max(0,T*P-S))",
        "max(0,min(1,S+1+-1*(P)*(T)))+-1*max(0,min(1,S+1+-1*P+-1*(P)*(T)))",
    ),
    # Gaps of the real engine that are proved here.
    ("S>=0;T>=0", "max(0,1+max(0,S-5))", "max(1,S+-4)"),
    ("S>=0;T>=0", "min(0,max(0,S-5))", "0"),
    ("S>=0;T>=0", "max(0,S*T)", "(S)*(T)"),
    ("S>=0;T>=0", "max(0,S-S/2)", "S+-1*(S)/2"),
    ("S>=0;T>=0", "max(0,S-2*(S/2))", "S+-2*(S)/2"),
    # spec/pulse.md 5.4
    ("H>=0;H<=4", "min(4,H)", "H"),
    ("H>=0;H<=4", "max(0,H)", "H"),
    ("H>=0;H<=4", "max(5,H)", "5"),
    ("H>=0;H<=4", "max(0,min(1,H))", "min(1,H)"),
    ("S>=0", "max(0,S)", "S"),
    ("S>=P", "min(S,P)", "P"),
    # spec/pulse.md 5.8
    ("", "A#A", "A"),
    ("", "1#A", "A"),
    ("A>0;B>0", "A#min(A,B)", "A"),
    ("", "P#(P+1)", "broadcast((P), (P+1))"),
    # A comparison of what is 0 or 1.
    ("S>=0;S<=1", "(S==0)", "1+-1*S"),
    ("S>=0;S<=1", "(S==1)", "S"),
    ("", "((S>=T)==0)", "1+-1*(S>=T)"),
    ("", "((S>=T)==1)", "(S>=T)"),
    ("", "((S>=T)>=1)", "(S>=T)"),
    ("S>=0;S<=2", "(S==1)", "(S==1)"),
    # What a quotient says about its numerator.
    ("S/2>=3", "max(6,S)", "S"),
    ("S/2>=3", "max(7,S)", "max(7,S)"),
    ("S/2<=3", "min(7,S)", "S"),
    ("S/2<=3", "min(6,S)", "min(6,S)"),
]


def grid_where(known: list[str], *texts: str) -> Iterator[dict[str, int]]:
    """Yield integers where the assertions hold and every text has a value."""
    names = sorted({name for text in (*known, *texts) for name in names_of(text)})
    spread = range(-4, 14) if len(names) < 3 else range(-3, 8)
    corners = (50, 51, 52, 55, 4090, 4094, 4095, 4096) if len(names) < 3 else ()
    for values in itertools.product((*spread, *corners), repeat=len(names)):
        bindings = dict(zip(names, values, strict=True))
        if all(holds(assertion, bindings) for assertion in known):
            try:
                for text in texts:
                    value_of(text, bindings)
            except NoValueError:
                continue
            yield bindings


@pytest.mark.parametrize(("known", "text", "ours"), PROOFS)
def test_proof_table(known: str, text: str, ours: str) -> None:
    assertions = [part for part in known.split(";") if part]
    simple = Scope(assertions).simplify(parse_dim(text))
    assert str(simple) == ours
    assert simple == parse_dim(ours)
    met = 0
    for bindings in grid_where(assertions, text):
        assert evaluate(simple, bindings) == value_of(text, bindings), bindings
        assert value_of(ours, bindings) == value_of(text, bindings), bindings
        met += 1
    assert met > 1 or "==" in known


@pytest.mark.parametrize(("t", "p", "s", "expected"), [(1, 4, 3, 0), (0, 4, 3, 1), (0, 1, 1, 0)])
def test_the_difference_of_two_ramps_keeps_both_minima(
    t: int, p: int, s: int, expected: int
) -> None:
    text = "min(1,max(0,(T+1)*P-S))-min(1,max(0,T*P-S))"
    assert str(parse_dim(text)).count("min(1,") == 2
    assert evaluate(parse_dim(text), {"T": t, "P": p, "S": s}) == expected


@pytest.mark.parametrize(
    ("known", "text", "bounds"),
    [
        ("", "max(0,X)", (0, None)),
        ("", "min(0,X)", (None, 0)),
        ("", "min(1,max(0,X))", (0, 1)),
        ("", "max(0,min(1,X))", (0, 1)),
        ("X<=5", "max(0,X)", (0, 5)),
        ("X>=-5", "min(0,X)", (-5, 0)),
        ("X>=1;X<=5;Y<=9", "max(X,Y)", (1, 9)),
        ("X>=1;X<=5;Y>=-9", "min(X,Y)", (-9, 5)),
        ("X>=1;X<=5", "max(X,Y)", (1, None)),
        ("X>=1;X<=5", "-3*X+1", (-14, -2)),
        ("X>=-5;X<=5", "X/4", (-2, 1)),
        ("X>=0;Y>=2", "X*Y", (0, None)),
        ("X>=-1;Y>=2", "X*Y", (None, None)),
        ("", "(X>=Y)", (0, 1)),
        ("", "(X==Y)", (0, 1)),
        ("X>=2;X<=5;Y>=2;Y<=9", "X#Y", (2, 5)),
        ("X>=0;X<=5;Y>=0;Y<=9", "X#Y", (0, 9)),
    ],
)
def test_bounds_table(known: str, text: str, bounds: tuple[int | None, int | None]) -> None:
    assertions = [part for part in known.split(";") if part]
    assert Scope(assertions).bounds(parse_dim(text)) == bounds
    values = [value_of(text, bindings) for bindings in grid_where(assertions, text)]
    assert bounds[0] is None or bounds[0] <= min(values)
    assert bounds[1] is None or max(values) <= bounds[1]


@pytest.mark.parametrize(("x", "expected"), [(5, 1), (1, 1), (0, 0), (-3, 0), (-5, 0)])
def test_a_clamp_keeps_its_upper_bound(x: int, expected: int) -> None:
    clamp = Scope(["Y>=0"]).simplify(parse_dim("min(1,max(0,X))"))
    assert str(clamp) == "min(1,max(0,X))"
    assert evaluate(clamp, {"X": x}) == expected


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("(4*S+8)/4", "S+2"),
        ("(14*S+6)/8", "(7*S+3)/4"),
        ("(S-2*(S/2))/2", "0"),
        ("S/2+1", "(S+2)/2"),
        ("S+4-2*((S+4)/2)", "S-2*(S/2)"),
        ("(T+1)*P-T*P", "P"),
        ("(S+1)*(S+1)-S*S-2*S-1", "0"),
        ("8*(-1*B)", "-8*B"),
        ("8*T", "T*8"),
        # spec/attention.md 1.14
        ("((S+1)/2+1)/2", "(S+3)/4"),
        ("1+(1+(1+S/2)/2)/2", "1+(S+6)/8"),
        ("1+(8*S+6)/8", "1+S"),
        ("1+(112*S+6)/8", "1+14*S"),
        ("(56*S+3)/4", "14*S"),
        ("((S+1)/2)#((1+S)/2)", "(S+1)/2"),
        ("((S+3)/4)#(((S+1)/2+1)/2)", "(S+3)/4"),
    ],
)
def test_equal_dimensions_are_one_dimension(left: str, right: str) -> None:
    assert parse_dim(left) == parse_dim(right)
    for s in range(-9, 20):
        bindings = {"S": s, "T": s // 2, "P": 3, "B": -s}
        assert value_of(left, bindings) == value_of(right, bindings)


@pytest.mark.parametrize("k", [2, 3, 8, 56])
def test_a_quotient_of_a_multiple_and_less_than_the_divisor_is_exact(k: int) -> None:
    for c in range(k):
        assert (k * sym("X") + c) // k is sym("X")
    assert (k * sym("X") + k) // k is sym("X") + 1


@pytest.mark.parametrize(
    ("left", "right"),
    [("S/2*2", "S"), ("(17*S+6)/8", "2*S"), ("8*(S/8)", "S"), ("2*((S+1)/2)", "S")],
)
def test_dimensions_that_differ_somewhere_stay_apart(left: str, right: str) -> None:
    assert parse_dim(left) is not parse_dim(right)
    assert Scope(["S>=0"]).decide_equal(parse_dim(left), parse_dim(right)) is not True
    assert any(value_of(left, {"S": s}) != value_of(right, {"S": s}) for s in range(20))


@pytest.mark.parametrize(("text", "simple"), [("min(0,S+1)", 0), ("min(2,S+2)", 2)])
def test_a_constant_dimension_is_no_stream_axis(text: str, simple: int) -> None:
    assert Scope(["S>=0"]).simplify(parse_dim(text)) == simple


@pytest.mark.parametrize(
    ("text", "pulse", "increment"),
    [("S/2+1", 2, 1), ("S/2+1", 8, 4), ("1+(S+6)/8", 112, 14), ("2*S-1", 2, 4), ("S", 3, 3)],
)
def test_increment_per_pulse(text: str, pulse: int, increment: int) -> None:
    dim = parse_dim(text)
    at = [evaluate(dim, {"S": n * pulse}) for n in range(4)]
    assert [b - a for a, b in itertools.pairwise(at)] == [increment] * 3
    assert slope(dim, "S") * pulse == increment


def test_a_rate_that_is_no_whole_number_per_pulse_is_told_by_its_slope() -> None:
    dim = parse_dim("(17*S+6)/8")
    assert str(dim) == "2*S+(S+6)/8"
    assert (slope(dim, "S") * 4).denominator == 2
    at = [evaluate(dim, {"S": n * 4}) for n in range(3)]
    assert at[1] - at[0] != at[2] - at[1]


def test_a_product_with_a_quotient_needs_divisibility() -> None:
    folded = parse_dim("4*(S/4)")
    assert Scope(["S>=0"]).decide_equal(folded, sym("S")) is None
    assert substitute(folded, {"S": 4 * sym("K")}) is 4 * sym("K")


RAMP = "min(P,max(0,(T+1)*P-{}))"


@pytest.mark.parametrize("known", [[], ["P>=1", "T>=0"]])
def test_two_ramps_merge(known: list[str]) -> None:
    scope = Scope(known)
    early, late = RAMP.format(4), RAMP.format(8)
    assert scope.simplify(parse_dim(f"max({early},{late})")) is parse_dim(early)
    assert scope.simplify(parse_dim(f"min({early},{late})")) is parse_dim(late)
    assert scope.proves_ge(parse_dim(early), parse_dim(late)) is True
    assert scope.proves_ge(parse_dim(late), parse_dim(early)) is None
    for p, t in itertools.product(range(-3, 12), range(-2, 6)):
        bindings = {"P": p, "T": t}
        assert value_of(early, bindings) >= value_of(late, bindings)


def test_three_ramps_merge_whatever_their_order() -> None:
    ramps = [RAMP.format(c) for c in (8, 4, 6)]
    for order in itertools.permutations(ramps):
        assert Scope().simplify(parse_dim(f"max({','.join(order)})")) is parse_dim(RAMP.format(4))
        assert Scope().simplify(parse_dim(f"min({','.join(order)})")) is parse_dim(RAMP.format(8))


def test_ramp_values() -> None:
    ramp = parse_dim(RAMP.format(4))
    assert [evaluate(ramp, {"T": t, "P": 3}) for t in range(3)] == [0, 2, 3]
    bounded = parse_dim("min(C,max(0,min((T+1)*P,E)-max(T*P,O)))")
    fixed = substitute(bounded, {"C": 4, "P": 4, "O": 4, "E": 10})
    assert [evaluate(fixed, {"T": t}) for t in range(4)] == [0, 4, 2, 0]


def test_a_broadcast_of_unequal_dims_fails_at_run_time_only() -> None:
    kept = parse_dim("P#(P+1)")
    assert evaluate(kept, {"P": 0}) == 0
    with pytest.raises(EvalError, match="4 and 5 must be equal or 1"):
        evaluate(kept, {"P": 4})
    with pytest.raises(Inconclusive, match="which size it takes is not known"):
        slope(parse_dim("P#(2*P)"), "P")


def test_the_largest_integers_of_64_bits_are_numbers_like_others() -> None:
    """Integers have no end here, so no number is neutral in a minimum."""
    largest = 2**63 - 1
    assert str(parse_dim(f"min({largest},S)")) == f"min({largest},S)"
    assert evaluate(parse_dim(f"min({largest},S)"), {"S": largest + 1}) == largest


@pytest.mark.parametrize("q", [1, 2, 3, 7])
def test_a_ceiling_is_a_floor_of_the_numerator_and_a_bit(q: int) -> None:
    for s in range(-20, 21):
        assert evaluate(ceil_div(sym("S"), q), {"S": s}) == -(-s // q)
