"""From a model's name to a running engine: find the file, read its header, probe the build, plan the memory, load."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import psutil

from leafwise.runtime.errors import ChatTemplateError, EngineError
from leafwise.runtime.gguf_header import GGUFHeader, read_header
from leafwise.runtime.llama import LlamaModel, LlamaOptions
from leafwise.runtime.llama_engine import Capacity, LlamaEngine
from leafwise.runtime.models import DEFAULT_MODEL, resolve
from leafwise.runtime.probe import probe

log = logging.getLogger(__name__)

_LONGEST_DEFAULT_CONTEXT = 8192
_RUNNING = 16


def open_engine(
    model: str | Path = DEFAULT_MODEL, *, context: int | None = None, threads: int | None = None, chat: bool = True
) -> LlamaEngine:
    """Load a model and start its engine.

    The first use of a model with an installed llama.cpp probes one decode in a child process, so that a build that
    does not fit this CPU becomes a warning and slower, safe parameters instead of a crash.

    Args:
        model: a name of the registry, or the path of a GGUF file.
        context: tokens that one sequence may have, at most what the model was trained for; 8,192 or that by default.
        threads: threads that compute; one per physical core by default.
        chat: refuse a model without a chat template, which can't be instructed.

    Raises:
        ModelNotFoundError: no such name or file, or it is not on this machine yet.
        ModelFileError: the file is not a usable GGUF.
        ChatTemplateError: `chat` is true and the file has no chat template.
        EngineError: there is not enough memory, or llama.cpp fails even with safe parameters.
    """
    resolved = resolve(str(model))
    header = read_header(resolved.path)
    if chat and not header.chat_template:
        raise ChatTemplateError(
            f"{resolved.name} ({header.architecture}) has no chat template, so it cannot be instructed",
            "use an Instruct model: `leafwise models list` names some",
        )
    per_sequence = _context(header, context, resolved.name)
    cells = _plan_cells(header, per_sequence, resolved.name)
    verdict = probe(resolved.path)
    if verdict.safe_mode:
        log.warning("%s", verdict.warning)
    options = LlamaOptions(
        context=cells,
        n_seq_max=2 * _RUNNING,
        threads=threads or _usable_cores(),
        safe=verdict.safe_mode,
    )
    loaded = LlamaModel(resolved.path, options)
    try:
        return LlamaEngine(loaded, Capacity(per_sequence, _RUNNING), name=resolved.name)
    except ChatTemplateError:
        loaded.close()
        raise


def _usable_cores() -> int:
    """Physical cores, or fewer where this process is pinned to fewer processors."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or 1, allowed))


def _context(header: GGUFHeader, wanted: int | None, name: str) -> int:
    if wanted is not None and not 0 < wanted <= header.context_length:
        raise EngineError(
            f"{name} has a context of {header.context_length} tokens, not {wanted}",
            f"ask for at most {header.context_length}",
        )
    return wanted or min(header.context_length, _LONGEST_DEFAULT_CONTEXT)


def _plan_cells(header: GGUFHeader, context: int, name: str) -> int:
    """Cells of the cache that all sequences share: two full contexts where memory allows, one at least."""
    free = psutil.virtual_memory().available
    for cells in (2 * context, context):
        if header.memory_bytes(cells) <= 0.9 * free:
            return cells
    need = header.memory_bytes(context) / 2**30
    raise EngineError(
        f"{name} needs {need:.1f} GiB of memory at a context of {context}, and {free / 2**30:.1f} GiB are free",
        "use a smaller context or a smaller model",
    )
