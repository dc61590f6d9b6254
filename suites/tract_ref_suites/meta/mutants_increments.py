"""Bugs of exact increments, and the law that must catch each."""

from __future__ import annotations

from dataclasses import replace

from tract_ref.ops.binary import Add
from tract_ref.ops.conv import Conv
from tract_ref.ops.deconv import Deconv
from tract_ref.ops.padding import Pad
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref_suites.meta import broken_increments as bad
from tract_ref_suites.meta.mutant import Mutant, mutant

_CONV = ("conv/Conv-rest", "conv/Conv-same", "conv/Conv-after-crops", "conv/Conv-1d")
_STRIDED = ("conv/Conv-strides-misaligned", "pool/MaxPool-misaligned-stride", "conv/Conv-1d")
_ENDS = ("conv/Conv-after-end-crop", "padding/Pad-after-end-crop", "slicing/Slice-stream")
_DECONV = ("deconv/Deconv-after-crops", "deconv/Deconv-after-conv-1", "deconv/Deconv-1d")
_EDGE = ("padding/Pad-edge-after-crops", "padding/Pad-edge")
_REFLECT = ("padding/Pad-reflect-after-crops", "padding/Pad-reflect")
_PAD = ("padding/Pad-rest", "padding/Pad-after-crops", "padding/Pad-constant")
_SLICE = ("slicing/Slice-rest", "slicing/Slice-whole-pulses", "slicing/Slice-stream")
_SAMPLE = ("slicing/Downsample-phase", "slicing/Downsample-2", "slicing/Downsample-stream")
_DAG = ("graphs/Dag-unequal-offsets", "graphs/Dag-whole-pulses", "graphs/Dag-random")
_SUM = ("cumulative/CumSum-after-front-crop", "cumulative/CumSum-along-stream")


INCREMENT_MUTANTS: dict[str, Mutant] = {
    "reads-less-at-the-end": mutant(
        "rule", "a convolution is said to read one frame less than it does",
        lambda: bad.reads(Conv, lambda r: replace(r, high=r.high - 1)), "P12", *_CONV,
    ),
    "reads-less-at-the-front": mutant(
        "rule", "a convolution is said to begin one frame later than it does",
        lambda: bad.reads(Conv, lambda r: replace(r, low=r.low + 1)), "P12", *_CONV,
    ),
    "waits-for-one-more": mutant(
        "rule", "every frame is given one frame late, and the regions say so",
        bad.waits_for_one_more, "P12", *_CONV,
    ),
    "waits-for-the-first-frames": mutant(
        "rule", "a sum gives nothing before five frames have come",
        lambda: bad.reads(Add, lambda r: replace(r, front=5)), "P12", "binary/Add-rest", *_DAG,
    ),
    "deconv-waits-for-its-kernel": mutant(
        "rule", "a transposed convolution waits for one more of its frames",
        lambda: bad.reads(Deconv, lambda r: replace(r, high=r.high + r.per)), "P12", *_DECONV,
    ),
    "increment-phase-lost": mutant(
        "rule", "every n-th frame is counted from frame 0",
        lambda: bad.reads(Downsample, lambda r: replace(r, low=0, high=0)), "P12", *_SAMPLE,
    ),
    "increment-start-lost": mutant(
        "rule", "a slice begins at the first frame",
        lambda: bad.reads(Slice, lambda r: replace(r, low=0, high=0)), "P12", *_SLICE,
    ),
    "border-before-its-frames": mutant(
        "rule", "what is written in front of a stream does not wait for the frames it copies",
        lambda: bad.reads(Pad, lambda r: replace(r, front=0)), "P12", *_EDGE, *_REFLECT,
    ),
    "region-rounds-up": mutant(
        "rule", "the closed form counts a last window that has not come whole",
        bad.region_rounds_up, "P12", *_STRIDED,
    ),
    "region-forgets-assertions": mutant(
        "rule", "the closed form knows of no smallest length",
        bad.region_forgets_assertions, "P12", "concat/Concat-front",
    ),
    "length-uncapped": mutant(
        "state", "frames are given that a stream which ends now does not have",
        bad.lengths_uncapped, "P12", *_ENDS,
    ),
    "complete-when-announced": mutant(
        "state", "an announced end counts as one that was reached",
        bad.complete_when_announced, "P12", *_PAD,
    ),
    "announcement-ignored": mutant(
        "state", "an announced end counts only once the stream is finished",
        bad.announcements_ignored, "P12", *_PAD, *_ENDS,
    ),
    "exclusive-sum-waits": mutant(
        "rule", "the sum of the frames before a frame waits for that frame",
        bad.exclusive_sums_read_their_own_frame, "P12", "cumulative/CumSum-exclusive",
    ),
    "merge-waits-for-one-more": mutant(
        "rule", "where branches meet, one more frame of each is waited for",
        lambda: bad.reads_one_more(Add), "P12", "graphs/Dag-whole-pulses", "graphs/Dag-random",
    ),
    "history-forgotten-early": mutant(
        "state", "the oldest frame of the next window is dropped",
        bad.forgets_too_early, "P12", *_CONV,
    ),
    "border-history-forgotten": mutant(
        "state", "the frames that follow the end are copied from are dropped",
        bad.forgets_what_borders_copy, "P12", *_REFLECT, *_EDGE,
    ),
    "clone-shares-frames": mutant(
        "state", "two sessions go on with one memory of frames",
        bad.clone_shares_frames, "P12", *_CONV,
    ),
    "clone-forgets-states": mutant(
        "state", "a clone goes on with ops that begin anew",
        lambda: bad.clone_forgets("states"), "P12", *_SUM,
    ),
    "finish-flushes-nothing": mutant(
        "state", "the frames that only the end makes certain never come",
        bad.finish_flushes_nothing, "P12", *_PAD,
    ),
    "clone-gives-again": mutant(
        "state", "a clone has given out nothing yet",
        lambda: bad.clone_forgets("given"), "P12", *_CONV,
    ),
}  # fmt: skip
