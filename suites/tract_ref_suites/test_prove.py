"""`prove` judges the model as it was given, and says where and why it parts."""

from __future__ import annotations

from collections.abc import Mapping
from unittest.mock import patch

import numpy as np
import pytest

from tract_ref.approx import Array
from tract_ref.dim import Dim, Scope, sym
from tract_ref.ir.fact import Fact
from tract_ref.ir.model import Model, Node
from tract_ref.ir.op import Op
from tract_ref.ir.patch import ModelPatch
from tract_ref.ir.rules import DECLUTTER, Rewrite
from tract_ref.ops.conv import Conv
from tract_ref.ops.slicing import Slice
from tract_ref.ops.unary import Neg
from tract_ref.passes.pulsify_v1 import whole_pulse
from tract_ref.prove import prove
from tract_ref.runtime.state import Session
from tract_ref.stream.tables import PULSIFY_V1
from tract_ref.stream.window import Valid, WindowSpec

S = sym("S")


def chain(strides: tuple[int, ...] = (1, 1)) -> Model:
    """Return -conv(conv(x)) of kernel 3."""
    model = Model(Scope())
    wire = model.add_source("x", Fact(np.dtype("f4"), (1, 1, S)))
    for number, stride in enumerate(strides):
        kernel = model.add_const(f"k{number}", np.array([[[1, 2, 4]]], np.float32))
        window = WindowSpec((3,), (stride,), (1,), (Valid(),))
        (wire,) = model.wire(f"c{number}", Conv(window, 1), (wire, kernel))
    (wire,) = model.wire("y", Neg(), (wire,))
    model.set_outputs([wire], ["y"])
    return model


def dropped(op: Op, node: Node, ctx: Rewrite) -> ModelPatch:
    """Declutter a sign away."""
    return ModelPatch.bypass(ctx.model, node, node.inputs[0])


def test_the_sound_model_is_exact() -> None:
    assert prove(chain(), 4, fast=False, approx="exact").verdict == "exact"


def test_a_wrong_declutter_rule_is_seen() -> None:
    with DECLUTTER.replaced(Neg, dropped):
        run = prove(chain(), 4, fast=False)
    assert run.verdict == "wrong"
    first = run.outputs[0].first
    assert first is not None
    assert first.wire == "y"


def test_an_extra_delay_is_announced_and_not_wrong() -> None:
    rule = PULSIFY_V1.lookup(Conv)

    def late(op: Conv, node: Node, ctx: object) -> object:
        outlets = rule(op, node, ctx)  # pyright: ignore[reportCallIssue]
        if node.name != "c1":
            return outlets
        return (ctx.delay(outlets[0], 1),)  # pyright: ignore[reportAttributeAccessIssue]

    with PULSIFY_V1.replaced(Conv, late):  # pyright: ignore[reportArgumentType]
        announced = prove(chain(), 4, fast=False)
    # One frame later and said so: nothing is wrong but the delay.
    assert announced.verdict == "exact"
    assert announced.outputs[0].delay == 5


def test_joining_the_turns_wrongly_is_said() -> None:
    sound = Session._certain

    def negated(self: Session, *args: object, **named: object) -> Mapping[str, Array]:
        return {name: -value for name, value in sound(self, *args, **named).items()}  # pyright: ignore[reportArgumentType]

    with patch.object(Session, "_certain", negated):
        run = prove(chain(), 4, fast=False)
    first = run.outputs[0].first
    assert first is not None
    assert "joining its turns" in first.note
    # Delay 4 at 4 frames a turn: frame 0 comes with turn 1.
    assert (first.wire, first.pulse, first.index) == ("y", 1, (0, 0, 0))


@pytest.mark.parametrize(
    ("strides", "least", "pulse"), [((1, 1), 8, 8), ((3, 2), 8, 12), ((2, 2), 1, 4)]
)
def test_a_whole_pulse_suits_every_stride(strides: tuple[int, ...], least: int, pulse: Dim) -> None:
    assert whole_pulse(chain(strides), least=least) == pulse


def test_a_model_that_cannot_stream_has_no_better_pulse() -> None:
    model = chain()
    (last,) = model.wire("cut", Slice(2, S - 8, S), (model.outputs[0],))
    model.set_outputs([last], ["y"])
    assert whole_pulse(model, least=8) == 8
