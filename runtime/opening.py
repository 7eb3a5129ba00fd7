"""From a model's name to a running engine: find the file, read its header, plan memory, verify, probe, load."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from leafwise.runtime.contracts import ModelInfo
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import ChatTemplateError
from leafwise.runtime.gguf_header import GGUFHeader, read_header
from leafwise.runtime.memory_plan import MemoryPlan, plan_memory
from leafwise.runtime.models import DEFAULT_MODEL, resolve
from leafwise.runtime.probe import probe
from leafwise.runtime.verify import require_sound

if TYPE_CHECKING:
    from leafwise.runtime.engine import Engine
    from leafwise.runtime.llama_engine import LlamaEngine

log = logging.getLogger(__name__)


def open_engine(model: str | Path = DEFAULT_MODEL, options: EngineOptions | None = None) -> Engine:
    """Start an engine: in this process, in a process of its own (`isolated`), or for a model behind a URL.

    A file that this machine has not seen is verified in a child process, before native code sees it (see `verify`). The
    first use of a model with an installed llama.cpp probes one decode in a child process, so that a build that
    does not fit this CPU becomes a warning and slower, safe parameters instead of a crash.

    Args:
        model: a name of the registry, the path of a GGUF file, or the URL of an OpenAI-compatible server
            (`http://127.0.0.1:8000/v1`, with `#NAME` where it serves several models).
        options: how.

    Raises:
        ModelNotFoundError: no such name or file, or it is not on this machine yet.
        ModelFileError: the file is not a usable GGUF, or is not sound.
        ChatTemplateError: the file's chat template fails, or `options.chat` is true and there is none.
        EngineError: there is not enough memory, llama.cpp fails even with safe parameters, or the server is not there.
    """
    options = options or EngineOptions()
    if is_remote(str(model)):
        from leafwise.runtime.remote import open_remote  # brings an HTTP client

        return open_remote(str(model), options)
    if options.isolated:
        from leafwise.runtime.isolated import IsolatedEngine

        return IsolatedEngine(str(model), options)
    return open_in_process(model, options)


def is_remote(model: str) -> bool:
    """Whether a model's name is the address of a server."""
    return model.lower().startswith(("http://", "https://"))


def open_in_process(model: str | Path, options: EngineOptions) -> LlamaEngine:
    """Load a model into this process; for the rest see `open_engine`."""
    from leafwise.runtime.llama import LlamaModel, LlamaOptions  # brings llama.cpp
    from leafwise.runtime.llama_engine import LlamaEngine
    from leafwise.runtime.prefix_file import PrefixFile

    resolved = resolve(str(model))
    header = read_header(resolved.path)
    if options.chat and not header.chat_template:
        raise ChatTemplateError(
            f"{resolved.name} ({header.architecture}) has no chat template, so it cannot be instructed",
            "use an Instruct model: `leafwise models list` names some",
        )
    plan = plan_memory(header, options, options.memory_bytes or psutil.virtual_memory().available, name=resolved.name)
    log.info("%s: %s", resolved.name, plan.describe())
    require_sound(resolved.path)
    verdict = probe(resolved.path)
    if verdict.safe_mode:
        log.warning("%s", verdict.warning)
    loaded = LlamaModel(
        resolved.path,
        LlamaOptions(
            context=plan.cells,
            n_seq_max=plan.sequences,
            n_outputs_max=plan.outputs,
            threads=options.threads or usable_cores(),
            unified=plan.layout == "unified",
            kv_type=plan.kv_type,
            flash_attention=plan.flash_attention,
            safe=verdict.safe_mode,
        ),
    )
    try:
        info = _info(resolved.name, header, plan)
        return LlamaEngine(loaded, info, PrefixFile(resolved.path), deterministic=options.deterministic)
    except ChatTemplateError:
        loaded.close()
        raise


def _info(name: str, header: GGUFHeader, plan: MemoryPlan) -> ModelInfo:
    return ModelInfo(
        name=name,
        architecture=header.architecture,
        context=plan.context,
        running=plan.running,
        parameters=header.parameters,
        detail=plan.describe(),
    )


def usable_cores() -> int:
    """Physical cores, or fewer where this process is pinned to fewer processors."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or 1, allowed))
