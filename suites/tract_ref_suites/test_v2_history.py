"""What broke the earlier designs of pulsification v2, model by model, and does not break this one.

D1 to D4 are the designs of spec/pulse.md 4.11, N1 to N14 the naive spots of 4.9 with the numbers
of 8.23.
"""

from __future__ import annotations

import numpy as np
import pytest

from tract_ref.dim import Scope, dim_max, sym
from tract_ref.errors import Refused
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.binary import Add
from tract_ref.ops.concat import Concat
from tract_ref.ops.conv import Conv
from tract_ref.ops.cumulative import CumSum
from tract_ref.ops.deconv import Deconv
from tract_ref.ops.einsum import EinSum
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import MaxPool
from tract_ref.ops.reduce import Reduce
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.ops.softmax import Softmax
from tract_ref.ops.structure import Identity
from tract_ref.ops.transpose import MoveAxis
from tract_ref.passes.pulsify_v2 import Increments, increments
from tract_ref.stream.region import Count, Ramp
from tract_ref.stream.region_view import held_after
from tract_ref_suites.increment_runs import F32, Line, counting, pushed
from tract_ref_suites.problems.base import SYMBOL
from tract_ref_suites.strategies.windows import Along, window_spec

S = sym(SYMBOL)


def around(before: int, after: int, mode: str = "constant", value: float = -1.0) -> Pad:
    """Return a Pad of the stream axis."""
    return Pad(((0, 0), (0, 0), (before, after)), mode, value)


def region_of(streaming: Increments) -> Count:
    """Return the region of the first output, of one piece."""
    ((start, count),) = streaming.regions()[streaming.batch.outputs[0]].pieces
    assert start == 0
    return count


# D1: variable increments, history T*P


def test_d1_history_behind_another_op_is_what_that_op_gave() -> None:
    line = Line.of()
    model = line.gives(line.conv(line.conv(line.x, 1, 2, 3), 1, 1, 1))
    ran = pushed(model, counting(9), (2, 2, 2, 2, 1))
    # min(T*P, lookback) = 2 frames of the first convolution at turn 1: there is none.
    assert ran.sizes == [0, 0, 2, 2, 1, 0]


def test_d1_a_pulse_below_the_kernel_gives_no_frames_instead_of_a_negative_number() -> None:
    line = Line.of()
    model = line.gives(line.conv(line.x, 1, 1, 1, 1, 1))
    assert pushed(model, counting(7), (1,) * 7).sizes == [0, 0, 0, 0, 1, 1, 1, 0]


def test_d1_a_slice_counts_the_frames_of_its_input_not_source_time() -> None:
    line = Line.of()
    model = line.gives(line.then(Slice(2, 1, S - 2), line.conv(line.x, 1, 2, 3)))
    ran = pushed(model, counting(8), (4, 4))
    assert ran.values == [20, 26, 32, 38, 44]
    assert ran.sizes == [1, 4, 0]


# D2: a symbol per buffer, clamps per node


@pytest.mark.parametrize("depth", [1, 10, 30])
def test_d2_clamps_of_dilated_layers_do_not_nest(depth: int) -> None:
    line = Line.of()
    wire = line.x
    for layer in range(depth):
        wire = line.conv(wire, 0, 0, 0, dilation=2**layer)
    lookback = 2 * (2**depth - 1)
    count = region_of(increments(line.gives(wire), symbol=SYMBOL))
    assert count == Count.of(Ramp(0, (0,)), Ramp(1, (-lookback,)))
    assert [count.at(s) for s in (lookback, lookback + 1, 2 * lookback)] == [0, 1, lookback]


