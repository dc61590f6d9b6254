"""Engines broken on purpose, the laws that must catch each, and the table of who catches what.

    python -m tract_ref_suites.meta.mutants [FILE]

writes the whole table: how many examples each law needed, `.` where it is blind to the mutant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from tract_ref.approx import Array
from tract_ref.ir.fact import Fact
from tract_ref.ops.binary import Add
from tract_ref.ops.concat import StreamConcat
from tract_ref.ops.conv import Conv
from tract_ref.ops.padding import Pad
from tract_ref.ops.pool import MaxPool
from tract_ref.ops.slicing import Downsample, Slice
from tract_ref.passes.rewrites import fold_padding, merge_siblings
from tract_ref.stream.tables import FILL_ZERO
from tract_ref_suites.checks import ENGINE_STREAM, OWN_LAWS, Law, laws_for
from tract_ref_suites.checks.dims import DIM_LAWS, DimProblem
from tract_ref_suites.checks.failure import CheckFailure, NotOffered
from tract_ref_suites.engines.protocol import (
    Abilities,
    Case,
    Chunking,
    Engine,
    Outcome,
    Refused,
    Values,
)
from tract_ref_suites.engines.reference import ReferenceEngine
from tract_ref_suites.meta import broken
from tract_ref_suites.meta.mutant import Apply, Kind, Mutant, Tried
from tract_ref_suites.meta.mutants_dims import DIM_MUTANTS
from tract_ref_suites.meta.mutants_fixed import FIXED_MUTANTS
from tract_ref_suites.meta.mutants_graph import GRAPH_MUTANTS
from tract_ref_suites.meta.mutants_increments import INCREMENT_MUTANTS
from tract_ref_suites.meta.mutants_roi import ROI_MUTANTS
from tract_ref_suites.meta.mutants_stream import STREAM_MUTANTS
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import Problem
from tract_ref_suites.problems.conv import ConvProblem
from tract_ref_suites.strategies.dim_problems import HAND, dim_problems
from tract_ref_suites.strategies.windows import Along

DRAWS = 20
ENGINE_P1 = "P1e"
"""The law P1 as it is put to other engines; the reference is held to the stricter own one."""


class ThroughDoor:
    """The reference engine, with what leaves it changed.

    Args:
        change: what becomes of every answer.
    """

    name = "mutant"
    version = "0"

    def __init__(self, change: Callable[[Outcome], Outcome]) -> None:
        self._inner = ReferenceEngine()
        self._change = change

    def can(self) -> Abilities:
        return self._inner.can()

    def run(self, case: Case) -> Outcome:
        return self._change(self._inner.run(case))

    def stream(self, case: Case, chunks: Chunking) -> Outcome:
        return self._change(self._inner.stream(case, chunks))


DIMS = "dims"
"""Stem of the problems about dimensions, which are no models and have laws of their own."""


def _of_dims(check: Callable[[DimProblem], None]) -> Callable[[Problem, Engine], None]:
    return lambda problem, engine: check(cast(DimProblem, problem))


def all_laws() -> dict[str, Law]:
    """Return the laws by id, the one for the streams of other engines under ENGINE_P1."""
    reference = ReferenceEngine()
    found = {law.id: law for law in (*OWN_LAWS, *laws_for(reference))}
    dims = {law_id: Law(law_id, _of_dims(check)) for law_id, check in DIM_LAWS.items()}
    return {**found, ENGINE_P1: replace(ENGINE_STREAM, id=ENGINE_P1), **dims}


def laws_of(mutant: Mutant) -> dict[str, Law]:
    """Return the laws that can be put to the problems of a mutant."""
    about_dims = mutant.kind == DIMS
    return {law_id: law for law_id, law in all_laws().items() if (law_id in DIM_LAWS) == about_dims}


@cache
def examples(slug: str) -> tuple[Tried, ...]:
    """Return one hand problem, or the first draws of a strategy under a fixed seed.

    Raises:
        LookupError: the family has neither a problem nor a strategy of that name.
    """
    stem, _, name = slug.partition("/")
    if stem == DIMS:
        return (HAND[name],) if name in HAND else _drawn(dim_problems())
    family = families()[stem]
    if name in family.hand:
        return (family.hand[name],)
    return _drawn(family.strategies[name]())


def _drawn(strategy: SearchStrategy[Any]) -> tuple[Tried, ...]:
    found: list[Tried] = []

    @seed(0)
    @settings(
        max_examples=DRAWS,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(strategy)
    def collect(problem: Tried) -> None:
        found.append(problem)

    collect()
    return tuple(found)


def problems_of(mutant: Mutant) -> Iterator[Tried]:
    """Yield the problems that a mutant is tried on."""
    for source in mutant.problems:
        if isinstance(source, str):
            yield from examples(source)
        else:
            yield source


def fails(law: Law, problem: Tried, engine: Engine) -> bool:
    """Say whether a law does not hold; a question that cannot be put does not fail."""
    try:
        law.check(cast(Problem, problem), engine)
    except CheckFailure:
        return True
    except NotOffered:
        return False
    return False


@cache
def _sound(law_id: str, problem: Tried) -> bool:
    return not fails(all_laws()[law_id], problem, ReferenceEngine())


def caught(mutant: Mutant, law: Law) -> tuple[int, Tried] | None:
    """Return how many examples a law needs to catch a mutant, and the last; None when it does not.

    Only an example on which the sound engine passes counts: elsewhere the law says nothing.
    """
    for count, problem in enumerate(problems_of(mutant), start=1):
        if not law.is_about(cast(Problem, problem)):
            continue
        # The sound engine first: what it leaves in a cache must not come from the mutant.
        if not _sound(law.id, problem):
            continue
        with mutant.apply() as engine:
            judged: Engine = engine if isinstance(engine, ThroughDoor) else ReferenceEngine()
            if fails(law, problem, judged):
                return count, problem
    return None


def needed(mutant: Mutant, law: Law) -> int | None:
    """Return how many examples a law needs to catch a mutant, None when it does not."""
    found = caught(mutant, law)
    return None if found is None else found[0]


def leaves_nothing(mutant: Mutant, law: Law) -> bool:
    """Say whether a law that caught a mutant passes the same example after the mutant's context.

    The sound engine is asked anew: what `caught` remembers of it is from before the mutant.

    Raises:
        LookupError: the law does not catch the mutant.
    """
    found = caught(mutant, law)
    if found is None:
        raise LookupError(f"{law.id} is blind to the mutant: {mutant.about}")
    return not fails(law, found[1], ReferenceEngine())


def table(rows: dict[str, dict[str, int | None]]) -> str:
    """Return the table mutant x law of the examples needed."""
    laws = list(all_laws())
    width = max(len(name) for name in MUTANTS)
    lines = [f"{'mutant':<{width}}  {'kind':<6}" + "".join(f"{law:>5}" for law in laws)]
    for name, row in rows.items():
        cells = "".join(f"{_cell(row, law):>5}" for law in laws)
        lines.append(f"{name:<{width}}  {MUTANTS[name].kind:<6}{cells}")
    return "\n".join(lines)


def _cell(row: dict[str, int | None], law: str) -> str:
    return str(row[law] or ".") if law in row else ""


# The catalogue

_CONV = ("conv/Conv-rest", "conv/Conv-same", "conv/Conv-after-crops", "conv/Conv-1d")
_GROUPED = ConvProblem(shape=(1, 4, 9), axis=2, sizes=(4,), along=(Along(3),), outs=2, groups=2)
_STRIDED = ("conv/Conv-strides-misaligned", "pool/MaxPool-misaligned-stride", "conv/Conv-1d")
_ENDS = ("conv/Conv-after-end-crop", "padding/Pad-after-end-crop", "conv/Conv-1d")
_MAX = ("pool/MaxPool-padding-never-wins", "pool/MaxPool-after-end-crop", "pool/MaxPool-1d")
_DAG = ("graphs/Dag-unequal-offsets", "graphs/Dag-whole-pulses", "graphs/Dag-random")
_SLICE = ("slicing/Slice-rest", "slicing/Slice-whole-pulses", "slicing/Slice-stream")
_SAMPLE = ("slicing/Downsample-phase", "slicing/Downsample-2", "slicing/Downsample-stream")
_CONCAT = ("concat/Concat-one-frame", "concat/Concat-whole-axis", "concat/Concat-around")
_PAD = ("padding/Pad-rest", "padding/Pad-whole-pulses", "padding/Pad-constant")


def _mutant(
    kind: Kind, about: str, apply: Apply, expected: str, *problems: str | Problem
) -> Mutant:
    return Mutant(about, kind, apply, frozenset(expected.split()), problems)


def _flipped(op: Conv, inputs: tuple[Array, ...]) -> tuple[Conv, tuple[Array, ...]]:
    data, kernel, *bias = inputs
    return op, (data, np.flip(kernel, tuple(range(2, kernel.ndim))), *bias)


def _undilated(op: Conv) -> Conv:
    return replace(op, window=replace(op.window, dilation=(1,) * op.window.rank))


def _other_group(op: Conv, facts: broken.Concrete) -> tuple[Conv, broken.Concrete]:
    data, kernel, *bias = facts.consts
    if kernel is not None:
        # The kernels of a group move to the next one.
        kernel = np.roll(kernel, kernel.shape[0] // op.groups, 0) if op.groups > 1 else kernel
    return op, replace(facts, consts=(data, kernel, *bias))


def _nan_to_zero(out: Array) -> None:
    np.nan_to_num(out, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)


def _one_more(op: object, fact: Fact) -> Fact:
    return fact.with_dim(op.axis, fact.shape[op.axis] + 1)  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def _fold_any_value() -> Iterator[None]:
    old = fold_padding._folded

    def folded(pad: Pad, op: object, dtype: object) -> object:
        value = fold_padding.lowest(dtype) if isinstance(op, MaxPool) else 0  # pyright: ignore[reportArgumentType]
        return old(replace(pad, value=value), op, dtype)  # pyright: ignore[reportArgumentType]

    with broken.patched(fold_padding, "_folded", lambda _: folded):
        yield


def _merge_all() -> AbstractContextManager[None]:
    return broken.patched(merge_siblings, "_exact", lambda old: lambda value: 0)


def _changed(change: Callable[[Values], Values | Refused]) -> Apply:
    @contextmanager
    def apply() -> Iterator[ThroughDoor]:
        yield ThroughDoor(lambda out: change(out) if isinstance(out, Values) else out)

    return apply


def _outputs(change: Callable[[Array], Array]) -> Apply:
    return _changed(lambda out: replace(out, outputs=tuple(change(o) for o in out.outputs)))


def _reversed_axes(out: Array) -> Array:
    return out.transpose()


MUTANTS: dict[str, Mutant] = {
    "delay-announced-early": _mutant(
        "rule", "announces one frame of delay less than there is",
        lambda: broken.delay_announced(-1), "P1 P1e P9", *_CONV,
    ),
    "delay-too-long": _mutant(
        "rule", "delays by one output frame more than needed, and says so",
        broken.delay_too_long, "P9", *_CONV,
    ),
    "no-sync": _mutant(
        "rule", "branches of different delays meet without waiting for each other",
        broken.no_sync, "P1 P1e", *_DAG,
    ),
    "window-phase-lost": _mutant(
        "rule", "strided windows after a slice start at the raw frame 0",
        broken.window_phase_lost, "P1 P1e", *_STRIDED,
    ),
    "padding-swapped": _mutant(
        "rule", "padding before and after change places in the stream",
        lambda: broken.window_arguments(lambda r: {"before": r["after"], "after": r["before"]}),
        "P1 P1e", "conv/Conv-looks-ahead", *_CONV,
    ),
    "maxpool-pads-zero": _mutant(
        "rule", "a streamed max pool is padded with zeros",
        lambda: broken.window_arguments(lambda r: {"fill": FILL_ZERO}), "P1 P1e", *_MAX,
    ),
    "tail-not-masked": _mutant(
        "rule", "frames after the end show where padding belongs",
        broken.tail_not_masked, "P1 P3 P1e", "padding/Pad-rest", *_CONV,
    ),
    "end-known-too-early": _mutant(
        "rule", "the end of a cropped stream is relied on before it is known",
        broken.end_known_too_early, "P1 P1e", *_ENDS,
    ),
    "field-too-small": _mutant(
        "rule", "the receptive field misses its oldest frame",
        broken.field_too_small, "P9", *_CONV,
    ),
    "slice-start-ignored": _mutant(
        "rule", "a sliced stream starts at the first frame",
        broken.start_ignored, "P1 P1e", *_SLICE,
    ),
    "downsample-phase-0": _mutant(
        "rule", "every n-th frame is counted from the raw frame 0",
        lambda: broken.op_changed(Downsample, lambda op: replace(op, modulo=0)),
        "P1 P1e", *_SAMPLE,
    ),
    "concat-suffix-late": _mutant(
        "state", "the suffix comes one frame late",
        lambda: broken.op_evaluates(StreamConcat, lambda op, i: (replace(op, end=op.end + 1), i)),
        "P1 P1e", *_CONCAT,
    ),
    "conv-dilation-ignored": _mutant(
        "rule", "a streamed convolution forgets its dilation",
        lambda: broken.op_changed(Conv, _undilated), "P1 P1e", "conv/Conv-prob-1", *_CONV,
    ),
    "overlap-off-by-one": _mutant(
        "state", "old frames come one place too late into a turn",
        broken.delay_reads_late, "P1 P1e P11", *_CONV,
    ),
    "dirty-history": _mutant(
        "state", "a session starts on what another one left in memory",
        broken.dirty_history, "P8", *_CONV,
    ),
    "pad-counter-stuck": _mutant(
        "state", "PulsePad does not count turns",
        lambda: broken.pad_counter(lambda frames, overlap: 0), "P1 P3", *_PAD,
    ),
    "pad-counter-ignores-overlap": _mutant(
        "state", "PulsePad counts frames of the overlap twice",
        lambda: broken.pad_counter(lambda frames, overlap: frames), "P1", *_CONV,
    ),
    "pad-multiplies": _mutant(
        "state", "PulsePad makes zeros by a product, which keeps NaN",
        broken.pad_multiplies, "P1 P3", *_CONV,
    ),
    "tape-never-shifts": _mutant(
        "state", "the tape of a delay keeps its first frames for ever",
        lambda: broken.tape_shift(lambda tape: None), "P11", *_CONV,
    ),
    "tape-overlaps-badly": _mutant(
        "state", "frames of a tape overwrite each other while they move",
        lambda: broken.tape_shift(broken.shift_one_by_one), "P11",
        "conv/Conv-pulse-shorter-than-field", *_CONV,
    ),
    "state-shared": _mutant(
        "state", "two sessions of a plan share their memory", broken.state_shared, "P8", *_CONV
    ),
    "clone-shares": _mutant(
        "state", "a clone goes on with the memory of the original",
        broken.clone_shares, "P8", *_CONV,
    ),
    "restore-forgets": _mutant(
        "state", "a restored session starts to count anew",
        broken.restore_forgets, "P8", *_CONV,
    ),
    "last-chunk-dropped": _mutant(
        "state", "the frames of an unfinished pulse are lost",
        broken.last_chunk_dropped, "P2", *_CONV,
    ),
    "delay-cut-every-pulse": _mutant(
        "state", "the delay is cut from every pulse",
        broken.delay_cut_once_per_pulse, "P2", *_SLICE,
    ),
    "conv-flipped": _mutant(
        "kernel", "a convolution walks its kernel backwards",
        lambda: broken.op_evaluates(Conv, _flipped), "P0 P10 P1e P11", *_CONV,
    ),
    "maxpool-starts-at-zero": _mutant(
        "kernel", "no maximum is below zero",
        lambda: broken.result_changed(MaxPool, lambda out: np.maximum(out, 0)),
        "P0 P10 P1e P11", *_MAX,
    ),
    "fast-conv-group-off": _mutant(
        "kernel", "the fast convolution reads the kernels of the next group",
        lambda: broken.kernel_built_for(Conv, _other_group), "P11",
        _GROUPED, "conv/Conv-1d",
    ),
    "fast-swallows-nan": _mutant(
        "kernel", "a fast kernel turns NaN into 0",
        lambda: broken.kernel_changed(Conv, _nan_to_zero), "P11", *_CONV,
    ),
    "dtype-changed": _mutant(
        "kernel", "a sum comes out in another dtype than announced",
        lambda: broken.result_changed(Add, lambda out: out.astype(np.float64)), "P0 P7",
        "binary/Add-rest", "binary/Add-whole-pulses",
    ),
    "slice-fact-too-long": _mutant(
        "rule", "a slice announces one frame more than it gives",
        lambda: broken.fact_changed(Slice, _one_more), "P7", *_SLICE,
    ),
    "declutter-drops-slice": _mutant(
        "rule", "a slice from the front counts as a slice of everything",
        lambda: broken.declutter_drops(Slice, lambda op: op.start == 0), "P4",
        "slicing/Slice-first-frames", "slicing/Slice-stream",
    ),
    "declutter-merges-unequal": _mutant(
        "rule", "siblings are merged without a look at their attributes",
        _merge_all, "P4", *_DAG,
    ),
    "declutter-folds-any-pad": _mutant(
        "rule", "a Pad of any value becomes padding of the window that follows",
        _fold_any_value, "P4 P1", "conv/Conv-pad-5", "conv/Conv-after-pad",
    ),
    "writer-loses-dilation": _mutant(
        "rule", "the dilation of a convolution is not written",
        lambda: broken.dump_loses(Conv, "dilation"), "P6 P10", *_CONV,
    ),
    "writer-loses-modulo": _mutant(
        "rule", "the phase of a Downsample is not written",
        lambda: broken.dump_loses(Downsample, "modulo"), "P6 P10", *_SAMPLE,
    ),
    "reader-ignores-stride": _mutant(
        "rule", "the stride of a convolution is not read",
        lambda: broken.load_ignores("conv", "stride"), "P6 P10 P1e",
        "conv/Conv-strides-misaligned", *_CONV,
    ),
    "axes-transposed": _mutant(
        "output", "the axes of an answer are reversed", _outputs(_reversed_axes), "P10 P1e", *_CONV
    ),
    "refuses-everything": _mutant(
        "output", "every question is declined",
        _changed(lambda out: Refused("run", "not today")), "P10 P1e", *_CONV,
    ),
    "always-zero": _mutant(
        "output", "every answer is zero", _outputs(np.zeros_like), "P10 P1e", *_CONV
    ),
    **DIM_MUTANTS,
    **STREAM_MUTANTS,
    **FIXED_MUTANTS,
    **GRAPH_MUTANTS,
    **ROI_MUTANTS,
    **INCREMENT_MUTANTS,
}  # fmt: skip


def main(arguments: list[str]) -> None:
    """Write the whole table to a file, or print it."""
    rows = {
        name: {law_id: needed(mutant, law) for law_id, law in laws_of(mutant).items()}
        for name, mutant in MUTANTS.items()
    }
    text = table(rows) + "\n"
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
