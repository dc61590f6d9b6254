"""Tests of the engine adapters: what they answer, and that no case can hurt the next one."""

from __future__ import annotations

import shlex
import signal
import struct
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tract_ref_suites.engines.command import CommandEngine
from tract_ref_suites.engines.protocol import (
    Array,
    Case,
    Chunking,
    Crashed,
    Engine,
    Outcome,
    Refused,
    TimedOut,
    Values,
    filler,
)
from tract_ref_suites.engines.test_workers import wait_gone

KERNEL = np.array([1.0, 2.0, 3.0], np.float32)

HEADER = """version 1.0;

extension tract_registry tract_core;
extension tract_symbol S;
extension tract_assert S >= 5;

"""
X = "x = tract_core_external(shape=[1, 1, S], datum_type='f32');"
CONV = (
    "{out} = conv({data}, {kernel}, 0.0, padding=[(0, 0)], stride=[1], dilation=[1], "
    "border='constant');"
)


def graph(inputs: str, outputs: str, *statements: str) -> str:
    body = "\n  ".join(statements)
    return f"{HEADER}graph net({inputs}) -> ({outputs}) {{\n  {body}\n}}\n"


def conv(out: str, kernel: Array, data: str = "x") -> str:
    return CONV.format(out=out, data=data, kernel=[[kernel.tolist()]])


def ramp(length: int) -> Array:
    return np.arange(1, length + 1, dtype=np.float32).reshape(1, 1, length)


def convolved(data: Array, kernel: Array = KERNEL) -> Array:
    frames = data.shape[2] - len(kernel) + 1
    result = np.zeros((1, 1, frames), np.float32)
    for k, weight in enumerate(kernel):
        result += weight * data[..., k : k + frames]
    return result


def nnef_case(folder: Path, text: str, length: int = 10) -> Case:
    (folder / "graph.nnef").write_text(text, encoding="utf-8")
    return Case(folder, "graph.nnef", {"x": ramp(length)}, "S", length, {"x": 2})


def conv_case(folder: Path, length: int = 10) -> Case:
    return nnef_case(folder, graph("x", "y", X, conv("y", KERNEL)), length)


def onnx_case(folder: Path, length: int = 10) -> Case:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 3], KERNEL)
    proto = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, "S"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "T"])],
        [weight],
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    return Case(folder, "model.onnx", {"x": ramp(length)}, "S", length, {"x": 2})


def values(outcome: Outcome) -> Values:
    assert isinstance(outcome, Values), outcome
    return outcome


def kept(outcome: Outcome, frames: int, slot: int = 0) -> Array:
    """The frames of a raw stream that stand for batch frames."""
    result = values(outcome)
    assert result.delay is not None
    assert result.axes is not None
    start = result.delay[slot]
    indices = np.arange(start, start + frames)
    return np.take(result.outputs[slot], indices, axis=result.axes[slot])


@pytest.fixture
def tract() -> Engine:
    pytest.importorskip("tract")
    from tract_ref_suites.engines.tract import TractEngine

    return TractEngine()


class TestProtocol:
    def test_regular_chunks_add_up_and_only_the_last_is_short(self) -> None:
        assert Chunking.regular(10, 4).sizes == (4, 4, 2)
        assert Chunking.regular(8, 4).sizes == (4, 4)
        assert Chunking.regular(0, 4).sizes == ()

    @pytest.mark.parametrize(
        ("sizes", "is_regular"),
        [((), True), ((4, 4, 2), True), ((3,), True), ((2, 4), False), ((4, 0), False)],
    )
    def test_regular_means_whole_pulses_before_the_last(
        self, sizes: tuple[int, ...], is_regular: bool
    ) -> None:
        assert Chunking(4, sizes).is_regular is is_regular

    def test_the_filler_poisons_floats_and_stays_legal_elsewhere(self) -> None:
        assert np.isnan(filler(KERNEL))
        assert filler(np.array([2, 7, 3])) == 7
        assert filler(np.zeros(0, np.int8)) == 0


