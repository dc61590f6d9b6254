"""ONNX tensors to arrays, and ONNX element types to dtypes.

External data is read only from regular files inside the folder of the model; its optional checksum
is not verified.
"""

from __future__ import annotations

import math
from pathlib import Path, PureWindowsPath
from typing import NoReturn

import numpy as np
from onnx import TensorProto

from tract_ref.errors import MalformedFile, Refused
from tract_ref.ir.fact import DTYPES, DType, Shape, Tensor, dtype_name

_DTYPES: dict[int, DType] = {
    TensorProto.FLOAT: DTYPES["f32"],
    TensorProto.DOUBLE: DTYPES["f64"],
    TensorProto.FLOAT16: DTYPES["f16"],
    TensorProto.BOOL: DTYPES["bool"],
    TensorProto.INT8: DTYPES["i8"],
    TensorProto.INT16: DTYPES["i16"],
    TensorProto.INT32: DTYPES["i32"],
    TensorProto.INT64: DTYPES["i64"],
    TensorProto.UINT8: DTYPES["u8"],
    TensorProto.UINT16: DTYPES["u16"],
    TensorProto.UINT32: DTYPES["u32"],
    TensorProto.UINT64: DTYPES["u64"],
}
INT32: int = TensorProto.INT32
INT64: int = TensorProto.INT64


def element_name(code: int) -> str:
    """Return ONNX's name of an element type, empty when there is no such type."""
    names = {number: name for name, number in TensorProto.DataType.items()}
    return names.get(code, "") if code != TensorProto.UNDEFINED else ""


def element_dtype(code: int, what: str) -> DType:
    """Return the dtype of an ONNX element type.

    Args:
        code: a number of `TensorProto.DataType`.
        what: whose type it is, for messages.

    Raises:
        MalformedFile: no such element type.
        Refused: strings, complex numbers and floats or integers of other widths.
    """
    found = _DTYPES.get(code)
    if found is not None:
        return found
    name = element_name(code)
    if not name:
        raise MalformedFile(f"{what} has the element type {code}, which ONNX does not define")
    raise Refused(
        f"{what} has the element type {name}",
        stage="read",
        remedy="convert it to float, integer or bool elements of 8 to 64 bits",
    )


