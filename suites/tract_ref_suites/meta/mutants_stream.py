"""Streaming bugs that implementers make, and the laws that must catch each."""

from __future__ import annotations

from dataclasses import replace

from tract_ref.ops.axes import Reshape
from tract_ref.ops.concat import StreamConcat
from tract_ref.ops.cumulative import RunningSum
from tract_ref.ops.norm import ExpMeanNorm, ExpUnitNorm
from tract_ref.ops.padding import Pad, PulseEdge, PulseReflect
from tract_ref.ops.pool import SumPool
from tract_ref.ops.range import PositionalRange
from tract_ref.ops.repeat import Broadcast
from tract_ref.ops.slicing import Downsample, PositionalSlice
from tract_ref_suites.meta import broken
from tract_ref_suites.meta import broken_stream as bad
from tract_ref_suites.meta.mutant import Mutant, mutant

_CONV = ("conv/Conv-rest", "conv/Conv-same", "conv/Conv-after-crops", "conv/Conv-1d")
_PAD = ("padding/Pad-rest", "padding/Pad-after-crops", "padding/Pad-constant")
_EDGE = ("padding/Pad-edge-after-crops", "padding/Pad-edge")
_REFLECT = ("padding/Pad-reflect-after-crops", "padding/Pad-reflect")
_CONCAT = ("concat/Concat-more-than-the-pulse", "concat/Concat-after-crops", "concat/Concat-around")
_AROUND = ("concat/Concat-one-frame", "concat/Concat-after-crops", "concat/Concat-around")
_SUM = ("cumulative/CumSum-after-front-crop", "cumulative/CumSum-along-stream")
_MEET = ("concat/Concat-delays-2-0-1", "graphs/Dag-unequal-offsets", "graphs/Dag-random")
_ENDS = ("conv/Conv-after-end-crop", "padding/Pad-after-end-crop", "chains/Chain-random")
_RANGE = ("range/Range-rest", "range/Range-stream")
_TABLE = ("slicing/Slice-uniform-table", "slicing/Slice-table")
_DECONV = (
    "deconv/Deconv-after-crops",
    "deconv/Deconv-1d",
    "deconv/Deconv-after-conv",
    "unets/UNet-random",
)
# Strategies whose values hide what is read, or whose delays are not the least: nothing but closed
# forms sees that such streams come too late.
MERGING = (
    "graphs/Dag-random",
    "masks/Mask-stream",
    "binary/Add-floats",
    "unets/UNet-random",
    "select/Select-branches",
    "concat/Concat-beside",
)
WINDOWING = (
    "conv/Conv-plus-conv",
    "conv/Conv-after-pad",
    "deconv/Deconv-after-conv",
    "spec_pulse/Conv-6-4",
    "graphs/Dag-random",
    "unets/UNet-random",
    "chains/Chain-random",
)
PASSING = (
    "slicing/Slice-bounded-pad",
    "slicing/Slice-stream",
    "submodel/Submodel",
    "submodel/IfThenElse",
    "padding/Pad-edge",
    "padding/Pad-reflect",
    "concat/Concat-front",
    "axes/Reshape-split",
)
_NORM = ("norm/ExpUnitNorm-after-a-crop", "norm/ExpUnitNorm-along-the-stream")


