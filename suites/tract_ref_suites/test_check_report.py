"""What `check` says beyond its verdict: every wire on request, and when nothing was compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tract_ref_suites.command_line import CASES, HEAD, X, nnef, run

CONV = CASES / "conv-valid"
WIRE_KEYS = ["wire", "batch", "per_turn", "axis", "length", "delay", "rate"]


def test_json_explains_every_wire_of_every_pulse() -> None:
    ran = run("check", CONV, "--pulse", 2, "--pulse", 4, "--explain", "--json")
    assert ran.status == 0
    for entry, pulse in zip(ran.json["runs"], (2, 4), strict=True):
        assert list(entry) == ["pulse", "outputs", "refusal", "wires", "delays", "refused"]
        assert [list(wire) for wire in entry["wires"]] == [WIRE_KEYS] * 2
        source, made = entry["wires"]
        assert source["wire"] == "x"
        assert source["per_turn"] == f"1,1,{pulse},f32"
        assert made == {
            "wire": "y",
            "batch": "1,1,max(0,S+-2),f32",
            "per_turn": f"1,1,{pulse},f32",
            "axis": 2,
            "length": "max(0,S+-2)",
            "delay": 2,
            "rate": "1",
        }


def test_text_and_json_explain_the_same() -> None:
    text = run("check", CONV, "--pulse", 2, "--explain").out.splitlines()[3:5]
    report = run("check", CONV, "--pulse", 2, "--explain", "--json").json
    shown = [[str(value) for value in wire.values()] for wire in report["runs"][0]["wires"]]
    assert [line.split() for line in text] == shown


def test_json_without_explain_has_no_wires() -> None:
    assert "wires" not in run("check", CONV, "--pulse", 2, "--json").json["runs"][0]


def test_a_refused_pulse_explains_no_wire(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", f"{X} y = softmax(x, axes = [2]);")
    ran = run("check", model, "--pulse", 4, "--explain", "--json")
    assert (ran.status, ran.json["runs"][0]["wires"]) == (2, [])


@pytest.mark.parametrize(("length", "frames"), [(0, 0), (1, 0), (2, 0), (3, 1)])
def test_an_empty_output_proves_nothing(length: int, frames: int) -> None:
    words = ("check", CONV, "--pulse", 4, "--length", length, "--exact")
    kind = "exact" if frames else "nothing compared"
    sentence = f"pulse 4: output 'y' {kind}, delay 2 samples, {frames} of {frames} samples"
    ran = run(*words)
    assert (ran.status, ran.out.splitlines()[0]) == (0, sentence)
    report = run(*words, "--json").json
    assert (report["verdict"], report["exit"]) == ("equal", 0)
    assert report["runs"][0]["outputs"][0]["verdict"] == kind


def test_an_output_of_nothing_but_nan_proves_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.full((1, 1, 9), np.nan, np.float32))
    ran = run("check", CONV, "--pulse", 4, "--input", tmp_path / "in.npz")
    assert ran.status == 0
    assert ran.out.startswith("pulse 4: output 'y' nothing compared, delay 2 samples, 7 of 7")


def test_one_number_among_nans_is_compared(tmp_path: Path) -> None:
    x = np.full((1, 1, 9), np.nan, np.float32)
    x[..., :3] = 1
    np.savez(tmp_path / "in.npz", x=x)
    ran = run("check", CONV, "--pulse", 4, "--exact", "--input", tmp_path / "in.npz")
    assert ran.out.startswith("pulse 4: output 'y' exact, delay 2 samples, 7 of 7 samples")


def test_drawn_lengths_are_those_of_a_scenario(tmp_path: Path) -> None:
    head = HEAD.replace(
        "graph",
        "extension tract_assert few: S <= 2;\nextension tract_assert many: S >= 90;\ngraph",
    )
    model = nnef(tmp_path / "m", f"{X} y = tanh(x);", head=head)
    report = run("check", model, "--pulse", 4, "--json").json
    assert report["runs"][0]["outputs"][0]["frames"] == 90
    ran = run("check", model, "--pulse", 4, "--length", 5)
    assert ran.status == 3
    assert "no possible scenario for S=5 (few: S <= 2; many: S >= 90)" in ran.err
