"""The engine's options on the command line, the same for every command that runs a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from leafwise.runtime.engine_options import EngineOptions

ModelName = Annotated[
    str, typer.Option(help="A name from `leafwise models list`, a .gguf file, or an OpenAI-compatible URL.")
]
_WINDOW_HELP = "Tokens of prompt and answer together, at most."
Window = Annotated[int | None, typer.Option("--window", min=1, help=_WINDOW_HELP)]
Context = Annotated[int | None, typer.Option("--window", "--context", min=1, help=_WINDOW_HELP)]
"""For commands that have no context files, which is what `--context` means where there are some."""
Threads = Annotated[int | None, typer.Option(min=1, help="Threads that compute; one per core by default.")]
KVTypeName = Annotated[
    Literal["f16", "q8_0", "q4_0"], typer.Option(help="What the KV cache stores: smaller types take less memory.")
]
Deterministic = Annotated[bool, typer.Option("--deterministic", help="Let no answer depend on what else runs; slower.")]
InProcess = Annotated[
    bool, typer.Option("--in-process", help="Run llama.cpp in this process: a crash of it ends everything.")
]


def engine_options(
    context: int | None = None,
    threads: int | None = None,
    kv_type: Literal["f16", "q8_0", "q4_0"] = "f16",
    *,
    deterministic: bool = False,
    in_process: bool = False,
) -> EngineOptions:
    """The options of the engine that a command opens: in a process of its own unless the user says otherwise.

    With flash attention: a batch of long sequences is a third quicker on a CPU. A server's key is taken from
    `LEAFWISE_API_KEY`, or else from `OPENAI_API_KEY`.
    """
    from pydantic import SecretStr

    from leafwise.runtime.engine_options import EngineOptions

    key = os.environ.get("LEAFWISE_API_KEY") or os.environ.get("OPENAI_API_KEY")
    return EngineOptions(
        context=context,
        threads=threads,
        kv_type=kv_type,
        flash_attention=True,
        deterministic=deterministic,
        isolated=not in_process,
        api_key=SecretStr(key) if key else None,
    )