@pytest.mark.parametrize("depth", [1, 4, 24])
def test_d2_branches_that_meet_again_and_again_have_one_ramp(depth: int) -> None:
    line = Line.of("S>=1000")
    wire, used = line.x, 0
    for block in range(depth):
        dilation = 2 ** (block % 4)
        twice = line.conv(line.conv(wire, 1, 1, 1, dilation=dilation), 1, 1, 1, dilation=dilation)
        skip = line.then(Slice(2, 4 * dilation, S - used), wire)
        wire, used = line.then(Add(), twice, skip), used + 4 * dilation
    model = line.gives(wire)
    count = region_of(increments(model, symbol=SYMBOL))
    assert count == Count.of(Ramp(0, (0,)), Ramp(1, (-used,)))


# D3: a canonical ramp for every wire


def test_d3_a_pulse_below_the_overlaps_of_the_whole_path_gives_what_it_has() -> None:
    line = Line.of()
    wire = line.x
    for _ in range(3):
        wire = line.conv(wire, 1, 1, 1)
    # Declared 0 where 2 came, as soon as the overlaps added up to more than the pulse.
    ran = pushed(line.gives(wire), counting(12), (2,) * 6)
    assert ran.sizes == [0, 0, 0, 2, 2, 2, 0]


def test_d3_where_valid_output_begins_is_no_part_of_a_shape() -> None:
    line = Line.of()
    streaming = increments(line.gives(line.conv(line.x, 1, 1, 1)), symbol=SYMBOL)
    wire = streaming.batch.outputs[0]
    assert streaming.batch.fact(wire).shape == (1, 1, dim_max(0, S - 2))
    region = streaming.regions()[wire]
    assert [region.at(4 * turn) for turn in range(4)] == [0, 2, 6, 10]


# D4: fixed pulses, a delay counted outside


def test_d4_the_phase_of_a_stride_is_that_of_the_stream_not_of_the_garbage_before_it() -> None:
    line = Line.of()
    late = line.conv(line.x, 0, 1)
    ran = pushed(line.gives(line.conv(late, 0, 1, stride=2)), counting(4), (2, 2))
    assert (ran.values, ran.sizes) == ([3], [0, 1, 0])


def test_d4_parallel_branches_wait_for_the_latest_and_are_not_added_up() -> None:
    line = Line.of()
    left = line.conv(line.conv(line.x, 1, 1, 1), 1, 1)
    right = line.conv(line.x, 1, 1, 1, 1)
    ran = pushed(line.gives(line.then(Add(), left, right)), counting(8), (4, 4))
    assert ran.sizes == [1, 4, 0]


def test_d4_nothing_is_given_before_the_first_frame_and_nothing_is_left_out() -> None:
    line = Line.of()
    ran = pushed(line.gives(line.conv(line.x, 1, 2, 3)), counting(6), (3, 3))
    assert ran.values == [14, 20, 26, 32]
    assert ran.sizes == [1, 3, 0]


# N1 to N14


def test_n1_branches_meet_frame_by_frame() -> None:
    line = Line.of("S>=2")
    conv = line.conv(line.x, 1, 2, 3)
    model = line.gives(line.then(Add(), conv, line.then(Slice(2, 0, S - 2), line.x)))
    ran = pushed(model, counting(12), (4, 4, 4))
    assert ran.values[:4] == [15, 22, 29, 36]
    assert ran.sizes == [2, 4, 4, 0]


def test_n2_a_crop_that_equals_the_other_branch_adds_no_wait() -> None:
    line = Line.of("S>=2")
    conv = line.conv(line.x, 1, 2, 3)
    model = line.gives(line.then(Add(), conv, line.then(Slice(2, 2, S), line.x)))
    ran = pushed(model, counting(12), (4, 4, 4))
    assert ran.values[:3] == [17, 24, 31]
    assert ran.sizes == [2, 4, 4, 0]


def test_n3_an_input_with_two_stream_axes_is_refused() -> None:
    model = Model()
    x = model.add_source("x", Fact(F32, (S, S)))
    model.set_outputs(model.wire("y", Identity(), (x,)), ["y"])
    with pytest.raises(Refused, match="streams on 2 axes at once") as refusal:
        increments(model, symbol=SYMBOL)
    assert str(refusal.value).startswith('pulsify v2: node "x" (Source): input S,S,f32')