class TensorReader:
    """Reads the tensors of one model.

    Args:
        path: the model's file.
    """

    def __init__(self, path: Path) -> None:
        self.file = str(path)
        self._folder = path.parent

    def malformed(self, seen: str, *, remedy: str = "") -> NoReturn:
        """Raise MalformedFile that names the file."""
        raise MalformedFile(seen, file=self.file, remedy=remedy)

    def read(self, proto: TensorProto, what: str) -> Tensor:
        """Return the value of a tensor as an array of its own.

        Args:
            proto: the tensor.
            what: its name in messages, such as `initialiser 'w'`.

        Raises:
            MalformedFile: its data does not fit its shape, or cannot be read.
            Refused: an element type that has no dtype; a segmented tensor.
        """
        try:
            dtype = element_dtype(proto.data_type, what)
        except MalformedFile as error:
            self.malformed(error.seen)
        shape = tuple(proto.dims)
        if any(dim < 0 for dim in shape):
            self.malformed(f"{what} has the shape {list(shape)}; a dim is never negative")
        if proto.HasField("segment"):
            raise Refused(
                f"{what} is stored in segments", stage="read", remedy="store it in one piece"
            )
        count = math.prod(shape)
        if proto.data_location == TensorProto.EXTERNAL:
            flat = _from_bytes(self._external(proto, what, count * dtype.itemsize), dtype)
        elif proto.HasField("raw_data"):
            data = proto.raw_data
            self._check_size(what, "bytes of raw data", len(data), count * dtype.itemsize)
            flat = _from_bytes(data, dtype)
        else:
            flat = self._typed(proto, what, dtype)
            self._check_size(what, f"elements of {dtype_name(dtype)}", flat.size, count)
        return self._shaped(flat, shape, what)

    def _check_size(self, what: str, unit: str, seen: int, wanted: int) -> None:
        if seen != wanted:
            self.malformed(f"{what} has {seen} {unit} where its shape needs {wanted}")

    def _shaped(self, flat: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
        try:
            return flat.reshape(shape)
        except ValueError:
            self.malformed(f"{what} has the shape {list(shape)}, too large for an array")

    def _typed(self, proto: TensorProto, what: str, dtype: DType) -> Tensor:
        """Read the field of numbers that the element type uses."""
        if dtype in (DTYPES["f32"], DTYPES["f64"]):
            is_single = dtype == DTYPES["f32"]
            return np.array(proto.float_data if is_single else proto.double_data, dtype)
        if dtype == DTYPES["i64"]:
            return np.array(proto.int64_data, dtype)
        if dtype == DTYPES["u64"]:
            return np.array(proto.uint64_data, dtype)
        is_u32 = dtype == DTYPES["u32"]
        wide = np.array(proto.uint64_data if is_u32 else proto.int32_data, np.int64)
        # f16 elements are stored as their bits.
        stored = DTYPES["u16"] if dtype == DTYPES["f16"] else dtype
        narrow = wide.astype(stored)
        if not np.array_equal(narrow, wide):
            self.malformed(f"{what} has an element that is not of {dtype_name(stored)}")
        return narrow.view(dtype)

    # External data

    def _external(self, proto: TensorProto, what: str, wanted: int) -> bytes:
        # Protobuf gives bytes for a string that is not UTF-8: `str` makes a name of no file of it.
        entries = {str(entry.key): str(entry.value) for entry in proto.external_data}
        location = entries.get("location", "")
        path = self._inside(location, what)
        offset = self._number(entries, "offset", what) or 0
        length = self._number(entries, "length", what)
        try:
            size = path.stat().st_size
            length = size - offset if length is None else length
            if length < 0 or offset + length > size:
                self.malformed(
                    f"{what} is at bytes {offset} to {offset + length} of {location!r}, "
                    f"which has {size} bytes"
                )
            self._check_size(what, "bytes of external data", length, wanted)
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(length)
        except OSError as error:
            self.malformed(f"{what}: {location!r} cannot be read: {error.strerror}")
        self._check_size(what, "bytes of external data", len(data), wanted)
        return data

    def _number(self, entries: dict[str, str], key: str, what: str) -> int | None:
        text = entries.get(key)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            self.malformed(f"{what} has {key}={text!r}; it is a number of bytes")
        return int(text)

    def _inside(self, location: str, what: str) -> Path:
        """Return the real path of a location, which must be a file inside the model's folder."""
        is_absolute = Path(location).is_absolute() or PureWindowsPath(location).is_absolute()
        if not location or is_absolute:
            self.malformed(
                f"{what} has the external location {location!r}",
                remedy="use a path relative to the folder of the model",
            )
        try:
            folder = self._folder.resolve(strict=True)
            path = (folder / location).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            self.malformed(f"{what}: there is no file {location!r} in the folder of the model")
        if not path.is_relative_to(folder):
            self.malformed(
                f"{what} has the external location {location!r}, outside the folder of the model",
                remedy="put the data next to the model",
            )
        if not path.is_file():
            self.malformed(f"{what}: {location!r} is not a regular file")
        return path


def _from_bytes(data: bytes, dtype: DType) -> Tensor:
    """Return little-endian elements as an array of its own."""
    if dtype == DTYPES["bool"]:
        return np.frombuffer(data, np.uint8) != 0
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)


def plain_numbers(tensor: Tensor) -> Tensor:
    """Return a tensor of dims as i64 when no element has a symbol, any other tensor as it is."""
    if tensor.dtype != DTYPES["tdim"] or not all(isinstance(d, int) for d in tensor.ravel()):
        return tensor
    return tensor.astype(np.int64)


def as_dims(tensor: Tensor) -> Tensor:
    """Return a tensor of integers as a tensor of dims."""
    dims = np.empty(tensor.shape, dtype=object)
    dims[...] = tensor.tolist() if tensor.ndim else int(tensor[()])
    return dims


def shape_text(shape: Shape) -> str:
    """Return a shape for messages: `[1, 20, S]`."""
    return "[" + ", ".join(str(dim) for dim in shape) + "]"
