"""Bad input: every mistake of the user has its class, its first words and its exit status."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

import tract_ref
from tract_ref.errors import InvalidModel, MalformedFile, TractRefError
from tract_ref.nnef.tensor import write_dat
from tract_ref.passes.pulsify_v1 import pulsify
from tract_ref.prove import prove
from tract_ref_suites.command_line import CASES, HEAD, Ran, X, nnef, run

CONV = f"{X} w = variable<scalar>(label = 'w', shape = [1, 1, 3]);\n"
CONV += "y = conv(x, w, 0.0, padding = [(0, 0)]);"
WEIGHTS = np.arange(1, 4, dtype=np.float32).reshape(1, 1, 3)
TWO_SYMBOLS = HEAD.replace("graph", "extension tract_symbol T;\ngraph")
FREE = "x = tract_core_external(shape = [1, T, S], datum_type = 'f32'); y = tanh(x);"


def assert_bad(ran: Ran, starts: str) -> None:
    """Check that a command ended with status 3 and one plain message that starts so."""
    assert ran.status == 3, ran
    assert (ran.out, "Traceback" in ran.err) == ("", False)
    assert ran.err.startswith(starts), ran.err


# Documents


DOCUMENTS = {
    "too many arguments": (f"{X} y = tanh(x, x);", "tanh takes 1 arguments: x"),
    "too few arguments": (f"{X} y = tanh();", "tanh: the argument 'x' is missing"),
    "unknown argument": (f"{X} y = tanh(q = x);", "tanh has no parameter 'q'"),
    "no tensor at all": (
        f"{X} y = concat([], axis = 0);",
        "concat: values is an array of 0 where an array of tensors is expected",
    ),
    "undeclared symbol": ("x = external(shape = [Q]); y = x;", "'Q' is not defined; assign it"),
    "negative dim": ("x = external(shape = [1, -3]); y = x;", "the shape [1, -3] of an input"),
    "cycle": (f"{X} a = tanh(b); b = tanh(a); y = b;", "'b' is not defined; assign it first"),
    "cycle of one": (f"{X} y = tanh(y);", "'y' is not defined; assign it first"),
    "assigned twice": (f"{X} y = tanh(x); y = sigmoid(x);", "'y' is assigned twice"),
    "input twice": (f"{X}\n{X} y = tanh(x);", "the input 'x' is defined twice"),
    "no output": (X, "the output 'y' is never assigned"),
    "output of no wire": (f"{X} y = 3.0;", "the output 'y' is not a wire"),
    "no such tensor": (CONV, "the archive has no tensor 'w'"),
    "tensor outside": (
        f"{X} y = variable<scalar>(label = '../../x', shape = [1]);",
        "the archive has no tensor '../../x'",
    ),
    "unfinished": (f"{X} y = tanh(x", "expected an operator"),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_bad_document_is_malformed_with_a_caret(case: str, tmp_path: Path) -> None:
    body, seen = DOCUMENTS[case]
    model = nnef(tmp_path / "m", body)
    with pytest.raises(MalformedFile) as error:
        tract_ref.load(model)
    assert error.value.seen.startswith(seen.partition(";")[0])
    ran = run("check", model)
    place = f"{model}/graph.nnef:{error.value.line}:{error.value.column}"
    assert_bad(ran, f"MalformedFile: {place}: read: ")
    assert seen in ran.err
    assert ran.err.rstrip().endswith("^")


def test_an_input_listed_twice_is_malformed(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", f"{X} y = tanh(x);", head=HEAD.replace("(x)", "(x, x)"))
    ran = run("check", model)
    assert_bad(ran, f"MalformedFile: {model}/graph.nnef:4:")
    assert "'x' is listed twice" in ran.err


def test_an_operator_that_is_not_known_is_refused(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", f"{X} y = tanhh(x);")
    ran = run("check", model)
    assert ran.status == 2
    place = f"{model}/graph.nnef:5:69"
    seen = f"Refused: read: {place}: the operator 'tanhh' is not known; did you mean tanh?"
    assert ran.err.strip() == seen


def test_an_op_that_rejects_its_attributes_names_its_node(tmp_path: Path) -> None:
    body = f"{X} y = conv(x, [[[1.0, 2.0]]], 0.0, padding = [(0, 0)], stride = [0]);"
    ran = run("check", nnef(tmp_path / "m", body))
    assert_bad(ran, 'InvalidModel: read: node "y" (Conv): stride=[0]; every stride is 1 or more')


# Tensor files


def with_header(offset: int, *values: int) -> bytes:
    data = bytearray(write_dat(WEIGHTS))
    struct.pack_into(f"<{len(values)}I", data, offset, *values)
    return bytes(data)


TENSORS = {
    "truncated": (write_dat(WEIGHTS)[:-1], "truncated: 11 bytes of data, but the header says 12"),
    "oversized": (write_dat(WEIGHTS) + b"\0", "oversized: 13 bytes of data, but the header says"),
    "no header": (write_dat(WEIGHTS)[:100], "100 bytes, but the header alone has 128"),
    "empty": (b"", "0 bytes, but the header alone has 128"),
    "shape against size": (with_header(12, 1, 1, 4), "shape [1, 1, 4] of 32-bit items needs 16"),
    "shape of a giant": (with_header(12, *(3 * [2**32 - 1])), "shape [4294967295, 4294967295,"),
    "rank": (with_header(8, 9), "rank 9 is more than 8"),
    "magic": (b"\0" + write_dat(WEIGHTS)[1:], "the magic is 00 ef, not 4e ef"),
    "other shape": (write_dat(WEIGHTS.reshape(1, 3, 1)), "w.dat has shape [1, 3, 1] where the"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_a_damaged_tensor_is_malformed(case: str, tmp_path: Path) -> None:
    data, seen = TENSORS[case]
    model = nnef(tmp_path / "m", CONV, w=data)
    with pytest.raises(MalformedFile) as error:
        tract_ref.load(model)
    assert error.value.seen.startswith(seen)
    assert_bad(run("check", model), "MalformedFile: ")


# Places


def tar_of(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            data = f"{HEAD}{X} y = tanh(x);\n}}\n".encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def places(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("this is not a model\n")
    (tmp_path / "nothing").write_bytes(b"")
    (tmp_path / "junk.onnx").write_bytes(b"this is not a model")
    (tmp_path / "cut.tgz").write_bytes(b"\x1f\x8b\x08")
    return {
        "missing": (tmp_path / "nowhere", "no such file or folder"),
        "missing onnx": (tmp_path / "nowhere.onnx", "no such file or folder"),
        "no graph": (tmp_path / "empty", "there is no graph.nnef at the root"),
        "text": (tmp_path / "text", "cannot be read: "),
        "nothing": (tmp_path / "nothing", "cannot be read: "),
        "junk": (tmp_path / "junk.onnx", "this is not an ONNX model"),
        "cut": (tmp_path / "cut.tgz", "cannot be read: "),
        "leaves": (tar_of(tmp_path / "a.tar", "graph.nnef", "../../x"), "this entry leaves the"),
        "absolute": (tar_of(tmp_path / "b.tar", "graph.nnef", "/x"), "this entry leaves the"),
        "twice": (tar_of(tmp_path / "c.tar", "graph.nnef", "graph.nnef"), "this entry is there"),
        "nested": (tar_of(tmp_path / "d.tar", "m/graph.nnef"), "there is no graph.nnef at the"),
    }


PLACES = [
    "missing",
    "missing onnx",
    "no graph",
    "text",
    "nothing",
    "junk",
    "cut",
    "leaves",
    "absolute",
    "twice",
    "nested",
]


@pytest.mark.parametrize("case", PLACES)
def test_what_is_no_model_is_malformed(case: str, tmp_path: Path) -> None:
    found = places(tmp_path)
    assert list(found) == PLACES
    path, seen = found[case]
    for command in ("check", "dump"):
        ran = run(command, path)
        assert_bad(ran, f"MalformedFile: {path}")
        assert f": read: {seen}" in ran.err


def test_nothing_is_written_outside_by_a_hostile_archive(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    run("check", tar_of(inner / "m.tar", "graph.nnef", "../../x"))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "m.tar"]


# ONNX


def value(name: str, *dims: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def onnx_file(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    output: str,
    weights: Sequence[onnx.TensorProto] = (),
) -> Path:
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    graph = helper.make_graph(list(nodes), "g", list(inputs), outputs, list(weights))
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


node = helper.make_node
STREAM = value("x", 1, 1, "S")
GRAPHS = {
    "cycle": (
        [node("Add", ["x", "b"], ["a"], name="n1"), node("Tanh", ["a"], ["b"], name="n2")],
        [STREAM],
        'node "n2" (Tanh): the graph has a cycle',
    ),
    "value twice": (
        [node("Tanh", ["x"], ["b"], name="n1"), node("Sigmoid", ["x"], ["b"], name="n2")],
        [STREAM],
        "node \"n2\" (Sigmoid): the value 'b' is produced twice",
    ),
    "input twice": (
        [node("Tanh", ["x"], ["b"], name="n1")],
        [STREAM, STREAM],
        "the input name 'x' is empty or used twice",
    ),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_a_bad_onnx_graph_is_malformed(case: str, tmp_path: Path) -> None:
    nodes, inputs, seen = GRAPHS[case]
    ran = run("check", onnx_file(tmp_path / "m.onnx", nodes, inputs, "b"))
    assert_bad(ran, f"MalformedFile: {tmp_path / 'm.onnx'}: read: {seen}")


def test_external_data_stays_in_its_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    for place in (tmp_path, inside):
        (place / "w.bin").write_bytes(WEIGHTS.tobytes())
    nodes = [node("Conv", ["x", "w"], ["y"], name="c")]
    for location in ("w.bin", "../w.bin", str(tmp_path / "w.bin")):
        weights = numpy_helper.from_array(WEIGHTS, "w")
        set_external_data(weights, location, 0, WEIGHTS.nbytes)
        weights.ClearField("raw_data")
        model = onnx_file(inside / "m.onnx", nodes, [STREAM], "y", [weights])
        ran = run("check", model)
        if location == "w.bin":
            assert ran.status == 0
        else:
            assert_bad(ran, f"MalformedFile: {model}: read: the initialiser 'w' has the external")


def test_a_fixed_onnx_axis_streams_when_asked(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["y"], name="c")]
    weights = [numpy_helper.from_array(WEIGHTS, "w")]
    model = onnx_file(tmp_path / "m.onnx", nodes, [value("x", 1, 1, 20)], "y", weights)
    ran = run("check", model, "--axis", "x=2", "--exact")
    assert ran.status == 0
    assert ran.out.startswith("pulse 8: output 'y' exact, delay 2 samples, 26 of 26 samples")
    assert_bad(run("check", model), "InvalidModel: pulsify v1: no input has a symbolic dimension")
    assert_bad(run("check", model, "--axis", "q=2"), "InvalidModel: no input is called 'q'")
    assert_bad(run("check", model, "--axis", "x=3"), "InvalidModel: input 'x' of fact 1,1,20,f32")


# Symbols and pulses


@pytest.mark.parametrize("pulse", [0, -1])
def test_a_pulse_is_positive(pulse: int, tmp_path: Path) -> None:
    model = tract_ref.load(CASES / "conv-valid")
    for call in (pulsify, prove):
        with pytest.raises(InvalidModel, match=rf"^pulsify v1: pulse={pulse} frames; use a pulse"):
            call(model, pulse)
    folder = nnef(tmp_path / "m", f"{X} y = tanh(x);")
    file = folder / "case.toml"
    file.write_text(f"[stream]\npulses = [{pulse}]\n")
    assert_bad(run("check", folder), f"MalformedFile: {file}: read: pulses: {pulse} frames; it is")


SYMBOLS = {
    "none": (
        "x = external(shape = [1, 8]); y = tanh(x);",
        [],
        "InvalidModel: pulsify v1: no input has a symbolic dimension: nothing streams; make a",
    ),
    "two": (
        FREE,
        [],
        "InvalidModel: pulsify v1: two or more candidates for the stream symbol: S, T; choose one "
        "with --symbol, set the others with --set",
    ),
    "free": (
        FREE,
        ["--symbol", "S"],
        "EvalError: run: input 'x' of fact 1,T,S,f32 has the free symbol T; set it with --set T=1",
    ),
    "unknown": (
        FREE,
        ["--symbol", "Q"],
        "InvalidModel: pulsify v1: no input has a dimension with 'Q' (symbols of the inputs: S, T)",
    ),
    "unknown set": (FREE, ["--set", "Q=1"], "InvalidModel: no dimension has the symbol 'Q' (symb"),
}


@pytest.mark.parametrize("command", ["check", "dump"])
@pytest.mark.parametrize("case", SYMBOLS)
def test_there_is_one_stream_symbol(case: str, command: str, tmp_path: Path) -> None:
    body, words, starts = SYMBOLS[case]
    model = nnef(tmp_path / "m", body, head=TWO_SYMBOLS)
    if command == "dump":
        words = [*words, "--pass", "pulse", "--pulse", "8"]
        if case == "free":
            # The pulsified graph may be looked at before the other symbol has a value.
            assert run(command, model, *words).status == 0
            return
    assert_bad(run(command, model, *words), starts)


# Inputs


def test_own_inputs_must_fit(tmp_path: Path) -> None:
    def check(**arrays: np.ndarray) -> Ran:
        np.savez(tmp_path / "in.npz", **arrays)  # pyright: ignore[reportArgumentType]
        return run("check", CASES / "conv-valid", "--input", tmp_path / "in.npz")

    good = np.ones((1, 1, 9), np.float32)
    assert check(x=good, other=good).status == 0
    assert_bad(check(y=good), f"EvalError: {tmp_path / 'in.npz'} has no array for the input 'x'")
    wrong = "EvalError: input 'x' is "
    assert_bad(check(x=good.astype(np.float64)), f"{wrong}[1, 1, 9] float64; its fact is 1,1,S")
    assert_bad(check(x=good[0]), f"{wrong}[1, 9] float32; its fact is 1,1,S,f32")
    two = np.ones((1, 2, 9), np.float32)
    assert_bad(check(x=two), "EvalError: input 'x' has 2 positions on axis 1 where its fact")


def test_the_length_keeps_the_assertions(tmp_path: Path) -> None:
    head = HEAD.replace("graph", "extension tract_assert S >= 9;\ngraph")
    model = nnef(tmp_path / "m", f"{X} y = tanh(x);", head=head)
    assert run("check", model, "--length", 9).status == 0
    assert_bad(run("check", model, "--length", 8), "EvalError: S=8 breaks the assertion S >= 9")


@pytest.mark.parametrize("content", [None, b"", b"junk", b"PK\x03\x04junk", b"\x93NUMPY"])
def test_inputs_that_are_no_npz_are_malformed(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    if content is not None:
        path.write_bytes(content)
    seen = "no such file" if content is None else "not an .npz"
    ran = run("check", CASES / "conv-valid", "--input", path)
    assert_bad(ran, f"MalformedFile: {path}: read: {seen}")


def test_pickled_inputs_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.array([{}], object))
    ran = run("check", CASES / "conv-valid", "--input", tmp_path / "in.npz")
    assert_bad(ran, f"MalformedFile: {tmp_path / 'in.npz'}: read: not a readable .npz")


@pytest.mark.parametrize(
    "text",
    [
        "[stream",
        "stream = 3",
        "[stream]\npulses = 'abc'",
        "[stream]\npulses = ['a']",
        "[stream]\nlength = 'a'",
        "[stream]\nsymbol = 1",
        "approx = 1",
        "approx = 'about'",
        "approx = ''",
        "approx = 'bound'",
        "version = 2",
        "version = true",
        "nonsense = 1",
        "[stream]\nnonsense = 1",
        "[stream]\nlength = -4",
        "[stream]\nlength = 100000000000",
        "[stream]\npulses = [true]",
        "[stream]\npulses = [1.5]",
        "[stream]\npulses = [100000000000]",
    ],
)
def test_bad_settings_are_malformed(text: str, tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", f"{X} y = tanh(x);")
    (model / "case.toml").write_text(text)
    ran = run("check", model)
    assert_bad(ran, f"MalformedFile: {model / 'case.toml'}: read: ")
    key = text.rpartition("\n")[2].partition(" ")[0]
    assert key == "[stream" or key in ran.err.partition(": read: ")[2]


def test_one_message_for_several_pulses(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", FREE, head=TWO_SYMBOLS)
    ran = run("check", model, "--pulse", 1, "--pulse", 2)
    assert_bad(ran, "InvalidModel: ")
    assert ran.err.count("two or more candidates") == 1


def test_an_error_at_run_time_leaves_the_other_pulses_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(model: object, pulse: int, *args: object, **named: object) -> object:
        if pulse == 2:
            raise TractRefError("injected")
        return prove(model, pulse, *args, **named)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr("tract_ref.cli.check.prove", some)
    model = nnef(tmp_path / "m", f"{X} y = tanh(x);")
    ran = run("check", model, "--pulse", 1, "--pulse", 2, "--pulse", 3)
    assert (ran.status, ran.err) == (3, "TractRefError: injected\n")
    assert [line[:7] for line in ran.out.splitlines() if line[0] == "p"] == ["pulse 1", "pulse 3"]


def test_json_of_a_model_that_cannot_be_loaded_has_the_reason(tmp_path: Path) -> None:
    body = f"{X} y = conv(x, [[[1.0, 2.0]]], 0.0, padding = [(0, 0)], stride = [0]);"
    ran = run("check", nnef(tmp_path / "m", body), "--json")
    error = ran.json["error"]
    assert (error["class"], error["node"], error["op"]) == ("InvalidModel", "y", "Conv")
    assert ran.err == f"InvalidModel: {error['message']}\n"
    assert error["message"].endswith(error["remedy"])


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["--pulse", "0"], "Invalid value for '--pulse': pulse=0 frames"),
        (["--frobnicate"], "No such option"),
        (["--seed", "1", "--input", "in.npz"], "--length and --seed are for drawn inputs"),
        (["--axis", "x"], "Invalid value for --axis: 'x' is not NAME=VALUE"),
    ],
)
def test_json_of_a_usage_error_has_the_same_schema(words: list[str], seen: str) -> None:
    ran = run("check", CASES / "conv-valid", *words, "--json")
    assert (ran.status, ran.json["exit"], ran.json["verdict"]) == (3, 3, "bad input")
    assert ran.json["error"]["message"].startswith(seen)
    assert seen in ran.err
    assert run("check", CASES / "conv-valid", *words).out == ""


def test_a_value_of_a_symbol_speaks_of_symbols_of_the_model(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", FREE, head=TWO_SYMBOLS)
    assert run("dump", model, "--set", "T=2*S").status == 0
    for command in ("check", "dump"):
        ran = run(command, model, "--set", "T=Q+1")
        assert (ran.status, ran.out) == (3, "")
        assert "T=Q+1: the model has no symbol 'Q' (symbols: S, T)" in ran.err


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_too_little_memory_is_bad_input(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(*_args: object, **_named: object) -> None:
        np.empty((2**31 - 1, 2**31 - 1), np.uint8)

    monkeypatch.setattr("tract_ref.cli.check.prove", prove)
    ran = run("check", CASES / "conv-valid", "--pulse", 7, *words)
    assert ran.status == 3
    assert ran.err.startswith("EvalError: run: pulse=7 frames: out of memory: Unable to allocate 4")
    assert "use a smaller --pulse" in ran.err
    if words:
        assert ran.json["error"]["class"] == "EvalError"
