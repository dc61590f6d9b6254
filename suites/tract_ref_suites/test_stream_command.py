"""`stream`: frames of arrays and sound files in, frames out as they become available."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

import tract_ref
from tract_ref.approx import compare
from tract_ref_suites.command_line import CASES, HEAD, X, nnef, run

CHAIN = CASES / "conv-chain"
REPORT_KEYS = ["schema", "exit", "error", "symbol", "mode", "chunk", "received", "state_bytes"]
STEREO = "x = tract_core_external(shape = [1, 2, S], datum_type = 'f32');"


def sound(path: Path, data: bytes, *, bits: int, channels: int = 1, rate: int = 16000) -> Path:
    """Write PCM samples."""
    with path.open("wb") as raw, wave.Wave_write(raw) as file:
        file.setnchannels(channels)
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def samples(path: Path) -> tuple[int, int, int, bytes]:
    """Return channels, bits, rate and data of a sound file."""
    with wave.open(str(path)) as file:
        data = file.readframes(file.getnframes())
        return file.getnchannels(), 8 * file.getsampwidth(), file.getframerate(), data


def riff(
    kind: int, bits: int, channels: int, data: bytes, *, extra: bytes = b"", size: int | None = None
) -> bytes:
    """Return a sound file of any format."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, 16000, 16000 * block, block, bits) + extra
    length = len(data) if size is None else size
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"LIST" + struct.pack("<I", 3) + b"odd\0"
    chunks += b"data" + struct.pack("<I", length) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def noise(count: int, bits: int) -> bytes:
    """Return random samples, both extremes among them."""
    data = np.random.default_rng(bits).integers(0, 256, count * bits // 8, np.uint8).tobytes()
    size = bits // 8
    low = bytes(size) if bits == 8 else bytes(size - 1) + b"\x80"
    high = b"\xff" * size if bits == 8 else b"\xff" * (size - 1) + b"\x7f"
    return low + high + data[2 * size :]


# Arrays


@pytest.mark.parametrize("chunk", [1, 4, 7, 100])
def test_what_is_written_is_the_batch_output(chunk: int, tmp_path: Path) -> None:
    ran = run("stream", CHAIN, "--chunk", chunk, "--output", tmp_path / "y.npz")
    assert (ran.status, ran.err) == (0, "")
    model = tract_ref.load(CHAIN)
    with np.load(CHAIN / "io.npz") as arrays:
        wanted = tract_ref.Plan(model, fast=False).run({"x": arrays["x"]})["y"]
    with np.load(tmp_path / "y.npz") as written:
        assert written.files == ["y"]
        assert compare(written["y"], wanted, approx="exact").equal_bits


def test_fixed_pulses_write_the_batch_output_as_well(tmp_path: Path) -> None:
    ran = run("stream", CHAIN, "--chunk", 4, "--v1", "--output", tmp_path / "y.npz")
    assert ran.status == 0
    assert ran.out.splitlines()[-1].startswith("pulses of 4: 4 pushes, 15 samples received")
    with np.load(CHAIN / "io.npz") as arrays, np.load(tmp_path / "y.npz") as written:
        model = tract_ref.load(CHAIN)
        wanted = tract_ref.Plan(model, fast=False).run({"x": arrays["x"]})["y"]
        assert compare(written["y"], wanted).within


def test_every_increment_is_told_when_it_comes() -> None:
    assert run("stream", CHAIN, "--chunk", 7).out.splitlines() == [
        "received 7: y +1, latency 6 samples",
        "received 14: y +7, latency 6 to 12 samples (median 9)",
        "received 15: y +1, latency 6 samples",
        "end after 15: y +0",
        "output 'y': 9 samples, latency 6 to 12 samples (median 8)",
        "increments of 7: 3 pushes, 15 samples received, state at most 60 bytes",
    ]


def test_what_comes_before_its_sample_has_a_negative_latency() -> None:
    report = run("stream", CASES / "pad-constant", "--chunk", 1, "--json").json
    (output,) = report["outputs"]
    # Two frames in front and three behind: the last one stands five samples after what was read.
    assert output["latency"]["min"] == -5
    assert output["latency"]["max"] == 0


def test_the_latency_of_a_slower_output_is_in_samples_of_the_input(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", f"{X} y = slice(x, axes=[2], begin=[0], end=[S], stride=[4]);")
    np.savez(tmp_path / "in.npz", x=np.zeros((1, 1, 10), np.float32))
    report = run("stream", model, "--input", tmp_path / "in.npz", "--chunk", 1, "--json").json
    emitted = [step["outputs"]["y"] for step in report["increments"]]
    assert [entry["frames"] for entry in emitted] == [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    # Frame j stands where sample 4(j + 1) ends, and is sample 4j.
    late = {"min": -3, "median": -3, "max": -3}
    assert [entry["latency"] for entry in emitted if entry["frames"]] == [late] * 3


def test_json_tells_every_increment() -> None:
    ran = run("stream", CHAIN, "--chunk", 7, "--json")
    report = ran.json
    assert list(report) == [*REPORT_KEYS, "clipped", "increments", "outputs"]
    assert report["schema"] == "tract-ref.stream/1"
    assert (report["exit"], report["error"], report["symbol"]) == (0, None, "S")
    assert (report["mode"], report["chunk"], report["received"]) == ("increments", 7, 15)
    assert report["increments"][1] == {
        "received": 14,
        "ended": False,
        "outputs": {"y": {"frames": 7, "latency": {"min": 6, "median": 9, "max": 12}}},
    }
    assert [step["ended"] for step in report["increments"]] == [False, False, False, True]
    assert run("stream", CHAIN, "--v1", "--chunk", 4, "--json").json["mode"] == "pulses"


@pytest.mark.parametrize("words", [[], ["--v1"]])
def test_a_stream_without_a_frame_is_empty(words: list[str], tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.zeros((1, 2, 0), np.float32))
    ran = run("stream", CHAIN, "--input", tmp_path / "in.npz", "--json", *words)
    assert ran.status == 0
    assert ran.json["outputs"] == [{"name": "y", "frames": 0, "latency": None}]


def test_outputs_that_do_not_stream_are_written_once(tmp_path: Path) -> None:
    head = HEAD.replace("(y)", "(y, z)")
    model = nnef(tmp_path / "m", f"{X} y = tanh(x); z = [[1.0, 2.0]] * 2.0;", head=head)
    np.savez(tmp_path / "in.npz", x=np.zeros((1, 1, 9), np.float32))
    words = ("stream", model, "--input", tmp_path / "in.npz", "--chunk", 2)
    for more in ([], ["--v1"]):
        assert run(*words, "--output", tmp_path / "out.npz", *more).status == 0
        with np.load(tmp_path / "out.npz") as written:
            assert written["y"].shape == (1, 1, 9)
            assert written["z"].tolist() == [[2.0, 4.0]]


# Sound files


@pytest.mark.parametrize("bits", [8, 16, 24])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("words", [[], ["--v1"]], ids=["increments", "pulses"])
def test_a_model_that_changes_nothing_keeps_every_bit(
    bits: int, channels: int, words: list[str], tmp_path: Path
) -> None:
    data = noise(50 * channels, bits)
    given = sound(tmp_path / "in.wav", data, bits=bits, channels=channels, rate=22050)
    model = nnef(tmp_path / "m", f"{X if channels == 1 else STEREO} y = x * 1.0;")
    written = tmp_path / "out.wav"
    ran = run("stream", model, "--input", given, "--output", written, "--chunk", 7, *words)
    assert (ran.status, ran.err) == (0, "")
    assert samples(written) == (channels, bits, 22050, data)


@pytest.mark.parametrize("shape", ["[S]", "[S, 1]", "[1, S, 1, 1]"])
def test_one_channel_needs_no_axis(shape: str, tmp_path: Path) -> None:
    body = f"x = tract_core_external(shape = {shape}, datum_type = 'f32'); y = x * 1.0;"
    given = sound(tmp_path / "in.wav", noise(20, 16), bits=16)
    written = tmp_path / "out.wav"
    ran = run("stream", nnef(tmp_path / "m", body), "--input", given, "--output", written)
    assert ran.status == 0
    assert samples(written) == samples(given)


@pytest.mark.parametrize("shape", ["[S, 2]", "[1, S, 2]", "[2, S]", "[2, 1, S]"])
def test_channels_are_the_other_axis_of_the_input(shape: str, tmp_path: Path) -> None:
    body = f"x = tract_core_external(shape = {shape}, datum_type = 'f32'); y = x * 1.0;"
    frames = np.arange(12, dtype="<i2").reshape(6, 2)
    given = sound(tmp_path / "in.wav", frames.tobytes(), bits=16, channels=2)
    written = tmp_path / "out.npz"
    model = nnef(tmp_path / "m", body)
    assert run("stream", model, "--input", given, "--output", written).status == 0
    with np.load(written) as arrays:
        found = np.squeeze(arrays["y"]) * 2**15
    assert (found if found.shape == (6, 2) else found.T).tolist() == frames.tolist()


def test_samples_are_fractions_of_the_largest_one(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", f"{X} y = x * 1.0;")
    wanted = {
        8: ([0, 64, 128, 192, 255], [-1, -0.5, 0, 0.5, 127 / 128]),
        16: ([-(2**15), -(2**14), 0, 2**14, 2**15 - 1], [-1, -0.5, 0, 0.5, 1 - 2**-15]),
        32: ([-(2**31), -(2**30), 0, 2**30, 2**31 - 128], [-1, -0.5, 0, 0.5, 1 - 2**-24]),
    }
    for bits, (whole, values) in wanted.items():
        data = np.asarray(whole, np.uint8 if bits == 8 else f"<i{bits // 8}").tobytes()
        given = sound(tmp_path / "in.wav", data, bits=bits)
        run("stream", model, "--input", given, "--output", tmp_path / "y.npz")
        with np.load(tmp_path / "y.npz") as arrays:
            assert arrays["y"].ravel().tolist() == [*values[:4], np.float32(values[4])]


@pytest.mark.parametrize("bits", [32, 64])
def test_float_samples_are_read_as_they_are(bits: int, tmp_path: Path) -> None:
    values = np.asarray([0.1, -1.5, 3.0, 1e-20], f"<f{bits // 8}")
    (tmp_path / "in.wav").write_bytes(riff(3, bits, 1, values.tobytes()))
    model = nnef(tmp_path / "m", f"{X} y = x * 1.0;")
    words = ("--input", tmp_path / "in.wav", "--output", tmp_path / "y.npz")
    assert run("stream", model, *words).status == 0
    with np.load(tmp_path / "y.npz") as arrays:
        assert arrays["y"].ravel().tolist() == values.astype(np.float32).tolist()


def test_an_extensible_header_tells_its_format(tmp_path: Path) -> None:
    values = np.asarray([1, -2, 3], "<i2")
    guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    extra = struct.pack("<HHI", 22, 16, 4) + guid
    (tmp_path / "in.wav").write_bytes(riff(0xFFFE, 16, 1, values.tobytes(), extra=extra))
    model = nnef(tmp_path / "m", f"{X} y = x * 1.0;")
    words = ("--input", tmp_path / "in.wav", "--output", tmp_path / "y.npz")
    assert run("stream", model, *words).status == 0
    with np.load(tmp_path / "y.npz") as arrays:
        assert (arrays["y"].ravel() * 2**15).tolist() == [1, -2, 3]


def test_a_data_chunk_of_unknown_size_goes_on_to_the_end(tmp_path: Path) -> None:
    data = noise(9, 16)
    (tmp_path / "in.wav").write_bytes(riff(1, 16, 1, data, size=0xFFFFFFFF))
    model = nnef(tmp_path / "m", f"{X} y = x * 1.0;")
    report = run("stream", model, "--input", tmp_path / "in.wav", "--chunk", 4, "--json").json
    assert (report["received"], report["outputs"][0]["frames"]) == (9, 9)


def test_loud_samples_are_clipped_and_counted(tmp_path: Path) -> None:
    given = sound(tmp_path / "in.wav", np.asarray([3, -3, 20000, -20000], "<i2").tobytes(), bits=16)
    model = nnef(tmp_path / "m", f"{X} y = x * 2.0;")
    ran = run("stream", model, "--input", given, "--output", tmp_path / "y.wav")
    assert ran.out.splitlines()[-1] == "2 samples were outside [-1, 1] and were clipped"
    assert np.frombuffer(samples(tmp_path / "y.wav")[3], "<i2").tolist() == [6, -6, 32767, -32768]
    report = run("stream", model, "--input", given, "--output", tmp_path / "y.wav", "--json").json
    assert report["clipped"] == 2


def test_a_slower_output_has_fewer_samples_per_second(tmp_path: Path) -> None:
    given = sound(tmp_path / "in.wav", noise(10, 16), bits=16, rate=16000)
    for stride, words in ((2, "8000"), (3, "16000/3 samples per second, no whole number")):
        body = f"{X} y = slice(x, axes = [2], begin = [0], end = [S], stride = [{stride}]);"
        model = nnef(tmp_path / f"m{stride}", body)
        ran = run("stream", model, "--input", given, "--output", tmp_path / "y.wav")
        if stride == 2:
            assert str(samples(tmp_path / "y.wav")[2]) == words
        else:
            assert (ran.status, words in ran.err) == (3, True)


# Standard output


def test_raw_frames_go_to_standard_output_and_progress_does_not(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", f"{STEREO} y = x * 1.0;")
    x = np.arange(10, dtype=np.float32).reshape(1, 2, 5)
    np.savez(tmp_path / "in.npz", x=x)
    words = [str(model), "--input", str(tmp_path / "in.npz"), "--chunk", "2", "--output", "-"]
    done = subprocess.run(
        [sys.executable, "-c", "from tract_ref.cli import main; main()", "stream", *words],
        env={**os.environ, "PYTHONPATH": str(Path(tract_ref.__file__).parents[1])},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    # Frame by frame, the channels of one together.
    assert np.frombuffer(done.stdout, "<f4").tolist() == [0, 5, 1, 6, 2, 7, 3, 8, 4, 9]
    assert (
        done.stderr.decode().splitlines()[0]
        == "received 2: y +2, latency 0 to 1 samples (median 0)"
    )


# What cannot be read, streamed or written


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"", "no RIFF header"),
        (b"RIFX\0\0\0\0WAVE", "no RIFF header"),
        (b"RIFF\x04\0\0\0WAVE", "has no format"),
        (riff(1, 16, 1, b"")[:20], "its format is cut off"),
        (b"RIFF\x0c\0\0\0WAVEdata\0\0\0\0", "has samples before their format"),
        (riff(1, 16, 1, b"")[:-8], "has no samples"),
        (riff(6, 8, 1, b"abcd"), "format 6 of 8 bits"),
        (riff(1, 12, 2, b"abcd"), "format 1 of 12 bits"),
        (riff(3, 16, 1, b"abcd"), "format 3 of 16 bits"),
        (riff(0xFFFE, 16, 1, b"abcd"), "format 65534 of 16 bits"),
        (riff(1, 16, 0, b""), "0 channels"),
        (riff(1, 16, 2, b"abcdef"), "6 bytes of samples are no whole number of frames"),
        (riff(1, 16, 1, b"abcd", size=100), "ends in the middle of its samples"),
        (riff(1, 16, 1, b"abc", size=0xFFFFFFFF), "ends in the middle of a frame"),
        (riff(1, 16, 1, b"abcd").replace(b"\x02\0\x10\0", b"\x09\0\x10\0"), "frames of 9 bytes"),
    ],
)
def test_a_damaged_sound_file_is_a_typed_error(data: bytes, seen: str, tmp_path: Path) -> None:
    given = tmp_path / "in.wav"
    given.write_bytes(data)
    model = nnef(tmp_path / "m", f"{X} y = tanh(x);")
    text, report = (run("stream", model, "--input", given, *more) for more in ([], ["--json"]))
    assert text.status == report.status == report.json["exit"] == 3
    assert text.err.startswith(f"MalformedFile: {given}: read: ")
    assert seen in text.err
    assert report.json["error"]["class"] == "MalformedFile"


@pytest.mark.parametrize(
    ("body", "channels", "seen"),
    [
        (X, 2, "1 values per frame; the wav has 2 channels; give a wav of 1 channels"),
        (STEREO, 1, "2 values per frame; the wav has 1 channels; give a wav of 2 channels"),
        (X.replace("1, 1", "2, 3"), 6, "has no single axis of channels"),
        (X.replace("f32", "i64"), 1, "samples of a wav are floats in [-1, 1]"),
    ],
)
def test_frames_that_do_not_fit_are_a_typed_error(
    body: str, channels: int, seen: str, tmp_path: Path
) -> None:
    given = sound(tmp_path / "in.wav", noise(12 * channels, 16), bits=16, channels=channels)
    ran = run("stream", nnef(tmp_path / "m", f"{body} y = x + x;"), "--input", given)
    assert ran.status == 3
    assert ran.err.startswith("EvalError: input 'x' is ")
    assert seen in ran.err


def test_a_sound_file_feeds_one_input(tmp_path: Path) -> None:
    head = HEAD.replace("(x)", "(x, h)")
    body = f"{X} h = tract_core_external(shape = [1, 1, 1], datum_type = 'f32'); y = x * h;"
    given = sound(tmp_path / "in.wav", noise(4, 16), bits=16)
    ran = run("stream", nnef(tmp_path / "m", body, head=head), "--input", given)
    assert ran.status == 3
    assert "a wav feeds one input; the model has 2 (x, h); give all of them in an .npz" in ran.err


def test_an_output_that_is_no_sound_is_refused_before_anything_runs(tmp_path: Path) -> None:
    given = sound(tmp_path / "in.wav", noise(4, 16), bits=16)
    np.savez(tmp_path / "in.npz", x=np.zeros((1, 1, 4), np.float32))
    head = HEAD.replace("(y)", "(y, z)")
    for number, (body, first, source, seen) in enumerate(
        [
            ("y = tanh(x); z = x * 2.0;", head, given, "a wav takes one output that streams"),
            ("y = x > 0.0;", HEAD, given, "output 'y' is 1,1,S,bool; samples of a wav are floats"),
            ("y = tanh(x);", HEAD, tmp_path / "in.npz", "does not tell how many samples a second"),
        ]
    ):
        model = nnef(tmp_path / str(number), f"{X} {body}", head=first)
        ran = run("stream", model, "--input", source, "--output", tmp_path / "y.wav")
        assert (ran.status, ran.out) == (3, "")
        assert seen in ran.err
        assert not (tmp_path / "y.wav").exists()


def test_a_sample_that_is_no_number_is_a_typed_error(tmp_path: Path) -> None:
    given = sound(tmp_path / "in.wav", bytes(8), bits=16)
    model = nnef(tmp_path / "m", f"{X} y = x / x;")
    ran = run("stream", model, "--input", given, "--output", tmp_path / "y.wav")
    assert ran.status == 3
    assert "a sample is NaN, which a wav cannot hold" in ran.err


def test_a_model_that_cannot_stream_is_refused(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", f"{X} y = softmax(x, axes = [2]);")
    np.savez(tmp_path / "in.npz", x=np.zeros((1, 1, 4), np.float32))
    for words, stage in ([], "pulsify v2"), (["--v1"], "pulsify v1"):
        given = ("stream", model, "--input", tmp_path / "in.npz", *words)
        text, report = run(*given), run(*given, "--json")
        assert text.status == report.status == report.json["exit"] == 2
        assert text.err.startswith(f'Refused: {stage}: node "y" (Softmax)')
        assert report.json["error"]["remedy"] == "apply it to another axis"


def test_a_fixed_pulse_keeps_to_the_strides_and_an_increment_does_not() -> None:
    model = CASES / "conv-strided"
    assert run("stream", model, "--chunk", 3).status == 0
    ran = run("stream", model, "--chunk", 3, "--v1")
    assert ran.status == 2
    assert "not a multiple of stride=2" in ran.err


def test_a_chunk_beyond_the_memory_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 8 GiB")

    monkeypatch.setattr("tract_ref.cli.stream.increments", full)
    monkeypatch.setattr("tract_ref.runtime.plan.Plan.session", full)
    for words in ([], ["--v1"]):
        ran = run("stream", CHAIN, "--chunk", 4, *words)
        assert ran.status == 3
        assert ran.err == (
            "EvalError: run: chunk=4 frames: out of memory: Unable to allocate 8 GiB; "
            "use a smaller --chunk\n"
        )


@pytest.mark.parametrize(
    ("arrays", "seen"),
    [
        ({}, "no array for the input 'x'"),
        ({"x": np.zeros((1, 3, 9), np.float32)}, "'x'"),
        ({"x": np.zeros((1, 2, 9), np.float64)}, "'x'"),
        ({"x": np.zeros(9, np.float32)}, "'x'"),
    ],
)
@pytest.mark.parametrize("words", [[], ["--v1"]])
def test_arrays_that_do_not_fit_are_a_typed_error(
    arrays: dict[str, np.ndarray], seen: str, words: list[str], tmp_path: Path
) -> None:
    np.savez(tmp_path / "in.npz", **arrays)  # pyright: ignore[reportArgumentType]
    ran = run("stream", CHAIN, "--input", tmp_path / "in.npz", *words)
    assert ran.status == 3
    assert ran.err.startswith("EvalError: ")
    assert seen in ran.err


def test_a_free_symbol_wants_a_value(tmp_path: Path) -> None:
    head = HEAD.replace("graph", "extension tract_symbol B;\ngraph")
    body = "x = tract_core_external(shape = [B, S], datum_type = 'f32'); y = tanh(x);"
    model = nnef(tmp_path / "m", body, head=head)
    np.savez(tmp_path / "in.npz", x=np.zeros((2, 9), np.float32))
    words = ("stream", model, "--input", tmp_path / "in.npz", "--symbol", "S")
    for more in ([], ["--v1"]):
        assert "set it with --set B=1" in run(*words, *more).err
        assert run(*words, "--set", "B=2", *more).status == 0


def test_files_that_cannot_be_opened_are_typed_errors(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", f"{X} y = tanh(x);")
    given = sound(tmp_path / "in.wav", noise(4, 16), bits=16)
    (tmp_path / "folder.wav").mkdir()
    for name, seen in (("no.wav", "no such file"), ("folder.wav", "cannot be read: ")):
        ran = run("stream", model, "--input", tmp_path / name)
        assert (ran.status, seen in ran.err) == (3, True)
    for name in ("y.wav", "y.npz"):
        ran = run("stream", model, "--input", given, "--output", tmp_path / "no" / name)
        assert ran.status == 3
        assert f"{name} cannot be written: No such file or directory" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["no-model", "--chunk", "x"],
        [CHAIN, "--chunk", "0"],
        [CHAIN, "--chunk", "100000000000"],
        [CHAIN, "--json", "--output", "-"],
        [CHAIN, "--output", "y.txt"],
        [CHAIN, "--input", "same.wav", "--output", "same.wav"],
    ],
)
def test_a_usage_error_is_bad_input(words: list[object]) -> None:
    text, report = run("stream", *words), run("stream", *words, "--json")
    assert text.status == report.status == report.json["exit"] == 3
    assert "Traceback" not in text.err
    assert report.json["schema"] == "tract-ref.stream/1"


def test_frames_are_asked_for_where_the_model_has_none(tmp_path: Path) -> None:
    ran = run("stream", nnef(tmp_path / "m", f"{X} y = tanh(x);"))
    assert ran.status == 3
    assert "the model's folder has no io.npz: give frames with --input" in ran.err
