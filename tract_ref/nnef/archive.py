"""An NNEF archive: a folder, a tar or a gzip tar, as a read-only mapping from path to bytes.

    graph.nnef              the document
    *.dat                   a tensor, its label is the path without the extension
    LABEL/graph.nnef        a sub-model, with the tensors of its folder
    LABEL.nnef.tar, .tgz    the same, packed

Leading `./` is dropped; an entry with a component that begins with a dot is ignored. Nothing
outside the folder or the file is ever read: labels are keys of a mapping, never paths.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tract_ref.errors import MalformedFile, Refused
from tract_ref.nnef.tensor import read_dat

GRAPH = "graph.nnef"
# 1980-01-01: the earliest date of a zip, and what the real engine writes for reproducible archives.
TIMESTAMP = 315_532_800

PACKED = ".nnef.tar"
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may cost before it is taken for a decompression bomb.

    Args:
        members: number of entries, hidden ones included.
        total_bytes: size of a tar once decompressed.
        free_bytes: a gzip tar of up to this size is accepted whatever its ratio.
        ratio: beyond `free_bytes`, most decompressed bytes for each compressed one.
        graph_bytes: size of graph.nnef.
    """

    members: int = 65_536
    total_bytes: int = 4 << 30
    free_bytes: int = 256 << 20
    ratio: int = 100
    graph_bytes: int = 64 << 20


LIMITS = Limits()


class Files(Mapping[str, bytes]):
    """A mapping from path to bytes; a value is read each time it is asked for.

    Args:
        readers: how to read each entry.
    """

    def __init__(self, readers: Mapping[str, Callable[[], bytes]]) -> None:
        self._readers = dict(sorted(readers.items()))

    def __getitem__(self, name: str) -> bytes:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __contains__(self, name: object) -> bool:
        return name in self._readers


@dataclass(frozen=True, slots=True)
class Archive:
    """The entries of an archive.

    Args:
        name: the path it was read from.
        files: path inside the archive to bytes, sorted, read when asked for.
    """

    name: str
    files: Mapping[str, bytes]

    def graph_text(self) -> str:
        """Return the text of graph.nnef.

        Errors:
            MalformedFile: not UTF-8.
        """
        data = self.files[GRAPH]
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            seen = f"byte {error.start} of {GRAPH} is not UTF-8"
            raise MalformedFile(seen, file=f"{self.name}/{GRAPH}") from None

    def submodel(self, label: str, *, limits: Limits | None = None) -> Archive | None:
        """Return the archive of a sub-model: a folder or a packed one; None when there is none.

        Errors:
            MalformedFile, Refused: see `read_archive`.
        """
        name, bounds = f"{self.name}/{label}", limits or LIMITS
        if f"{label}/{GRAPH}" in self.files:
            lead = f"{label}/"
            inside = [entry for entry in self.files if entry.startswith(lead)]
            readers: dict[str, Callable[[], bytes]] = {
                entry.removeprefix(lead): partial(self.files.__getitem__, entry) for entry in inside
            }
            return _checked(Archive(name, Files(readers)), bounds)
        for suffix in (PACKED, ".nnef.tgz"):
            if f"{label}{suffix}" in self.files:
                shown = f"{name}{suffix}"
                data = self.files[f"{label}{suffix}"]
                return _checked(Archive(shown, Files(_tar_readers(data, shown, bounds))), bounds)
        return None

    def labels(self) -> tuple[str, ...]:
        """Return the labels of the tensors, sorted."""
        return tuple(sorted(name[:-4] for name in self.files if name.endswith(".dat")))

    def tensor(self, label: str) -> NDArray[Any] | None:
        """Return a tensor, None when there is none of that label; a leading `/` may be left out.

        Errors:
            MalformedFile, Refused: see `read_dat`.
        """
        for name in (f"{label}.dat", f"{label.removeprefix('/')}.dat"):
            if name in self.files:
                return read_dat(self.files[name], f"{self.name}/{name}")
        return None


