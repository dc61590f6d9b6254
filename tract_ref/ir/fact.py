"""Facts: what is known about a wire before running.

A fact is a dtype, a shape of dims (int or TDim) and, when the wire is a constant, its value. A
tensor of dims (tract's TDim datum type) is a NumPy array of dtype object whose elements are `Dim`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tract_ref.approx import Array
from tract_ref.dim import Dim, TDim, evaluate, product, substitute
from tract_ref.errors import EvalError, Inconclusive, InvalidModel, Refused
from tract_ref.ir.per_element import PerElement, of_number

Tensor = Array
DType = np.dtype[np.generic]
Shape = tuple[Dim, ...]

TDIM: DType = np.dtype(np.object_)

_NAMES = (
    ["bool", "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f16", "f32", "f64"],
    (
        np.bool_,
        np.uint8,
        np.uint16,
        np.uint32,
        np.uint64,
        np.int8,
        np.int16,
        np.int32,
        np.int64,
        np.float16,
        np.float32,
        np.float64,
    ),
)
DTYPES: Mapping[str, DType] = {
    **{name: np.dtype(kind) for name, kind in zip(*_NAMES, strict=True)},
    "tdim": TDIM,
}
_NAME_OF: Mapping[DType, str] = {dtype: name for name, dtype in DTYPES.items()}


def dtype_name(dtype: DType) -> str:
    """Return the engine's name of a dtype: `f32`, `i64`, `bool`, `tdim`, …."""
    return _NAME_OF.get(dtype, str(dtype))


def dtype_named(name: str) -> DType:
    """Return the dtype called `name`, in lower case (`f32`) or the enum's spelling (`F32`, `TDim`).

    Raises:
        InvalidModel: no such dtype.
        Refused: a quantised one.
    """
    found = DTYPES.get(name.lower())
    if found is None and name.lower().startswith(("qi8", "qu8", "qi32", "qu32")):
        raise Refused(
            f"the quantised dtype {name!r} is not read",
            remedy="export the model in floats, without quantisation",
        )
    if found is None:
        raise InvalidModel(f"unknown dtype {name!r}", remedy="use one of " + ", ".join(DTYPES))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Fact:
    """What is known about one wire.

    Attributes:
        dtype: element type.
        shape: one dim per axis.
        const: the value when the wire is constant, else None.
        uniform: the rank-0 value that every element has, when that is known.
        per_element: the value of each element over its coordinates, when that is known.
        region: 0/1 over the coordinates: the positions that an output of the model can show; None
            means all. Set by propagate_roi, forgotten by every edit.
    """

    dtype: DType
    shape: Shape
    const: Tensor | None = None
    uniform: Tensor | None = None
    per_element: PerElement | None = None
    region: Dim | None = None

    @staticmethod
    def of(tensor: Tensor) -> Fact:
        """Return the fact of a constant."""
        uniform = uniform_of(tensor)
        value = None if uniform is None else of_number(uniform.item())
        return Fact(tensor.dtype, tensor.shape, tensor, uniform, value)

    def tells(self, other: Fact) -> bool:
        """Say whether all that is known here of single elements is known in another fact, too."""
        value, uniform = self.per_element, self.uniform
        if value is not None and value != other.per_element:
            return False
        if uniform is None or other.uniform is None:
            return uniform is None
        if self.dtype == TDIM:
            return uniform.item() is other.uniform.item() or uniform.item() == other.uniform.item()
        return uniform.tobytes() == other.uniform.tobytes()

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def volume(self) -> Dim:
        """Number of elements."""
        return product(self.shape)

    @property
    def is_concrete(self) -> bool:
        """Every dim is an integer."""
        return not any(isinstance(dim, TDim) for dim in self.shape)

    def mentions(self, symbol: str) -> bool:
        """Say whether a dim of the shape, or of a constant tensor of dims, contains `symbol`."""
        if any(isinstance(dim, TDim) and symbol in dim.symbols for dim in self.shape):
            return True
        if self.const is not None and self.const.dtype == TDIM:
            return any(isinstance(d, TDim) and symbol in d.symbols for d in self.const.ravel())
        return False

    def axes_with(self, symbol: str) -> tuple[int, ...]:
        """Return the axes whose dim contains `symbol`."""
        return tuple(
            axis
            for axis, dim in enumerate(self.shape)
            if isinstance(dim, TDim) and symbol in dim.symbols
        )

    def with_dim(self, axis: int, dim: Dim) -> Fact:
        """Return the fact with another dim on one axis, and no constant."""
        return Fact(self.dtype, (*self.shape[:axis], dim, *self.shape[axis + 1 :]))

    def with_shape(self, shape: Shape) -> Fact:
        """Return the fact with another shape, and no constant."""
        return Fact(self.dtype, shape)

    def without_const(self) -> Fact:
        """Return the fact with its constant, and what follows from it, forgotten."""
        return Fact(self.dtype, self.shape)

    def substitute(self, mapping: Mapping[str, Dim]) -> Fact:
        """Return the fact with symbols replaced in the shape and in all that is known."""
        const, uniform, value, region = self.const, self.uniform, self.per_element, self.region
        if self.dtype == TDIM:
            const = None if const is None else substitute_dims(const, mapping)
            uniform = None if uniform is None else substitute_dims(uniform, mapping)
        return Fact(
            self.dtype,
            tuple(substitute(d, mapping) for d in self.shape),
            const,
            uniform,
            None if value is None else value.substitute(mapping),
            None if region is None else substitute(region, mapping),
        )

    def concrete_shape(self, bindings: Mapping[str, int]) -> tuple[int, ...]:
        """Return the shape as integers.

        Raises:
            EvalError: a symbol is not set, or a dim is negative.
        """
        try:
            shape = tuple(d if isinstance(d, int) else evaluate(d, bindings) for d in self.shape)
        except Inconclusive as error:
            raise EvalError(error.seen, remedy="set the symbol") from error
        if any(d < 0 for d in shape):
            raise EvalError(f"shape {self} evaluates to {list(shape)}; a dim is never negative")
        return shape

    def __str__(self) -> str:
        """Print as `1,20,S,f32`, the engine's text form."""
        return ",".join([*(str(d) for d in self.shape), dtype_name(self.dtype)])


def uniform_of(tensor: Tensor) -> Tensor | None:
    """Return the rank-0 value that every element has, bit for bit; None when two differ."""
    if not tensor.size:
        return None
    if tensor.dtype == TDIM:
        dims = tensor.ravel()
        same = all(dim is dims[0] or dim == dims[0] for dim in dims)
        return dims[:1].reshape(()) if same else None
    # Most weights part at once: only what looks uniform is read to its end.
    corner, middle = (0,) * tensor.ndim, tuple(n // 2 for n in tensor.shape)
    first = np.array(tensor[corner])
    if any(tensor[at].tobytes() != first.tobytes() for at in ((-1,) * tensor.ndim, middle)):
        return None
    bits = np.ascontiguousarray(tensor).reshape(-1).view(f"u{tensor.dtype.itemsize}")
    return first if bool(np.all(bits == bits[0])) else None


def substitute_dims(tensor: Tensor, mapping: Mapping[str, Dim]) -> Tensor:
    """Replace symbols in every element of a tensor of dims."""
    out = np.empty(tensor.shape, dtype=object)
    for index, dim in np.ndenumerate(tensor):
        out[index] = substitute(dim, mapping)
    return out


def dims_tensor(dims: Shape) -> Tensor:
    """Return a rank-1 tensor of dims."""
    out = np.empty(len(dims), dtype=object)
    out[:] = dims
    return out
