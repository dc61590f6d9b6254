"""FAST: op + concrete facts -> a kernel that writes into buffers that the plan laid out.

A builder answers one of three things, or None when it has nothing better than the op's `eval`:

* `Compute`: computes outputs into given buffers; weights are packed when it is built.
* `View`: the output *is* a view of the first input; nothing runs.
* `Tape`: the op keeps frames of its input (Delay). The plan allocates one tape per session, lets
the
  producer write straight into its tail, and the reader read its head.

Every kernel is held to its op's `eval` by check P11.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tract_ref.ir.fact import DType, Tensor
from tract_ref.ir.op import Op
from tract_ref.ir.rules import RuleTable

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Compute:
    """A kernel over given buffers.

    Attributes:
        bind: takes the input and output arrays of one session, returns the step to call each turn.
        in_place: index of an input whose buffer the output may reuse, when nothing reads it later.
    """

    bind: Callable[[Sequence[Tensor], Sequence[Tensor]], Step]
    in_place: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The output is `view(input)`; any array of the input's shape will do."""

    view: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Tape:
    """The last `kept` frames of the input stay for the next turn.

    Attributes:
        axis: the stream axis.
        kept: frames kept between turns.
        emitted: frames of one output, from the head of the tape.
    """

    axis: int
    kept: int
    emitted: int


@dataclass(frozen=True, slots=True)
class Concrete:
    """What a builder may look at.

    Attributes:
        inputs: shape and dtype per input.
        outputs: shape and dtype per output.
        consts: value per input, None where it is not constant.
    """

    inputs: tuple[tuple[tuple[int, ...], DType], ...]
    outputs: tuple[tuple[tuple[int, ...], DType], ...]
    consts: tuple[Tensor | None, ...]


Kernel = Compute | View | Tape
KernelBuilder = Callable[..., "Kernel | None"]
FAST: RuleTable[type[Op], KernelBuilder] = RuleTable("FAST")


def build_kernel(op: Op, facts: Concrete) -> Kernel | None:
    """Return the fast kernel of an op over concrete facts, None when `eval` is to be used."""
    rules = FAST.rules(type(op))
    return rules[0](op, facts) if rules else None
