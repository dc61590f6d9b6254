"""`tract-ref dump`: print the graph after a pass, or count what is in it or was done to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from tract_ref.cli.target import DEFAULT_PULSE, PULSE, Target, model_options, open_target
from tract_ref.dim import Dim
from tract_ref.ir.dump import dump as dump_text
from tract_ref.ir.dump import simple_fact, value_text, wires_of
from tract_ref.ir.model import Const, Model, Node, Outlet
from tract_ref.passes.declutter import Rewrites, declutter
from tract_ref.passes.propagate_roi import propagate_roi
from tract_ref.passes.pulsify_v1 import pulsify


@dataclass(frozen=True)
class _Result:
    """A model after a pass, with what the pass says of it."""

    model: Model
    notes: dict[Outlet, str] = field(default_factory=lambda: dict[Outlet, str]())
    rewrites: Rewrites = field(default_factory=Rewrites)


@click.command()
@model_options
@click.option(
    "--pass",
    "stage",
    type=click.Choice(["load", "declutter", "roi", "pulse"]),
    default="load",
    show_default=True,
    help="The last pass to run; roi runs on what declutter returns.",
)
@click.option(
    "--pulse",
    type=PULSE,
    metavar="P",
    help="Source frames per turn, or P or 2*P for turns of any size; with --pass pulse.  "
    "[default: the first of the case's pulses, else "
    f"{DEFAULT_PULSE}]",
)
@click.option("--counts", is_flag=True, help="Print how many nodes of each op there are.")
@click.option("--rewrites", is_flag=True, help="Print what declutter did, by rule.")
@click.option(
    "--provenance", is_flag=True, help="Print which nodes of the document a node comes from."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def dump(
    model: Path,
    symbol: str | None,
    axes: tuple[str, ...],
    sets: tuple[str, ...],
    stage: str,
    pulse: Dim | None,
    counts: bool,
    rewrites: bool,
    provenance: bool,
    as_json: bool,
) -> int:
    """Print the graph of MODEL after a pass."""
    _check_options(stage, pulse, counts, rewrites, provenance)
    target = open_target(model, symbol=symbol, axes=axes, sets=sets)
    result = _after(target, stage, pulse)
    if counts:
        _print_table("counts", result.model.op_counts(), {}, as_json)
    elif rewrites:
        done = result.rewrites
        fired = dict(sorted(done.fired.items()))
        _print_table("rewrites", fired, {"visits": done.visits}, as_json)
    elif as_json:
        click.echo(json.dumps(_graph(result.model, provenance), indent=1))
    else:
        click.echo(
            dump_text(result.model, notes=result.notes, provenance=provenance, simplified=True),
            nl=False,
        )
    return 0


def _check_options(
    stage: str, pulse: Dim | None, counts: bool, rewrites: bool, provenance: bool
) -> None:
    """Decline options that say nothing together, rather than drop one of them.

    Raises:
        click.UsageError: names the two.
    """
    if rewrites and stage != "declutter":
        raise click.UsageError("--rewrites counts what declutter does: add --pass declutter")
    if rewrites and counts:
        raise click.UsageError("--counts and --rewrites are two tables: choose one")
    if provenance and (counts or rewrites):
        table = "--counts" if counts else "--rewrites"
        raise click.UsageError(
            f"{table} and --provenance do not go together: a table has no nodes; leave one out"
        )
    if pulse is not None and stage != "pulse":
        raise click.UsageError(
            f"--pulse and --pass {stage} do not go together: only --pass pulse makes turns"
        )


def _print_table(
    name: str, rows: Mapping[str, int], totals: Mapping[str, int], as_json: bool
) -> None:
    if as_json:
        schema = f"tract-ref.dump-{name}/1"
        click.echo(json.dumps({"schema": schema, name: rows, **totals}))
        return
    for row, count in {**rows, **totals}.items():
        click.echo(f"{row} {count}")


def _after(target: Target, stage: str, pulse: Dim | None) -> _Result:
    if stage == "load":
        return _Result(target.model)
    if stage == "declutter":
        record = Rewrites()
        return _Result(declutter(target.model, record=record), rewrites=record)
    if stage == "roi":
        return _Result(propagate_roi(declutter(target.model)))
    size = pulse if pulse is not None else next(iter(target.pulses), DEFAULT_PULSE)
    pulsed = pulsify(target.model, size, symbol=target.symbol)
    simplify = pulsed.model.scope.simplify
    notes = {
        w.outlet: str(replace(w.stream, length=simplify(w.stream.length)))
        for w in pulsed.infos.values()
        if w.stream is not None
    }
    return _Result(pulsed.model, notes)


def _graph(model: Model, provenance: bool) -> dict[str, Any]:
    scope = model.scope
    known: dict[str, Any] = {
        "assertions": [str(assertion) for assertion in scope.assertions],
        "scenarios": {s.name: [str(a) for a in s.assertions] for s in scope.scenarios},
    }
    return {
        "schema": "tract-ref.dump/1",
        "inputs": model.input_names,
        "outputs": model.output_names,
        **{key: value for key, value in known.items() if value},
        "nodes": [_node(model, node, provenance) for node in model.order()],
    }


def _node(model: Model, node: Node, provenance: bool) -> dict[str, Any]:
    """Return one node; what is not known of any of its wires has no key."""
    values = [value_text(fact) or None for fact in node.outputs]
    regions = [None if fact.region is None else str(fact.region) for fact in node.outputs]
    optional: dict[str, Any] = {
        "values": values if any(values) else None,
        "regions": regions if any(regions) else None,
        "origin": node.origin if provenance else None,
    }
    return {
        "name": node.name,
        "wires": wires_of(model, node),
        "op": node.op.name,
        "attributes": "" if isinstance(node.op, Const) else node.op.describe(),
        "inputs": [model.wire_name(outlet) for outlet in node.inputs],
        "facts": [str(simple_fact(fact, model.scope)) for fact in node.outputs],
        **{key: value for key, value in optional.items() if value is not None},
    }