class TestTract:
    @pytest.mark.parametrize("end", ["known", "late"])
    @pytest.mark.parametrize("pulse", [1, 2, 3, 4, 10, 16])
    @pytest.mark.parametrize("make", [conv_case, onnx_case], ids=["nnef", "onnx"])
    def test_a_valid_conv_streams_as_it_runs(
        self, tract: Engine, tmp_path: Path, make, pulse: int, end
    ) -> None:
        case = make(tmp_path)
        batch = values(tract.run(case)).outputs[0]
        np.testing.assert_array_equal(batch, convolved(ramp(10)), strict=True)
        streamed = values(tract.stream(case, Chunking.regular(10, pulse, end)))
        assert streamed.delay == (2,)
        assert streamed.axes == (2,)
        np.testing.assert_array_equal(kept(streamed, 8), batch, strict=True)
        turns = -(-10 // pulse)
        assert streamed.increments == ((pulse,) * turns,)
        assert np.isnan(streamed.outputs[0][..., 10:]).all()

    @pytest.mark.parametrize(
        ("end", "tail"), [("known", [-1, -1, -1]), ("late", [9, 10, 11])], ids=str
    )
    def test_a_late_end_is_not_known_before_the_first_incomplete_chunk(
        self, tract: Engine, tmp_path: Path, end, tail: list[int]
    ) -> None:
        """The model pads while input still arrives, so the answer tells when S was bound."""
        text = graph(
            "x",
            "y",
            X,
            "s = slice(x, axes=[2], begin=[0], end=[S - 4]);",
            "y = pad(s, [(0, 0), (0, 0), (0, 3)], border='constant', value=-1.0);",
        )
        case = nnef_case(tmp_path, text, 12)
        streamed = tract.stream(case, Chunking.regular(12, 4, end))
        assert kept(streamed, 11)[0, 0, 8:].tolist() == tail

    @pytest.mark.parametrize("length", [8, 10])
    @pytest.mark.parametrize("end", ["known", "late"])
    def test_the_end_is_bound_at_the_latest_when_frames_are_missing(
        self, tract: Engine, tmp_path: Path, end, length: int
    ) -> None:
        pad = "y = pad(x, [(0, 0), (0, 0), (0, 3)], border='constant', value=-1.0);"
        case = nnef_case(tmp_path, graph("x", "y", X, pad), length)
        streamed = kept(tract.stream(case, Chunking.regular(length, 4, end)), length + 3)
        assert streamed.ravel().tolist() == [*range(1, length + 1), -1, -1, -1]

    def test_inputs_stream_or_stay_whole_as_the_model_says(
        self, tract: Engine, tmp_path: Path
    ) -> None:
        text = graph(
            "x, z, c",
            "y",
            "c = tract_core_external(shape=[1, 1, 1], datum_type='f32');",
            "z = tract_core_external(shape=[1, 1, S], datum_type='f32');",
            X,
            conv("a", KERNEL),
            "b = slice(z, axes=[2], begin=[0], end=[S - 2]);",
            "y = (a + b) * c;",
        )
        case = nnef_case(tmp_path, text)
        inputs = {"x": ramp(10), "z": 100 * ramp(10), "c": np.full((1, 1, 1), 2, np.float32)}
        case = replace(case, inputs=inputs, axes={"x": 2, "z": 2})
        expected = 2 * (convolved(ramp(10)) + 100 * ramp(10)[..., :8])
        np.testing.assert_array_equal(values(tract.run(case)).outputs[0], expected)
        np.testing.assert_array_equal(
            kept(tract.stream(case, Chunking.regular(10, 4)), 8), expected
        )

    def test_each_output_has_its_own_delay_and_a_constant_has_no_axis(
        self, tract: Engine, tmp_path: Path
    ) -> None:
        text = graph(
            "x",
            "y, z, k",
            X,
            conv("y", KERNEL),
            conv("z", KERNEL[:2]),
            "k = [5.0, 6.0];",
        )
        streamed = values(tract.stream(nnef_case(tmp_path, text), Chunking.regular(10, 4)))
        assert streamed.delay == (2, 1, 0)
        assert streamed.axes == (2, 2, -1)
        np.testing.assert_array_equal(kept(streamed, 8), convolved(ramp(10)))
        np.testing.assert_array_equal(kept(streamed, 9, 1), convolved(ramp(10), KERNEL[:2]))
        assert streamed.outputs[2].tolist() == [5, 6]

    def test_a_source_of_two_frames_per_symbol_gets_two_per_pulse(
        self, tract: Engine, tmp_path: Path
    ) -> None:
        text = graph("x", "y", X.replace("S]", "2*S]"), conv("y", KERNEL))
        case = replace(nnef_case(tmp_path, text), inputs={"x": ramp(20)})
        streamed = values(tract.stream(case, Chunking.regular(10, 3)))
        assert streamed.increments == ((6, 6, 6, 6),)
        np.testing.assert_array_equal(kept(streamed, 18), convolved(ramp(20)))

    def test_flush_turns_follow_the_expected_length(self, tract: Engine, tmp_path: Path) -> None:
        case = conv_case(tmp_path)
        for expected, turns in (((), 3), ((8,), 3), ((15,), 5)):
            streamed = tract.stream(replace(case, expected=expected), Chunking.regular(10, 4))
            assert values(streamed).increments == ((4,) * turns,), expected

    def test_integers_are_completed_with_a_legal_value(self, tract: Engine, tmp_path: Path) -> None:
        text = graph("x", "y", X.replace("'f32'", "'i64'"), "y = x;")
        case = replace(nnef_case(tmp_path, text, 5), inputs={"x": ramp(5).astype(np.int64)})
        raw = values(tract.stream(case, Chunking.regular(5, 4))).outputs[0]
        assert raw.ravel().tolist() == [1, 2, 3, 4, 5, 5, 5, 5]

    @pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
    def test_weights_beside_the_graph_are_found(
        self, tract: Engine, tmp_path: Path, packed: bool
    ) -> None:
        weight = "w = variable<scalar>(label='deep/w', shape=[1, 1, 3]);"
        text = graph("x", "y", X, weight, CONV.format(out="y", data="x", kernel="w"))
        case = nnef_case(tmp_path, text)
        (tmp_path / "deep").mkdir()
        shape = struct.pack("<11I", 3, 1, 1, 3, 0, 0, 0, 0, 0, 32, 0)
        head = struct.pack("<2B2BI", 0x4E, 0xEF, 1, 0, 12) + shape
        (tmp_path / "deep/w.dat").write_bytes(head.ljust(128, b"\0") + KERNEL.tobytes())
        (tmp_path / "case.toml").write_text("version = 1\n")
        if packed:
            with tarfile.open(tmp_path / "net.nnef.tgz", "w:gz") as archive:
                archive.add(tmp_path / "graph.nnef", "graph.nnef")
                archive.add(tmp_path / "deep/w.dat", "deep/w.dat")
            case = replace(case, model_file="net.nnef.tgz")
        np.testing.assert_array_equal(
            values(tract.run(case)).outputs[0], convolved(ramp(10)), strict=True
        )
        streamed = tract.stream(case, Chunking.regular(10, 4))
        np.testing.assert_array_equal(kept(streamed, 8), convolved(ramp(10)))

    def test_inputs_go_by_position_when_their_names_differ(
        self, tract: Engine, tmp_path: Path
    ) -> None:
        case = replace(conv_case(tmp_path), inputs={"other": ramp(10)}, axes={"other": 2})
        batch = values(tract.run(case)).outputs[0]
        streamed = tract.stream(case, Chunking.regular(10, 4))
        np.testing.assert_array_equal(kept(streamed, 8), batch)

    def test_an_abort_is_a_crash_and_the_next_case_works(
        self, tract: Engine, tmp_path: Path
    ) -> None:
        case = conv_case(tmp_path)
        crash = tract.stream(case, Chunking(-1, (10,)))
        assert isinstance(crash, Crashed), crash
        assert crash.code == -signal.SIGABRT
        assert "panicked" in crash.tail
        assert kept(tract.stream(case, Chunking.regular(10, 4)), 8).shape == (1, 1, 8)

    def test_an_overrun_is_a_timeout_and_the_next_case_works(
        self, tract: Engine, tmp_path: Path
    ) -> None:
        from tract_ref_suites.engines.tract import TractEngine

        case = conv_case(tmp_path, 200_000)
        outcome = TractEngine(timeout=0.01).stream(case, Chunking.regular(200_000, 1))
        assert outcome == TimedOut(0.01)
        assert values(tract.run(conv_case(tmp_path))).outputs[0].shape == (1, 1, 8)

    @pytest.mark.parametrize(
        ("stage", "reason", "statement"),
        [
            ("read", "foo", "y = foo(x);"),
            ("read", "graph.nnef", "y = = x;"),
            ("pulsify", "could not track pulsing axis", "y = mean_reduce(x, axes=[2]);"),
        ],
        ids=["unknown op", "syntax", "pulsify"],
    )
    def test_a_refusal_names_its_stage_and_reason(
        self, tract: Engine, tmp_path: Path, stage: str, reason: str, statement: str
    ) -> None:
        case = nnef_case(tmp_path, graph("x", "y", X, statement))
        outcome = tract.stream(case, Chunking.regular(10, 4))
        assert isinstance(outcome, Refused)
        assert outcome.stage == stage
        assert "\n" not in outcome.reason
        if reason != "graph.nnef":
            assert reason in outcome.reason

    def test_wrong_inputs_and_chunks_are_refused(self, tract: Engine, tmp_path: Path) -> None:
        # Side by side: the package reads a folder together with its sub-folders.
        (tmp_path / "good").mkdir()
        case = conv_case(tmp_path / "good")
        wide = replace(case, inputs={"x": np.zeros((1, 2, 10), np.float32)})
        (tmp_path / "bytes").mkdir()
        broken = conv_case(tmp_path / "bytes")
        broken.path.write_bytes(b"version 1.0;\xff")
        outcomes = {
            "text": tract.stream(broken, Chunking.regular(10, 4)),
            "shape": tract.run(wide),
            "count": tract.run(replace(case, inputs={})),
            "chunks": tract.stream(case, Chunking(4, (3, 3, 4))),
            "axis": tract.stream(replace(case, axes={"x": 1}), Chunking.regular(10, 4)),
        }
        stages = {}
        for what, outcome in outcomes.items():
            assert isinstance(outcome, Refused), (what, outcome)
            stages[what] = outcome.stage
        assert stages == {
            "text": "read",
            "shape": "run",
            "count": "run",
            "chunks": "run",
            "axis": "pulsify",
        }

    def test_a_whole_input_that_tells_the_end_cannot_be_late(
        self, tract: Engine, tmp_path: Path
    ) -> None:
        text = graph(
            "x, m",
            "y",
            X,
            "m = tract_core_external(shape=[S, S], datum_type='f32');",
            conv("y", KERNEL),
        )
        case = nnef_case(tmp_path, text)
        case = replace(case, inputs={**case.inputs, "m": np.zeros((10, 10), np.float32)})
        np.testing.assert_array_equal(
            kept(tract.stream(case, Chunking.regular(10, 4)), 8), convolved(ramp(10))
        )
        outcome = tract.stream(case, Chunking.regular(10, 4, "late"))
        assert isinstance(outcome, Refused)
        assert outcome.reason.startswith('late end: input "m"')


class TestOnnxruntime:
    @pytest.fixture
    def ort(self) -> Engine:
        pytest.importorskip("onnxruntime")
        from tract_ref_suites.engines.ort import OrtEngine

        return OrtEngine()

    def test_a_batch_equals_numpy(self, ort: Engine, tmp_path: Path) -> None:
        output = values(ort.run(onnx_case(tmp_path))).outputs[0]
        np.testing.assert_array_equal(output, convolved(ramp(10)), strict=True)

    def test_inputs_go_by_position_when_their_names_differ(
        self, ort: Engine, tmp_path: Path
    ) -> None:
        case = replace(onnx_case(tmp_path), inputs={"other": ramp(10)})
        np.testing.assert_array_equal(values(ort.run(case)).outputs[0], convolved(ramp(10)))

    def test_refusals_name_their_stage(self, ort: Engine, tmp_path: Path) -> None:
        case = onnx_case(tmp_path)
        (tmp_path / "broken.onnx").write_bytes(b"not a model")
        wide = replace(case, inputs={"x": np.zeros((1, 2, 10), np.float32)})
        outcomes = {
            "broken": ort.run(replace(case, model_file="broken.onnx")),
            "nnef": ort.run(conv_case(tmp_path)),
            "wide": ort.run(wide),
            "stream": ort.stream(case, Chunking.regular(10, 4)),
        }
        stages = {}
        for what, outcome in outcomes.items():
            assert isinstance(outcome, Refused), (what, outcome)
            assert outcome.reason
            assert "\n" not in outcome.reason
            stages[what] = outcome.stage
        assert stages == {"broken": "read", "nnef": "read", "wide": "run", "stream": "pulsify"}


PROGRAM_HEAD = """
import os, subprocess, sys, tomllib
from pathlib import Path
import numpy as np
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
case = tomllib.loads((folder / "case.toml").read_text())
x = np.load(folder / "io.npz")["x"]
assert (folder / "graph.nnef").is_file()
"""


def command(folder: Path, body: str, timeout: float = 60.0) -> CommandEngine:
    program = folder / "a program.py"
    program.write_text(PROGRAM_HEAD + body)
    return CommandEngine(shlex.join([sys.executable, str(program)]), timeout=timeout)


class TestCommand:
    def test_batch_values_come_from_the_file(self, tmp_path: Path) -> None:
        body = "assert case['assert'] == [{'batch': 'io.npz'}]\nnp.savez(out, output_0=x + 1)"
        outcome = values(command(tmp_path, body).run(conv_case(tmp_path)))
        np.testing.assert_array_equal(outcome.outputs[0], ramp(10) + 1, strict=True)
        assert outcome.delay is None

    def test_the_stream_is_described_and_its_delay_read(self, tmp_path: Path) -> None:
        body = (
            "assert case['assert'] == [{'stream': 'io.npz'}]\n"
            "assert case['stream'] == {'symbol': 'S', 'length': 10, 'pulses': [4],\n"
            "                          'axes': {'x': 2}, 'end': 'late'}, case\n"
            "np.savez(out, output_0=x, output_1=x, delay=3)"
        )
        chunks = Chunking.regular(10, 4, "late")
        outcome = values(command(tmp_path, body).stream(conv_case(tmp_path), chunks))
        assert outcome.delay == (3, 3)
        assert len(outcome.outputs) == 2

    def test_uneven_chunks_are_listed(self, tmp_path: Path) -> None:
        body = "np.savez(out, output_0=np.array(case['stream']['chunks']), delay=0)"
        outcome = command(tmp_path, body).stream(conv_case(tmp_path), Chunking(4, (3, 3, 4)))
        assert values(outcome).outputs[0].tolist() == [3, 3, 4]

    @pytest.mark.parametrize(
        ("words", "refused"),
        [
            ("pulsify v1: no window here", Refused("pulsify", "no window here")),
            ("just no", Refused("run", "just no")),
        ],
        ids=["staged", "plain"],
    )
    def test_exit_2_is_a_refusal(self, tmp_path: Path, words: str, refused: Refused) -> None:
        body = f"sys.stderr.write({words!r} + '\\nmore')\nsys.exit(2)"
        assert command(tmp_path, body).run(conv_case(tmp_path)) == refused

    def test_other_ends_are_crashes(self, tmp_path: Path) -> None:
        case = conv_case(tmp_path)
        body = "sys.stderr.write('oh')\nsys.exit(7)"
        assert command(tmp_path, body).run(case) == Crashed(7, "oh")
        killed = command(tmp_path, "os.kill(os.getpid(), 9)").run(case)
        assert killed == Crashed(-signal.SIGKILL, "")
        silent = command(tmp_path, "pass").run(case)
        assert isinstance(silent, Crashed)
        assert silent.code == 0

    def test_a_timeout_ends_the_program_and_its_children(self, tmp_path: Path) -> None:
        note = tmp_path / "pid"
        body = (
            "child = subprocess.Popen(['sleep', '600'])\n"
            f"Path({str(note)!r}).write_text(str(child.pid))\n"
            "child.wait()"
        )
        assert command(tmp_path, body, timeout=5.0).run(conv_case(tmp_path)) == TimedOut(5.0)
        assert wait_gone(int(note.read_text()))
