"""A problem with its model, inputs, batch values and pulsified models, each made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np

from tract_ref import Plan, Pulsed, pulsify
from tract_ref.approx import Array
from tract_ref.dim import evaluate
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Const, Model, Node
from tract_ref.ops.deconv import Deconv
from tract_ref.passes.set_symbols import set_symbols
from tract_ref_suites.checks.failure import CheckFailure, stage
from tract_ref_suites.problems.base import SYMBOL, Problem


class Subject:
    """What the checks share about one problem.

    Args:
        problem: the problem.
        generic: replace the zeros of float constants and the holes of dilated kernels that are
            spread, so that no weight hides what it reads.
    """

    def __init__(self, problem: Problem, *, generic: bool = False) -> None:
        self.problem = problem
        self._generic = generic
        self._pulsed: dict[int, Pulsed] = {}

    @cached_property
    def model(self) -> Model:
        """The batch model, as the problem builds it."""
        with stage("read"):
            model = self.problem.model()
        if self._generic:
            rng = np.random.default_rng(5)
            for node in list(model.nodes.values()):
                if isinstance(node.op, Deconv):
                    _fill_holes(model, node, node.op)
            for node in model.nodes.values():
                if isinstance(node.op, Const) and node.op.tensor.dtype.kind == "f":
                    tensor = node.op.tensor
                    drawn = rng.uniform(1, 2, tensor.shape).astype(tensor.dtype)
                    node.op = Const(np.where(tensor == 0, drawn, tensor))
            # Facts may follow from the old constants.
            model = set_symbols(model, {})
        return model

    @cached_property
    def inputs(self) -> dict[str, Array]:
        """Whole inputs."""
        return self.problem.inputs()

    @cached_property
    def plan(self) -> Plan:
        """Plan of the batch model that runs every op's `eval`."""
        with stage("plan"):
            return Plan(self.model, fast=False)

    @cached_property
    def batch(self) -> dict[str, Array]:
        """Batch values under `eval`."""
        return self.run(self.inputs, self.problem.length)

    @property
    def smallest(self) -> int:
        """Smallest stream length that the model's assertions and its ops admit."""
        return max(self.problem.shortest, self.model.scope.smallest(SYMBOL))

    def admitted(self, length: int) -> int:
        """Return the nearest stream length that the model admits."""
        longest = self.problem.longest
        length = max(self.smallest, length)
        return length if longest is None else min(longest, length)

    def run(self, inputs: Mapping[str, Array], length: int) -> dict[str, Array]:
        """Run the batch model on other inputs."""
        plan = self.plan
        with stage("run"):
            return plan.run(inputs, symbols={SYMBOL: length})

    def pulsed(self, pulse: int) -> Pulsed:
        """Return the model pulsified at one pulse."""
        if pulse not in self._pulsed:
            with stage("pulsify"):
                self._pulsed[pulse] = pulsify(self.model, pulse, symbol=SYMBOL)
        return self._pulsed[pulse]

    def pulsed_plan(self, pulse: int, *, fast: bool = False) -> Plan:
        """Return a plan of the pulsified model."""
        pulsed = self.pulsed(pulse)
        with stage("plan"):
            return Plan(pulsed.model, fast=fast)

    def at_length(self, length: int, *, seed: int = 0) -> dict[str, Array]:
        """Return inputs of another stream length, with elements of the problem's own inputs."""
        rng = np.random.default_rng(seed)
        found: dict[str, Array] = {}
        for name, fact in self.plan.input_facts.items():
            own = self.inputs[name]
            shape = tuple(evaluate(dim, {SYMBOL: length}) for dim in fact.shape)
            if min(shape, default=0) < 0:
                text = f"input {name!r} of fact {fact} has shape {list(shape)} at S={length}"
                raise CheckFailure("read", "wrong_shape", f"{text}; assert a bound on S")
            found[name] = resized(own, shape, rng)
        return found


def _fill_holes(model: Model, node: Node, op: Deconv) -> None:
    """Give a kernel as wide as it is spread; what stands between its positions is 0 so far."""
    kernel = model.nodes[node.inputs[1].node]
    if not isinstance(kernel.op, Const) or max(op.window.dilation, default=1) == 1:
        return
    tensor, rank = kernel.op.tensor, op.window.rank
    sizes = tuple(op.window.axis(axis).field + 1 for axis in range(rank))
    wide = np.zeros((*tensor.shape[:2], *sizes), tensor.dtype)
    places = tuple(slice(None, None, step) for step in op.window.dilation)
    wide[(slice(None), slice(None), *places)] = tensor
    kernel.op, kernel.outputs = Const(wide), (Fact.of(wide),)
    node.op = replace(op, window=replace(op.window, kernel=sizes, dilation=(1,) * rank))


def resized(own: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return an array of `shape` that starts like `own` and goes on with elements drawn from it."""
    pool = own.ravel() if own.size else np.ones(1, own.dtype)
    grown = np.asarray(pool[rng.integers(0, pool.size, shape)])
    inside = tuple(slice(0, min(a, b)) for a, b in zip(own.shape, shape, strict=True))
    grown[inside] = own[inside]
    return grown


def stream_axes(model: Model) -> dict[str, int]:
    """Return the stream axis of every input of a batch model that has one."""
    axes: dict[str, int] = {}
    for name, outlet in zip(model.input_names, model.inputs, strict=True):
        found = model.fact(outlet).axes_with(SYMBOL)
        if found:
            axes[name] = found[0]
    return axes


def require_outputs(values: Mapping[str, Array], model: Model) -> None:
    """Require one value per output of the model."""
    missing = [name for name in model.output_names if name not in values]
    if missing:
        raise CheckFailure("run", "wrong_shape", f"no value for the outputs {missing}")
