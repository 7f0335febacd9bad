"""Workflows: chains, groups, chords and any graph of tasks."""

from __future__ import annotations

from ..definitions.canvas import Canvas, Signature, chain, chord, group
from ..definitions.mapping import chunks, map, starmap
from .graph import Workflow
from .steps import Step

__all__ = [
    "Canvas",
    "Signature",
    "Step",
    "Workflow",
    "chain",
    "chord",
    "chunks",
    "group",
    "map",
    "starmap",
]
