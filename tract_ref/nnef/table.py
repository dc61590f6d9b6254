"""The NNEF table: how each operator is read into nodes, and how each op is written.

A load rule is registered with the operator's signature: parameter names in order, defaults by
keyword. The reader binds arguments (spec/nnef.md 1.4), refuses unknown and surplus ones with a
caret, and hands the rule an `Invocation`. A dump rule is given a `Dump` and says one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol, TypeVar

from tract_ref.dim import Dim
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.ir.model import Model, Node, Outlet
from tract_ref.ir.op import Op
from tract_ref.ir.rules import RuleTable

Literal = int | float | str | bool | Dim | tuple["Literal", ...]
DumpValue = int | float | str | bool | Dim | Outlet | tuple["DumpValue", ...]
F = TypeVar("F", bound=Callable[..., object])

REQUIRED = object()


class Invocation(Protocol):
    """One call in the document, with its arguments bound to the operator's parameters."""

    @property
    def operator(self) -> str:
        """Name of the operator as written."""
        ...

    @property
    def name(self) -> str:
        """Name of the node: the first identifier on the left-hand side."""
        ...

    @property
    def model(self) -> Model:
        """The model being built."""
        ...

    def is_absent(self, parameter: str) -> bool:
        """Say whether an optional tensor is absent (`false`, or an empty array)."""
        ...

    def tensor(self, parameter: str, *, like: Outlet | None = None) -> Outlet:
        """Return a wire; a literal or an array of literals becomes a constant.

        Args:
            parameter: its name.
            like: a wire to whose dtype a float literal is cast (spec/nnef.md 1.5).
        """
        ...

    def tensors(self, parameter: str) -> tuple[Outlet, ...]:
        """Return an array of wires."""
        ...

    def integer(self, parameter: str) -> int:
        """Return an integer known at load time."""
        ...

    def integers(self, parameter: str) -> tuple[int, ...]:
        """Return an array of integers known at load time."""
        ...

    def pairs(self, parameter: str) -> tuple[tuple[int, int], ...]:
        """Return an array of pairs of integers (tuples or arrays of two)."""
        ...

    def scalar(self, parameter: str, *, like: Outlet | None = None) -> float | int:
        """Return a number.

        Args:
            parameter: its name.
            like: a wire; where it is of integers or bools, its dtype must hold the number.
        """
        ...

    def string(self, parameter: str) -> str:
        """Return a string."""
        ...

    def logical(self, parameter: str) -> bool:
        """Return a boolean; 0 and 1 are read as well."""
        ...

    def dim(self, parameter: str) -> Dim:
        """Return a dim: an integer, an expression of symbols, or a constant wire of one dim."""
        ...

    def dims(self, parameter: str) -> tuple[Dim, ...]:
        """Return dims: an array (nested lists flattened) or a constant wire of dims."""
        ...

    def bounds(self, parameter: str) -> tuple[Dim | Outlet, ...]:
        """Return dims, or wires of one integer each where they are known at run time only."""
        ...

    def late(self, parameter: str) -> Outlet | None:
        """Return the argument when it is a wire known at run time only, else None."""
        ...

    def fact(self, wire: Outlet) -> Fact:
        """Return the fact of a wire."""
        ...

    def wire(self, op: Op, *inputs: Outlet, suffix: str = "") -> tuple[Outlet, ...]:
        """Add a node; without suffix it gets the call's name, with one `<name>.<suffix>`."""
        ...

    def const(self, tensor: Tensor, suffix: str) -> Outlet:
        """Add a constant called `<name>.<suffix>`."""
        ...

    def align(self, *wires: Outlet) -> tuple[Outlet, ...]:
        """Bring wires to one rank and, as spec/nnef.md 1.5 says, to one dtype.

        Missing axes are appended at the END; a literal or variable is cast to the other's dtype.
        """
        ...

    def submodel(self, label: str) -> Model:
        """Return a graph of the archive, as it is written.

        Raises:
            MalformedFile: the archive has no such graph, or it cannot be read.
        """
        ...

    def malformed(self, seen: str, *, remedy: str = "") -> NoReturn:
        """Raise MalformedFile with a caret under the call."""
        ...

    def refuse(self, reason: str, *, remedy: str) -> NoReturn:
        """Raise Refused for a legal call that this reader declines."""
        ...


class Dump(Protocol):
    """Writes one node as one or more calls."""

    def call(
        self, operator: str, *, inputs: tuple[DumpValue, ...] | None = None, **named: DumpValue
    ) -> None:
        """Write `<results> = operator(inputs.., name = value..)`.

        Args:
            operator: name of the NNEF operator.
            inputs: positional arguments; by default the node's inputs.
            named: named arguments, in the order given.
        """
        ...

    def step(
        self, operator: str, *, inputs: tuple[DumpValue, ...], **named: DumpValue
    ) -> DumpValue:
        """Write one intermediate call and return its result, to be used as an input."""
        ...

    def fact(self, wire: Outlet) -> Fact:
        """Return the fact of a wire."""
        ...

    def add_submodel(self, label: str, body: Model) -> str:
        """Write a graph into the archive and return its label, numbered when it is taken."""
        ...

    def refuse(self, reason: str, *, remedy: str) -> NoReturn:
        """Raise Refused: this node has no NNEF form."""
        ...


@dataclass(frozen=True)
class Load:
    """How one operator is read.

    Attributes:
        parameters: names in order; the value is the default, REQUIRED where there is none.
        rule: builds the nodes and returns the results.
    """

    parameters: Mapping[str, object]
    rule: Callable[[Invocation], tuple[Outlet, ...]]


LoadRule = Callable[[Invocation], tuple[Outlet, ...]]
DumpRule = Callable[..., None]


class NnefTable:
    """Load rules by operator name, dump rules by op class; both are plain RuleTables."""

    def __init__(self) -> None:
        self.loads: RuleTable[str, Load] = RuleTable("NNEF load")
        self.dumps: RuleTable[type[Op], DumpRule] = RuleTable("NNEF dump")

    def load(
        self, operator: str, *required: str, **defaults: object
    ) -> Callable[[LoadRule], LoadRule]:
        """Register the decorated rule for an operator and its signature."""
        parameters: dict[str, object] = dict.fromkeys(required, REQUIRED) | defaults

        def register(rule: LoadRule) -> LoadRule:
            self.loads.use(Load(parameters, rule), operator)
            return rule

        return register

    def dump(self, *ops: type[Op]) -> Callable[[F], F]:
        """Register the decorated rule for op classes."""
        return self.dumps.rule(*ops)

    def refuse_load(self, *operators: str, reason: str, remedy: str) -> None:
        """Write down that operators of the dialect are not read, and why."""
        self.loads.refuse(*operators, reason=reason, remedy=remedy)

    def refuse_dump(self, *ops: type[Op], reason: str, remedy: str) -> None:
        """Write down that ops have no NNEF form, and why."""
        self.dumps.refuse(*ops, reason=reason, remedy=remedy)


NNEF = NnefTable()

DumpNode = Node
