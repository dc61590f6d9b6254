"""`tract-ref dims`: explain what becomes of a symbolic dimension, law by law."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import click

from tract_ref.cli import EXIT_EQUAL, EXIT_REFUSED
from tract_ref.cli.pairs import pairs
from tract_ref.dim import Dim, Scope, TDim, evaluate, parse_dim, period, slope, substitute, symbols
from tract_ref.dim.algebra import TEXTS, Dims, Integers, truncated
from tract_ref.dim.parse import read_dim
from tract_ref.dim.prove import BUDGET
from tract_ref.dim.trace import Operation, Step, recording
from tract_ref.errors import EvalError, Inconclusive, InternalError

SCHEMA = "tract-ref.dims/1"
# Longer texts are cut, except in JSON.
_LONGEST = 240
_WORDS = re.compile(r"[^-\s()+*/,#<>=]+|[-+*/,#<>=]")
_INFINITE = {0: "-oo", 1: "+oo"}


class _Reader(Dims):
    """Reads a dimension, and keeps its symbols and numerators, which a normal form may lose."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.numerators: dict[Dim, None] = {}

    def symbol(self, name: str) -> Dim:
        self.names[name] = None
        return super().symbol(name)

    def floor(self, value: Dim, divisor: int) -> Dim:
        self.numerators[value] = None
        return super().floor(value, divisor)


@dataclass(frozen=True)
class _Question:
    """What is asked.

    Args:
        text: the expression.
        scope: assertions and scenarios, after `sets`.
        sets: symbols that are replaced, and the texts they are replaced by.
        bindings: values of symbols.
    """

    text: str
    scope: Scope
    sets: dict[str, str]
    bindings: dict[str, int]


@dataclass(frozen=True)
class _Value:
    """The expression at one point.

    Args:
        written: value of the text as read; None when a symbol is not set or it is undefined.
        simplified: value of the result; None when a symbol is not set or it is undefined.
        truncated: the written value if quotients were rounded towards zero.
        holds: whether assertions and scenarios admit the point.
        undefined: why there is no written value.
        rest: what is left of the result, the given symbols replaced.
        further: values of other symbols, which equalities determine.
    """

    written: int | None
    simplified: int | None
    truncated: int | None
    holds: bool | None
    undefined: str
    rest: Dim
    further: dict[str, int]


@dataclass(frozen=True)
class _Answer:
    """All that is shown.

    Args:
        read: the expression as read.
        normal: its normal form, `sets` done.
        result: what the assertions make of it.
        steps: what changed something while it was read, and while it was simplified.
        negative: numerators that are not proved to be 0 or more.
        names: its symbols, as written.
        value: at the point that was given.
    """

    read: str
    normal: Dim
    result: Dim
    steps: tuple[tuple[Step, ...], tuple[Step, ...]]
    negative: tuple[Dim, ...]
    names: tuple[str, ...]
    value: _Value | None


@click.command()
@click.argument("expression", metavar="EXPR")
@click.option(
    "--assert", "known", multiple=True, metavar="S>=0", help="Take as true; may be repeated."
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME:S==1",
    help="One of the ways to use a model; may be repeated.",
)
@click.option("--set", "sets", multiple=True, metavar="S=2*T", help="Replace a symbol first.")
@click.option("--eval", "values", multiple=True, metavar="S=7", help="Evaluate at a point.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def dims(
    expression: str,
    known: tuple[str, ...],
    scenarios: tuple[str, ...],
    sets: tuple[str, ...],
    values: tuple[str, ...],
    as_json: bool,
) -> int:
    """Explain what becomes of the dimension EXPR: laws, bounds, rate, value.

    Put -- before an EXPR that begins with a minus sign. Exits 2 when --eval leaves a symbol open.
    """
    question = _question(expression, known, scenarios, sets, values)
    answer = _answer(question)
    if as_json:
        click.echo(json.dumps(_report(question, answer), indent=1, ensure_ascii=False))
    else:
        for line in _lines(question, answer):
            click.echo(line)
    value = answer.value
    decided = value is None or value.simplified is not None or value.written is not None
    return EXIT_EQUAL if decided else EXIT_REFUSED


