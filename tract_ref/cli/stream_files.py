"""Where `tract-ref stream` reads frames from and writes them to."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np

from tract_ref.cli.wav import WavReader, WavWriter
from tract_ref.dim import Dim
from tract_ref.errors import EvalError
from tract_ref.ir.fact import Fact, Tensor
from tract_ref.stream.fact import Linear

# Bits per sample of a sound file that comes from no sound file.
_BITS = 16


@dataclass(frozen=True)
class Port:
    """An input or output of the model.

    Attributes:
        name: its name.
        fact: dtype and batch shape.
        stream: how it streams, None when it does not.
    """

    name: str
    fact: Fact
    stream: Linear | None


def is_wav(path: Path) -> bool:
    """Say whether a path names a sound file."""
    return path.suffix.lower() in (".wav", ".wave")


def _channel_axis(port: Port, stream: Linear, what: str, channels: int | None) -> int | None:
    """Return the axis that holds the channels of a sound file, None where there is one channel.

    Args:
        port: the input or output.
        stream: how it streams.
        what: that, for messages.
        channels: of the file; None to take what there is.

    Raises:
        EvalError: samples of the port are no floats, or not channels of a frame.
    """
    if port.fact.dtype.kind != "f":
        raise EvalError(
            f"{what} {port.name!r} is {port.fact}; samples of a wav are floats in [-1, 1]",
            remedy="use an .npz",
        )
    wide = [i for i, d in enumerate(port.fact.shape) if i != stream.axis and d != 1]
    values: list[Dim] = [port.fact.shape[i] for i in wide]
    if len(wide) > 1 or not all(isinstance(value, int) for value in values):
        raise EvalError(
            f"{what} {port.name!r} is {port.fact}: a frame of {port.fact.shape} on axis "
            f"{stream.axis} has no single axis of channels",
            remedy="use an .npz",
        )
    found = prod(value for value in values if isinstance(value, int))
    if channels is not None and found != channels:
        raise EvalError(
            f"{what} {port.name!r} is {port.fact}: {found} values per frame; the wav has "
            f"{channels} channels",
            remedy=f"give a wav of {found} channels, or an .npz",
        )
    return wide[0] if wide else None


class WavSource:
    """A sound file that feeds the only input of a model.

    Args:
        path: the file.
        inputs: the inputs of the model.

    Raises:
        MalformedFile: it cannot be read.
        EvalError: the model has another input, or its frames are not those of the file.
    """

    def __init__(self, path: Path, inputs: list[Port]) -> None:
        if len(inputs) != 1 or inputs[0].stream is None:
            names = ", ".join(port.name for port in inputs)
            raise EvalError(
                f"a wav feeds one input; the model has {len(inputs)} ({names})",
                remedy="give all of them in an .npz",
            )
        self.port = inputs[0]
        self.stream = inputs[0].stream
        self.reader = WavReader(path)
        try:
            channels = self.reader.channels
            self._axis = _channel_axis(self.port, self.stream, "input", channels)
        except EvalError:
            self.close()
            raise

    def feeds(self, chunk: int) -> Iterator[dict[str, Tensor]]:
        """Yield the frames of `chunk` source frames after another."""
        done, have, rate = 0, 0, self.stream.rate
        while True:
            done += chunk
            wanted = done * rate.numerator // rate.denominator - have
            frames = self.reader.read(wanted)
            have += len(frames)
            if len(frames):
                yield {self.port.name: self._shaped(frames)}
            if len(frames) < wanted:
                return

    def _shaped(self, frames: Tensor) -> Tensor:
        sizes = [1] * len(self.port.fact.shape)
        sizes[self.stream.axis] = len(frames)
        if self._axis is not None:
            sizes[self._axis] = frames.shape[1]
        channels_first = self._axis is not None and self._axis < self.stream.axis
        ordered = frames.T if channels_first else frames
        return ordered.astype(self.port.fact.dtype).reshape(sizes)

    @property
    def seconds_rate(self) -> Fraction:
        """Source frames per second."""
        return self.reader.rate / self.stream.rate

    @property
    def bits(self) -> int:
        """Bits per sample that a file of the outputs should have."""
        return self.reader.bits if self.reader.is_pcm else _BITS

    def close(self) -> None:
        """Close the file."""
        self.reader.__exit__(None, None, None)


class Sink(Protocol):
    """Takes the frames of the outputs as they become available."""

    @property
    def clipped(self) -> int:
        """Samples so far that did not fit."""
        ...

    def write(self, results: Mapping[str, Tensor]) -> None:
        """Take the next frames of every output."""
        ...

    def close(self) -> None:
        """Complete what was written."""
        ...


class NowhereSink:
    """Drops all frames."""

    clipped = 0

    def write(self, results: Mapping[str, Tensor]) -> None:
        """Drop them."""

    def close(self) -> None:
        """Nothing is open."""


class NpzSink:
    """Joins the frames and writes them at the end.

    Args:
        path: the file.
        outputs: the outputs of the model.

    Raises:
        OSError: it cannot be written.
    """

    clipped = 0

    def __init__(self, path: Path, outputs: list[Port]) -> None:
        self._file = path.open("wb")
        self._axes = {p.name: p.stream.axis if p.stream is not None else -1 for p in outputs}
        self._parts: dict[str, list[Tensor]] = {port.name: [] for port in outputs}

    def write(self, results: Mapping[str, Tensor]) -> None:
        """Take the next frames; an output that does not stream is its last value."""
        for name, value in results.items():
            if self._axes[name] < 0:
                self._parts[name].clear()
            self._parts[name].append(value)

    def close(self) -> None:
        """Write what there is."""
        joined = {
            name: np.concatenate(parts, self._axes[name]) if self._axes[name] >= 0 else parts[-1]
            for name, parts in self._parts.items()
            if parts
        }
        with self._file:
            np.savez(self._file, **joined)  # pyright: ignore[reportArgumentType]


class WavSink:
    """Writes the only output that streams as a sound file.

    Args:
        path: the file.
        outputs: the outputs of the model.
        source: where the frames come from.

    Raises:
        EvalError: there is another output, its frames are no samples, or it has no whole number of
            them per second.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, outputs: list[Port], source: WavSource | None) -> None:
        port, stream = _only(outputs, "a wav")
        if source is None:
            raise EvalError(
                "an .npz does not tell how many samples a second has",
                remedy="write the output to an .npz, or read a wav",
            )
        self._name, self._stream = port.name, stream
        self._axis = _channel_axis(port, stream, "output", None)
        rate = source.seconds_rate * stream.rate
        if rate.denominator != 1:
            raise EvalError(
                f"output {port.name!r} has {rate} samples per second, no whole number",
                remedy="write the output to an .npz",
            )
        size = port.fact.shape[self._axis] if self._axis is not None else 1
        channels = size if isinstance(size, int) else 1
        self._writer = WavWriter(path, channels=channels, rate=rate.numerator, bits=source.bits)

    @property
    def clipped(self) -> int:
        """Samples so far that were outside [-1, 1]."""
        return self._writer.clipped

    def write(self, results: Mapping[str, Tensor]) -> None:
        """Write the next frames."""
        self._writer.write(_frames_first(results[self._name], self._stream.axis))

    def close(self) -> None:
        """Complete the file."""
        self._writer.close()


