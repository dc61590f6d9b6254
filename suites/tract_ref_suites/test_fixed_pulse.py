"""Fixed pulses of v2: the wavenet's counts, chains of any depth, refusals."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tract_ref import Plan, Pulsed, load, pulsify
from tract_ref.dim import Dim, Scope, sym
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.binary import Add
from tract_ref.ops.buffer import Delay
from tract_ref.ops.conv import Conv
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.stream.window import Valid, WindowSpec
from tract_ref_suites.checks.turns import ENDS, End, run_turns
from tract_ref_suites.checks.v1_v2 import wiring
from tract_ref_suites.command_line import CASES
from tract_ref_suites.problems.base import SYMBOL, facts

S, P = sym(SYMBOL), sym("P")
WAVENETS = (CASES / "wavenet-hey-snips", CASES / "wavenet-hey-snips-linear")
CYCLE = (1, 2, 4, 8)


def delays_of(pulsed: Pulsed) -> list[Delay]:
    return [node.op for node in pulsed.model.order() if isinstance(node.op, Delay)]


def source(least: int) -> tuple[Model, Outlet]:
    model = Model(Scope().asserting(f"{SYMBOL}>={least}"))
    return model, model.add_source("x", facts("1,1,S,f32")[0])


def conv(model: Model, name: str, wire: Outlet, dilation: int) -> Outlet:
    kernel = model.add_const(f"{name}.w", np.zeros((1, 1, 3), np.float32))
    window = WindowSpec((3,), (1,), (dilation,), (Valid(),))
    return model.wire(name, Conv(window, 1), (wire, kernel))[0]


def chain(dilations: list[int], *, skips: bool = False) -> Model:
    """Return convolutions one after the other, each added to its cropped input if `skips`."""
    used = 2 * sum(dilations)
    model, wire = source(used + 1)
    length: Dim = S
    for number, dilation in enumerate(dilations):
        made = conv(model, f"c{number}", wire, dilation)
        if skips:
            crop = Slice(2, 2 * dilation, length)
            (kept,) = model.wire(f"k{number}", crop, (wire,))
            (made,) = model.wire(f"h{number}", Add(), (made, kept))
        wire, length = made, length - 2 * dilation
    model.set_outputs([wire], ["y"])
    return model


@pytest.mark.parametrize("folder", WAVENETS, ids=lambda folder: folder.name)
def test_the_wavenet_keeps_25_delays_that_hold_182_frames(folder: Path) -> None:
    pulsed = pulsify(load(folder), 8, version=2)
    assert {op.delay for op in delays_of(pulsed)} == {0}
    assert Counter(op.overlap for op in delays_of(pulsed)) == {2: 7, 4: 6, 8: 6, 16: 6}
    assert pulsed.delays == (182,)
    assert pulsed.receptive_field == 183
    assert wiring(pulsed.model) == wiring(pulsify(load(folder), 8).model)


def test_the_wavenet_has_the_ops_of_the_published_table() -> None:
    pulsed = pulsify(load(WAVENETS[0]), 8, version=2)
    found = Counter(node.op.name for node in pulsed.model.order())
    assert {name: count for name, count in found.items() if name not in ("Const", "Source")} == {
        "Add": 47, "Conv": 49, "Delay": 25, "EinSum": 49,
        "Max": 2, "Mul": 25, "Sigmoid": 24, "Tanh": 24,
    }  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("folder", WAVENETS, ids=lambda folder: folder.name)
def test_the_74_values_of_the_wavenet_are_those_of_the_batch(folder: Path, end: End) -> None:
    model = load(folder)
    x = np.load(folder / "io.npz")["x"]
    (batch,) = Plan(model, fast=False).run({"x": x}, symbols={SYMBOL: 256}).values()
    plan = Plan(pulsify(model, 8, version=2).model, fast=False)
    (output,) = run_turns(plan, {"x": x}, 256, end=end).values()
    assert output.kept.shape[2] == 74
    assert np.array_equal(output.kept, batch)


def test_every_value_of_the_linear_wavenet_is_exact() -> None:
    io = np.load(WAVENETS[1] / "io.npz")
    plan = Plan(pulsify(load(WAVENETS[1]), 8, version=2).model)
    (output,) = run_turns(plan, {"x": io["x"]}, 256).values()
    assert output.kept.shape == io["y"].shape == (1, 1, 74)
    assert np.array_equal(output.kept, io["y"])


def test_a_chain_that_looks_back_two_thousand_million_frames_allocates_none_of_them() -> None:
    model = chain([2**i for i in range(30)])
    tracemalloc.start()
    pulsed = pulsify(model, "P", version=2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (output,) = pulsed.model.outputs
    assert pulsed.model.fact(output).shape == (1, 1, P)
    assert pulsed.delays == (2**31 - 2,)
    assert [op.overlap for op in delays_of(pulsed)] == [2 ** (i + 1) for i in range(30)]
    assert peak < 2**26


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("skips", [False, True])
def test_a_chain_of_1000_convolutions_declares_one_pulse(version: int, *, skips: bool) -> None:
    dilations = [CYCLE[i % 4] for i in range(1000)]
    pulsed = pulsify(chain(dilations, skips=skips), "P", version=version)
    (output,) = pulsed.model.outputs
    assert pulsed.model.fact(output).shape == (1, 1, P)
    assert pulsed.delays == (7500,)
    assert sum(op.overlap for op in delays_of(pulsed)) == 7500
    assert [op.delay for op in delays_of(pulsed)] == [0] * 1000


def test_a_crop_that_equals_the_lookback_of_the_other_branch_waits_for_nothing() -> None:
    for n in (1, 2, 4, 8):
        pulsed = pulsify(chain([1] * n, skips=True), 4, version=2)
        found = Counter(node.op.name for node in pulsed.model.order())
        assert (found["Conv"], found["Add"], found["Delay"]) == (n, n, n)


def test_a_pulse_that_is_no_multiple_of_the_stride_is_refused_as_in_v1() -> None:
    model, wire = source(1)
    model.set_outputs(model.wire("y", Downsample(2, 2, 1), (wire,)), ["y"])
    said: list[str] = []
    for version in (1, 2):
        with pytest.raises(Refused) as refusal:
            pulsify(model, 3, version=version)
        said.append(str(refusal.value))
    assert said[1].startswith('pulsify v2: node "y" (Downsample): pulse=3 brings 3/2 frames')
    assert said[1].endswith("use a pulse that is a multiple of 2")
    assert said[0].startswith('pulsify v1: node "y" (Downsample): pulse=3 brings')


def test_a_version_that_does_not_exist_is_refused_by_number() -> None:
    model, wire = source(1)
    model.set_outputs([wire], ["y"])
    with pytest.raises(Refused, match=r"^pulsify: pulsifier version 3; use 1 or 2$"):
        pulsify(model, 1, version=3)


@pytest.mark.parametrize("pulse", [0, -1, "S"])
def test_messages_about_the_pulse_name_the_pulsifier(pulse: int | str) -> None:
    with pytest.raises(InvalidModel, match=r"^pulsify v2: pulse="):
        pulsify(chain([1]), pulse, version=2)


def test_a_delay_of_v2_is_explained_by_parts_that_add_up_to_it() -> None:
    pulsed = pulsify(load(WAVENETS[0]), 8, version=2)
    (name,) = pulsed.batch.output_names
    steps = pulsed.explain(name)
    assert sum(step.source_frames for step in steps) == 182
    assert all(after.source == before.wire for before, after in pairwise(steps))
