"""Symbolic dimensions: throughput against sympy, growth of nested clamps."""

from __future__ import annotations

import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import sympy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "suites"))

from tract_ref_suites.dims_text import Node, tree_of
from tract_ref_suites.sympy_dims import symbol

from tract_ref.dim import Dim, Scope, ceil_div, dim_max, dim_min, sym

NAMES = ("S", "T", "P", "B")
EXPRESSIONS = 10_000
CHUNK = 500
_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


def shape_expressions(count: int, *, seed: int = 0) -> Iterator[str]:
    """Yield texts of dims as layers make them: windows, strides, pads, crops, concats, folds."""
    choose = random.Random(seed)
    for _ in range(count):
        text = choose.choice(NAMES)
        for _ in range(choose.randint(2, 5)):
            text = _layer(text, choose)
        yield text


def _layer(text: str, choose: random.Random) -> str:
    n, q, other = choose.randint(1, 9), choose.randint(2, 8), choose.choice(NAMES)
    return choose.choice(
        [
            f"max(0,({text})-{n})",
            f"max(0,(({text})-{n})/{q}+1)",
            f"(({text})+{q - 1})/{q}",
            f"({text})/{q}",
            f"({text})+{n}",
            f"({text})+{other}",
            f"{n}*({text})",
            f"({text})*{other}",
            f"min(({text}),{other}+{n})",
            f"min({other},max(0,({text})-{n}*{other}))",
            f"({text})-{q}*(({text})/{q})",
        ]
    )


def _ours(node: Node) -> Dim:
    if not node.parts:
        return int(node.kind) if node.kind.isdecimal() else sym(node.kind)
    parts = [_ours(part) for part in node.parts]
    if node.kind == "/":
        return parts[0] // int(node.parts[1].kind)
    if node.kind in _COMBINE:
        return reduce(_COMBINE[node.kind], parts)
    return dim_max(*parts) if node.kind == "max" else dim_min(*parts)


def _theirs(node: Node) -> Any:
    if not node.parts:
        is_number = node.kind.isdecimal()
        return sympy.Integer(node.kind) if is_number else symbol(node.kind, nonnegative=True)
    parts = [_theirs(part) for part in node.parts]
    if node.kind == "/":
        return sympy.floor(parts[0] / parts[1])
    if node.kind in _COMBINE:
        return reduce(_COMBINE[node.kind], parts)
    return (sympy.Max if node.kind == "max" else sympy.Min)(*parts)


def prove_with_tract_ref(trees: list[Node]) -> int:
    """Build, simplify and ask for the sign under `>= 0` for all symbols; return how many it has."""
    scope = Scope([f"{name}>=0" for name in NAMES])
    return sum(scope.proves_ge(scope.simplify(_ours(tree)), 0) is not None for tree in trees)


def prove_with_sympy(trees: list[Node]) -> int:
    """Build with sympy's simplification on construction, expand, and ask `is_nonnegative`."""
    return sum(sympy.expand(_theirs(tree)).is_nonnegative is not None for tree in trees)


def against_sympy() -> dict[str, object]:
    """Alternate over chunks that neither has seen, every node built anew, no cache emptied.

    Seconds of the processor, because a round is long enough for neighbours to disturb it.
    """
    trees = [tree_of(text) for text in shape_expressions(EXPRESSIONS)]
    contestants = {"tract_ref": prove_with_tract_ref, "sympy": prove_with_sympy}
    # Imports and tables of both are warm before the clock starts.
    for run in contestants.values():
        run([tree_of(text) for text in shape_expressions(50, seed=1)])
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    decided = dict.fromkeys(contestants, 0)
    gc.disable()
    for number, start in enumerate(range(0, EXPRESSIONS, CHUNK)):
        order = list(contestants)[:: 1 if number % 2 else -1]
        for name in order:
            gc.collect()
            began = time.process_time()
            decided[name] += contestants[name](trees[start : start + CHUNK])
            seconds[name].append(time.process_time() - began)
    gc.enable()
    ratios = [a / b for a, b in zip(seconds["tract_ref"], seconds["sympy"], strict=True)]
    return {
        "item": f"dims simplify+prove, {EXPRESSIONS}",
        "peer": "sympy",
        "ratio": round(statistics.median(ratios), 4),
        "tract_ref_seconds": sum(seconds["tract_ref"]) / EXPRESSIONS,
        "peer_seconds": sum(seconds["sympy"]) / EXPRESSIONS,
        "signs_decided": decided,
        "times_faster": round(1 / statistics.median(ratios), 1),
    }


def _windows(depth: int, names: str) -> tuple[Scope, Dim]:
    heights = [f"{names}{i}" for i in range(depth)]
    scope = Scope(["S>=0", *(f"{n}>=0" for n in heights), *(f"{n}<=2" for n in heights)])
    dim: Dim = sym("S")
    for name in heights:
        dim = dim_max(0, dim + sym(name) - 2)
    return scope, dim


def _ramps(depth: int, names: str) -> tuple[Scope, Dim]:
    period, turn = f"{names}P", f"{names}T"
    dim: Dim = sym(period)
    for i in range(1, depth + 1):
        dim = dim_max(0, dim + dim_min(sym(turn) * sym(period), 2 * i) - 2 * i)
    return Scope([f"{period}>=1", f"{turn}>=0"]), dim


def _chain(layers: int, names: str) -> tuple[Scope, Dim]:
    scope, dim = Scope([f"{names}>=0"]), sym(names)
    length: Dim = dim
    for i in range(layers):
        length = scope.simplify(dim_max(0, ceil_div(length + i % 3 - 2 - i % 4, 1 + (i % 50 == 0))))
    return scope, length


def growth_of_dims() -> list[dict[str, object]]:
    """Seconds to build and simplify by depth; every round has symbols of its own, so it is cold."""
    rows: list[dict[str, object]] = []
    families: dict[str, tuple[Callable[[int, str], tuple[Scope, Dim]], list[int]]] = {
        "nested windows": (_windows, [8, 16, 32, 64]),
        "nested ramps": (_ramps, [8, 16, 32, 64]),
        "shape chain": (_chain, [125, 250, 500, 1000]),
    }
    for family, (make, depths) in families.items():
        found: dict[str, float] = {}
        for depth in depths:
            rounds: list[float] = []
            for number in range(5):
                began = time.perf_counter()
                scope, dim = make(depth, f"{family.split()[1]}{depth}_{number}_")
                scope.simplify(dim)
                rounds.append(time.perf_counter() - began)
            found[str(depth)] = statistics.median(rounds)
        taken = list(found.values())[-3:]
        slope = float(np.polyfit(np.log(depths[-3:]), np.log(taken), 1)[0])
        rows.append(
            {
                "item": f"growth dims, {family}",
                "peer": "itself",
                "slope": round(slope, 3),
                "seconds": found,
            }
        )
    return rows


def dims() -> list[dict[str, object]]:
    """Return the rows of symbolic dimensions."""
    return [against_sympy(), *growth_of_dims()]
