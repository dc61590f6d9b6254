"""The laws that rewrite dimensions, by name, and a record of their applications.

    with recording() as steps:
        (sym("S") + 4) // 2

A step is told when its result is known, so what it needed comes before it. The operation of a step
is data: it can be evaluated on integers without any of the rewriting that made the result. Answers
remembered from before are no steps.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, local
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from tract_ref.dim.parse import Assertion
    from tract_ref.dim.tdim import Dim

OperationName: TypeAlias = Literal[
    "add", "subtract", "multiply", "negate", "floor", "max", "min", "broadcast", "ge", "eq",
    "substitute", "value",
]  # fmt: skip


@dataclass(frozen=True)
class Law:
    """An equation by which dimensions are rewritten.

    Args:
        name: short, unique.
        formula: the equation on one line.
        statement: what it says, and where it holds.
    """

    name: str
    formula: str
    statement: str


LAWS: dict[str, Law] = {}


def _law(name: str, formula: str, statement: str) -> Law:
    return LAWS.setdefault(name, Law(name, formula, statement))


NUMBERS = _law("numbers", "2 + 3 = 5", "an operation on integers is done")
COLLECT = _law(
    "collect", "a*x + y + b*x = (a+b)*x + y", "equal terms of a sum are counted once, in one order"
)
CANCEL_CLAMPS = _law(
    "cancel clamps",
    "max(a,b) + min(a,b) = a + b",
    "a clamp is kept as a + max(0,b-a), so equal clamps of a sum count as equal terms",
)
SHIFT_CLAMP = _law(
    "shift clamp", "x + max(a,b) = max(x+a, x+b)", "the only clamp of a sum takes in all the rest"
)
RELATIVE_CLAMP = _law(
    "relative clamp",
    "max(a,b) = a + max(0, b-a)",
    "the pieces of a maximum give away what all of them contain",
)
DISTRIBUTE = _law(
    "distribute", "(a+b)*(c+d) = a*c + a*d + b*c + b*d", "a product of sums is a sum of products"
)
SCALE = _law("scale", "k*(a+b) = k*a + k*b", "an integer factor multiplies each term")
SCALE_CLAMP = _law(
    "scale clamp",
    "k*max(a,b) = max(k*a, k*b) for k > 0, min(k*a, k*b) for k < 0",
    "an integer factor multiplies the pieces; a negative one swaps max and min",
)
ZERO_ONE = _law("zero or one", "(a>=b)*(a>=b) = (a>=b)", "a comparison is 0 or 1, its own square")
DIVIDE_ONE = _law("divide by 1", "x/1 = x", "a quotient by 1 is its numerator")
WHOLE = _law(
    "whole multiple",
    "(q*x + y)/q = x + y/q",
    "terms that are multiples of the divisor leave the quotient",
)
REMAINDER = _law(
    "remainder",
    "(c*x + y)/q = (c div q)*x + ((c mod q)*x + y)/q",
    "every coefficient in a quotient is brought into [0, q)",
)
COMMON = _law(
    "common factor",
    "(g*x + c)/(g*q) = (x + c/g)/q",
    "a common factor of divisor and terms is cancelled; the constant is rounded down",
)
NESTED = _law(
    "nested quotient",
    "(x/a + y)/q = (x + a*y)/(a*q)",
    "a quotient of a sum with one quotient is one quotient",
)
DIVIDE_CLAMP = _law(
    "divide clamp", "max(a,b)/q = max(a/q, b/q)", "division rounded down keeps order: min likewise"
)
FLATTEN = _law(
    "flatten", "max(a, x + max(b,c)) = max(a, x+b, x+c)", "a maximum in a maximum gives its pieces"
)
LARGEST = _law(
    "largest constant",
    "max(x+3, x+2) = x+3",
    "of pieces that differ by a constant the larger is kept; min likewise keeps the smaller",
)
ABSORB = _law(
    "absorb", "max(a, min(a,b)) = a", "a minimum that has a piece not above another one is dropped"
)
CLAMP_FACTOR = _law(
    "factor of a clamp",
    "max(0, g*a) = g*max(0, a) for g > 0",
    "the common factor of all pieces of a maximum is taken out",
)
FLATTEN_BROADCAST = _law(
    "flatten broadcast", "a # (b # c) = a # b # c", "a broadcast in a broadcast gives its sizes"
)
STRETCH_ONE = _law("stretch one", "1 # x = x", "a size of 1 stretches to any other")
EQUAL_SIZES = _law("equal sizes", "x # x = x", "equal sizes are one size")
COMPARE_DIFFERENCE = _law(
    "compare difference", "(a>=b) = (a-b>=0)", "a comparison looks at the difference; == likewise"
)
COMPARE_COMMON = _law(
    "compare common factor",
    "(g*x + c >= 0) = (x + c/g >= 0), (g*x + g*c == 0) = (x + c == 0)",
    "a common factor of the terms is cancelled; for >= the constant is rounded down",
)
COMPARE_MULTIPLE = _law(
    "no multiple", "(g*x + c == 0) = 0 unless g divides c", "a multiple of g is not -c"
)
COMPARE_SIGN = _law("compare sign", "(-x == 0) = (x == 0)", "zero has no sign")

EQUALITY = _law(
    "equality", "x = a where x == a is asserted", "a symbol that an assertion solves is replaced"
)
REPLACED = _law(
    "replace", "f(x) = f(y) where x = y", "parts that became simpler take the place of the old ones"
)
CONSTANT = _law("constant", "x = c for c <= x <= c", "both bounds are the same number")
PROVED_PIECE = _law(
    "proved piece",
    "max(a,b) = a for a >= b",
    "a piece that is never above another one is dropped; min likewise",
)
PROVED_SIZE = _law(
    "proved size",
    "a # b = a for 1 <= b <= a",
    "a size that is 1 or equal to another one is dropped; where a broadcast is undefined nothing "
    "is promised",
)
PROVED_TRUE = _law("proved true", "(a>=b) = 1 for a >= b", "the bounds decide it; == likewise")
PROVED_FALSE = _law("proved false", "(a>=b) = 0 for a < b", "the bounds decide it; == likewise")
COMPARE_LINEAR = _law(
    "comparison as a sum",
    "(x==0) = 1-x for 0 <= x <= 1, (x>=0) = (x==0) = 1+x for -1 <= x <= 0",
    "of a difference that takes two neighbouring values the comparison is a sum",
)
SCENARIOS = _law(
    "scenarios agree",
    "x = y when x = y in every scenario",
    "scenarios are exhaustive: what holds in each of them holds",
)


@dataclass(frozen=True)
class Operation:
    """An operation before it is rewritten.

    Args:
        name: what is done; "value" is the dimension itself.
        operands: the dimensions it is done to; for "substitute" the dimension, then the values.
        divisor: of "floor".
        symbols: those that "substitute" replaces, in the order of the values.
    """

    name: OperationName
    operands: tuple[Dim, ...]
    divisor: int = 1
    symbols: tuple[str, ...] = ()

    def __str__(self) -> str:
        texts = [str(d) for d in self.operands]
        if self.name in ("max", "min"):
            return f"{self.name}({','.join(texts)})"
        if self.name == "broadcast":
            return f"broadcast({', '.join(f'({t})' for t in texts)})"
        if self.name in ("ge", "eq"):
            return f"({texts[0]}{'>=' if self.name == 'ge' else '=='}{texts[1]})"
        if self.name in ("substitute", "value"):
            return texts[0]
        inner = [_wrapped(t) for t in texts]
        if self.name == "floor":
            return f"{inner[0]}/{self.divisor}"
        if self.name == "negate":
            return f"-{inner[0]}"
        # A sum in a sum needs no parentheses, unless it is subtracted.
        first = texts[0] if self.name in ("add", "subtract") else inner[0]
        others = texts[1:] if self.name == "add" else inner[1:]
        return _SIGNS[self.name].join((first, *others))


_SIGNS = {"add": "+", "subtract": "-", "multiply": "*"}
_PLAIN = re.compile(r"[^\W\d][\w.]*|[0-9]+")


def _wrapped(text: str) -> str:
    """Put parentheses around what is neither a name, a number, a call nor in parentheses."""
    head, opened, rest = text.partition("(")
    depth = 1
    for place, letter in enumerate(rest, 1):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            whole = place == len(rest) and head in ("", "max", "min", "broadcast")
            return text if whole else f"({text})"
    return text if not opened and _PLAIN.fullmatch(text) else f"({text})"


@dataclass(frozen=True)
class Proof:
    """An answer of the prover that a law needed.

    Args:
        question: the dimension that was asked about.
        relation: what was found: >= or ==.
        bound: the number it was found to be at least, or equal to.
        assertions: relations that suffice; without any one of them the prover does not find it.
    """

    question: Dim
    relation: Literal[">=", "=="]
    bound: int
    assertions: tuple[Assertion, ...]

    def __str__(self) -> str:
        known = ", ".join(str(a) for a in self.assertions)
        return f"{self.question} {self.relation} {self.bound}" + (f" by {known}" if known else "")


@dataclass(frozen=True)
class Step:
    """One application of a law.

    Args:
        law: the law.
        operation: what was written.
        after: the dimension it became.
        proofs: what had to be known, for a law under assertions.
    """

    law: Law
    operation: Operation
    after: Dim
    proofs: tuple[Proof, ...] = ()

    def __str__(self) -> str:
        return f"{self.law.name}: {self.operation} -> {self.after}"


class _Recorder(local):
    """The list that this thread records into."""

    steps: list[Step] | None = None


_recorder = _Recorder()
_lock = Lock()
# How many threads record; the only thing that rewriting looks at when nobody does.
on: int = 0


@contextmanager
def recording() -> Generator[list[Step]]:
    """Collect the steps that this thread does; those of an inner recording belong to both."""
    outer = _recorder.steps
    steps: list[Step] = []
    _count(1)
    _recorder.steps = steps
    try:
        yield steps
    finally:
        _recorder.steps = outer
        _count(-1)
        if outer is not None:
            outer.extend(steps)


@contextmanager
def silent() -> Generator[None]:
    """Leave out the steps of proofs and of telling itself."""
    outer = _recorder.steps
    _recorder.steps = None
    try:
        yield
    finally:
        _recorder.steps = outer


def _count(by: int) -> None:
    global on
    with _lock:
        on += by


def tell(
    law: Law,
    name: OperationName,
    operands: tuple[Dim, ...],
    after: Dim,
    *,
    divisor: int = 1,
    symbols: tuple[str, ...] = (),
    proofs: tuple[Proof, ...] = (),
) -> None:
    """Record a step, if this thread records.

    Args:
        law: the law that was applied.
        name: the operation it was applied to.
        operands: its operands.
        after: the result.
        divisor: of a floor.
        symbols: of a substitution.
        proofs: what had to be known.
    """
    if _recorder.steps is not None:
        operation = Operation(name, operands, divisor, symbols)
        _recorder.steps.append(Step(law, operation, after, proofs))


def heard() -> bool:
    """Tell whether this thread records; asked before a proof is looked up for a step."""
    return _recorder.steps is not None
