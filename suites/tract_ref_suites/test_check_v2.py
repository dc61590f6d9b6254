"""`check --v2`: exact increments of any chunks, regions in closed form, what is kept, refusals."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tract_ref.ir.rules import Refusal
from tract_ref.ops.slicing import Slice
from tract_ref.prove_increments import Chunks
from tract_ref.runtime.reach import Reach
from tract_ref.stream.region import Count
from tract_ref.stream.tables import REGION_V2
from tract_ref_suites.command_line import CASES, HEAD, X, nnef, run

CONV = CASES / "conv-valid"
REPORT_KEYS = ["schema", "verdict", "exit", "error", "symbol", "runs"]
RUN_KEYS = ["chunks", "increments", "source_frames", "state_bytes", "outputs", "no_region"]
OUTPUT_KEYS = ["name", "verdict", "frames", "expected_frames", "max_ulp", "latency", "region"]
EXPLAIN_KEYS = ["wires", "nodes", "turns", "refused"]

CHAIN = f"""{X}
a = tanh(x);
b = slice(a, axes = [2], begin = [2], end = [0]);
c = b * 3.0;
y = sigmoid(c);"""
TWO_REFUSED = f"""{X}
a = softmax(x, axes = [2]);
b = tanh(a);
c = softmax(tanh(x), axes = [2]) + b;
y = c + x;"""


def slice_that_reads_one_frame_early() -> AbstractContextManager[None]:
    """Break the rule of Slice: it tells that output frame j reads the frame before its own."""
    rule = REGION_V2.lookup(Slice)
    assert not isinstance(rule, Refusal)

    def broken(op: Any, node: Any, ctx: Any) -> Any:
        plan = rule(op, node, ctx)
        assert plan is not None
        moved = tuple(
            reach and replace(reach, low=reach.low - 1, high=reach.high - 1)
            for reach in plan.inputs
        )
        return replace(plan, inputs=moved)

    return REGION_V2.replaced(Slice, broken)


# Verdicts


def test_a_valid_convolution_is_exact_in_chunks_of_its_pulses() -> None:
    ran = run("check", CONV, "--v2", "--exact")
    assert (ran.status, ran.err) == (0, "")
    late = ("latency 2", "latency 2 to 3", "latency 2 to 5")
    middle = ("", " (median 2)", " (median 3)")
    assert ran.out.splitlines() == [
        line
        for chunk, least, median, pushes in zip((1, 2, 4), late, middle, (12, 6, 3), strict=True)
        for line in (
            f"chunks {chunk}: output 'y' exact, {least} samples{median}, 10 of 10 samples",
            "  region after s source frames: max(0, s - 2)",
            f"  increments {pushes}, state at most 8 bytes",
        )
    ]


def test_the_wavenet_gives_all_of_its_frames_and_drops_none() -> None:
    ran = run("check", CASES / "wavenet-hey-snips", "--v2", "--chunks", "8", "--json")
    assert ran.status == 0
    (entry,) = ran.json["runs"]
    (output,) = entry["outputs"]
    assert (output["frames"], output["expected_frames"]) == (74, 74)
    assert output["latency"] == {"min": 182, "median": 185, "max": 189}
    assert output["region"]["text"] == "max(0, s - 182)"
    assert (entry["increments"], entry["source_frames"]) == (32, 256)
    # 2x20 samples of the input, and 180 of 16 channels, as in fixed pulses.
    assert entry["state_bytes"] == 11_680


@pytest.mark.parametrize("chunks", ["1", "7,0,64", "300", "random"])
def test_the_linear_wavenet_is_exact_however_it_is_cut(chunks: str) -> None:
    model = CASES / "wavenet-hey-snips-linear"
    (entry,) = run("check", model, "--v2", "--exact", "--chunks", chunks, "--json").json["runs"]
    assert entry["chunks"] == chunks
    assert entry["outputs"][0]["verdict"] == "exact"
    assert entry["outputs"][0]["frames"] == 74


def test_a_chunk_need_not_be_a_multiple_of_the_stride() -> None:
    ran = run("check", CASES / "conv-strided", "--v2", "--exact", "--pulse", 3, "--pulse", 1)
    assert ran.status == 0
    assert ran.out.count("region after s source frames: max(0, floor((s - 1) / 2))") == 2
    assert [line.split(":")[0] for line in ran.out.splitlines() if line[0] == "c"] == [
        "chunks 3",
        "chunks 1",
    ]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7])
def test_a_short_stream_has_what_batch_has(length: int) -> None:
    ran = run("check", CONV, "--v2", "--exact", "--length", length, "--chunks", "4", "--json")
    assert ran.status == 0
    (output,) = ran.json["runs"][0]["outputs"]
    assert output["frames"] == output["expected_frames"] == max(0, length - 2)
    assert (output["latency"] is None) == (length <= 2)


def test_an_input_that_is_longer_than_the_stream_is_held_to_its_region(tmp_path: Path) -> None:
    body = "x = tract_core_external(shape = [1, 1, S+1], datum_type = 'f32');"
    body += "y = slice(x, axes = [2], begin = [3], end = [S + 1]);"
    model = nnef(tmp_path / "m", body)
    ran = run("check", model, "--v2", "--exact", "--length", 21, "--chunks", "20,1")
    assert ran.status == 0
    told = "chunks 20,1: output 'y' exact, latency 2 to 19 samples (median 10), 19 of 19 samples"
    assert ran.out.splitlines()[0] == told


def test_an_output_of_several_pieces_tells_where_they_begin() -> None:
    ran = run("check", CASES / "tract-slice-fixed-end", "--v2", "--exact")
    assert "  region after s source frames: min(s, 3); from s=3 on 5, complete" in ran.out


def test_a_rule_that_reads_the_wrong_frames_is_wrong_at_its_own_wire(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", CHAIN)
    x = np.zeros((1, 1, 20), np.float32)
    x[0, 0, 13] = 1
    np.savez(tmp_path / "in.npz", x=x)
    words = ("check", model, "--v2", "--chunks", "4", "--input", tmp_path / "in.npz")
    assert run(*words).status == 0
    with slice_that_reads_one_frame_early():
        text, report = run(*words), run(*words, "--json")
    assert text.status == report.status == report.json["exit"] == 1
    assert report.json["verdict"] == "wrong"
    (output,) = report.json["runs"][0]["outputs"]
    assert output["first"] == {
        # Frame 13 of x is frame 11 of b, but frame 12 of x is read for it, which is 0. That one
        # was there with the fourth push.
        "wire": "b",
        "push": 3,
        "index": [0, 0, 11],
        "batch": str(float(np.tanh(np.float32(1)))),
        "streamed": "0.0",
    }
    first = output["first"]
    assert text.out.startswith(
        "chunks 4: output 'y' WRONG: wire 'b' at push 3, index [0, 0, 11]: "
        f"batch {first['batch']}, streamed {first['streamed']} ("
    )


def test_a_region_that_is_not_what_came_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    through = Count.through

    def one_less(self: Count, reach: Reach) -> Count:
        return through(self, replace(reach, high=reach.high + 1))

    monkeypatch.setattr(Count, "through", one_less)
    ran = run("check", CONV, "--v2", "--exact", "--chunks", "4")
    assert ran.status == 1
    assert ran.out.startswith(
        "chunks 4: output 'y' WRONG: wire 'y': push 0: 2 frames were given after 4 source frames; "
        "the region tells 1"
    )


def test_an_output_that_does_not_stream_is_the_same_every_push(tmp_path: Path) -> None:
    head = HEAD.replace("(y)", "(y, z)")
    model = nnef(tmp_path / "m", f"{X} y = tanh(x); z = [[1.0, 2.0]] * 2.0;", head=head)
    ran = run("check", model, "--v2", "--exact", "--chunks", "3")
    assert ran.status == 0
    assert "chunks 3: output 'z' exact, the same every push" in ran.out.splitlines()


# Refusals


def test_a_softmax_over_the_stream_is_refused_with_a_remedy(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", f"{X} y = softmax(x, axes = [2]);")
    text, report = run("check", model, "--v2"), run("check", model, "--v2", "--json")
    assert text.status == report.status == 2
    assert text.out.startswith('chunks 8: REFUSED pulsify v2: node "y" (Softmax): works over the')
    refusal = report.json["runs"][0]["refusal"]
    assert (refusal["node"], refusal["op"]) == ("y", "Softmax")
    assert refusal["remedy"] == "apply it to another axis"
    assert report.json["runs"][0]["outputs"] == []


def test_explain_lists_every_refusal_once_however_many_chunks(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", TWO_REFUSED)
    words = ("check", model, "--v2", "--pulse", 2, "--pulse", 3, "--explain")
    text, report = run(*words), run(*words, "--json")
    assert text.status == 2
    assert text.out.count("refused: node") == len(report.json["refused"])
    assert {entry["op"] for entry in report.json["refused"]} == {"Softmax"}
    assert {entry["remedy"] for entry in report.json["refused"]} == {"apply it to another axis"}
    # Behind the first softmax are tanh and two sums, behind the other one the sums.
    behind = {entry["node"]: entry["behind"] for entry in report.json["refused"]}
    assert (behind.pop("a"), list(behind.values())) == (3, [2])
    assert text.out.splitlines().count("  to lift it: apply it to another axis") == 2


# Explain


def test_explain_shows_regions_reads_and_what_is_kept() -> None:
    ran = run("check", CASES / "late-end-conv-chain", "--v2", "--chunks", "4", "--explain")
    lines = [line.split() for line in ran.out.splitlines()[3:]]
    assert lines == [
        ["wire", "batch", "axis", "rate", "kept", "frames", "after", "s", "source", "frames"],
        ["x", "1,1,S,f32", "2", "1", "3", "s"],
        ["c", "1,1,max(0,S+-3),f32", "2", "1", "2", "min(max(1,", "s", "-", "3),", "s)"],
        ["a", "1,1,max(0,S+-3),f32", "2", "1", "2", "max(0,", "s", "-", "5)"],
        ["y", "1,1,max(0,S+-3),f32", "2", "1", "0", "max(0,", "s", "-", "6)"],
        ["node", "op", "output", "frame", "j", "reads"],
        ["c", "Slice", "frame", "j", "of", "'x'"],
        ["a", "Conv", "frames", "j", "to", "j", "+", "2", "of", "'c'"],
        ["y", "Conv", "frames", "j", "-", "1", "to", "j", "+", "1", "of", "'a'"],
        ["'y'", "after", "turn", "T", "of", "P", "source", "frames:", "max(0,P+-6+(P)*(T))"],
    ]


def test_the_view_in_turns_takes_names_that_are_free(tmp_path: Path) -> None:
    head = HEAD.replace("tract_symbol S", "tract_symbol T").replace(
        "graph", "extension tract_symbol P;\ngraph"
    )
    body = "x = tract_core_external(shape = [P, T], datum_type = 'f32'); y = tanh(x);"
    model = nnef(tmp_path / "m", body, head=head)
    words = ("check", model, "--v2", "--symbol", "T", "--set", "P=2", "--explain")
    assert "  'y' after turn T1 of P source frames: P+(P)*(T1)" in run(*words).out.splitlines()


def test_text_and_json_explain_the_same() -> None:
    words = ("check", CASES / "pad-reflect", "--v2", "--chunks", "4", "--explain")
    text, report = run(*words).out, run(*words, "--json").json
    for wire in report["wires"]:
        row = [wire["wire"], wire["batch"], str(wire["axis"]), wire["rate"], str(wire["kept"])]
        shown = [line for line in text.splitlines() if line.split()[:5] == row]
        assert [line.rstrip().endswith(wire["region"]) for line in shown] == [True]
    (node,) = report["nodes"]
    assert node["reads"] == [
        "frame j - 2 of 'x', once the first 3 have come, the last 4 after its end"
    ]
    assert node["reads"][0] in text


def test_json_has_one_schema(tmp_path: Path) -> None:
    for body, verdict, status in (
        (CHAIN, "equal", 0),
        (f"{X} y = softmax(x, axes = [2]);", "refused", 2),
        (f"{X} y = tanh(x, x);", "bad input", 3),
    ):
        for words in ([], ["--explain"]):
            model = nnef(tmp_path / "m", body)
            ran = run("check", model, "--v2", "--json", *words)
            report = ran.json
            found = bool(report["runs"])
            assert list(report) == [*REPORT_KEYS, *(EXPLAIN_KEYS if words and found else [])]
            assert report["schema"] == "tract-ref.check-v2/1"
            assert (report["verdict"], report["exit"], ran.status) == (verdict, status, status)
            assert (report["error"] is None) == (status != 3)
            for entry in report["runs"]:
                assert list(entry) == [*RUN_KEYS, "refusal"]
                for output in entry["outputs"]:
                    assert list(output) == [*OUTPUT_KEYS, "first"]


def test_json_tells_a_region_as_numbers() -> None:
    (entry,) = run("check", CONV, "--v2", "--chunks", "5", "--json").json["runs"]
    assert entry["outputs"][0]["region"] == {
        "text": "max(0, s - 2)",
        "complete": None,
        "pieces": [
            {
                "from": 0,
                "clauses": [[{"step": 0, "offsets": [0]}, {"step": 1, "offsets": [-2]}]],
            }
        ],
    }


# Chunks


@pytest.mark.parametrize("text", ["160,320,7", "160,320,7,...", "160, 320, 7, …"])
def test_chunks_go_over_and_over(text: str) -> None:
    ran = run("check", CONV, "--v2", "--length", 1000, "--chunks", text, "--json")
    (entry,) = ran.json["runs"]
    # 160 320 7 160 320 7 26
    assert (ran.status, entry["chunks"], entry["increments"]) == (0, "160,320,7", 7)


@pytest.mark.parametrize("total", [0, 1, 2, 7, 100, 100_000])
@pytest.mark.parametrize("sizes", [(), (1,), (3, 0, 5), (0, 8)])
def test_chunks_add_up_to_the_stream(sizes: tuple[int, ...], total: int) -> None:
    cut = Chunks(sizes, 3).cut(total)
    assert sum(cut) == total
    assert all(0 <= size <= total for size in cut)
    wanted = [sizes[i % len(sizes)] for i in range(len(cut) - 1)] if sizes else cut[:-1]
    assert cut[:-1] == wanted


def test_random_chunks_are_those_of_the_seed() -> None:
    first, same, other = (Chunks((), seed).cut(5000) for seed in (1, 1, 2))
    assert first == same != other
    assert 0 in [size for seed in range(20) for size in Chunks((), seed).cut(5000)]
    assert max(first) > 500


def test_the_seed_of_random_chunks_goes_with_own_inputs(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.ones((1, 1, 500), np.float32))
    words = ("check", CONV, "--v2", "--chunks", "random", "--input", tmp_path / "in.npz", "--json")
    found = [run(*words, "--seed", seed).json["runs"][0] for seed in (1, 1, 2)]
    assert [entry["outputs"][0]["frames"] for entry in found] == [498] * 3
    pushes = [entry["increments"] for entry in found]
    assert pushes == [len(Chunks((), seed).cut(500)) for seed in (1, 1, 2)]


@pytest.mark.parametrize(
    "words",
    [
        ["--chunks", "8"],
        ["--v2", "--chunks", "0"],
        ["--v2", "--chunks", "0,0,..."],
        ["--v2", "--chunks", ""],
        ["--v2", "--chunks", "..."],
        ["--v2", "--chunks", "8,,8"],
        ["--v2", "--chunks", "-8"],
        ["--v2", "--chunks", "²"],
        ["--v2", "--chunks", "random,8"],
        ["--v2", "--chunks", "100000000000"],
        ["--v2", "--chunks", "8", "--pulse", "8"],
        ["--v2", "--pulse", "P"],
        ["--v2", "--input", "in.npz", "--chunks", "8", "--seed", "1"],
    ],
)
def test_a_usage_error_is_bad_input(words: list[str]) -> None:
    text, report = run("check", CONV, *words), run("check", CONV, *words, "--json")
    assert text.status == report.status == report.json["exit"] == 3
    assert "Traceback" not in text.err
    schema = "tract-ref.check-v2/1" if "--v2" in words else "tract-ref.check/1"
    assert report.json["schema"] == schema
    assert report.json["error"]["message"]
