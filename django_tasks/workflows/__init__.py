"""Workflows: chains, groups, chords and any graph of tasks."""

from __future__ import annotations

from ..definitions.canvas import Canvas, Signature, chain, chord, group
from ..definitions.mapping import chunks, map, starmap
from .graph import Workflow
from .starting import get_workflow
from .steps import Step

__all__ = [
    "Canvas",
    "Signature",
    "Step",
    "Workflow",
    "chain",
    "chord",
    "chunks",
    "get_workflow",
    "group",
    "map",
    "starmap",
]
