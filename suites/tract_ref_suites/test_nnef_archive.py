"""NNEF archives: folders, tars, and what tries to leave them."""

from __future__ import annotations

import gzip
import io
import math
import struct
import tarfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract_ref.errors import MalformedFile, Refused
from tract_ref.nnef.archive import Limits, read_archive, write_folder, write_tar
from tract_ref.nnef.tensor import write_dat

GRAPH = b"version 1.0; graph g(x) -> (y) { y = x; }"


def dat(*, magic=b"\x4e\xef", version=(1, 0), shape=(2,), bits=32, item=0, vendor=0, **more):
    size = more.get("size", (math.prod(shape) * bits + 7) // 8)
    rank = more.get("rank", len(shape))
    dims = (*shape, *[0] * (8 - len(shape)))
    header = struct.pack("<2s2BII8IIHH", magic, *version, size, rank, *dims, bits, item, vendor)
    return header.ljust(128, b"\0") + more.get("data", bytes(size))


FILES = {"b/w.dat": write_dat(np.arange(3.0)), "graph.nnef": GRAPH, "a.dat": dat()}


@pytest.fixture(params=["folder", "tar", "gzip"])
def stored(request, tmp_path):
    def store(files):
        path = tmp_path / "model"
        if request.param == "folder":
            for entry, data in files.items():
                (path / entry).parent.mkdir(parents=True, exist_ok=True)
                (path / entry).write_bytes(data)
        else:
            path.write_bytes(tar_of(*((entry, data) for entry, data in files.items())))
            if request.param == "gzip":
                path.write_bytes(gzip.compress(path.read_bytes()))
        return path

    return store


def tar_of(*entries, **changes):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry, data in entries:
            member = tarfile.TarInfo(entry)
            member.size = len(data)
            for field, value in changes.items() if entry != "graph.nnef" else ():
                setattr(member, field, value)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_archive_is_read_from_any_container(stored):
    archive = read_archive(stored({**FILES, ".git/x": b"1", "sub/.hidden": b"2", "n.txt": b""}))
    assert list(archive.files) == ["a.dat", "b/w.dat", "graph.nnef", "n.txt"]
    assert dict(archive.files) == {**FILES, "n.txt": b""}
    assert archive.labels() == ("a", "b/w")
    assert archive.graph_text() == GRAPH.decode()
    for label in ("b/w", "/b/w"):
        tensor = archive.tensor(label)
        assert tensor is not None
        assert tensor.tolist() == [0, 1, 2]
    assert archive.tensor("../b/w") is None


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("graph.quant", "quantisation table"),
        ("w.safetensors", "safetensors"),
    ],
)
def test_entries_that_change_the_model_are_refused_by_name(stored, entry, word):
    with pytest.raises(Refused, match=rf"{entry}: {word}"):
        read_archive(stored({**FILES, entry: b"1"}))


@pytest.mark.parametrize("mark", [b"{{ name }}", b"{% if x %}"])
def test_template_is_refused(stored, mark):
    with pytest.raises(Refused, match=r"graph.nnef: template; render it first"):
        read_archive(stored({"graph.nnef": GRAPH + mark}))


def test_missing_graph_is_explained(stored):
    with pytest.raises(MalformedFile, match=r"no graph.nnef at the root; m/graph.nnef is there"):
        read_archive(stored({"m/graph.nnef": GRAPH}))


def test_graph_must_be_utf8(stored):
    with pytest.raises(MalformedFile, match=r"byte 0 of graph.nnef is not UTF-8"):
        read_archive(stored({"graph.nnef": b"\xff"})).graph_text()


def test_archive_that_is_not_there_or_is_none(tmp_path):
    with pytest.raises(MalformedFile, match="no such file or folder; check the path"):
        read_archive(tmp_path / "absent")
    for data in (b"", b"hello" * 200, b"\x1f\x8bjunk", gzip.compress(tar_of(("a", b"")))[:-9]):
        (tmp_path / "m").write_bytes(data)
        with pytest.raises(MalformedFile):
            read_archive(tmp_path / "m")


@pytest.mark.parametrize("entry", ["../x", "../../etc/x", "/etc/x", "a/../../x", "./../x"])
def test_tar_entry_that_leaves_is_named(tmp_path, entry):
    (tmp_path / "m.tar").write_bytes(tar_of(("graph.nnef", GRAPH), (entry, b"")))
    with pytest.raises(MalformedFile, match=f"{entry}: read: this entry leaves the archive"):
        read_archive(tmp_path / "m.tar")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "a link to "),
        (tarfile.LNKTYPE, "a link to "),
        (tarfile.CHRTYPE, "neither a plain file"),
        (tarfile.BLKTYPE, "neither a plain file"),
        (tarfile.FIFOTYPE, "neither a plain file"),
    ],
)
def test_tar_links_and_devices_are_named(tmp_path, kind, word):
    data = tar_of(("graph.nnef", GRAPH), ("w.dat", b""), type=kind, linkname="/etc/passwd")
    (tmp_path / "m.tar").write_bytes(data)
    with pytest.raises(MalformedFile, match=f"w.dat: read: {word}"):
        read_archive(tmp_path / "m.tar")


