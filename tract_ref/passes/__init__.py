"""Passes; importing the package makes sure that every op and kernel has registered its rules."""

from __future__ import annotations

import tract_ref.fast
import tract_ref.ops

__all__ = ["tract_ref"]
