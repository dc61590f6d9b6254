"""The `.dat` tensor file: a header of 128 little-endian bytes, then the items in C order.

    bytes   0-1    magic 4E EF              bytes  44-47   bits per item, u32
            2, 3   version 1, 0                    48-49   item type, u16
            4-7    size of the data, u32           50-51   vendor, u16: 0 or 0x5452 (tract)
            8-11   rank, u32                       52-127  parameters, ignored
           12-43   8 dims, u32

Vendor 0: type 0 floats, 1 or 2 unsigned, 3 or 4 signed, 5 logical of 8 bits, or of 1 bit, most
significant first. Source: NNEF 1.0 and tract nnef/src/tensors.rs.
Differs from tract: only version 1.0 is read, because tract lets 1.7 and 2.0 pass by mistake; bytes
after the data are an error, because a header that disagrees with its file is damaged; the size of
1-bit items is rounded up, because the last byte is on disk.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tract_ref.errors import MalformedFile, Refused

HEADER_BYTES = 128
MAX_RANK = 8
_MAGIC = b"\x4e\xef"
_HEADER = struct.Struct("<2s2BII8IIHH")
_VENDOR_TRACT = 0x5452
_U32 = 1 << 32
# NumPy multiplies the dims that are not zero, even of an empty array, into a signed word.
_LARGEST_ARRAY = (1 << 63) - 1

_FAMILIES = {0: "f", 1: "u", 2: "u", 3: "i", 4: "i", 5: "b"}
_WIDTHS = {"f": (16, 32, 64), "u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "b": (1, 8)}
_WRITTEN_TYPES = {"f": 0, "u": 2, "i": 3, "b": 5}
_TRACT_TYPES = {
    0x0000: "complex floats",
    0x0004: "complex integers",
    0x1000: "strings",
    0x2040: "Q4_0 blocks (old order)",
    0x3040: "Q4_0 blocks",
    0x3080: "Q8_1 blocks",
    0x3081: "Q8_1 blocks",
}


def read_dat(data: bytes, file: str) -> NDArray[Any]:
    """Read a tensor; the array is read-only and shares its memory with `data`.

    Args:
        data: the whole file.
        file: path shown in messages.

    Errors:
        MalformedFile: bad magic, version, rank, item type, size; data too short or too long.
        Refused: strings, complex numbers and blocks of quantised numbers.
    """
    if len(data) < HEADER_BYTES:
        raise _damaged(file, f"{len(data)} bytes, but the header alone has {HEADER_BYTES}")
    magic, major, minor, size, rank, *dims, bits, item, vendor = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise _damaged(file, f"the magic is {magic.hex(' ')}, not 4e ef: this is no .dat tensor")
    if (major, minor) != (1, 0):
        raise _damaged(file, f"version {major}.{minor}, only 1.0 is known")
    if rank > MAX_RANK:
        raise _damaged(file, f"rank {rank} is more than {MAX_RANK}")
    family = _family(file, item, vendor, bits)
    shape = tuple(dims[:rank])
    items = math.prod(shape)
    expected = (items * bits + 7) // 8
    if expected != size:
        seen = f"shape {list(shape)} of {bits}-bit items needs {expected} bytes, not {size}"
        raise _damaged(file, f"{seen} as the header says")
    if math.prod(dim for dim in shape if dim) * 8 > _LARGEST_ARRAY:
        raise _damaged(file, f"shape {list(shape)} is too large for an address")
    found = len(data) - HEADER_BYTES
    if found != size:
        what = "truncated" if found < size else "oversized"
        raise _damaged(file, f"{what}: {found} bytes of data, but the header says {size}")
    return _decode(data, family, bits, items).reshape(shape)


def write_dat(array: NDArray[Any]) -> bytes:
    """Return the file of a tensor; logical items take 8 bits.

    Errors:
        Refused: an item type without .dat form, rank above 8, 4 GiB of data or more.
    """
    kind, bits = array.dtype.kind, array.dtype.itemsize * 8
    if bits not in _WIDTHS.get(kind, ()):
        remedy = "cast it to f16, f32, f64, an integer or bool"
        raise Refused(f"{array.dtype} has no .dat form", stage="write", remedy=remedy)
    if array.ndim > MAX_RANK:
        seen = f"rank {array.ndim} is more than {MAX_RANK}, the most a .dat holds"
        raise Refused(seen, stage="write", remedy="reshape it")
    if array.nbytes >= _U32 or any(dim >= _U32 for dim in array.shape):
        seen = f"{array.nbytes} bytes of shape {list(array.shape)}; a .dat ends at 4 GiB"
        raise Refused(seen, stage="write", remedy="split it")
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    dims = (*array.shape, *(0 for _ in range(MAX_RANK - array.ndim)))
    item = _WRITTEN_TYPES[kind]
    header = _HEADER.pack(_MAGIC, 1, 0, len(data), array.ndim, *dims, bits, item, 0)
    return header.ljust(HEADER_BYTES, b"\0") + data


def _damaged(file: str, seen: str) -> MalformedFile:
    return MalformedFile(seen, file=file, remedy="write the tensor again")


def _family(file: str, item: int, vendor: int, bits: int) -> str:
    """Return the NumPy kind of the items."""
    if vendor == _VENDOR_TRACT and item in _TRACT_TYPES:
        seen = f"{file}: item type {item:#06x} of tract, {_TRACT_TYPES[item]}"
        raise Refused(seen, stage="read", remedy="store plain floats or integers")
    if vendor != 0 or item not in _FAMILIES:
        raise _damaged(file, f"item type {item:#06x} of vendor {vendor:#06x} is not known")
    family = _FAMILIES[item]
    if bits not in _WIDTHS[family]:
        allowed = ", ".join(str(width) for width in _WIDTHS[family])
        raise _damaged(file, f"item type {item} with {bits} bits; it has {allowed}")
    return family


def _decode(data: bytes, family: str, bits: int, items: int) -> NDArray[Any]:
    if family != "b":
        stored = np.frombuffer(data, np.dtype(f"<{family}{bits // 8}"), items, HEADER_BYTES)
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    octets = np.frombuffer(data, np.uint8, offset=HEADER_BYTES)
    logical = np.unpackbits(octets, count=items) if bits == 1 else octets
    array = logical != 0
    array.flags.writeable = False
    return array