def test_damaged_tar_is_not_half_read(tmp_path):
    good = tar_of(("graph.nnef", GRAPH), ("w.dat", dat()))
    for bad in (good[:1700], good[:1024] + b"x" * 512 + good[1536:]):
        (tmp_path / "m.tar").write_bytes(bad)
        with pytest.raises(MalformedFile):
            read_archive(tmp_path / "m.tar")
    (tmp_path / "m.tar").write_bytes(tar_of(("graph.nnef", GRAPH), ("./graph.nnef", GRAPH)))
    with pytest.raises(MalformedFile, match="this entry is there twice"):
        read_archive(tmp_path / "m.tar")


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=80))
def test_any_damage_to_a_tar_is_an_error_or_an_archive(tmp_path_factory, at, junk):
    data = bytearray(tar_of(("graph.nnef", GRAPH), ("x" * 120, b"1"), ("w.dat", dat())))
    data[at : at + len(junk)] = junk
    path = tmp_path_factory.mktemp("tar") / "m.tar"
    path.write_bytes(data)
    with suppress(MalformedFile, Refused):
        read_archive(path)


def test_folder_links_may_not_leave(tmp_path):
    outside = tmp_path / "secret.dat"
    outside.write_bytes(b"1")
    root = tmp_path / "m"
    write_folder(root, FILES)
    (root / "inner.dat").symlink_to("a.dat")
    assert read_archive(root).files["inner.dat"] == FILES["a.dat"]
    for target, word in [
        (outside, "a symbolic link out of the folder"),
        (tmp_path, "a symbolic link out of the folder"),
        (root / "b", "neither a plain file nor a folder"),
        (root / "absent", "a symbolic link to nothing"),
        (root / "z.dat", "a symbolic link to nothing"),
    ]:
        (root / "z.dat").symlink_to(target)
        with pytest.raises(MalformedFile, match=f"z.dat: read: {word}"):
            read_archive(root)
        (root / "z.dat").unlink()


def test_folder_tensors_are_read_when_asked_for(tmp_path):
    write_folder(tmp_path / "m", FILES)
    archive = read_archive(tmp_path / "m")
    (tmp_path / "m/a.dat").unlink()
    assert "a.dat" in archive.files
    with pytest.raises(MalformedFile, match=r"m/a.dat: read: cannot be read"):
        archive.tensor("a")


def test_bombs_are_stopped(tmp_path):
    write_tar(tmp_path / "m", {**FILES, "zero.dat": bytes(1 << 20)}, gzip=True)
    assert len(read_archive(tmp_path / "m").files) == 4
    with pytest.raises(MalformedFile, match=r"more than 1000 bytes, .*unpack it"):
        read_archive(tmp_path / "m", limits=Limits(total_bytes=1000))
    with pytest.raises(MalformedFile, match="the most allowed for a file of this size"):
        read_archive(tmp_path / "m", limits=Limits(free_bytes=1000))
    with pytest.raises(MalformedFile, match="more than 3 entries"):
        read_archive(tmp_path / "m", limits=Limits(members=3))
    write_folder(tmp_path / "f", FILES)
    with pytest.raises(MalformedFile, match="more than 2 entries"):
        read_archive(tmp_path / "f", limits=Limits(members=2))
    with pytest.raises(MalformedFile, match="41 bytes, more than 9"):
        read_archive(tmp_path / "f", limits=Limits(graph_bytes=9))


@pytest.mark.parametrize("is_gzip", [False, True])
def test_written_archives_are_the_same_bytes(tmp_path, is_gzip):
    shuffled = dict(reversed(FILES.items()))
    write_tar(tmp_path / "a", FILES, gzip=is_gzip)
    write_tar(tmp_path / "b", shuffled, gzip=is_gzip)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with tarfile.open(tmp_path / "a") as tar:
        assert tar.getnames() == ["graph.nnef", "a.dat", "b/w.dat"]
        assert {member.mtime for member in tar} == {315532800}
    assert dict(read_archive(tmp_path / "a").files) == FILES


def test_writers_refuse_to_overwrite_or_to_leave(tmp_path):
    write_folder(tmp_path / "m", FILES)
    for path in (tmp_path / "m", tmp_path / "m/a.dat"):
        with pytest.raises(Refused, match="exists and is not an empty folder"):
            write_folder(path, FILES)
    for entry in ("../x.dat", "/x.dat", ".x.dat", "a//b.dat", ""):
        with pytest.raises(Refused, match="has an empty component or one that begins with a dot"):
            write_folder(tmp_path / "n", {entry: b""})
        with pytest.raises(Refused, match="has an empty component or one that begins with a dot"):
            write_tar(tmp_path / "n", {entry: b""})
    assert not (tmp_path / "n").exists()