def _question(
    text: str,
    known: tuple[str, ...],
    scenarios: tuple[str, ...],
    sets: tuple[str, ...],
    values: tuple[str, ...],
) -> _Question:
    named: dict[str, list[str]] = {}
    for scenario in scenarios:
        name, colon, relation = scenario.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"{scenario!r}: expected NAME: S==1", param_hint="--scenario")
        named.setdefault(name.strip(), []).append(relation)
    replaced = pairs("--set", sets)
    reader = _Reader()
    read_dim(text, reader)
    scope = Scope(known, named)
    new = {name: parse_dim(value) for name, value in replaced.items()}
    own = set(reader.names) | scope.symbols
    _require_known("--set", replaced, own)
    own = (own - new.keys()).union(*(symbols(value) for value in new.values()))
    bindings = {name: _integer(name, v) for name, v in pairs("--eval", values).items()}
    _require_known("--eval", bindings, own)
    scope = scope.substitute(new) if new else scope
    scope.require_possible()
    return _Question(text, scope, replaced, bindings)


def _integer(name: str, text: str) -> int:
    value = parse_dim(text)
    if isinstance(value, TDim):
        raise click.BadParameter(f"{name}={text}: expected an integer", param_hint="--eval")
    return value


def _require_known(option: str, given: Mapping[str, object], own: set[str]) -> None:
    for name in given:
        if name not in own:
            listed = ", ".join(sorted(own)) or "none"
            raise click.BadParameter(f"no symbol {name!r} (symbols: {listed})", param_hint=option)


def _answer(question: _Question) -> _Answer:
    reader = _Reader()
    new = {name: parse_dim(text) for name, text in question.sets.items()}
    with recording() as reading:
        normal = substitute(read_dim(question.text, reader), new)
    with recording() as simplifying:
        result = question.scope.simplify(normal)
    numerators = (substitute(d, new) for d in reader.numerators)
    answer = _Answer(
        _bare(read_dim(question.text, TEXTS)),
        normal,
        result,
        (_visible(reading), _visible(simplifying)),
        tuple(d for d in numerators if question.scope.proves_ge(d, 0) is not True),
        tuple(reader.names),
        _value(question, normal, result) if question.bindings else None,
    )
    if answer.value is not None:
        _require_equal(question, answer.value, (normal, result))
    return answer


