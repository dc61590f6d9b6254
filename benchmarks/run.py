"""Benchmarks against peers: `python benchmarks/run.py [prepare] [growth] [pulse] [dims] [--long]`.

Prints one table (item, peer, ratio) and writes benchmarks/results/<date>.json. Ratios are medians
over alternated rounds of one process; no figure here is ever asserted by a test.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parent))

import alternate  # first: pins threads before numpy loads

# isort: split
import gc
import json
import platform
import time
from collections.abc import Callable

import dims
import models
import numpy as np
import tract

import tract_ref

PULSE = 8


def _tract_ready(folder: Path, pulse: int = PULSE) -> Any:
    nnef = tract.nnef().with_pulse().with_tract_extra().with_tract_transformers()
    model = nnef.load(str(folder))
    model.transform(tract.Pulse(str(pulse), symbol="S"))
    return model.into_runnable().spawn_state()


def _ours_ready(folder: Path, pulse: int = PULSE) -> tract_ref.Session:
    pulsed = tract_ref.pulsify(tract_ref.load(folder), pulse, symbol="S")
    return tract_ref.Plan(pulsed.model).session()


def prepare() -> list[dict[str, object]]:
    """Load, declutter, pulsify and plan the wavenet."""
    folder = models.wavenet(24)
    found = alternate.alternate(
        {"tract_ref": lambda: _ours_ready(folder), "tract": lambda: _tract_ready(folder)},
        peer="tract",
    )
    return [_row("prepare wavenet-24", "tract", found)]


def _pulsify_seconds(folder: Path, rounds: int) -> dict[str, float]:
    """Return the least processor seconds of pulsify alone; loading is not counted."""
    model = tract_ref.load(folder)
    nnef = tract.nnef().with_pulse().with_tract_extra().with_tract_transformers()
    samples: dict[str, list[float]] = {"v1": [], "v2": [], "tract": []}
    for _ in range(rounds):
        loaded = nnef.load(str(folder))
        contestants: dict[str, Callable[[], object]] = {
            "v1": lambda: tract_ref.pulsify(model, PULSE, symbol="S"),
            "v2": lambda: tract_ref.pulsify(model, PULSE, symbol="S", version=2),
            "tract": lambda m=loaded: m.transform(tract.Pulse(str(PULSE), symbol="S")),
        }
        for name, run in contestants.items():
            gc.collect()
            gc.disable()
            start = time.process_time()
            run()
            samples[name].append(time.process_time() - start)
            gc.enable()
    return {name: min(found) for name, found in samples.items()}


def growth(long: bool) -> list[dict[str, object]]:
    """Time by depth: slopes of v1, of v2 and of tract side by side, and ratios to tract.

    A slope is that of the last three sizes, log over log.
    """
    rows: list[dict[str, object]] = []
    kinds: dict[str, tuple[Callable[[int], Path], list[int]]] = {
        "dilations 2^i": (models.doubling_chain, [4, 8, 15, 30]),
        "dilated chain": (models.dilated_chain, [10, 30, 100, 300, 1000]),
        "skip chain": (models.skip_chain, [10, 30, 100, 300, 1000]),
        "wavenet blocks": (models.wavenet, [10, 30, 100, 300]),
    }
    for kind, (make, sizes) in kinds.items():
        folders = {size: make(size) for size in sizes}
        found = {size: _pulsify_seconds(folder, 3) for size, folder in folders.items()}
        for name in ("v1", "v2", "tract"):
            seconds = [found[size][name] for size in sizes]
            slope = float(np.polyfit(np.log(sizes[-3:]), np.log(seconds[-3:]), 1)[0])
            rows.append(
                {
                    "item": f"pulsify {kind}",
                    "peer": name,
                    "slope": round(slope, 3),
                    "seconds": dict(zip(map(str, sizes), seconds, strict=True)),
                }
            )
        for size in [s for s in sizes if s <= (300 if long else 100)]:
            both = alternate.alternate(
                {
                    "tract_ref": lambda f=folders[size]: _ours_ready(f),
                    "tract": lambda f=folders[size]: _tract_ready(f),
                },
                peer="tract",
                rounds=3,
            )
            rows.append(_row(f"prepare {kind} n={size}", "tract", both))
    return rows


def pulse(sizes: tuple[int, ...] = (1, 8, 64, 160)) -> list[dict[str, object]]:
    """Per-pulse time of the streamed wavenet."""
    rows: list[dict[str, object]] = []
    folder = models.wavenet(24)
    for size in sizes:
        x = np.random.default_rng(0).standard_normal((1, 20, size)).astype(np.float32)
        session, state = _ours_ready(folder, size), _tract_ready(folder, size)
        feed = {"x": x}
        found = alternate.alternate(
            {
                "tract_ref": lambda s=session, f=feed: s.turn(f),
                "tract": lambda s=state, v=x: s.run([v])[0].to_numpy(),
            },
            peer="tract",
            rounds=25,
        )
        rows.append(_row(f"wavenet per pulse P={size}", "tract", found))
    return rows


def _row(item: str, peer: str, found: dict[str, alternate.Timing]) -> dict[str, object]:
    ours = found["tract_ref"]
    return {
        "item": item,
        "peer": peer,
        "ratio": round(ours.ratio, 3),
        "tract_ref_seconds": ours.seconds,
        "peer_seconds": found[peer].seconds,
    }


def main(arguments: list[str]) -> None:
    """Run the parts that are named, all by default."""
    parts = [a for a in arguments if not a.startswith("-")] or [
        "prepare",
        "growth",
        "pulse",
        "dims",
    ]
    rows: list[dict[str, object]] = []
    if "prepare" in parts:
        rows += prepare()
    if "pulse" in parts:
        rows += pulse()
    if "growth" in parts:
        rows += growth("--long" in arguments)
    if "dims" in parts:
        rows += dims.dims()
    print(f"{'item':<36}{'peer':<8}{'ratio or slope':>15}   ours / peer")
    for row in rows:
        if "slope" in row:
            seconds = cast("dict[str, float]", row["seconds"])
            times = " ".join(f"{size}:{taken * 1e3:.1f}ms" for size, taken in seconds.items())
            slope = f"slope {row['slope']}"
            print(f"{row['item']:<36}{row['peer']:<8}{slope:>15}   {times}")
        else:
            ours, peer = float(str(row["tract_ref_seconds"])), float(str(row["peer_seconds"]))
            print(
                f"{row['item']:<36}{row['peer']:<8}{row['ratio']:>15}   "
                f"{ours * 1e6:.0f} us / {peer * 1e6:.0f} us"
            )
    results = Path(__file__).resolve().parent / "results"
    results.mkdir(exist_ok=True)
    target = results / f"{time.strftime('%Y-%m-%d')}.json"
    about = {"machine": platform.processor() or platform.machine(), "numpy": np.__version__}
    target.write_text(json.dumps({"about": about, "rows": rows}, indent=1))
    print(f"written {target}")


if __name__ == "__main__":
    main(sys.argv[1:])
