"""`tract-ref dump`: print the graph after a pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tract_ref.cli.target import DEFAULT_PULSE, PULSE, Target, model_options, open_target
from tract_ref.ir.dump import dump as dump_text
from tract_ref.ir.model import Const, Model, Outlet
from tract_ref.passes.declutter import declutter
from tract_ref.passes.pulsify_v1 import pulsify


@click.command()
@model_options
@click.option(
    "--pass",
    "stage",
    type=click.Choice(["load", "declutter", "pulse"]),
    default="load",
    show_default=True,
    help="The last pass to run.",
)
@click.option(
    "--pulse",
    type=PULSE,
    metavar="P",
    help="Source frames per turn.  [default: the first of the case's pulses, else "
    f"{DEFAULT_PULSE}]",
)
@click.option("--counts", is_flag=True, help="Print how many nodes of each op there are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def dump(
    model: Path,
    symbol: str | None,
    axes: tuple[str, ...],
    sets: tuple[str, ...],
    stage: str,
    pulse: int | None,
    counts: bool,
    as_json: bool,
) -> int:
    """Print the graph of MODEL after a pass."""
    target = open_target(model, symbol=symbol, axes=axes, sets=sets)
    result, notes = _after(target, stage, pulse)
    if counts:
        found = result.op_counts()
        if as_json:
            click.echo(json.dumps(found))
        else:
            for name, count in found.items():
                click.echo(f"{name} {count}")
    elif as_json:
        click.echo(json.dumps(_graph(result), indent=1))
    else:
        click.echo(dump_text(result, notes=notes), nl=False)
    return 0


def _after(target: Target, stage: str, pulse: int | None) -> tuple[Model, dict[Outlet, str]]:
    if stage == "load":
        return target.model, {}
    if stage == "declutter":
        return declutter(target.model), {}
    size = pulse if pulse is not None else next(iter(target.pulses), DEFAULT_PULSE)
    pulsed = pulsify(target.model, size, symbol=target.symbol)
    notes = {w.outlet: str(w.stream) for w in pulsed.infos.values() if w.stream is not None}
    return pulsed.model, notes


def _graph(model: Model) -> dict[str, Any]:
    return {
        "schema": "tract-ref.dump/1",
        "inputs": model.input_names,
        "outputs": model.output_names,
        "nodes": [
            {
                "name": node.name,
                "op": node.op.name,
                "attributes": "" if isinstance(node.op, Const) else node.op.describe(),
                "inputs": [model.wire_name(outlet) for outlet in node.inputs],
                "facts": [str(fact) for fact in node.outputs],
            }
            for node in model.order()
        ],
    }
