"""Rule tables: what a pass does with an op is one rule in its table, or a written refusal."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from tract_ref.errors import InternalError, Refused

if TYPE_CHECKING:
    from tract_ref.ir.model import Model, Node
    from tract_ref.ir.op import Op
    from tract_ref.ir.patch import ModelPatch

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Refusal:
    """A written refusal: why a pass declines an op, and what the user can do."""

    reason: str
    remedy: str

    def raise_for(self, stage: str, node: Node) -> None:
        """Raise the refusal for one node."""
        raise Refused(self.reason, stage=stage, node=node.name, op=node.op.name, remedy=self.remedy)


class RuleTable(Generic[K, R]):
    """One pass's rules, by op class (or by name, for formats).

    Args:
        name: the table's name in messages, e.g. `PULSIFY_V1`.
        many: a key may hold several rules, tried in the order they were written (DECLUTTER).
    """

    def __init__(self, name: str, *, many: bool = False) -> None:
        self.name = name
        self.many = many
        self._cells: dict[K, tuple[R, ...] | Refusal] = {}

    def _set(self, key: K, rule: R) -> None:
        old = self._cells.get(key)
        if old is None:
            self._cells[key] = (rule,)
        elif self.many and not isinstance(old, Refusal):
            self._cells[key] = (*old, rule)
        else:
            raise InternalError(f"{self.name}: {_label(key)} is registered twice")

    def rule(self, *keys: K) -> Callable[[F], F]:
        """Register the decorated function as the rule of `keys`."""

        def register(function: F) -> F:
            for key in keys:
                self._set(key, function)  # pyright: ignore[reportArgumentType]
            return function

        return register

    def use(self, rule: R, *keys: K) -> None:
        """Choose a shared rule for several keys."""
        for key in keys:
            self._set(key, rule)

    def refuse(self, *keys: K, reason: str, remedy: str) -> None:
        """Write down that the pass declines `keys`, why, and what to do."""
        for key in keys:
            if key in self._cells:
                raise InternalError(f"{self.name}: {_label(key)} is registered twice")
            self._cells[key] = Refusal(reason, remedy)

    def lookup(self, key: K) -> R | Refusal:
        """Return the rule of `key`, or its refusal.

        Raises:
            InternalError: the cell is empty.
        """
        cell = self._cells.get(key)
        if cell is None:
            raise InternalError(f"{self.name}: no rule and no refusal for {_label(key)}")
        return cell if isinstance(cell, Refusal) else cell[0]

    def rules(self, key: K) -> tuple[R, ...]:
        """Return every rule of `key`, none when the cell is empty or a refusal."""
        cell = self._cells.get(key)
        return () if cell is None or isinstance(cell, Refusal) else cell

    def __contains__(self, key: object) -> bool:
        return key in self._cells

    def keys(self) -> tuple[K, ...]:
        """Return the keys that have a rule or a refusal."""
        return tuple(self._cells)

    @contextmanager
    def replaced(self, key: K, rule: R) -> Generator[None]:
        """Replace the rules of `key` for the tests of the tests (mutants), and only for them."""
        old = self._cells.get(key)
        self._cells[key] = (rule,)
        try:
            yield
        finally:
            if old is None:
                del self._cells[key]
            else:
                self._cells[key] = old


def _label(key: object) -> str:
    return key.__name__ if isinstance(key, type) else str(key)


class Rewrite(Protocol):
    """Context of a declutter rule."""

    @property
    def model(self) -> Model:
        """The model as it stands; read only, edited by the patch that the rule returns."""
        ...

    def patch(self) -> ModelPatch:
        """Return an empty patch over the model."""
        ...


DeclutterRule = Callable[..., "ModelPatch | None"]
DECLUTTER: RuleTable[type[Op], DeclutterRule] = RuleTable("DECLUTTER", many=True)
