"""Where a delay comes from, part by part; which nodes are refused, and what would lift it."""

from __future__ import annotations

import re
import shlex
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tract_ref
from tract_ref import pulsify
from tract_ref.errors import InvalidModel
from tract_ref.ir.model import Model
from tract_ref.ops.binary import Add
from tract_ref.ops.slicing import Slice
from tract_ref.passes.delays import DelayStep
from tract_ref.passes.pulsify_v1 import Pulsed, refusals
from tract_ref_suites.command_line import CASES, HEAD, X, nnef, run
from tract_ref_suites.problems import families
from tract_ref_suites.problems.base import SYMBOL, Problem
from tract_ref_suites.problems.chains import ChainProblem, chain_problems
from tract_ref_suites.problems.graphs import DagProblem, dag_problems
from tract_ref_suites.problems.unets import unet_problems
from tract_ref_suites.strategies.models import Branch, Dag, Step
from tract_ref_suites.strategies.windows import Along

README = Path(tract_ref.__file__).parents[1] / "README.md"
ENDS = (
    "padding",
    "concat",
    "conv",
    "deconv",
    "pool",
    "axes",
    "slicing",
    "spec_pulse",
)


def require_told(pulsed: Pulsed) -> int:
    """Require that the parts of every output add up; returns how many parts there are."""
    told = 0
    for name, delay in zip(pulsed.batch.output_names, pulsed.delays, strict=True):
        steps = pulsed.explain(name)
        running = Fraction(0)
        for before, step in zip((None, *steps), steps, strict=False):
            assert step.source == (before.wire if before is not None else "")
            running += sum(part.source_frames for part in step.parts)
            assert running * step.stream.rate == step.stream.delay
            assert all(part.frames for part in step.parts)
            # A verb that tells no reason would leave the name of an op here.
            assert all(" " in part.cause for part in step.parts)
            told += len(step.parts)
        assert (steps[-1].stream.delay if steps else 0) == delay
    return told


def told_by(problem: Problem) -> int:
    model = problem.model()
    return sum(require_told(pulsify(model, pulse, symbol=SYMBOL)) for pulse in problem.pulses)


@given(chain_problems(most=6))
def test_the_parts_of_a_chain_add_up_to_its_delay(problem: ChainProblem) -> None:
    told_by(problem)


@given(dag_problems() | unet_problems())
def test_the_parts_along_the_slowest_path_add_up_to_the_delay(problem: Problem) -> None:
    told_by(problem)


@pytest.mark.parametrize("name", ENDS)
def test_the_parts_of_every_streaming_op_add_up(name: str) -> None:
    told = [told_by(problem) for problem in families()[name].hand.values()]
    assert sum(told) > 0


@given(chain_problems(), st.integers(1, 3))
def test_a_symbolic_pulse_is_explained_as_well(problem: ChainProblem, factor: int) -> None:
    model, unit = problem.model(), problem.pulses[0] * factor
    require_told(pulsify(model, f"{unit}*P", symbol=SYMBOL))


def causes(step: DelayStep) -> list[tuple[int | Fraction, str]]:
    return [(part.frames, part.cause) for part in step.parts]


def test_a_late_end_a_window_and_its_padding_are_told_apart() -> None:
    steps = (Step("crop", pair=(0, 4)), Step("conv", Along(5, 2, 1, (1, 2))))
    model = ChainProblem(steps=steps, frames=9, sizes=(2,)).model()
    source, crop, conv = pulsify(model, 2).explain("y")
    assert (source.op, source.parts, source.source) == ("Source", (), "")
    assert (crop.op, crop.parts) == ("Slice", ())
    assert causes(conv) == [
        (4, "waits until the end of the stream is known"),
        (4, "the window reaches 4 frames ahead"),
        (-1, "1 frames of padding in front"),
        (-1, "whole strides of 2 frames"),
    ]
    assert (conv.source_frames, conv.frames, conv.stream.delay) == (6, 3, 3)


def test_padding_beyond_the_window_makes_nothing_early() -> None:
    steps = (Step("conv", Along(3, 1, 1, (5, 0))), Step("concat", pair=(2, 0)))
    _, conv, concat = pulsify(ChainProblem(steps=steps, frames=9, sizes=(2,)).model(), 2).explain(
        "y"
    )
    assert causes(conv)[1:] == [
        (-5, "5 frames of padding in front"),
        (3, "a result is never early"),
    ]
    assert causes(concat) == [
        (2, "makes room for 2 frames in front"),
        (-2, "2 frames put in front"),
    ]


def test_the_path_follows_the_slower_branch_and_names_those_that_wait() -> None:
    slow, skip = Branch((Step("conv", Along(4)),), 0), Branch((), 1)
    dag = Dag((skip, slow), "add", (Step("Neg"),), 1, 4)
    model = DagProblem(dag=dag, frames=9, sizes=(2,)).model()
    steps = pulsify(model, 2).explain("y")
    assert [step.op for step in steps if step.parts] == ["Conv"]
    (meeting,) = [step for step in steps if step.waits]
    assert (meeting.op, meeting.parts) == ("Add", ())
    assert meeting.source == "b1.common"
    assert meeting.waits == (("b0.common", 2),)