class RawSink:
    """Writes the only output that streams to standard output, little-endian, frame by frame.

    Args:
        outputs: the outputs of the model.

    Raises:
        EvalError: there is another one.
    """

    clipped = 0

    def __init__(self, outputs: list[Port]) -> None:
        port, stream = _only(outputs, "standard output")
        self._name, self._axis = port.name, stream.axis
        self._stream = sys.stdout.buffer

    def write(self, results: Mapping[str, Tensor]) -> None:
        """Write the next frames at once."""
        value = _frames_first(results[self._name], self._axis)
        self._stream.write(value.astype(value.dtype.newbyteorder("<")).tobytes())
        self._stream.flush()

    def close(self) -> None:
        """Standard output stays open."""


def _only(outputs: list[Port], what: str) -> tuple[Port, Linear]:
    if len(outputs) != 1 or outputs[0].stream is None:
        names = ", ".join(port.name for port in outputs)
        raise EvalError(
            f"{what} takes one output that streams; the model has {len(outputs)} ({names})",
            remedy="write them to an .npz",
        )
    return outputs[0], outputs[0].stream


def _frames_first(value: Tensor, axis: int) -> Tensor:
    """Return frames as [frames, values per frame]."""
    frames = np.moveaxis(value, axis, 0)
    return np.ascontiguousarray(frames).reshape(len(frames), prod(frames.shape[1:]))


def open_sink(path: str | None, outputs: list[Port], source: WavSource | None) -> Sink:
    """Return where outputs go: nowhere, `-` standard output, a `.wav` or an `.npz`.

    Raises:
        EvalError: the outputs do not fit it, or it cannot be written.
    """
    if path is None:
        return NowhereSink()
    if path == "-":
        return RawSink(outputs)
    try:
        if is_wav(Path(path)):
            return WavSink(Path(path), outputs, source)
        return NpzSink(Path(path), outputs)
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: str | None, error: OSError) -> EvalError:
    """Return the error for an output that cannot be written."""
    where = "standard output" if path == "-" else path
    return EvalError(f"{where} cannot be written: {error.strerror}", remedy="see --output")
