"""Problem: one generated or hand-written question, with the answer by another road.

A family file exports three tables, each keyed by a readable slug:

    STRATEGIES: dict[str, Callable[[], SearchStrategy[Problem]]]    one per op (or per closed
    variant) HAND:       dict[str, Problem]                                  dull cases and known
    corners ERRORS:     dict[str, ErrorCase]                                one per written refusal
    and rule
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tract_ref.approx import Array
from tract_ref.dim import parse_dim, sym
from tract_ref.errors import TractRefError
from tract_ref.ir.fact import Fact, dtype_named
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.slicing import Slice
from tract_ref.passes.pulsify_v1 import pulsify

SYMBOL = "S"


@dataclass(frozen=True)
class Problem(ABC):
    """One model with whole inputs and expected outputs.

    Attributes:
        family: stem of the file in `problems/`, and in `ops/` when it asks about one file there.
        op: name of the op under test.
        length: stream length S of the inputs, in source frames.
        pulses: pulses at which the model must stream; empty when it is batch only.
        refused_at: pulses at which the reference must refuse it, and no engine may be wrong.
        approx: named tolerance between two executions of it; `exact` for `eval` against `eval`.
    """

    family: ClassVar[str]
    op: ClassVar[str]

    @property
    @abstractmethod
    def length(self) -> int:
        """Stream length, in source frames."""

    @property
    @abstractmethod
    def pulses(self) -> tuple[int, ...]:
        """Pulses at which the model must stream."""

    @abstractmethod
    def model(self) -> Model:
        """Build the batch model, with the stream symbol S on one axis of each streaming input."""

    @abstractmethod
    def inputs(self) -> dict[str, Array]:
        """Return whole inputs by name."""

    @abstractmethod
    def expected(self) -> dict[str, Array]:
        """Return the batch outputs by another road: loops over elements, never the op judged."""

    def onnx(self) -> bytes | None:
        """Return the model as an ONNX file; None where it has only an NNEF form."""
        return None

    @property
    def refused_at(self) -> tuple[int, ...]:
        """Pulses at which the reference must refuse; another engine refuses or is right."""
        return ()

    @property
    def refusal(self) -> str:
        """First words of that refusal."""
        return ""

    @property
    def oracle_approx(self) -> str:
        """Named tolerance between the reference and `expected`."""
        return "close"

    @property
    def fast_approx(self) -> str:
        """Named tolerance between fast kernels and `eval`; empty: the family's in check P11."""
        return ""

    @property
    def shortest(self) -> int:
        """Smallest stream length that the ops admit, where the model's assertions admit less."""
        return 0

    @property
    def longest(self) -> int | None:
        """Largest stream length that the ops admit, None where there is no end."""
        return None

    @property
    def sizes_found(self) -> Mapping[str, int]:
        """Values of the symbols that only running tells."""
        return {}

    @property
    def loose(self) -> str:
        """Why no pair of streams may show the least delay or field; empty when one always does."""
        return ""

    @property
    def rounds(self) -> str:
        """Why a smaller delay would do than the rules take; empty when theirs is the least."""
        return ""

    def least_delay(self, pulse: int) -> int | None:
        """Return the delay by the closed form, in output frames; None where there is none."""
        return None


@dataclass(frozen=True)
class ErrorCase:
    """Something that must be refused or rejected.

    Attributes:
        attempt: does it.
        error: the class of the error.
        starts: first words of the message.
        refusal: `TABLE:Op` of the written refusal that it witnesses, empty for other errors.
    """

    attempt: Callable[[], object]
    error: type[TractRefError]
    starts: str
    refusal: str = ""


def small_integers(seed: int, shape: tuple[int, ...], dtype: str = "f4") -> Array:
    """Draw integers in [-5, 5] other than 0: sums are exact and no element hides an error."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, shape)
    return np.where(rng.integers(0, 2, shape), sizes, -sizes).astype(np.dtype(dtype))


def normals(seed: int, shape: tuple[int, ...], dtype: str = "f4") -> Array:
    """Draw normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.dtype(dtype))


@dataclass(frozen=True)
class Values:
    """Values of a tensor that has no room in a `repr`.

    Attributes:
        seed: of the generator.
        palette: `integers` (small, never 0: sums are exact), `normal`, or `special` (NaN,
            infinities, zeros of both signs, huge and tiny numbers among ordinary ones).
    """

    seed: int = 0
    palette: str = "integers"

    @property
    def is_exact(self) -> bool:
        """Sums and products of few values have no rounding error."""
        return self.palette == "integers"

    def array(self, shape: tuple[int, ...], dtype: str = "f4", *, salt: int = 0) -> Array:
        """Draw an array; `salt` tells several arrays of one problem apart."""
        kind = np.dtype(dtype).kind
        seed = self.seed * 64 + salt
        if kind == "b":
            return np.random.default_rng(seed).random(shape) < 0.5
        if kind == "u":
            return np.abs(small_integers(seed, shape, "i4")).astype(dtype)
        if kind == "i" or self.palette == "integers":
            return small_integers(seed, shape, dtype)
        drawn = normals(seed, shape, dtype)
        if self.palette == "special":
            rng = np.random.default_rng(seed + 1)
            special = np.asarray(_SPECIAL).astype(dtype)
            drawn = np.where(rng.random(shape) < 0.4, rng.choice(special, shape), drawn)
        return drawn


_SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 6e4, -6e4, 1e-4, 0.5, -2.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class Streamed(Problem):
    """A stream `x`, cropped at both ends, goes through one op to the output `y`.

    A crop in front gives the op a stream with a delay; a crop at the end makes its end known late.

    Attributes:
        shape: shape of x; what stands on the stream axis is the stream's length.
        axis: the stream axis.
        sizes: the pulses.
        crop: frames dropped before and after, ahead of the op.
        values: values of x.
        dtype: NumPy name of the dtype of x.
    """

    shape: tuple[int, ...]
    axis: int
    sizes: tuple[int, ...]
    crop: tuple[int, int] = (0, 0)
    values: Values = Values()
    dtype: str = "f4"

    @property
    def length(self) -> int:
        """Stream length, in source frames."""
        return self.shape[self.axis]

    @property
    def pulses(self) -> tuple[int, ...]:
        """Pulses at which the model must stream."""
        return self.sizes

    @property
    def fact(self) -> Fact:
        """Fact of the source: the stream symbol on the stream axis."""
        before, after = self.shape[: self.axis], self.shape[self.axis + 1 :]
        return Fact(np.dtype(self.dtype), (*before, sym(SYMBOL), *after))

    @abstractmethod
    def apply(self, model: Model, wire: Outlet) -> Outlet:
        """Add the op under test after the cropped stream."""

    @abstractmethod
    def oracle(self, data: Array) -> Array:
        """Return what the op makes of the whole cropped stream."""

    def model(self) -> Model:
        """Build source, crop and op."""
        model = Model()
        wire = model.add_source("x", self.fact)
        wire = sliced(model, "crop", wire, self.axis, self.crop)
        model.set_outputs([self.apply(model, wire)], ["y"])
        return model

    def inputs(self) -> dict[str, Array]:
        """Return x."""
        return {"x": self.values.array(self.shape, self.dtype)}

    def expected(self) -> dict[str, Array]:
        """Crop by NumPy, then ask the oracle."""
        return {"y": self.oracle(cropped(self.inputs()["x"], self.axis, self.crop))}

    @property
    def oracle_approx(self) -> str:
        """Exact where no sum rounds."""
        return "exact" if self.values.is_exact else "close"

    @property
    def loose(self) -> str:
        """Frames without elements show nothing."""
        model = self.model()
        return "the frames are empty" if 0 in model.fact(model.outputs[0]).shape else ""

    def delay_for(self, *, end_sensitive: bool) -> int:
        """Return the delay of the stream that the op gets.

        An op that writes something after the last frame must wait until the cropped end is known:
        as many frames as are dropped there (spec/pulse.md 8.20, lengths max(0, S - crops)).
        """
        return self.crop[0] + (self.crop[1] if end_sensitive else 0)


def sliced(model: Model, name: str, wire: Outlet, axis: int, crop: tuple[int, int]) -> Outlet:
    """Drop frames of a wire at both ends with a Slice; none without frames to drop."""
    if not any(crop):
        return wire
    dim = model.fact(wire).shape[axis]
    return model.wire(name, Slice(axis, crop[0], dim - crop[1]), (wire,))[0]


def cropped(data: Array, axis: int, crop: tuple[int, int]) -> Array:
    """Drop frames at both ends, with NumPy."""
    kept = range(data.shape[axis])[crop[0] : max(0, data.shape[axis] - crop[1])]
    return np.take(data, list(kept), axis) if len(kept) else np.take(data, [], axis)


def pulsing(model: Callable[[], Model], *, pulse: int = 4) -> Callable[[], object]:
    """Return the attempt to pulsify a model."""
    return lambda: pulsify(model(), pulse)


def wiring(op: Op, *inputs: Fact) -> Callable[[], object]:
    """Return the attempt to wire an op to inputs of these facts."""

    def attempt() -> object:
        return single(op, *inputs)

    return attempt


def single(op: Op, *inputs: Fact) -> Model:
    """Return a model of one op; facts with a constant become constants, the others sources."""
    model = Model()
    wires = [
        model.add_source(f"x{slot}", fact)
        if fact.const is None
        else model.add_const(f"c{slot}", fact.const)
        for slot, fact in enumerate(inputs)
    ]
    outlets = model.wire("op", op, wires)
    model.set_outputs(outlets, [f"y{slot}" for slot in range(len(outlets))])
    return model


def facts(*texts: str) -> tuple[Fact, ...]:
    """Return the facts written as `1,2,S,f32`."""
    return tuple(_fact(text) for text in texts)


def _fact(text: str) -> Fact:
    *dims, dtype = text.split(",")
    return Fact(dtype_named(dtype), tuple(parse_dim(dim) for dim in dims))


Family = Mapping[str, object]