@pytest.mark.parametrize("text", ["i,j->ij", "id,jd->ij"])
def test_n3_an_outer_product_and_scores_of_attention_are_refused(text: str) -> None:
    model = Model()
    shape = (S,) if text == "i,j->ij" else (S, 4)
    x = model.add_source("x", Fact(F32, shape))
    model.set_outputs(model.wire("scores", EinSum(text, "f32"), (x, x)), ["y"])
    with pytest.raises(Refused, match="a product of two streams grows with their length") as found:
        increments(model, symbol=SYMBOL)
    assert str(found.value).startswith('pulsify v2: node "scores" (EinSum): streams arrive on two')


def test_n4_a_pad_after_a_convolution_begins_at_its_first_frame() -> None:
    line = Line.of()
    model = line.gives(line.then(around(1, 1), line.conv(line.x, 1, 2, 3)))
    ran = pushed(model, counting(8), (4, 4))
    assert ran.values == [-1, 14, 20, 26, 32, 38, 44, -1]
    assert ran.sizes == [3, 4, 1]


def test_n4_padding_is_part_of_the_windows_that_read_it() -> None:
    line = Line.of()
    padded = line.then(around(1, 3, value=0.0), line.x)
    model = line.gives(line.conv(padded, 0, 1, 2, stride=2, dilation=2))
    ran = pushed(model, counting(2, start=0), (2,))
    assert (ran.values, ran.sizes) == ([1], [0, 1])


def test_n4_a_max_pool_never_sees_zeros_around_negative_frames() -> None:
    line = Line.of()
    model = line.gives(line.then(MaxPool(window_spec((Along(3, 1, 1, (1, 1)),))), line.x))
    ran = pushed(model, [-5, -3, -4], (1, 1, 1))
    assert ran.values == [-3, -3, -3]
    assert ran.sizes == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("mode", "values", "sizes"),
    [
        ("edge", [1, 1, 1, 2, 3, 4, 5, 5], [0, 3, 1, 1, 1, 1, 1]),
        ("reflect", [3, 2, 1, 2, 3, 4, 5, 4], [0, 0, 0, 5, 1, 1, 1]),
    ],
)
def test_n5_borders_wait_for_the_frames_they_copy(
    mode: str, values: list[int], sizes: list[int]
) -> None:
    line = Line.of("S>=3")
    model = line.gives(line.then(around(2, 1, mode), line.x))
    ran = pushed(model, counting(5), (0, 1, 1, 1, 1, 1))
    assert ran.values == values
    assert ran.sizes == sizes


def test_n6_pushes_below_the_kernel_and_beyond_the_stream_are_natural() -> None:
    line = Line.of()
    model = line.gives(line.conv(line.x, 1, 1, 1, 1, 1))
    assert pushed(model, counting(7), (2, 2, 2, 1)).sizes == [0, 0, 2, 1, 0]
    assert pushed(model, counting(7), (7,)).sizes == [3, 0]
    assert pushed(model, counting(3), (1, 2)).sizes == [0, 0, 0]


def test_n7_a_strided_window_after_a_crop_keeps_its_phase() -> None:
    line = Line.of("S>=1")
    model = line.gives(line.conv(line.then(Slice(2, 1, S), line.x), 1, 2, stride=2))
    ran = pushed(model, counting(8), (4, 4))
    assert (ran.values, ran.sizes) == ([8, 14, 20], [1, 2, 0])


def test_n7_a_strided_max_pool_after_a_crop_keeps_its_phase() -> None:
    line = Line.of("S>=1")
    pool = MaxPool(window_spec((Along(1, 2),)))
    ran = pushed(line.gives(line.then(pool, line.then(Slice(2, 1, S), line.x))), [7, 9], (2,))
    assert (ran.values, ran.sizes) == ([9], [1, 0])