def read_archive(path: str | Path, *, limits: Limits = LIMITS) -> Archive:
    """Open a folder, a tar or a gzip tar, told apart by their content.

    Args:
        path: the folder or the file.
        limits: bounds against decompression bombs.

    Errors:
        MalformedFile: nothing there, no archive, an entry that leaves it, a bound passed.
        Refused: quantisation table, safetensors, templates.
    """
    place = Path(path)
    try:
        mode = place.stat().st_mode
        if stat.S_ISDIR(mode):
            readers = _folder_readers(place, limits)
        elif stat.S_ISREG(mode):
            readers = _tar_readers(_file_bytes(place, limits), str(place), limits)
        else:
            raise MalformedFile("neither a folder nor a file", file=str(path))
    except FileNotFoundError:
        seen = "no such file or folder"
        raise MalformedFile(seen, file=str(path), remedy="check the path") from None
    except OSError as error:
        raise _unreadable(str(path), error) from error
    return _checked(Archive(str(path), Files(readers)), limits)


def write_folder(path: str | Path, files: Mapping[str, bytes]) -> None:
    """Write the entries as a folder, made if it is absent.

    Errors:
        Refused: the path exists and is not an empty folder; a name that would leave the folder.
    """
    place = Path(path)
    _check_names(files)
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        seen = f"{path} exists and is not an empty folder"
        raise Refused(seen, stage="write", remedy="choose another path or remove it")
    place.mkdir(parents=True, exist_ok=True)
    for name in _written_order(files):
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files[name])


