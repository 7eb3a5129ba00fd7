"""Where in the workflow something happens."""

from __future__ import annotations

from dataclasses import dataclass

from leafwise.agents.contracts import ROOT


@dataclass(frozen=True)
class Place:
    """Where in the workflow something happens: for events, and for seeds that do not depend on the order of threads."""

    step: str
    """For example `leaf:root.1`."""
    node: str = ROOT
    """For example `root.1`."""