def _bare(text: str) -> str:
    """Take the parentheses around a whole expression off."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            whole = letter == ")" and place == len(text) - 1 and text[0] == "("
            return text[1:-1] if whole else text
    return text


def _visible(steps: list[Step]) -> tuple[Step, ...]:
    """Leave out what changes no more than the order or parentheses of a text, and repetitions."""
    shown: dict[tuple[str, str], Step] = {}
    for step in steps:
        before, after = str(step.operation), str(step.after)
        if sorted(_WORDS.findall(before)) != sorted(_WORDS.findall(after)):
            shown.setdefault((before, after), step)
    return tuple(shown.values())


def _value(question: _Question, normal: Dim, result: Dim) -> _Value:
    further = question.scope.determined(question.bindings)
    further = {n: v for n, v in further.items() if n not in question.bindings}
    given = {**question.bindings, **further}
    undefined = ""
    written = cut = None
    try:
        inner = {name: read_dim(text, Integers(given)) for name, text in question.sets.items()}
        written = read_dim(question.text, Integers({**given, **inner}))
        cut = read_dim(question.text, Integers({**given, **inner}, truncated))
    except KeyError as missing:
        undefined = f"symbol {missing.args[0]} not set"
    except EvalError as error:
        undefined = error.seen
    total = symbols(result) <= given.keys()
    simplified = _evaluated(result, given) if total else None
    rest = result
    if simplified is not None:
        rest = simplified
    elif not total:
        rest = substitute(result, dict(given))
    holds = question.scope.holds(given)
    if holds is None and question.scope.substitute(given).is_contradictory:
        holds = False
    spoken = symbols(normal) | symbols(result)
    shown = {name: value for name, value in further.items() if name in spoken}
    return _Value(written, simplified, cut, holds, undefined, rest, shown)


def _require_equal(question: _Question, value: _Value, forms: tuple[Dim, Dim]) -> None:
    """Where the expression is defined its normal form is equal, and its result if assertions hold.

    Raises:
        InternalError: they differ.
    """
    if value.written is None:
        return
    normal, result = forms
    given = {**question.bindings, **value.further}
    found_by = [("the normal form", _evaluated(normal, given))]
    if value.holds and symbols(result) <= given.keys():
        found_by.append(("the result", value.simplified))
    for what, found in found_by:
        if found != value.written:
            raise InternalError(
                f"{question.text} at {_point(given)} is {value.written}, {what} gives "
                f"{'no value' if found is None else found}",
                stage="dims",
            )


def _evaluated(dim: Dim, bindings: Mapping[str, int]) -> int | None:
    try:
        return evaluate(dim, bindings)
    except EvalError:
        return None


def _point(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


# Text


def _lines(question: _Question, answer: _Answer) -> list[str]:
    lines = [f"read         {_cut(answer.read)}"]
    reading, simplifying = answer.steps
    lines += _steps(reading, 1)
    replaced = ", ".join(f"{name}={text}" for name, text in question.sets.items())
    lines.append(f"normal form  {_cut(answer.normal)}" + (f"  with {replaced}" if replaced else ""))
    kept = _kept(answer.normal)
    if kept:
        lines.append(f"kept as      {_cut(kept)}")
    for assertion in question.scope.lines:
        lines.append(f"assuming     {_cut(assertion)}")
    lines += _steps(simplifying, len(reading) + 1)
    lines.append(f"result       {_cut(answer.result)}")
    low, high = question.scope.bounds(answer.result)
    ends = [_INFINITE[i] if end is None else _cut(end) for i, end in enumerate((low, high))]
    lines.append(f"bounds       {' .. '.join(ends)}")
    lines.append(f"sign         {_sign(question.scope, answer.result)}")
    listed = ", ".join(sorted(symbols(answer.result))) or "none"
    gone = sorted(set(answer.names) - symbols(answer.result) - question.sets.keys())
    lines.append(f"symbols      {_cut(listed)}" + (f"  (gone: {', '.join(gone)})" if gone else ""))
    lines += [f"rate         {_cut(_rate(answer.result, name))}" for name in _moving(answer.result)]
    for numerator in answer.negative:
        lines.append(
            f"domain       the numerator {_cut(numerator)} may be negative; floor here, the real "
            "engine truncates or rewrites"
        )
    return lines + _value_lines(question, answer)


def _steps(steps: tuple[Step, ...], first: int) -> list[str]:
    lines: list[str] = []
    for number, step in enumerate(steps, first):
        lines.append(f"{number:>4}  {step.law.name}: {step.law.formula}")
        lines.append(f"        {_cut(step.operation)} -> {_cut(step.after)}")
        lines += [f"        since {_cut(proof)}" for proof in step.proofs]
    return lines


def _cut(shown: object) -> str:
    """Return a text that fits a few lines of a terminal; JSON keeps it whole."""
    text = str(shown)
    if len(text) <= _LONGEST:
        return text
    parts: tuple[Dim, ...] = shown.operands if isinstance(shown, Operation) else ()
    parts = (shown,) if isinstance(shown, TDim) else parts
    terms = sum(len(d.terms) + bool(d.constant) if isinstance(d, TDim) else 1 for d in parts)
    size = f"{terms} terms" if terms > 1 else f"{len(text)} characters"
    return f"{text[:_LONGEST]}… ({size})"


def _kept(dim: Dim) -> str:
    """Return the sum behind the text of a clamp: a minimum is kept as a negated maximum."""
    if not isinstance(dim, TDim) or not any(a.kind == "max" for m, _ in dim.terms for a in m):
        return ""
    terms = [(c, "*".join(str(a) for a in m)) for m, c in dim.terms]
    signed = [f"{'-' if c < 0 else '+'} {f'{abs(c)}*' * (abs(c) != 1)}{text}" for c, text in terms]
    if dim.constant:
        signed.insert(0, f"{'-' if dim.constant < 0 else '+'} {abs(dim.constant)}")
    text = " ".join(signed).removeprefix("+ ").replace("- ", "-", int(signed[0][0] == "-"))
    return "" if text == str(dim) else text


def _sign(scope: Scope, dim: Dim) -> str:
    found = [(text, scope.proves_ge(dim, least)) for text, least in ((">= 0", 0), (">= 1", 1))]
    texts = {True: "proved", False: "proved false", None: "not proved"}
    answers = ", ".join(f"{text} {texts[answer]}" for text, answer in found)
    return f"{answers} ({scope.steps} proof steps so far, at most {BUDGET} per question)"


def _moving(dim: Dim) -> list[str]:
    return sorted(symbols(dim))


def _rate(dim: Dim, name: str) -> str:
    try:
        rate, step = slope(dim, name), period(dim, name)
    except Inconclusive as error:
        return f"{name}: none, {error.seen}"
    return f"{name}: {rate} per unit, period {step}"


def _value_lines(question: _Question, answer: _Answer) -> list[str]:
    value = answer.value
    if value is None:
        return []
    head = f"at {_cut(_point(question.bindings))}"
    if value.further:
        head += f" (so {_point(value.further)})"
    said = {True: "; assertions hold", False: "; assertions do NOT hold", None: "; assertions open"}
    held = said[value.holds] if question.scope.lines else ""
    if value.written is None and value.simplified is None:
        return [f"value        {head}: {_cut(value.rest)} ({value.undefined}{held})"]
    written = value.undefined if value.written is None else str(value.written)
    simplified = str(value.rest) if value.simplified is None else str(value.simplified)
    text = f"value        {head}: {_cut(written)} as written, {_cut(simplified)} simplified{held}"
    lines = [text]
    if value.truncated is not None and value.truncated != value.written:
        lines.append(
            f"truncation   {head}: {_cut(value.truncated)}, were quotients rounded towards 0"
        )
    return lines


# JSON


def _report(question: _Question, answer: _Answer) -> dict[str, Any]:
    scope, result = question.scope, answer.result
    return {
        "schema": SCHEMA,
        "read": answer.read,
        "normal_form": str(answer.normal),
        "assertions": list(scope.lines),
        "steps": [
            {
                "law": step.law.name,
                "formula": step.law.formula,
                "before": str(step.operation),
                "after": str(step.after),
                "proofs": [
                    {
                        "question": str(proof.question),
                        "relation": proof.relation,
                        "bound": proof.bound,
                        "assertions": [str(a) for a in proof.assertions],
                    }
                    for proof in step.proofs
                ],
            }
            for steps in answer.steps
            for step in steps
        ],
        "result": str(result),
        "bounds": list(scope.bounds(result)),
        "nonnegative": scope.proves_ge(result, 0),
        "positive": scope.proves_ge(result, 1),
        "budget": BUDGET,
        "symbols": sorted(symbols(result)),
        "rates": {name: _rate_report(result, name) for name in _moving(result)},
        "may_be_negative": [str(numerator) for numerator in answer.negative],
        "value": None if answer.value is None else _value_report(question, answer.value),
    }


def _rate_report(dim: Dim, name: str) -> dict[str, Any]:
    try:
        rate: Fraction = slope(dim, name)
        return {"slope": str(rate), "period": period(dim, name), "reason": None}
    except Inconclusive as error:
        return {"slope": None, "period": None, "reason": error.seen}


def _value_report(question: _Question, value: _Value) -> dict[str, Any]:
    return {
        "at": question.bindings,
        "determined": value.further,
        "written": value.written,
        "simplified": value.simplified,
        "truncated": value.truncated,
        "assertions_hold": value.holds,
        "reason": value.undefined or None,
        "rest": str(value.rest),
    }
