"""Workflows: chains, groups, chords and any graph of tasks."""

from __future__ import annotations

from ..definitions.canvas import Signature, chain, chord, chunks, group, map, starmap

__all__ = ["Signature", "chain", "chord", "chunks", "group", "map", "starmap"]
