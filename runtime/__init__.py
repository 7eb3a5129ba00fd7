"""Running a model and running a program: engine, chat templates, model registry, sandbox, and the root of the CLI.

The names below are imported when they are first used: `leafwise --help` loads this package and should be quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leafwise.runtime.contracts import Completion as Completion
    from leafwise.runtime.contracts import Message as Message
    from leafwise.runtime.contracts import Request as Request
    from leafwise.runtime.contracts import Sampling as Sampling
    from leafwise.runtime.engine import Engine as Engine
    from leafwise.runtime.engine import Generation as Generation
    from leafwise.runtime.engine_options import EngineOptions as EngineOptions
    from leafwise.runtime.errors import LeafwiseError as LeafwiseError
    from leafwise.runtime.opening import open_engine as open_engine
    from leafwise.runtime.sandbox import Sandbox as Sandbox
    from leafwise.runtime.sandbox import open_sandbox as open_sandbox
    from leafwise.runtime.sandbox_contracts import Check as Check
    from leafwise.runtime.sandbox_contracts import Limits as Limits
    from leafwise.runtime.sandbox_contracts import Program as Program
    from leafwise.runtime.sandbox_contracts import SandboxLevel as SandboxLevel
    from leafwise.runtime.sandbox_contracts import Verdict as Verdict
    from leafwise.runtime.scripted import ScriptedEngine as ScriptedEngine

_HOMES = {
    "contracts": ("Completion", "Message", "Request", "Sampling"),
    "engine": ("Engine", "Generation"),
    "engine_options": ("EngineOptions",),
    "errors": ("LeafwiseError",),
    "opening": ("open_engine",),
    "sandbox": ("Sandbox", "open_sandbox"),
    "sandbox_contracts": ("Check", "Limits", "Program", "SandboxLevel", "Verdict"),
    "scripted": ("ScriptedEngine",),
}

__all__ = [name for names in _HOMES.values() for name in names]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"leafwise.runtime.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