STREAM_MUTANTS: dict[str, Mutant] = {
    "sync-to-the-first": mutant(
        "rule", "streams that meet wait for the first of them only",
        lambda: bad.sync_to(lambda delays: delays[0]), "P1 P1e", *_MEET,
    ),
    "sync-one-short": mutant(
        "rule", "streams that meet wait one frame less than the latest needs",
        lambda: bad.sync_to(max, less=1), "P1 P1e", *_MEET,
    ),
    "idle-at-merges": mutant(
        "rule", "streams that meet wait three frames for nothing, and say so",
        lambda: bad.idle_at_merges(3), "P9", *MERGING,
    ),
    "idle-before-windows": mutant(
        "rule", "windows come two frames later than they could, and say so",
        lambda: bad.idle_before_windows(2), "P9", *WINDOWING,
    ),
    "idle-sources": mutant(
        "rule", "streams wait two frames for nothing as they come in, and say so",
        lambda: bad.idle_sources(2), "P9", *PASSING,
    ),
    "field-too-wide": mutant(
        "rule", "a copied border, or frames put in front, widen the receptive field",
        bad.fronts_not_told, "P9", "padding/Pad-edge", "concat/Concat-front",
    ),
    "late-end-one-short": mutant(
        "rule", "an end that is known late is waited for one frame less",
        bad.late_end_short, "P1 P1e", *_ENDS,
    ),
    "front-not-masked": mutant(
        "rule", "garbage before the first frame shows where padding belongs",
        bad.front_not_masked, "P1 P3 P1e", *_CONV,
    ),
    "padding-starts-early": mutant(
        "rule", "the padding after the end takes the place of the last frame",
        bad.pad_ends_early, "P1 P1e", *_PAD,
    ),
    "padding-value-lost": mutant(
        "rule", "a stream is padded with zeros, whatever the value",
        lambda: broken.op_changed(Pad, lambda op: replace(op, value=0.0)), "P1 P1e", *_PAD,
    ),
    "deconv-delay-unscaled": mutant(
        "rule", "tract: a transposed convolution counts its delay in frames of its input",
        bad.decoded_delay_unscaled, "P1 P9 P1e", *_DECONV,
    ),
    "deconv-mask-early": mutant(
        "rule", "the last frame is masked ahead of a transposed convolution",
        bad.decoded_mask_early, "P1 P1e", *_DECONV,
    ),
    "deconv-bias-twice": mutant(
        "rule", "the bias of a transposed convolution is added once per turn too often",
        bad.bias_twice, "P1 P1e", "deconv/Deconv-adjusted-past-the-end", "deconv/Deconv-1d",
    ),
    "broadcast-loses-delay": mutant(
        "rule", "tract: a repeated stream announces no delay",
        lambda: broken.stream_moved(Broadcast, lambda stream: replace(stream, delay=0)),
        "P1 P1e", "repeat/Broadcast-keeps-the-delay", "repeat/Broadcast-stream",
    ),
    "reshape-delay-unscaled": mutant(
        "rule", "frames that are merged keep the delay that they had",
        lambda: bad.delay_kept(Reshape), "P1 P1e",
        "axes/Reshape-merge-doubles-the-delay", "axes/Reshape-merge",
    ),
    "downsample-delay-rounded-up": mutant(
        "rule", "every n-th frame announces a delay rounded up",
        lambda: broken.stream_moved(Downsample, lambda s: replace(s, delay=s.delay + 1)),
        "P1 P9 P1e", "slicing/Downsample-phase", "slicing/Downsample-stream",
    ),
    "mean-counts-padding": mutant(
        "rule", "a streamed mean divides by the whole window where padding does not count",
        lambda: broken.op_changed(SumPool, lambda op: replace(op, count_include_pad=True)),
        "P1 P1e", "pool/SumPool-mean-ignores-padding", "pool/SumPool-mean",
    ),
    "norm-skips-nothing": mutant(
        "rule", "a running norm takes in the frames before the first one",
        lambda: bad.wired_op_changed(ExpUnitNorm, lambda op, old: replace(op, skip=old.skip)),
        "P1 P1e", *_NORM,
    ),
    "mean-norm-skips-nothing": mutant(
        "rule", "a running mean takes in the frames before the first one",
        lambda: bad.wired_op_changed(ExpMeanNorm, lambda op, old: replace(op, skip=old.skip)),
        "P1 P1e", "norm/ExpMeanNorm-after-a-crop", "norm/ExpMeanNorm-along-the-stream",
    ),
    "sum-takes-in-garbage": mutant(
        "state", "a cumulative sum begins with the frames before the first one",
        lambda: broken.op_evaluates(RunningSum, lambda op, i: (replace(op, begin=0), i)),
        "P1 P2 P13", *_SUM,
    ),
    "range-restarts": mutant(
        "state", "a range along the stream begins anew at every turn",
        lambda: bad.counter_stuck(PositionalRange), "P1 P1e P13", *_RANGE,
    ),
    "table-restarts": mutant(
        "state", "tract: a table along the stream is read from its start at every turn",
        lambda: bad.counter_stuck(PositionalSlice), "P1 P1e P13", *_TABLE,
    ),
    "prefix-restarts": mutant(
        "state", "the prefix of a stream comes again at every turn",
        lambda: bad.counter_stuck(StreamConcat), "P1 P1e", *_CONCAT,
    ),
    "suffix-early": mutant(
        "state", "the suffix takes the place of the last frame",
        lambda: broken.op_evaluates(StreamConcat, lambda op, i: (replace(op, end=op.end - 1), i)),
        "P1 P1e", *_AROUND,
    ),
    "edge-counter-stuck": mutant(
        "state", "the first frame of every turn is taken for that of the stream",
        lambda: bad.counter_stuck(PulseEdge), "P1 P1e P13", *_EDGE,
    ),
    "edge-of-the-turn-before": mutant(
        "state", "after the end the last frame of the turn before is repeated",
        bad.edge_of_previous_turn, "P1 P1e", *_EDGE,
    ),
    "reflect-repeats-the-border": mutant(
        "state", "a mirrored stream is one frame off",
        lambda: broken.op_evaluates(
            PulseReflect, lambda op, i: (replace(op, begin=op.begin - 1), i)
        ),
        "P1 P1e", *_REFLECT,
    ),
    "reset-between-turns": mutant(
        "state", "every turn starts without memory", bad.reset_between_turns,
        "P1 P2 P13 P1e", *_CONV,
    ),
    "dirty-tape": mutant(
        "state", "the tape of a delay starts on what another session left in memory",
        bad.dirty_tape, "P8", *_CONV,
    ),
    "tape-of-flat-memory": mutant(
        "state", "old frames move as if the stream axis were the outermost",
        lambda: broken.tape_shift(bad.shift_flat), "P11", "conv/Conv-rest", "conv/Conv-2d",
    ),
    "tape-moves-too-few-bytes": mutant(
        "state", "of the old frames as many bytes move as there are elements",
        lambda: broken.tape_shift(bad.shift_too_few_bytes), "P11", *_CONV,
    ),
    "save-drops-counters": mutant(
        "state", "a saved session has given out nothing yet",
        lambda: bad.save_drops("count"), "P8", *_CONV,
    ),
    "save-drops-pending": mutant(
        "state", "a saved session forgets the frames of an unfinished pulse",
        lambda: bad.save_drops("pending"), "P8", *_CONV,
    ),
    "save-drops-state": mutant(
        "state", "a saved session forgets what its ops keep",
        lambda: bad.save_drops("state"), "P8", *_CONV,
    ),
    "clone-forgets-pending": mutant(
        "state", "a clone forgets the frames of an unfinished pulse",
        lambda: bad.clone_forgets("_intake"), "P8", *_CONV,
    ),
    "clone-forgets-ready": mutant(
        "state", "a clone gives out no frame that was held back",
        lambda: bad.clone_forgets("_ready"), "P8", "slicing/Slice-rest", "slicing/Slice-stream",
    ),
    "end-never-announced": mutant(
        "state", "the rest of a finished stream is flushed as if it went on",
        bad.end_never_announced, "P2", "conv/Conv-same", *_CONV,
    ),
}  # fmt: skip
