"""Sums of products: matrix products, outer products, diagonals, two branches of a stream."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tract_ref.approx import Array
from tract_ref.errors import InvalidModel, Refused
from tract_ref.ir.model import Model, Outlet
from tract_ref.ops.einsum import EinSum
from tract_ref_suites.problems.base import (
    ErrorCase,
    Problem,
    Streamed,
    Values,
    cropped,
    facts,
    pulsing,
    single,
    sliced,
    wiring,
)
from tract_ref_suites.strategies.shapes import crops, lengths, placed, pulses
from tract_ref_suites.strategies.tensors import values

DTYPES = {"f4": "f32", "f8": "f64", "i4": "i32"}


def summed(expression: str, operands: list[Array], dtype: np.dtype) -> Array:
    """Evaluate an expression one output element at a time, in Python numbers."""
    left, _, output = expression.partition("->")
    groups = left.split(",")
    extents: dict[str, int] = {}
    for letters, operand in zip(groups, operands, strict=True):
        for letter, size in zip(letters, operand.shape, strict=True):
            extents[letter] = size if extents.get(letter, 1) == 1 else extents[letter]
    others = [letter for letter in extents if letter not in output]
    out = np.zeros([extents[letter] for letter in output], dtype)
    for index in np.ndindex(*out.shape):
        total: float = 0
        for rest in itertools.product(*(range(extents[letter]) for letter in others)):
            where = dict(zip((*output, *others), (*index, *rest), strict=True))
            term: float = 1
            for letters, operand in zip(groups, operands, strict=True):
                sizes = zip(letters, operand.shape, strict=True)
                term *= operand[tuple(where[c] if n != 1 else 0 for c, n in sizes)].item()
            total += term
        out[index] = total
    return out


@dataclass(frozen=True, kw_only=True)
class EinSumProblem(Streamed):
    """One expression; its first operand streams on the letter `s`.

    Attributes:
        expression: as `sk,kj->sj`.
        others: shape of the second operand, a constant; `()` when there is none, or a branch.
        offsets: first frames of the two branches when both operands stream.
    """

    family = "einsum"
    op = "EinSum"
    expression: str
    others: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()

    def static(self) -> Array:
        """Return the constant."""
        return self.values.array(self.others, self.dtype, salt=1)

    def crops(self) -> list[tuple[int, int]]:
        """Return what each branch drops of the stream."""
        return [(offset, max(self.offsets) - offset) for offset in self.offsets]

    def apply(self, model: Model, wire: Outlet) -> Outlet:
        wires = [wire]
        if self.others:
            wires.append(model.add_const("matrix", self.static()))
        elif self.offsets:
            wires = [
                sliced(model, f"branch{slot}", wire, self.axis, crop)
                for slot, crop in enumerate(self.crops())
            ]
        return model.wire("op", EinSum(self.expression, DTYPES[self.dtype]), wires)[0]

    def oracle(self, data: Array) -> Array:
        operands = [data]
        if self.others:
            operands.append(self.static())
        elif self.offsets:
            operands = [cropped(data, self.axis, crop) for crop in self.crops()]
        return summed(self.expression, operands, data.dtype)

    def least_delay(self, pulse: int) -> int | None:
        return self.crop[0] + max(self.offsets, default=0)


# The first operand streams on the letter s, or t where there is none.
_WITH_CONSTANT = (
    "sk,kj->sj",
    "sk,jk->sj",
    "ks,kj->js",
    "ks,kj->sj",
    "bsk,bkj->bsj",
    "bsk,kj->bsj",
    "bks,kj->bjs",
    "bhsk,hkj->bhsj",
    "sij,ijk->sik",
    "sk,k->s",
    "s,k->sk",
    "skk,kj->sj",
    "sk,kk->s",
    "nct,oc->not",
)
_ALONE = ("sk->s", "sk->ks", "skk->sk", "skj->sjk", "skj->sk", "bsk->sk")
_BRANCHES = ("sk,sk->sk", "sk,sk->s", "sk,sj->skj", "bsk,bsj->bskj", "ks,ks->s")


def _stream_letter(letters: str) -> str:
    return "s" if "s" in letters else "t"


@st.composite
def einsum_problems(draw: st.DrawFn, *, how: str) -> EinSumProblem:
    """Draw an expression with a constant (`constant`), of one stream, or of two branches."""
    table = {"alone": _ALONE, "branches": _BRANCHES, "constant": _WITH_CONSTANT}
    expression = draw(st.sampled_from(table[how]))
    first, *rest = expression.partition("->")[0].split(",")
    stream = _stream_letter(first)
    extents = {letter: draw(st.integers(1, 3)) for letter in sorted(set("".join((first, *rest))))}
    if how == "branches":
        # Both operands are branches of one stream: letters in one place have one size.
        extents |= {c: extents[d] for c, d in zip(rest[0], first, strict=True)}
    axis = first.index(stream)
    pulse = draw(pulses())
    crop = draw(crops())
    offsets = (draw(st.integers(0, 4)), draw(st.integers(0, 4))) if how == "branches" else ()
    length = draw(lengths(pulse[0], field=sum(crop) + max(offsets, default=0)))
    return EinSumProblem(
        shape=placed(tuple(extents[c] for c in first), axis, length),
        axis=axis,
        sizes=pulse,
        crop=crop,
        expression=expression,
        others=tuple(extents[c] for c in rest[0]) if how == "constant" else (),
        offsets=offsets,
        values=draw(values()),
        dtype=draw(st.sampled_from(sorted(DTYPES))),
    )


STRATEGIES = {
    "EinSum-constant": lambda: einsum_problems(how="constant"),
    "EinSum-alone": lambda: einsum_problems(how="alone"),
    "EinSum-branches": lambda: einsum_problems(how="branches"),
}


def _matmul(length: int, pulses_: tuple[int, ...], **rest: object) -> EinSumProblem:
    return EinSumProblem(
        shape=(length, 3),
        axis=0,
        sizes=pulses_,
        expression="sk,kj->sj",
        others=(3, 2),
        **rest,  # pyright: ignore[reportArgumentType]
    )


HAND: dict[str, Problem] = {
    "EinSum-whole-axis": _matmul(8, (8,)),
    "EinSum-one-frame": _matmul(1, (1, 4)),
    "EinSum-empty-stream": _matmul(0, (1, 4)),
    "EinSum-pulse-longer-than-stream": _matmul(5, (16,)),
    "EinSum-after-a-crop": _matmul(9, (4,), crop=(2, 1)),
    "EinSum-sij-ijk-sik": EinSumProblem(
        shape=(5, 8, 2), axis=0, sizes=(1,), expression="sij,ijk->sik", others=(8, 2, 4)
    ),
    "EinSum-two-delays": EinSumProblem(
        shape=(9, 2), axis=0, sizes=(4,), expression="sk,sk->s", offsets=(3, 0)
    ),
    "EinSum-sum-over-the-stream": EinSumProblem(shape=(5, 2), axis=0, sizes=(), expression="sk->k"),
    "EinSum-repeated-dim": EinSumProblem(
        shape=(5, 1), axis=0, sizes=(2,), expression="sk,kj->sj", others=(3, 2)
    ),
}


def _refused(expression: str, starts: str, *texts: str) -> ErrorCase:
    attempt = pulsing(lambda: single(EinSum(expression, "f32"), *facts(*texts)))
    return ErrorCase(attempt, Refused, f'pulsify v1: node "op" (EinSum): {starts}')


def _invalid(expression: str, starts: str, *texts: str, acc: str = "f32") -> ErrorCase:
    attempt = wiring(EinSum(expression, acc), *facts(*texts))
    return ErrorCase(attempt, InvalidModel, f'node "op" (EinSum): {starts}')


def _long_constant() -> Model:
    model = Model()
    x = model.add_source("x", facts("S,f32")[0])
    constant = model.add_const("constant", Values().array((4,)))
    model.set_outputs(model.wire("op", EinSum("s,s->s", "f32"), (x, constant)), ["y"])
    return model


ERRORS: dict[str, ErrorCase] = {
    "EinSum-contracts-the-stream": _refused(
        "i,i->", "the stream axis of operand 0 (letter 'i' of 'i,i->') is summed", "S,f32", "S,f32"
    ),
    "EinSum-outer-product": _refused(
        "i,j->ij", "streams arrive on two axes of the output", "S,f32", "S,f32"
    ),
    "EinSum-constant-as-long-as-the-pulse": ErrorCase(
        pulsing(_long_constant),
        Refused,
        'pulsify v1: node "op" (EinSum): operand 1 does not stream but has 4 positions',
    ),
    "EinSum-ellipsis": _invalid("...k->k", "expression '...k->k'", "S,f32"),
    "EinSum-repeated-output": _invalid("k->kk", "letter 'k' of expression", "S,f32"),
    "EinSum-unknown-output": _invalid("k->j", "letter 'j' of expression", "S,f32"),
    "EinSum-operands": _invalid("k,k->k", "1 operands where 'k,k->k' names 2", "S,f32"),
    "EinSum-bools": _invalid("k->k", "operand 0 is S,bool; EinSum multiplies numbers", "S,bool"),
    "EinSum-acc": _invalid("k->k", "acc=bool", "S,f32", acc="bool"),
    "EinSum-rank": _invalid("kj->k", "operand 0 has 1 axes", "S,f32"),
    "EinSum-sizes": _invalid("k,k->k", "letter 'k' of 'k,k->k' is 2 and 3", "2,f32", "3,f32"),
}
