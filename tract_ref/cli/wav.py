"""Sound files, frame by frame: samples in [-1, 1] of PCM and float `.wav` files.

The standard `wave` module of Python 3.11 declines float samples and the extensible header that
many programs write, so the header is read here; files are written through it.
"""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from tract_ref.errors import EvalError, MalformedFile
from tract_ref.ir.fact import Tensor

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# (format, bits) that can be read.
_READABLE = {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}
# The size of a data chunk whose writer did not know it.
_UNKNOWN = 0xFFFFFFFF


class WavReader:
    """A sound file that is being read.

    Args:
        path: the file.

    Attributes:
        rate: samples per second and channel.
        channels: samples per frame.
        bits: bits per sample.
        is_pcm: samples are integers.

    Raises:
        MalformedFile: it is missing, no wav, damaged, or its samples are of another kind.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: BinaryIO = path.open("rb")
        except FileNotFoundError:
            raise self._malformed("no such file") from None
        except OSError as error:
            raise self._malformed(f"cannot be read: {error.strerror}") from None
        try:
            self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> WavReader:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def read(self, frames: int) -> Tensor:
        """Return the next frames as f64 [frames, channels], fewer at the end of the file.

        Raises:
            MalformedFile: the file ends before the data that it announces.
        """
        wanted = min(frames * self._block, self._left) if self._left >= 0 else frames * self._block
        data = self._file.read(wanted)
        if self._left >= 0:
            if len(data) < wanted:
                raise self._malformed("ends in the middle of its samples")
            self._left -= wanted
        elif len(data) % self._block:
            raise self._malformed("ends in the middle of a frame")
        return self._samples(data).reshape(-1, self.channels)

    def _samples(self, data: bytes) -> Tensor:
        if not self.is_pcm:
            return np.frombuffer(data, f"<f{self.bits // 8}").astype(np.float64)
        if self.bits == 8:
            return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
        if self.bits == 24:
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            whole = wide.view("<i4").ravel() >> 8
        else:
            whole = np.frombuffer(data, f"<i{self.bits // 8}")
        return whole.astype(np.float64) / (1 << (self.bits - 1))

    def _read_header(self) -> None:
        head = self._file.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            raise self._malformed("not a wav: no RIFF header of a WAVE")
        found = False
        while True:
            head = self._file.read(8)
            if len(head) < 8:
                raise self._malformed("has no samples" if found else "has no format")
            name, size = head[:4], int(struct.unpack("<I", head[4:])[0])
            if name == b"data":
                break
            # Chunks are of an even number of bytes.
            body = self._file.read(size + size % 2)
            if name == b"fmt ":
                self._read_format(body)
                found = True
        if not found:
            raise self._malformed("has samples before their format")
        if size != _UNKNOWN and size % self._block:
            raise self._malformed(f"{size} bytes of samples are no whole number of frames")
        self._left = -1 if size == _UNKNOWN else size

    def _read_format(self, body: bytes) -> None:
        if len(body) < 16:
            raise self._malformed("its format is cut off")
        fields = struct.unpack("<HHIIHH", body[:16])
        kind, self.channels, self.rate, _, self._block, self.bits = (int(f) for f in fields)
        if kind == _EXTENSIBLE and len(body) >= 26:
            kind = int(struct.unpack("<H", body[24:26])[0])
        if (kind, self.bits) not in _READABLE:
            raise self._malformed(
                f"format {kind} of {self.bits} bits per sample; read are PCM of 8, 16, 24 or 32 "
                "bits and floats of 32 or 64",
                remedy="convert it to 16-bit PCM",
            )
        if not self.channels or not self.rate:
            raise self._malformed(f"{self.channels} channels at {self.rate} samples per second")
        if self._block != self.channels * self.bits // 8:
            raise self._malformed(
                f"frames of {self._block} bytes; {self.channels} channels of {self.bits} bits "
                f"are {self.channels * self.bits // 8}"
            )
        self.is_pcm = kind == _PCM

    def _malformed(self, seen: str, remedy: str = "") -> MalformedFile:
        return MalformedFile(seen, file=str(self._path), remedy=remedy)


class WavWriter:
    """A sound file that is being written, PCM.

    Args:
        path: the file.
        channels: samples per frame.
        rate: samples per second and channel.
        bits: 8, 16, 24 or 32 per sample.

    Attributes:
        clipped: samples so far that were outside [-1, 1].

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, *, channels: int, rate: int, bits: int) -> None:
        self.clipped = 0
        self._bits = bits
        # Opened by hand: given a path that cannot be opened, `wave` leaves half a writer behind.
        self._raw = path.open("wb")
        self._file = wave.Wave_write(self._raw)
        self._file.setnchannels(channels)
        self._file.setsampwidth(bits // 8)
        self._file.setframerate(rate)

    def write(self, frames: Tensor) -> None:
        """Append frames, [frames, channels].

        Raises:
            EvalError: a sample is NaN.
        """
        values = frames.astype(np.float64)
        if np.isnan(values).any():
            raise EvalError(
                "a sample is NaN, which a wav cannot hold", remedy="write the output to an .npz"
            )
        self.clipped += int(np.count_nonzero(np.abs(values) > 1))
        full = 1 << (self._bits - 1)
        whole = np.clip(np.rint(np.clip(values, -1, 1) * full), -full, full - 1).astype("<i4")
        if self._bits == 8:
            data = (whole + 128).astype(np.uint8).tobytes()
        else:
            size = self._bits // 8
            data = whole.reshape(-1, 1).view(np.uint8)[:, :size].tobytes()
        self._file.writeframes(data)

    def close(self) -> None:
        """Complete the header and close the file."""
        self._file.close()
        self._raw.close()
