"""tract_ref: executable reference for streaming neural-network inference.

Every name below loads its module when it is first used, so that `import tract_ref` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tract_ref.loading import load, save
    from tract_ref.passes.declutter import declutter
    from tract_ref.passes.pulsify import pulsify
    from tract_ref.passes.pulsify_v1 import Pulsed
    from tract_ref.passes.pulsify_v2 import Increments, increments
    from tract_ref.passes.set_symbols import set_symbols, stream_axis
    from tract_ref.runtime.increments import IncrementSession
    from tract_ref.runtime.plan import Plan
    from tract_ref.runtime.state import Session

__version__ = "0.1.0"

_HOME = {
    "load": "loading",
    "save": "loading",
    "declutter": "passes.declutter",
    "Pulsed": "passes.pulsify_v1",
    "pulsify": "passes.pulsify",
    "Increments": "passes.pulsify_v2",
    "increments": "passes.pulsify_v2",
    "IncrementSession": "runtime.increments",
    "set_symbols": "passes.set_symbols",
    "stream_axis": "passes.set_symbols",
    "Plan": "runtime.plan",
    "Session": "runtime.state",
}

__all__ = [
    "IncrementSession",
    "Increments",
    "Plan",
    "Pulsed",
    "Session",
    "declutter",
    "increments",
    "load",
    "pulsify",
    "save",
    "set_symbols",
    "stream_axis",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'tract_ref' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tract_ref.{home}"), name)
    globals()[name] = value
    return value
