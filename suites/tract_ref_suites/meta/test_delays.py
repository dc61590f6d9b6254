"""The closed forms of delays give the numbers of spec/pulse.md, know every op, see idle streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tract_ref.dim import Dim, Scope, sym
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ir.op import Op
from tract_ref.ops.axes import Reshape
from tract_ref.ops.binary import Add
from tract_ref.ops.concat import Concat
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import MaxPool
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.passes.before_pulsify import before_pulsify
from tract_ref.passes.declutter import declutter
from tract_ref_suites.checks.delays import expected_delays
from tract_ref_suites.meta.mutants import MUTANTS, all_laws, examples, needed
from tract_ref_suites.meta.mutants_stream import MERGING, PASSING, WINDOWING
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import SYMBOL, Problem
from tract_ref_suites.problems.deconv import Spread, deconv_op
from tract_ref_suites.strategies.windows import Along, window_spec

S = sym(SYMBOL)
F32 = np.dtype("f4")
COVERED = 5
"""Problems of a strategy whose ops are looked up."""


def chained(*ops: Op, length: Dim = S, least: int = 0) -> Model:
    """Return ops one after the other over a stream [1, 1, length]."""
    model = Model(Scope([f"{SYMBOL}>={least}"] if least else []))
    wire = model.add_source("x", Fact(F32, (1, 1, length)))
    for number, op in enumerate(ops):
        (wire,) = model.wire(f"op{number}", op, (wire,))
    model.set_outputs([wire], ["y"])
    return model


def window(kernel: int, stride: int = 1, pads: tuple[int, int] = (0, 0)) -> MaxPool:
    """Return a window along the stream."""
    return MaxPool(window_spec((Along(kernel, stride, 1, pads),)))


def drop(before: int, after: int = 0) -> Slice:
    """Return a crop of a stream of S frames."""
    return Slice(2, before, S - after)


def pad(before: int, after: int, mode: str = "constant") -> Pad:
    """Return a pad along the stream."""
    return Pad(((0, 0), (0, 0), (before, after)), mode, -1.0)


NUMBERS: dict[str, tuple[Model, int, int]] = {
    "valid": (chained(window(3)), 4, 2),
    "causal": (chained(window(3, 1, (2, 0))), 4, 0),
    "ahead": (chained(window(3, 1, (0, 2))), 4, 2),
    "same": (chained(window(3, 1, (1, 1))), 4, 1),
    "more padding than field": (chained(window(3, 1, (5, 5))), 4, 0),
    "stride": (chained(window(3, 2)), 4, 1),
    "stride, padded in front": (chained(window(3, 2, (2, 0))), 4, 0),
    "stride, padded behind": (chained(window(3, 2, (0, 2))), 4, 1),
    "stride, padded both ways": (chained(window(4, 2, (1, 1))), 4, 1),
    "gaps": (chained(window(2, 3)), 3, 0),
    "gaps after a crop": (chained(drop(1), window(2, 3)), 3, 0),
    "crop, then every second": (chained(drop(3), Downsample(2, 2, 1)), 4, 2),
    "pad in front": (chained(drop(2), pad(5, 0)), 4, 0),
    "edge": (chained(drop(2), pad(1, 0, "edge")), 4, 2),
    "reflect": (chained(drop(2), pad(3, 0, "reflect")), 4, 5),
    "late end": (chained(drop(0, 4), pad(0, 3)), 4, 4),
    "late end of a long stream": (chained(drop(0, 4), pad(0, 3), least=100), 4, 4),
    "late end, short turns": (chained(drop(0, 3), pad(0, 3)), 2, 3),
    "late end of a half": (chained(window(2, 2), pad(0, 1)), 4, 0),
    "rest of an input": (chained(Slice(2, 0, S - 1), pad(0, 3), length=S + 2), 4, 3),
    "bounded end": (chained(Slice(2, 0, 3), pad(0, 1)), 1, 0),
    "bounded crop": (chained(drop(0, 600), Slice(2, 0, 900), pad(0, 1)), 1, 600),
    "split": (chained(drop(1), Reshape(2, (S - 1,), (S - 1, 1))), 4, 1),
}


@pytest.mark.parametrize("name", list(NUMBERS))
def test_the_closed_form_of_one_path_is_the_number_of_the_specification(name: str) -> None:
    model, pulse, delay = NUMBERS[name]
    assert expected_delays(model, SYMBOL, pulse) == [delay]


def test_a_transposed_convolution_counts_its_delay_in_its_own_frames() -> None:
    model = chained(window(3))
    kernel = model.add_const("kernel", np.ones((1, 1, 3), F32))
    op = deconv_op((Spread(3, 2),), 1)
    model.set_outputs(model.wire("up", op, (model.outputs[0], kernel)), ["y"])
    assert expected_delays(model, SYMBOL, 4) == [4]


def test_the_latest_path_gives_the_delay_where_paths_meet() -> None:
    model = Model()
    wire = model.add_source("x", Fact(F32, (1, 1, S)))

    def path(name: str, *ops: Op) -> Outlet:
        end = wire
        for number, op in enumerate(ops):
            (end,) = model.wire(f"{name}{number}", op, (end,))
        return end

    # Four frames wait for two windows, two wait for the crop: never their sum.
    deep, crop = path("deep", window(3), window(3)), path("crop", drop(2, 2))
    (summed,) = model.wire("sum", Add(), (deep, crop))
    half = path("half", window(3), window(3, 1, (2, 0)), drop(2))
    (joined,) = model.wire("join", Concat(1), (summed, deep))
    model.set_outputs([summed, half, joined, wire], ["y", "half", "joined", "x"])
    assert expected_delays(model, SYMBOL, 4) == [4, 4, 4, 0]


def test_frames_in_front_are_waited_for_as_late_as_their_place() -> None:
    model = Model(Scope([f"{SYMBOL}>=9"]))
    wire = model.add_source("x", Fact(F32, (S,)))
    (piece,) = model.wire("piece", Slice(0, 5, 7), (wire,))
    front = model.add_const("front", np.zeros(3, F32))
    model.set_outputs(model.wire("join", Concat(0), (front, piece, wire)), ["y"])
    # Piece and stream begin at raw frame 7: five frames are in front of the stream.
    assert expected_delays(model, SYMBOL, 4) == [2]


ALL = [f"{family.name}/{slug}" for family in families().values() for slug in family.strategies]


@pytest.mark.parametrize("name", ALL)
def test_the_closed_forms_know_every_op_that_streams(name: str) -> None:
    problems = [p for p in examples(name) if isinstance(p, Problem) and p.pulses]
    for problem in problems[:COVERED]:
        model = before_pulsify(declutter(problem.model()))
        assert expected_delays(model, SYMBOL, problem.pulses[0]) is not None, problem


@pytest.mark.parametrize(
    ("mutant", "strategy"),
    [
        *(("idle-at-merges", name) for name in MERGING),
        *(("idle-before-windows", name) for name in WINDOWING),
        *(("idle-sources", name) for name in PASSING),
    ],
)
def test_no_strategy_hides_a_stream_that_idles(mutant: str, strategy: str) -> None:
    idle = replace(MUTANTS[mutant], problems=(strategy,))
    assert needed(idle, all_laws()["P9"]) is not None


@pytest.mark.parametrize(
    "strategy", ["padding/Pad-edge", "concat/Concat-front", "conv/Conv-after-pad"]
)
def test_no_strategy_hides_a_field_that_is_too_wide(strategy: str) -> None:
    wide = replace(MUTANTS["field-too-wide"], problems=(strategy,))
    assert needed(wide, all_laws()["P9"]) is not None