def test_n7_pushes_that_are_no_multiple_of_the_stride_keep_its_phase() -> None:
    line = Line.of()
    ran = pushed(line.gives(line.conv(line.x, 1, 2, 3, stride=2)), counting(9), (3, 3, 3))
    assert (ran.values, ran.sizes) == ([14, 26, 38, 50], [1, 1, 2, 0])


def test_n8_every_third_frame_after_a_crop_keeps_its_phase() -> None:
    line = Line.of("S>=11")
    model = line.gives(line.then(Downsample(2, 3), line.then(Slice(2, 11, S), line.x)))
    ran = pushed(model, counting(18), (5, 5, 5, 3))
    assert (ran.values, ran.sizes) == ([12, 15, 18], [0, 0, 2, 1, 0])


def deconv(line: Line, wire: Outlet, *kernel: float, stride: int, bias: float = 0.0) -> Outlet:
    """Add a transposed convolution."""
    op = Deconv(window_spec((Along(len(kernel), stride),)), 1, (0,))
    return line.then(op, wire, line.const(*kernel), line.const(bias, shape=(1,)))


def test_n9_gaps_of_a_transposed_convolution_belong_to_the_frame_before_them() -> None:
    line = Line.of()
    ran = pushed(line.gives(deconv(line, line.x, 1, stride=2)), [4, 0, -2], (2, 1))
    assert (ran.values, ran.sizes) == ([4, 0, 0, 0, -2], [3, 2, 0])


def test_n9_overlaps_are_added_and_the_bias_once() -> None:
    line = Line.of()
    model = line.gives(deconv(line, line.x, 1, 2, 3, stride=2, bias=0.5))
    ran = pushed(model, counting(4), (2, 2))
    assert ran.values == [v + 0.5 for v in (1, 2, 5, 4, 9, 6, 13, 8, 12)]
    assert ran.sizes == [4, 4, 1]


def test_n9_a_transposed_convolution_after_a_crop_is_not_late_by_its_stride() -> None:
    line = Line.of("S>=2")
    model = line.gives(deconv(line, line.then(Slice(2, 2, S), line.x), 1, 2, 3, stride=2))
    ran = pushed(model, counting(8), (2,) * 4)
    assert ran.values == [3, 6, 13, 8, 17, 10, 21, 12, 25, 14, 29, 16, 24]
    assert ran.sizes == [0, 4, 4, 4, 1]


def test_n10_the_stream_is_followed_wherever_its_axis_goes() -> None:
    line = Line.of()
    first = line.then(MoveAxis(2, 0), line.conv(line.x, 1, 2, 3))
    back = line.then(MoveAxis(0, 2), line.then(Softmax((2,)), first))
    model = line.gives(line.conv(back, 1, 1, stride=2))
    assert pushed(model, counting(9), (1, 0, 4, 4)).sizes == [0, 0, 1, 2, 0]


def test_n11_ops_that_remember_go_on_where_they_were() -> None:
    line = Line.of()
    ran = pushed(line.gives(line.then(CumSum(2), line.x)), counting(5), (2, 3))
    assert (ran.values, ran.sizes) == ([1, 3, 6, 10, 15], [2, 3, 0])


def test_n11_constants_around_a_stream_come_once() -> None:
    line = Line.of()
    model = line.gives(line.then(Concat(2), line.const(7, 8), line.x, line.const(100)))
    ran = pushed(model, counting(4), (2, 2))
    assert (ran.values, ran.sizes) == ([7, 8, 1, 2, 3, 4, 100], [4, 2, 1])


@pytest.mark.parametrize("op", [Softmax((2,)), Reduce((2,), "sum")], ids=lambda op: op.name)
def test_n11_and_n14_what_needs_the_whole_stream_is_refused(op: Softmax | Reduce) -> None:
    line = Line.of()
    with pytest.raises(Refused, match="works over the stream axis") as refusal:
        increments(line.gives(line.then(op, line.x)), symbol=SYMBOL)
    assert str(refusal.value).startswith(f'pulsify v2: node "n1" ({op.name}): ')
    assert refusal.value.remedy