def test_an_inner_wire_is_explained_and_a_static_one_has_no_delay() -> None:
    model = ChainProblem(steps=(Step("conv", Along(3)),) * 2, frames=9, sizes=(2,)).model()
    pulsed = pulsify(model, 2)
    assert [step.stream.delay for step in pulsed.explain("op.0.conv")] == [0, 2]
    assert pulsed.explain("op.0.conv.kernel") == ()
    with pytest.raises(InvalidModel, match=r"^no wire is called 'nothing'; outputs: y"):
        pulsed.explain("nothing")


BAD = (
    f"{X} h = slice(x, axes = [2], begin = [3], end = [0]);"
    "m = max_pool(h, size = [1,1,2], stride = [1,1,2],"
    " padding = [(0,0),(0,0),(0,0)], border = 'ignore');"
    "y = neg(softmax(m, axes = [2])); z = slice(h, axes = [2], begin = [S-4], end = [S]);"
)
TWO = HEAD.replace("(y)", "(y, z)")


def test_every_refusal_that_is_not_a_consequence_is_listed(tmp_path: Path) -> None:
    model = tract_ref.load(nnef(tmp_path / "m", BAD, head=TWO))
    soft, last = refusals(model, 4)
    assert (soft.error.op, last.error.op) == ("Softmax", "Slice")
    assert (soft.behind, last.behind) == (1, 0)
    assert [(step.wire, str(step.stream.rate)) for step in soft.upstream] == [
        ("x", "1"),
        ("h", "1"),
        ("m", "1/2"),
    ]
    assert soft.error.remedy == "apply it to another axis"
    assert [step.wire for step in last.upstream] == ["x", "h"]
    pool, last = refusals(model, 3)
    assert (pool.error.op, pool.behind, last.error.op) == ("MaxPool", 2, "Slice")


@given(chain_problems())
def test_a_model_that_streams_has_no_refusals(problem: ChainProblem) -> None:
    assert refusals(problem.model(), problem.pulses[0], symbol=SYMBOL) == ()


def test_streams_that_meet_at_other_lengths_are_traced_to_the_later_one() -> None:
    model = Model()
    chain = ChainProblem(steps=(Step("conv", Along(3)),), frames=9, sizes=(2,)).model()
    x = model.add_source("x", chain.fact(chain.inputs[0]))
    (late,) = model.wire("late", Slice(2, 5, 100), (x,))
    model.set_outputs(model.wire("add", Add(), (x, late)), ["y"])
    (found,) = refusals(model, 2)
    assert found.error.node == "add"
    assert [step.wire for step in found.upstream] == ["x", "late"]


def test_the_command_lists_refusals_with_what_lifts_them(tmp_path: Path) -> None:
    model = nnef(tmp_path / "m", BAD, head=TWO)
    ran = run("check", model, "--pulse", 3, "--explain")
    assert ran.status == 2
    assert ran.out.splitlines()[1:5] == [
        'refused: node "m" (MaxPool): pulse=3 brings 3 frames on axis 2, not a multiple of '
        "stride=2",
        "  to lift it: use a pulse of 2, 4, 6, … frames, as far as the other nodes admit it",
        "  it reads: x (axis=2 length=S delay=0) -> h (axis=2 length=max(0,S+-3) delay=3)",
        "  2 nodes behind it were not judged",
    ]
    (entry,) = run("check", model, "--pulse", 3, "--explain", "--json").json["runs"]
    assert [found["node"] for found in entry["refused"]] == ["m", "z"]
    assert (entry["delays"], entry["refused"][0]["behind"]) == ({}, 2)
    assert [step["delay"] for step in entry["refused"][0]["upstream"]] == [0, 3]


def test_the_report_for_machines_adds_up(tmp_path: Path) -> None:
    (entry,) = run("check", CASES / "conv-chain", "--pulse", 4, "--explain", "--json").json["runs"]
    (output,) = entry["outputs"]
    steps = entry["delays"][output["name"]]
    parts = [Fraction(part["source_frames"]) for step in steps for part in step["parts"]]
    assert parts
    assert sum(parts) * Fraction(steps[-1]["rate"]) == output["delay"]


def test_the_example_of_the_readme_is_what_it_prints() -> None:
    if not README.exists():
        pytest.skip("the documents are not installed")
    found = re.search(
        r"^    \$ tract-ref (check .*--explain.*)\n((?:    .*\n)+)", README.read_text(), re.M
    )
    assert found is not None
    words, printed = found.groups()
    arguments = [str(README.parent / w) if "/" in w else w for w in shlex.split(words)]
    ran = run(*arguments)
    shown = [line.rstrip() for line in ran.out.splitlines()]
    tail = [line.removeprefix("    ") for line in printed.splitlines()]
    assert shown[-len(tail) :] == tail
