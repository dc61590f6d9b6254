"""The command line: verdicts, sentences, JSON, exit statuses."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tract_ref
from tract_ref.cli import EXIT_EQUAL, PRECEDENCE, worst_status
from tract_ref.errors import InternalError
from tract_ref.ir.rules import Refusal
from tract_ref.nnef.archive import write_tar
from tract_ref.ops.slicing import Slice
from tract_ref.runtime.plan import Plan
from tract_ref.stream.tables import PULSIFY_V1
from tract_ref_suites.command_line import CASES, HEAD, X, generator, nnef, run

WAVENET = CASES / "wavenet-hey-snips"
COST_KEYS = ["receptive_field", "state_bytes"]
REPORT_KEYS = ["schema", "verdict", "exit", "error", "symbol", *COST_KEYS, "runs"]
ERROR_KEYS = ["class", "message", "node", "op", "remedy"]
OUTPUT_KEYS = ["name", "verdict", "delay", "frames", "expected_frames", "max_ulp", "first"]
FIRST_KEYS = ["wire", "pulse", "index", "batch", "streamed"]
REFUSAL_KEYS = ["message", "node", "op", "reason", "remedy"]

CHAIN = f"""{X}
a = tanh(x);
b = slice(a, axes = [2], begin = [2], end = [0]);
c = b * 3.0;
y = sigmoid(c);"""
SOFTMAX = f"{X} y = softmax(x, axes = [2]);"
TWO_SYMBOLS = HEAD.replace("graph", "extension tract_symbol T;\ngraph")
TWO_FREE = "x = tract_core_external(shape = [1, T, S], datum_type = 'f32'); y = tanh(x);"


def late_slice() -> AbstractContextManager[None]:
    """Break the pulsifier: every slice announces one frame of delay too many."""
    rule = PULSIFY_V1.lookup(Slice)
    assert not isinstance(rule, Refusal)

    def broken(op: Any, node: Any, ctx: Any) -> Any:
        found = rule(op, node, ctx)
        return tuple(
            ctx.restream(wire, replace(ctx.streaming(wire), delay=ctx.streaming(wire).delay + 1))
            for wire in found
        )

    return PULSIFY_V1.replaced(Slice, broken)


# Verdicts


def test_a_valid_convolution_streams_bit_for_bit() -> None:
    ran = run("check", CASES / "conv-valid", "--exact")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        line
        for pulse in (1, 2, 4)
        for line in (
            f"pulse {pulse}: output 'y' exact, delay 2 samples, 10 of 10 samples",
            "  receptive field 3 samples, state 8 bytes",
        )
    ]


def test_the_wavenet_keeps_the_promise_of_the_readme() -> None:
    ran = run("check", WAVENET, "--pulse", 8)
    assert ran.status == 0
    sentence, cost = ran.out.splitlines()
    assert re.fullmatch(
        r"pulse 8: output 'y' within tolerance 'close' \(\d+ ULP at most\), delay 182 samples, "
        r"74 of 74 samples",
        sentence,
    )
    assert cost == "  receptive field 183 samples, state 11,680 bytes"


def wavenet_counts(blocks: int) -> dict[str, int]:
    return {
        "Add": 2 * blocks - 1,
        "Conv": 2 * blocks + 1,
        "Delay": blocks + 1,
        "EinSum": 2 * blocks + 1,
        "Max": 2,
        "Mul": blocks + 1,
        "Sigmoid": blocks,
        "Tanh": blocks,
    }


def test_the_counts_of_the_wavenet_are_those_of_its_case() -> None:
    ran = run("dump", WAVENET, "--pass", "pulse", "--pulse", 8, "--counts")
    assert ran.status == 0
    found = {name: int(count) for name, count in map(str.split, ran.out.splitlines())}
    assert found == wavenet_counts(24)
    assert found["Conv"] == found["EinSum"] == 49


@pytest.mark.parametrize("blocks", [4, 8, 16, 48])
def test_every_wavenet_keeps_one_delay_per_block(blocks: int, tmp_path: Path) -> None:
    generator().wavenet(tmp_path, blocks=blocks)
    counted = run("dump", tmp_path, "--pass", "pulse", "--pulse", 8, "--counts", "--json")
    assert counted.json["schema"] == "tract-ref.dump-counts/1"
    assert counted.json["counts"] == wavenet_counts(blocks)
    delay = 2 + 2 * sum(2 ** (block % 4) for block in range(blocks))
    checked = run("check", tmp_path, "--json")
    assert checked.status == 0
    assert checked.json["receptive_field"] == delay + 1
    (output,) = checked.json["runs"][0]["outputs"]
    assert (output["delay"], output["frames"]) == (delay, 74)


@pytest.mark.parametrize("exact", [True, False], ids=["plain", "fast"])
def test_a_broken_rule_is_wrong_at_its_own_wire(exact: bool, tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", CHAIN)
    assert run("check", model, "--pulse", 4).status == 0
    words = ("check", model, "--pulse", 4, *(["--exact"] if exact else []))
    with late_slice():
        text, report = run(*words), run(*words, "--json")
    assert text.status == report.status == report.json["exit"] == 1
    assert report.json["verdict"] == "wrong"
    (output,) = report.json["runs"][0]["outputs"]
    first = output["first"]
    # One frame too late, so frame 0 of the slice is answered by the next: both follow from x.
    x = np.random.default_rng(0).standard_normal((1, 1, 1 + 3 * 4 + 1)).astype(np.float32)
    assert output["verdict"] == "wrong"
    assert first["wire"] == "b"
    assert (first["pulse"], first["index"]) == (0, [0, 0, 0])
    assert float(first["batch"]) == pytest.approx(np.tanh(x[0, 0, 2]))
    assert float(first["streamed"]) == pytest.approx(np.tanh(x[0, 0, 3]))
    assert text.out.startswith(
        f"pulse 4: output 'y' WRONG: wire 'b' at pulse 0, index [0, 0, 0]: batch {first['batch']}, "
        f"streamed {first['streamed']} ("
    )


def test_the_pulse_of_a_difference_is_the_turn_that_brought_it(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", CHAIN)
    x = np.zeros((1, 1, 20), np.float32)
    x[0, 0, 13] = 1
    np.savez(tmp_path / "in.npz", x=x)
    with late_slice():
        ran = run("check", model, "--pulse", 4, "--input", tmp_path / "in.npz", "--json")
    first = ran.json["runs"][0]["outputs"][0]["first"]
    # Frame 13 of x is frame 11 of b; read one frame late, frame 10 of b is the first that differs.
    # It is taken at raw frame 10 + 3, in turn 13 // 4.
    assert (first["index"], first["pulse"]) == ([0, 0, 10], 3)
    assert (float(first["batch"]), float(first["streamed"])) == (0.0, float(np.tanh(np.float32(1))))


def test_a_softmax_over_the_stream_is_refused_with_a_remedy(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", SOFTMAX)
    text, report = run("check", model), run("check", model, "--json")
    assert text.status == report.status == 2
    assert text.out.startswith('pulse 8: REFUSED pulsify v1: node "y" (Softmax): works over the')
    assert text.out.rstrip().endswith("apply it to another axis")
    assert report.json["verdict"] == "refused"
    refusal = report.json["runs"][0]["refusal"]
    assert list(refusal) == REFUSAL_KEYS
    assert (refusal["node"], refusal["op"]) == ("y", "Softmax")
    assert refusal["remedy"] == "apply it to another axis"
    assert refusal["reason"].startswith("works over the stream axis")
    assert refusal["message"] == text.out.removeprefix("pulse 8: REFUSED ").rstrip()


def test_a_pulse_that_splits_a_stride_is_refused_with_the_valid_ones() -> None:
    ran = run("check", CASES / "conv-strided", "--pulse", 3)
    assert ran.status == 2
    assert 'node "y" (Conv): pulse=3 brings 3 frames on axis 2' in ran.out
    assert "not a multiple of stride=2; use a pulse of 2, 4, 6, … frames" in ran.out


# JSON


def assert_schema(report: Any) -> None:
    assert list(report) == REPORT_KEYS
    assert report["schema"] == "tract-ref.check/1"
    assert (report["error"] is not None) == (report["exit"] in (3, 4) or not report["runs"])
    if report["error"] is not None:
        assert list(report["error"]) == ERROR_KEYS
    for entry in report["runs"]:
        assert list(entry) == ["pulse", "outputs", "refusal"]
        assert (entry["refusal"] is None) == bool(entry["outputs"])
        for output in entry["outputs"]:
            assert list(output) == OUTPUT_KEYS
            assert (output["first"] is not None) == (output["verdict"] == "wrong")
            if output["first"] is not None:
                assert list(output["first"]) == FIRST_KEYS
        if entry["refusal"] is not None:
            assert list(entry["refusal"]) == REFUSAL_KEYS


@pytest.mark.parametrize(
    ("body", "words", "verdict", "status"),
    [
        (CHAIN, [], "equal", 0),
        (CHAIN, ["--symbol", "Q"], "bad input", 3),
        (CHAIN, ["--set", "Q=1"], "bad input", 3),
        (SOFTMAX, [], "refused", 2),
        (f"{X} y = frobnicate(x);", [], "refused", 2),
        (f"{X} y = tanh(x, x);", [], "bad input", 3),
    ],
)
def test_json_has_one_schema(
    body: str, words: list[str], verdict: str, status: int, tmp_path: Path
) -> None:
    ran = run("check", nnef(tmp_path / "m", body), "--pulse", 4, "--pulse", 2, "--json", *words)
    assert_schema(ran.json)
    assert (ran.json["verdict"], ran.json["exit"], ran.status) == (verdict, status, status)
    assert [entry["pulse"] for entry in ran.json["runs"]] in ([4, 2], [])


def test_json_of_a_wrong_verdict_has_the_same_schema(tmp_path: Path) -> None:
    with late_slice():
        ran = run("check", nnef(tmp_path / "m", CHAIN), "--json")
    assert_schema(ran.json)
    assert (ran.json["receptive_field"], ran.json["state_bytes"]) == (1, 0)


# Options


def test_explain_shows_every_wire_whole() -> None:
    ran = run("check", WAVENET, "--explain")
    rows = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines()[2:]}
    assert rows["wire"] == ["batch", "per", "turn", "axis", "length", "delay", "rate"]
    assert rows["x"] == ["1,20,S,f32", "1,20,8,f32", "2", "S", "0", "1"]
    assert rows["y"][-2:] == ["182", "1"]
    assert "…" not in ran.out


def draws(model: Path, *words: object) -> str:
    with late_slice():
        report = run("check", model, "--json", *words).json
    return report["runs"][0]["outputs"][0]["first"]["batch"]


def test_the_seed_and_nothing_else_changes_drawn_inputs(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", CHAIN)
    assert draws(model) == draws(model, "--seed", 0)
    assert draws(model, "--seed", 1) == draws(model, "--seed", 1)
    assert draws(model, "--seed", 1) != draws(model)


def test_length_draws_inputs_even_for_an_exact_case() -> None:
    report = run("check", CASES / "conv-valid", "--length", 50, "--json").json
    assert report["verdict"] == "equal"
    assert {entry["outputs"][0]["frames"] for entry in report["runs"]} == {48}


def test_a_case_folder_without_arrays_draws_its_own_length(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", CHAIN)
    (model / "case.toml").write_text("[stream]\nlength = 31\npulses = [3, 5]\n")
    report = run("check", model, "--json").json
    assert [entry["pulse"] for entry in report["runs"]] == [3, 5]
    assert {entry["outputs"][0]["frames"] for entry in report["runs"]} == {29}


def test_own_inputs_are_used(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", CHAIN)
    np.savez(tmp_path / "in.npz", x=np.ones((1, 1, 37), np.float32))
    report = run("check", model, "--input", tmp_path / "in.npz", "--json").json
    assert report["runs"][0]["outputs"][0]["expected_frames"] == 35


def test_a_fixed_axis_becomes_the_stream(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", CHAIN.replace("S]", "20]"))
    assert run("check", model).status == 3
    report = run("check", model, "--axis", "x=2", "--symbol", "Q", "--json").json
    assert (report["verdict"], report["symbol"]) == ("equal", "Q")


def test_a_new_stream_has_a_symbol_of_its_own(tmp_path: Path) -> None:
    body = "x = tract_core_external(shape = [S, 20], datum_type = 'f32'); y = tanh(x);"
    ran = run("check", nnef(tmp_path / "m", body), "--axis", "x=1", "--set", "S=3", "--json")
    assert (ran.status, ran.json["verdict"]) == (0, "equal")
    ran = run("dump", tmp_path / "m", "--axis", "x=1")
    assert "S,S1,f32" in ran.out
    ran = run("check", tmp_path / "m", "--axis", "x=1")
    assert "has the free symbol S; set it" in ran.err


def test_symbol_and_set_leave_one_stream(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", TWO_FREE, head=TWO_SYMBOLS)
    assert run("check", model, "--set", "T=3", "--json").json["symbol"] == "S"
    assert run("check", model, "--set", "S=3", "--json").json["symbol"] == "T"
    assert run("check", model, "--symbol", "S", "--set", "T=3").status == 0


def test_drawn_inputs_keep_the_assertions_of_the_model(tmp_path: Path) -> None:
    for rule, frames in (("S >= 100", 98), ("S <= 5", 3)):
        head = HEAD.replace("graph", f"extension tract_assert {rule};\ngraph")
        report = run("check", nnef(tmp_path / rule[2:4], CHAIN, head=head), "--json").json
        assert report["runs"][0]["outputs"][0]["frames"] == frames


# Streams of awkward length


@pytest.mark.parametrize("exact", [True, False], ids=["plain", "fast"])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 7])
def test_a_short_stream_has_what_batch_has(length: int, exact: bool) -> None:
    words = ["--pulse", "4", "--pulse", "100", "--length", str(length), "--json"]
    ran = run("check", CASES / "conv-valid", *words, *(["--exact"] if exact else []))
    assert ran.status == 0
    for entry in ran.json["runs"]:
        (output,) = entry["outputs"]
        assert output["frames"] == output["expected_frames"] == max(0, length - 2)


def test_nan_weights_are_equal_to_themselves(tmp_path: Path) -> None:
    body = f"{X} w = variable<scalar>(label = 'w', shape = [1, 1, 3]);"
    body += "y = conv(x, w, 0.0, padding = [(0, 0)]);"
    weights = np.array([[[1, np.nan, 2]]], np.float32)
    model = nnef(tmp_path / "m", body)
    generator().write_dat(model / "w.dat", weights)
    for words in ([], ["--exact"]):
        report = run("check", model, "--json", *words).json
        assert report["verdict"] == "equal"
        assert report["runs"][0]["outputs"][0]["verdict"] == "nothing compared"


# Exit statuses


def test_the_first_status_in_precedence_wins() -> None:
    assert PRECEDENCE == (4, 3, 1, 2, 0)
    for count in range(1, 4):
        for statuses in itertools.product(PRECEDENCE, repeat=count):
            wanted = min(statuses, key=PRECEDENCE.index)
            assert worst_status(list(statuses)) == wanted
    assert worst_status([]) == EXIT_EQUAL


def test_over_several_pulses_the_worst_verdict_counts(tmp_path: Path) -> None:
    mixed = run("check", CASES / "conv-strided", "--pulse", 4, "--pulse", 3, "--pulse", 2)
    assert mixed.status == 2
    assert [line.split(":")[0] for line in mixed.out.splitlines() if line[0] == "p"] == [
        "pulse 4",
        "pulse 3",
        "pulse 2",
    ]
    body = f"{X} a = slice(x, axes = [2], begin = [2], end = [0]);"
    body += "y = slice(a, axes = [2], begin = [0], end = [S - 2], stride = [2]);"
    model = nnef(tmp_path / "m", body)
    assert run("check", model, "--pulse", 3, "--pulse", 4).status == 2
    with late_slice():
        assert run("check", model, "--pulse", 3, "--pulse", 4).status == 1


@pytest.mark.parametrize("command", [[], ["check"], ["dump"]])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_works(command: list[str], flag: str) -> None:
    ran = run(*command, flag)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(" ".join(["Usage: tract-ref", *command]))


def test_help_tells_the_default_pulse(tmp_path: Path) -> None:
    for command, default in (("check", "the case's"), ("dump", "the first of the case's")):
        text = " ".join(run(command, "--help").out.split())
        assert f"[default: {default} pulses, else 8]" in text
    model = nnef(tmp_path / "m", CHAIN)
    assert run("check", model, "--json").json["runs"][0]["pulse"] == 8
    assert "1,1,8,f32" in run("dump", model, "--pass", "pulse").out


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").out == f"tract-ref, version {tract_ref.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["frobnicate"],
        ["check"],
        ["check", WAVENET, "--frobnicate"],
        ["check", WAVENET, "--pulse", "1.5"],
        ["check", WAVENET, "--pulse", "P+1"],
        ["check", WAVENET, "--pulse", "0"],
        ["check", WAVENET, "--pulse", "-8"],
        ["check", WAVENET, "--pulse", "8", "--pulse", "0"],
        ["check", WAVENET, "--pulse", "100000000000"],
        ["check", WAVENET, "--pulse", "10000000000000000000000000"],
        ["check", WAVENET, "--length", "-1"],
        ["check", WAVENET, "--length", "100000000000", "--json"],
        ["check", WAVENET, "--seed", "-1"],
        ["check", WAVENET, "--axis", "x"],
        ["check", WAVENET, "--axis", "x=²"],
        ["check", WAVENET, "--set", "S=("],
        ["check", WAVENET, "--set", "S=-1"],
        ["check", WAVENET, "--set", "S=1", "--set", "S=2"],
        ["check", WAVENET, "--input", "in.npz", "--seed", "1"],
        ["dump", WAVENET, "--pass", "frobnicate"],
        ["dump", WAVENET, "--pass", "pulse", "--pulse", "0"],
        ["dump", WAVENET, "--pass", "pulse", "--pulse", "10000000000000000000000000"],
        ["dump", CASES / "conv-valid" / "graph.nnef"],
    ],
)
def test_a_usage_error_is_bad_input(words: list[object]) -> None:
    ran = run(*words)
    assert ran.status == 3
    assert "Traceback" not in ran.err
    assert ran.err


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_args: object, **_named: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_an_unexpected_exception_is_internal(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tract_ref.cli.check.prove", failing(ZeroDivisionError("injected")))
    ran = run("check", CASES / "conv-valid", *words)
    assert ran.status == 4
    assert "ZeroDivisionError: injected" in ran.err
    assert ran.err.endswith("InternalError: this is a bug of tract_ref; please report it\n")


def test_an_internal_error_is_internal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tract_ref.cli.check.prove", failing(InternalError("injected")))
    assert run("check", CASES / "conv-valid").status == 4
    report = run("check", CASES / "conv-valid", "--json").json
    assert_schema(report)
    assert (report["verdict"], report["exit"]) == ("internal", 4)


def test_the_program_exits_with_the_status(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", SOFTMAX)
    code = "from tract_ref.cli import main; main()"
    root = str(Path(tract_ref.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, "check", str(model)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert "REFUSED" in done.stdout


# Archives and dumps


@pytest.mark.parametrize("suffix", ["tar", "tgz"])
def test_an_archive_has_the_verdict_of_its_folder(suffix: str, tmp_path: Path) -> None:
    folder = CASES / "conv-chain"
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".nnef", ".dat")}
    archive = tmp_path / f"model.{suffix}"
    write_tar(archive, files, gzip=suffix == "tgz")
    words = ("--pulse", 4, "--length", 40, "--exact", "--json")
    assert run("check", archive, *words).json == run("check", folder, *words).json


@pytest.mark.parametrize("name", ["saved", "saved.tar", "saved.tgz"])
@pytest.mark.parametrize("case", ["conv-chain", "pad-reflect", "pulse-sync-inputs-multi-delay"])
def test_a_saved_model_has_the_same_outputs(case: str, name: str, tmp_path: Path) -> None:
    model = tract_ref.load(CASES / case)
    tract_ref.save(model, tmp_path / name)
    again = tract_ref.load(tmp_path / name)
    with np.load(CASES / case / "io.npz") as bundle:
        inputs = {wire: bundle[wire] for wire in model.input_names}
    old, new = (Plan(m, fast=False).run(inputs) for m in (model, again))
    assert old.keys() == new.keys()
    assert all(np.array_equal(old[wire], new[wire]) for wire in old)


@pytest.mark.parametrize("stage", ["load", "declutter", "pulse"])
def test_a_dump_is_text_or_json(stage: str) -> None:
    words = ("dump", CASES / "conv-chain", "--pass", stage)
    text, graph = run(*words), run(*words, "--json")
    assert text.status == graph.status == 0
    assert list(graph.json) == ["schema", "inputs", "outputs", "nodes"]
    assert graph.json["schema"] == "tract-ref.dump/1"
    assert (graph.json["inputs"], graph.json["outputs"]) == (["x"], ["y"])
    names = [node["name"] for node in graph.json["nodes"]]
    assert all(re.search(rf"^{re.escape(name)} = ", text.out, re.MULTILINE) for name in names)
    counts = run(*words, "--counts", "--json")
    assert counts.json["counts"]["Conv"] == 3