@pytest.mark.parametrize("name", ["T", "P"])
def test_n12_a_model_that_streams_over_t_or_p_is_like_any_other(name: str) -> None:
    model = Model()
    x = model.add_source("x", Fact(F32, (1, 1, sym(name))))
    kernel = model.add_const("kernel", np.ones((1, 1, 3), np.float32))
    model.set_outputs(model.wire("y", Conv(window_spec((Along(3),)), 1), (x, kernel)), ["y"])
    streaming = increments(model)
    assert streaming.symbol == name
    region = streaming.regions()[streaming.batch.outputs[0]]
    assert [region.at(s) for s in (0, 2, 3, 9)] == [0, 0, 1, 7]
    assert held_after(region, sym("turns"), 4) == dim_max(0, 4 * sym("turns") - 2)
    session = streaming.session()
    assert session.push({"x": np.ones((1, 1, 4), np.float32)})["y"].tolist() == [[[3.0, 3.0]]]
    assert session.finish()["y"].shape == (1, 1, 0)


def test_n13_streams_shorter_than_a_push_and_empty_ones() -> None:
    line = Line.of()
    model = line.gives(line.conv(line.x, 1, 2, pad=(1, 0)))
    assert pushed(model, [5], (1,)).values == [10]
    assert pushed(model, [], (0,)).values == []
    line = Line.of()
    model = line.gives(line.then(around(1, 1), line.x))
    assert pushed(model, [], ()).values == [-1, -1]


def test_n14_a_window_whose_phase_only_the_end_tells_is_refused() -> None:
    line = Line.of()
    model = line.gives(line.conv(line.x, 1, 1, 1, stride=2, pad="upper"))
    with pytest.raises(Refused, match="SAME padding with stride=2 on the stream axis"):
        increments(model, symbol=SYMBOL)


# The end


@pytest.mark.parametrize(
    ("known", "sizes"), [(False, [0, 4, 4, 3]), (True, [4, 7, 0, 0])], ids=["late", "known"]
)
def test_what_follows_a_cropped_end_is_written_when_the_end_is_certain(
    known: bool, sizes: list[int]
) -> None:
    line = Line.of("S>=4")
    model = line.gives(line.then(around(0, 3), line.then(Slice(2, 0, S - 4), line.x)))
    ran = pushed(model, counting(12), (4, 4, 4), known=known)
    assert ran.values == [*counting(8), -1, -1, -1]
    assert ran.sizes == sizes


def test_an_end_that_is_announced_is_not_yet_there() -> None:
    line = Line.of()
    model = line.gives(line.then(around(0, 2), line.conv(line.x, 1, 1)))
    ran = pushed(model, counting(5), (2, 2, 1), known=True)
    assert ran.sizes == [1, 2, 3, 0]


def test_a_bounded_length_is_certain_before_the_end() -> None:
    line = Line.of("S>=3")
    model = line.gives(line.then(around(0, 1), line.then(Slice(2, 0, 3), line.x)))
    ran = pushed(model, counting(9), (2, 2, 5))
    assert (ran.values, ran.sizes) == ([1, 2, 3, -1], [2, 2, 0, 0])


def test_an_asserted_length_lets_the_first_frames_go_early() -> None:
    late, early = Line.of(), Line.of("S>=4")
    sizes = [
        pushed(line.gives(line.then(Slice(2, 0, S - 2), line.x)), counting(6), (1,) * 6).sizes
        for line in (late, early)
    ]
    assert sizes == [[0, 0, 1, 1, 1, 1, 0], [1, 1, 0, 0, 1, 1, 0]]


def test_no_symbol_of_the_session_is_written_into_the_model() -> None:
    line = Line.of("S>=1")
    model = line.gives(line.conv(line.x, 1, 1))
    before = Scope(model.scope.assertions)
    increments(model, symbol=SYMBOL).session({SYMBOL: 4})
    assert model.scope == before