def write_tar(path: str | Path, files: Mapping[str, bytes], *, gzip: bool = False) -> None:
    """Write the entries as a tar; the same entries give the same bytes.

    Errors:
        Refused: a name that would leave the archive.
    """
    data = packed(files)
    Path(path).write_bytes(_compress(data) if gzip else data)


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return the entries as the bytes of a tar.

    Errors:
        Refused: a name that would leave the archive.
    """
    _check_names(files)
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in _written_order(files):
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.mode = len(files[name]), TIMESTAMP, 0o644
                tar.addfile(member, io.BytesIO(files[name]))
        return buffer.getvalue()


def _compress(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=TIMESTAMP) as stream:
        stream.write(data)
    return buffer.getvalue()


def _written_order(files: Mapping[str, bytes]) -> list[str]:
    return sorted(files, key=lambda name: (name != GRAPH, name))


def _check_names(files: Mapping[str, bytes]) -> None:
    for name in files:
        parts = name.split("/")
        if "\0" in name or any(part == "" or part.startswith(".") for part in parts):
            seen = f"entry {name!r} has an empty component or one that begins with a dot"
            raise Refused(seen, stage="write", remedy="rename the tensor")


def _unreadable(file: str, error: Exception) -> MalformedFile:
    return MalformedFile(f"cannot be read: {error}", file=file)


def _folder_readers(root: Path, limits: Limits) -> dict[str, Callable[[], bytes]]:
    inside = root.resolve()
    readers: dict[str, Callable[[], bytes]] = {}
    count = 0

    def stop(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=stop):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        count += len(folders) + len(names)
        _check_count(str(root), count, limits)
        for name in (*folders, *names):
            path = Path(folder) / name
            entry = path.relative_to(root).as_posix()
            if name.startswith(".") or (name in folders and not path.is_symlink()):
                continue
            _check_folder_entry(path, inside, f"{root}/{entry}")
            readers[entry] = partial(_read_file, path, f"{root}/{entry}")
    return readers


def _check_folder_entry(path: Path, inside: Path, shown: str) -> None:
    """Refuse what is not a file of this folder."""
    if path.is_symlink():
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise MalformedFile("a symbolic link to nothing", file=shown) from None
        if not target.is_relative_to(inside):
            remedy = "copy the file into the folder"
            raise MalformedFile("a symbolic link out of the folder", file=shown, remedy=remedy)
    if not path.is_file():
        raise MalformedFile("neither a plain file nor a folder", file=shown)


def _read_file(path: Path, shown: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(shown, error) from error


def _file_bytes(path: Path, limits: Limits) -> bytes:
    size = path.stat().st_size
    if size > limits.total_bytes:
        raise _too_large(str(path), limits.total_bytes)
    return path.read_bytes()


def _tar_readers(packed: bytes, path: str, limits: Limits) -> dict[str, Callable[[], bytes]]:
    data = _tar_bytes(packed, path, limits)
    readers: dict[str, Callable[[], bytes]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for count, member in enumerate(tar, 1):
                _check_count(path, count, limits)
                name = _member_name(path, member)
                if name is None:
                    continue
                if name in readers:
                    raise MalformedFile("this entry is there twice", file=f"{path}/{name}")
                end = member.offset_data + member.size
                if end > len(data):
                    raise MalformedFile("truncated in this entry", file=f"{path}/{name}")
                readers[name] = partial(data.__getitem__, slice(member.offset_data, end))
            rest = data[tar.offset : tar.offset + tarfile.BLOCKSIZE]
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise _unreadable(path, error) from error
    # tarfile stops at a damaged header as if it were the end.
    if rest.strip(b"\0"):
        raise MalformedFile("damaged after the last entry that can be read", file=path)
    return readers


def _tar_bytes(packed: bytes, path: str, limits: Limits) -> bytes:
    """Return the tar, decompressed up to a bound."""
    if not packed.startswith(_GZIP_MAGIC):
        return packed
    bound = min(limits.total_bytes, max(limits.free_bytes, limits.ratio * len(packed)))
    data = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                data += chunk
                if len(data) > bound:
                    raise _too_large(path, bound)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    return bytes(data)


def _too_large(file: str, bound: int) -> MalformedFile:
    seen = f"the tar is more than {bound} bytes, the most allowed for a file of this size"
    return MalformedFile(seen, file=file, remedy="unpack it and read the folder")


def _check_count(file: str, count: int, limits: Limits) -> None:
    if count > limits.members:
        raise MalformedFile(f"more than {limits.members} entries", file=file)


def _member_name(path: str, member: tarfile.TarInfo) -> str | None:
    """Return the path of a file inside the archive, None for folders and hidden entries."""
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    shown = f"{path}/{member.name}"
    if member.name.startswith("/") or ".." in parts:
        raise MalformedFile("this entry leaves the archive", file=shown)
    if any(part.startswith(".") for part in parts):
        return None
    if member.issym() or member.islnk():
        remedy = "store the file itself"
        raise MalformedFile(f"a link to {member.linkname}", file=shown, remedy=remedy)
    if member.isdir():
        return None
    if not member.isreg() or member.issparse():
        raise MalformedFile("neither a plain file nor a folder", file=shown)
    return "/".join(parts)


def _checked(archive: Archive, limits: Limits) -> Archive:
    """Return an archive whose entries can all be read; refuse those that mean something else."""
    nested = [name for name in archive.files if name.endswith(f"/{GRAPH}")]
    if GRAPH not in archive.files:
        remedy = "add it at the root"
        if nested:
            remedy = f"{nested[0]} is there: pack the content of that folder, not the folder"
        raise MalformedFile(f"there is no {GRAPH} at the root", file=archive.name, remedy=remedy)
    for name in archive.files:
        if name == "graph.quant":
            remedy = "export the model in floats, without it"
            raise _refused(archive, name, "quantisation table", remedy)
        if name.endswith(".safetensors"):
            raise _refused(archive, name, "safetensors file", "store each tensor as .dat")
    graph = archive.files[GRAPH]
    if len(graph) > limits.graph_bytes:
        seen = f"{len(graph)} bytes, more than {limits.graph_bytes}"
        raise MalformedFile(seen, file=f"{archive.name}/{GRAPH}")
    if b"{{" in graph or b"{%" in graph:
        raise _refused(archive, GRAPH, "template", "render it first: neither {{ nor {% may remain")
    return archive


def _refused(archive: Archive, name: str, what: str, remedy: str) -> Refused:
    return Refused(f"{archive.name}/{name}: {what}", stage="read", remedy=remedy)
