"""The laws of dimensions: plain functions of an expression as written and of what is assumed.

The oracle of a value is `dims_text`, which reads and evaluates the text by itself; what is made by
`tract_ref.dim` is evaluated here, atom by atom, except where its own `evaluate` is judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from tract_ref.dim import Dim, Scope, TDim, dim_max, parse_dim, query, sym
from tract_ref.dim.tdim import Atom
from tract_ref.dim.trace import Operation, Proof, Step, recording
from tract_ref.errors import Inconclusive, InvalidModel, MalformedFile
from tract_ref_suites.checks.failure import CheckFailure, require, stage
from tract_ref_suites.dims_text import NoValueError, holds, names_of, value_of

Bindings = Mapping[str, int]

# By the number of symbols: wide where that is cheap, negative numbers always.
_AXES: dict[int, tuple[tuple[int, ...], ...]] = {
    0: (),
    1: (tuple(range(-9, 20)),),
    2: ((-5, -3, -1, 0, 1, 2, 3, 5, 8), (-3, -1, 0, 1, 2, 4, 7)),
    3: ((-3, -1, 0, 1, 2, 5, 8), (-2, 0, 1, 7), (-1, 1, 2, 4)),
    4: ((-3, 0, 1, 2, 5), (-2, 0, 1, 6), (-1, 1, 4), (0, 2, 3)),
}
_FAR = 10**9


@dataclass(frozen=True)
class DimProblem:
    """An expression as written.

    Attributes:
        text: the expression.
        known: assertions.
        scenarios: (name, assertion) of each scenario.
        other: an expression that takes the place of the first symbol.
    """

    text: str
    known: tuple[str, ...] = ()
    scenarios: tuple[tuple[str, str], ...] = ()
    other: str = "2*T-1"

    @property
    def names(self) -> tuple[str, ...]:
        """Its symbols and those of what is assumed."""
        texts = (self.text, *self.known, *(text for _, text in self.scenarios))
        return tuple(sorted(set[str]().union(*(names_of(text) for text in texts))))

    @property
    def scope(self) -> Scope:
        """A new scope, which remembers nothing."""
        named: dict[str, list[str]] = {}
        for name, text in self.scenarios:
            named.setdefault(name, []).append(text)
        return Scope(self.known, named)

    def admits(self, bindings: Bindings) -> bool:
        """Say whether the assertions and some scenario hold."""
        if not all(holds(text, bindings) for text in self.known):
            return False
        named = {name for name, _ in self.scenarios}
        failed = {name for name, text in self.scenarios if not holds(text, bindings)}
        return not named or bool(named - failed)


def grid(names: tuple[str, ...]) -> list[dict[str, int]]:
    """Return the points at which an expression of these symbols is evaluated."""
    axes = _AXES[min(len(names), 4)]
    axes += ((0, 1, 3),) * (len(names) - len(axes))
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*axes)]


def value_or_none(text: str, bindings: Bindings) -> int | None:
    """Return the value of a text, None where a broadcast of it is not defined."""
    try:
        return value_of(text, bindings)
    except NoValueError:
        return None


@cache
def expected(problem: DimProblem) -> tuple[tuple[dict[str, int], int | None, bool], ...]:
    """Return each point of the grid, the value there, and whether the problem admits it."""
    return tuple(
        (point, value_or_none(problem.text, point), problem.admits(point))
        for point in grid(problem.names)
    )


def worth(dim: Dim, bindings: Bindings) -> int | None:
    """Return the value of a dimension, None where a broadcast of it is not defined."""
    values: dict[Atom, int | None] = {}
    for atom in dim.atoms if isinstance(dim, TDim) else ():
        values[atom] = bindings[atom.name] if atom.kind == "symbol" else _atom(atom, values)
    return _sum(dim, values)


def _sum(dim: Dim, values: Mapping[Atom, int | None]) -> int | None:
    if not isinstance(dim, TDim):
        return dim
    total = dim.constant
    for monomial, factor in dim.terms:
        for atom in monomial:
            value = values[atom]
            if value is None:
                return None
            factor *= value
        total += factor
    return total


def _atom(atom: Atom, values: Mapping[Atom, int | None]) -> int | None:
    inner = [_sum(piece, values) for piece in atom.pieces]
    sizes = [size for size in inner if size is not None]
    return _done(atom.kind, sizes, atom.divisor) if len(sizes) == len(inner) else None


def _done(kind: str, sizes: list[int], divisor: int = 1) -> int | None:
    if kind == "floor":
        return sizes[0] // divisor
    if kind in ("max", "min"):
        return max(sizes) if kind == "max" else min(sizes)
    if kind == "ge":
        return int(sizes[0] >= (sizes[1] if len(sizes) > 1 else 0))
    if kind == "eq":
        return int(sizes[0] == (sizes[1] if len(sizes) > 1 else 0))
    longer = {size for size in sizes if size != 1}
    if len(longer) > 1:
        return None
    return longer.pop() if longer else 1


def done(operation: Operation, bindings: Bindings) -> int | None:
    """Return the value of an operation on the values of its operands, None where undefined."""
    first, *others = operation.operands
    if operation.name == "substitute":
        values = {
            name: worth(d, bindings) for name, d in zip(operation.symbols, others, strict=True)
        }
        given = {name: value for name, value in values.items() if value is not None}
        return worth(first, {**bindings, **given}) if len(given) == len(values) else None
    found = [worth(d, bindings) for d in operation.operands]
    sizes = [size for size in found if size is not None]
    if len(sizes) < len(found):
        return None
    plain: dict[str, Callable[[], int]] = {
        "value": lambda: sizes[0],
        "negate": lambda: -sizes[0],
        "add": lambda: sum(sizes),
        "subtract": lambda: sizes[0] - sum(sizes[1:]),
        "multiply": lambda: sizes[0] * sizes[1],
    }
    if operation.name in plain:
        return plain[operation.name]()
    return _done(operation.name, sizes, operation.divisor)


def _read(problem: DimProblem) -> Dim | None:
    """Read the text; None when its broadcasts are never defined, which must be true."""
    try:
        return parse_dim(problem.text)
    except MalformedFile as error:
        if "broadcast of" not in error.seen:
            raise CheckFailure("read", "malformed", str(error)) from error
        _require_undefined(problem, error.seen)
        return None


def _require_undefined(problem: DimProblem, said: str) -> None:
    for point, value, admitted in expected(problem):
        found = f"{problem.text} is {value} at {point}, and was refused: {said}"
        require(value is None or not admitted, "read", "refused", found)


def _require_equal(got: int | None, value: int | None, what: str) -> None:
    """Where the written expression is defined, all that is made of it must be, and equal."""
    if value is not None:
        require(got == value, "compare", "wrong_value", f"{what}: {got} where {value} is right")


def normal_form_keeps_the_value(problem: DimProblem) -> None:
    """D1: the dimension that the constructors make is worth the text, by its own evaluation too."""
    dim = _read(problem)
    if dim is None:
        return
    for point, value, _ in expected(problem):
        _require_equal(worth(dim, point), value, f"{problem.text} became {dim}; at {point}")
        if value is not None:
            with stage("run"):
                own = query.evaluate(dim, point)
            _require_equal(own, value, f"{problem.text} evaluated at {point}")


def text_round_trips(problem: DimProblem) -> None:
    """D2: the printed text reads back to the same dimension, and is worth the same."""
    dim = _read(problem)
    if dim is None:
        return
    text = str(dim)
    with stage("read"):
        back = parse_dim(text)
    require(back == dim, "read", "wrong_value", f"{text!r} reads back as {back}")
    for point, value, _ in expected(problem):
        _require_equal(
            value_or_none(text, point), value, f"{problem.text} prints {text!r}; {point}"
        )


def steps_hold(problem: DimProblem) -> None:
    """D3: every recorded application of a law keeps the value, and its proofs are true."""
    with recording() as reading:
        dim = _read(problem)
    if dim is None:
        return
    with recording() as simplifying:
        _simplified(problem, problem.scope, dim)
    for step in reading:
        _require_step(step, problem.names, lambda point: True)
    for step in simplifying:
        _require_step(step, problem.names, problem.admits)


def _require_step(step: Step, names: tuple[str, ...], admits: Callable[[Bindings], bool]) -> None:
    for point in grid(names):
        if admits(point):
            _require_equal(worth(step.after, point), done(step.operation, point), f"{step} {point}")
        for proof in step.proofs:
            _require_proof(proof, point, step)


def _require_proof(proof: Proof, point: Bindings, step: Step) -> None:
    value = worth(proof.question, point)
    if value is None or not all(holds(str(a), point) for a in proof.assertions):
        return
    true = value >= proof.bound if proof.relation == ">=" else value == proof.bound
    require(true, "compare", "wrong_value", f"{step.law.name}: {proof} is {value} at {point}")


def _simplified(problem: DimProblem, scope: Scope, dim: Dim) -> Dim | None:
    try:
        return scope.simplify(dim)
    except InvalidModel as error:
        _require_undefined(problem, str(error))
        return None


def assertions_keep_the_value(problem: DimProblem) -> None:
    """D4: where the assertions hold, the simplified form, bounds and answers are true."""
    dim = _read(problem)
    scope = problem.scope
    simple = None if dim is None else _simplified(problem, scope, dim)
    if dim is None or simple is None:
        return
    with stage("run"):
        low, high = scope.bounds(dim)
        answers = [scope.proves_ge(dim, least) for least in (0, 1)]
        equal = scope.decide_equal(dim, 3)
    for point, value, admitted in expected(problem):
        if value is None or not admitted:
            continue
        what = f"{problem.text} under {problem.known} {problem.scenarios} at {point}"
        _require_equal(worth(simple, point), value, f"{what} as {simple}")
        inside = (low is None or low <= value) and (high is None or value <= high)
        require(inside, "compare", "wrong_value", f"{what}: {value} in {low} .. {high}")
        for least, answer in zip((0, 1), answers, strict=True):
            true = answer is None or answer == (value >= least)
            require(true, "compare", "wrong_value", f"{what}: {value} >= {least} is {answer}")
        true = equal is None or equal == (value == 3)
        require(true, "compare", "wrong_value", f"{what}: {value} == 3 is {equal}")


def scopes_are_apart(problem: DimProblem) -> None:
    """D5: what one scope was asked changes no answer of another, nor a later one of its own."""
    dim = _read(problem)
    if dim is None:
        return
    scope = problem.scope
    first = _simplified(problem, scope, dim)
    if first is not None:
        scope.bounds(first)
    empty = Scope()
    free = _simplified(DimProblem(problem.text), empty, dim)
    low, high = (None, None) if free is None else empty.bounds(dim)
    for point, value, _ in expected(problem):
        what = f"{problem.text} as {free}, under nothing, after {problem.known}; at {point}"
        _require_equal(None if free is None else worth(free, point), value, what)
        inside = (low is None or value is None or low <= value) and (
            high is None or value is None or value <= high
        )
        require(inside, "compare", "wrong_value", f"{what}: {value} in {low} .. {high}")
    again = _simplified(problem, problem.scope, dim)
    require(again == first, "run", "not_deterministic", f"{problem.text}: {first}, then {again}")
    if first is not None:
        later = _simplified(problem, scope, first)
        asked = "asked again" if later == first else f"{later}"
        for point, value, admitted in expected(problem):
            if admitted and later is not None:
                _require_equal(worth(later, point), value, f"{problem.text}: {asked}; at {point}")


def rates_describe_large_values(problem: DimProblem) -> None:
    """D6: slope * period is what a period adds, far out; a clamp has settled there."""
    dim = _read(problem)
    if dim is None:
        return
    for name in names_of(problem.text):
        try:
            rate, step = query.slope(dim, name), query.period(dim, name)
        except Inconclusive:
            continue
        rest = dict.fromkeys(problem.names, 3)
        for start in range(_FAR, _FAR + 3):
            here = value_or_none(problem.text, {**rest, name: start})
            there = value_or_none(problem.text, {**rest, name: start + step})
            if here is not None and there is not None:
                what = f"slope {rate}, period {step} of {problem.text} in {name} at {start}"
                require(there - here == rate * step, "compare", "wrong_value", what)


def substitution_keeps_the_value(problem: DimProblem) -> None:
    """D7: replacing symbols, all at once, is evaluating at the values of what replaces them."""
    dim = _read(problem)
    if dim is None:
        return
    names = problem.names or ("S",)
    for mapping in ({names[0]: problem.other}, {names[0]: names[-1], names[-1]: names[0]}):
        try:
            values = {name: parse_dim(text) for name, text in mapping.items()}
            replaced = query.substitute(dim, values)
        except InvalidModel:
            # A broadcast that is not defined with these values.
            continue
        for point in grid(tuple(sorted({*names, *names_of(problem.other)}))):
            inner = {**point, **{name: value_of(text, point) for name, text in mapping.items()}}
            what = f"{problem.text} with {mapping} became {replaced}; at {point}"
            _require_equal(worth(replaced, point), value_or_none(problem.text, inner), what)


def arithmetic_is_canonical(problem: DimProblem) -> None:
    """D8: equal sums, products, quotients and clamps are one object."""
    dim = _read(problem)
    if dim is None:
        return
    other = parse_dim(problem.other)
    pairs = {
        "a + b - b is a": (dim + other - other, dim),
        "a - b is -(b - a)": (dim - other, -(other - dim)),
        "a * b is b * a": (dim * other, other * dim),
        "max(a, b) is max(b, a)": (dim_max(dim, other), dim_max(other, dim)),
        "max(a, a) is a": (dim_max(dim, dim), dim),
        "(7*a)/7 is a": ((7 * dim) // 7, dim),
    }
    for law, (left, right) in pairs.items():
        what = f"{law} for a = {problem.text}, b = {problem.other}: {left} and {right}"
        require(left == right, "compare", "wrong_value", what)


def equations_are_solved(problem: DimProblem) -> None:
    """D9: a solution solves, a quotient of a product is its factor."""
    dim = _read(problem)
    if dim is None:
        return
    name = problem.names[0] if problem.names else "S"
    target = sym("solved")
    with stage("run"):
        value = query.solve_for(name, dim, target)
    if value is not None:
        for known in range(-6, 7):
            rest = dict.fromkeys(problem.names, 2)
            point = {**rest, "solved": known}
            solution = worth(value, point)
            if solution is not None:
                got = value_or_none(problem.text, {**rest, name: solution})
                _require_equal(known, got, f"{problem.text} = {known} for {name} = {solution}")
    quarter, divisor = query.maybe_div(dim, 4)
    what = f"({problem.text}) / 4 = ({quarter})/{divisor}"
    require(quarter * 4 == dim * divisor, "compare", "wrong_value", what)
    other = parse_dim(problem.other)
    if other == 0:
        return
    try:
        quotient, divisor = query.maybe_div(dim * other, other)
    except Inconclusive:
        return
    what = f"({problem.text})*({problem.other}) / ({problem.other}) = ({quotient})/{divisor}"
    # Times the divisor again, because a comparison is its own square.
    require(quotient * other == dim * divisor * other, "compare", "wrong_value", what)


DIM_LAWS: dict[str, Callable[[DimProblem], None]] = {
    "D1": normal_form_keeps_the_value,
    "D2": text_round_trips,
    "D3": steps_hold,
    "D4": assertions_keep_the_value,
    "D5": scopes_are_apart,
    "D6": rates_describe_large_values,
    "D7": substitution_keeps_the_value,
    "D8": arithmetic_is_canonical,
    "D9": equations_are_solved,
}
