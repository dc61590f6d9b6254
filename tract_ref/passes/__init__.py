"""Passes; importing the package makes sure that every op and kernel has registered its rules."""

from __future__ import annotations

from tract_ref import fast, ops

LOADED = (fast, ops)
