"""NNEF tensor files: every type both ways, every malformed header."""

from __future__ import annotations

import math
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref.errors import MalformedFile, Refused
from tract_ref.nnef.tensor import read_dat, write_dat


def dat(*, magic=b"\x4e\xef", version=(1, 0), shape=(2,), bits=32, item=0, vendor=0, **more):
    size = more.get("size", (math.prod(shape) * bits + 7) // 8)
    rank = more.get("rank", len(shape))
    dims = (*shape, *[0] * (8 - len(shape)))
    header = struct.pack("<2s2BII8IIHH", magic, *version, size, rank, *dims, bits, item, vendor)
    return header.ljust(128, b"\0") + more.get("data", bytes(size))


WRITTEN = {"f2": 0, "f4": 0, "f8": 0, "u1": 2, "u2": 2, "u4": 2, "u8": 2}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", WRITTEN)
def test_tensor_survives_write_and_read(dtype, order):
    array = np.arange(-3, 3).astype(np.dtype(dtype).newbyteorder(order)).reshape(2, 3).T
    data = write_dat(array)
    assert struct.unpack_from("<HH", data, 48) == (WRITTEN[dtype], 0)
    back = read_dat(data, "w.dat")
    assert back.dtype == np.dtype(dtype)
    assert not back.flags.writeable
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,) * 8])
def test_tensor_of_any_rank_survives(shape):
    assert read_dat(write_dat(np.ones(shape, np.float32)), "w.dat").shape == shape


@pytest.mark.parametrize(("item", "dtype"), [(1, "u"), (2, "u"), (3, "i"), (4, "i")])
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_both_codes_of_an_integer_type_are_read(item, dtype, bits):
    data = dat(item=item, bits=bits, data=b"\xff" * (bits // 4))
    array = read_dat(data, "w.dat")
    assert array.dtype == np.dtype(f"{dtype}{bits // 8}")
    assert array.tolist() == [-1 if dtype == "i" else 2**bits - 1] * 2


def test_logicals_of_one_and_eight_bits():
    packed = dat(shape=(10,), bits=1, item=5, data=b"\xa0\x7f")
    assert read_dat(packed, "w").tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert read_dat(dat(shape=(3,), bits=8, item=5, data=b"\0\x01\x80"), "w").tolist() == [0, 1, 1]
    assert read_dat(dat(shape=(0,), bits=1, item=5), "w").shape == (0,)


@pytest.mark.parametrize(
    ("data", "starts"),
    [
        (b"", "0 bytes, but the header"),
        (dat()[:127], "127 bytes, but the header"),
        (dat(magic=b"\x4e\xee"), "the magic is 4e ee"),
        (dat(version=(1, 7)), "version 1.7"),
        (dat(version=(2, 0)), "version 2.0"),
        (dat(rank=9), "rank 9 is more than 8"),
        (dat(rank=2**32 - 1), "rank 4294967295 is more than 8"),
        (dat(item=6), "item type 0x0006 of vendor 0x0000"),
        (dat(vendor=7), "item type 0x0000 of vendor 0x0007"),
        (dat(vendor=0x5452, item=9), "item type 0x0009 of vendor 0x5452"),
        (dat(bits=8), "item type 0 with 8 bits"),
        (dat(item=3, bits=1), "item type 3 with 1 bits"),
        (dat(item=5, bits=32), "item type 5 with 32 bits"),
        (dat(bits=0), "item type 0 with 0 bits"),
        (dat(size=4, data=bytes(8)), "shape [2] of 32-bit items needs 8 bytes, not 4"),
        (dat(data=bytes(7)), "truncated: 7 bytes of data"),
        (dat(data=bytes(9)), "oversized: 9 bytes of data"),
        (dat(shape=(0, *[2**32 - 1] * 7), size=0), "shape [0, 4294967295"),
        (dat(shape=(2**32 - 1,) * 8, size=8), "shape [4294967295"),
    ],
)
def test_malformed_tensor_says_what_is_wrong(data, starts):
    with pytest.raises(MalformedFile) as caught:
        read_dat(data, "m/w.dat")
    assert caught.value.seen.startswith(starts)
    assert caught.value.file == "m/w.dat"


@pytest.mark.parametrize("item", [0, 4, 0x1000, 0x2040, 0x3040, 0x3080, 0x3081])
def test_tensor_types_of_tract_are_refused_by_name(item):
    with pytest.raises(Refused, match=r"w.dat: item type .* of tract, "):
        read_dat(dat(vendor=0x5452, item=item, bits=2**32 - 1, size=0), "w.dat")


@pytest.mark.parametrize("array", [np.zeros(1, "c8"), np.array(["a"]), np.zeros((1,) * 9)])
def test_arrays_without_file_form_are_refused(array):
    with pytest.raises(Refused, match=r"^write: "):
        write_dat(array)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_damage_to_a_tensor_is_an_error_or_an_array(junk, at):
    data = bytearray(dat(shape=(2, 3), bits=16, item=3))
    data[at : at + len(junk)] = junk
    with suppress(MalformedFile, Refused):
        read_dat(bytes(data), "w.dat")
