"""Several engines on one machine: each gets a share of the free memory and of the cores before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import psutil

from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import EngineError
from leafwise.runtime.gguf_header import GGUFHeader, read_header
from leafwise.runtime.memory_plan import MAY_TAKE, gib, least_plan
from leafwise.runtime.models import resolve
from leafwise.runtime.opening import is_remote, open_engine, usable_cores

if TYPE_CHECKING:
    from leafwise.runtime.engine import Engine

_SMALLER = "let roles share a model, take smaller files, a shorter context or a q8_0 KV cache, or free some memory"


class Local(NamedTuple):
    """A model that is to run on this machine."""

    name: str
    """For messages."""
    header: GGUFHeader
    """Its file."""


def identity(model: str) -> str:
    """What two names of one model have in common: the file they lead to, or the URL.

    Raises:
        ModelNotFoundError, ModelFileError: there is no usable file.
    """
    return model if is_remote(model) else str(resolve(model).path.resolve())


def open_engines(models: Sequence[str], options: EngineOptions) -> dict[str, Engine]:
    """Start several engines at once; names of the same model get the same engine.

    Args:
        models: names as `open_engine` takes them.
        options: of every engine. `threads` is for each; without it, they share the cores.

    Returns:
        The engine of each name.

    Raises:
        ModelError, EngineError: as `open_engine`, or the models do not fit the memory together; none stays open.
    """
    keys = {model: identity(model) for model in models}
    distinct: dict[str, str] = {}
    for model, key in keys.items():
        distinct.setdefault(key, model)
    shares = _options_of_each(distinct, options)
    with ThreadPoolExecutor(len(distinct)) as pool:
        opening = {key: pool.submit(open_engine, model, shares[key]) for key, model in distinct.items()}
    _refuse_if_any_failed(list(opening.values()))
    return {model: opening[key].result() for model, key in keys.items()}


def _options_of_each(distinct: Mapping[str, str], options: EngineOptions) -> dict[str, EngineOptions]:
    local = {key: model for key, model in distinct.items() if not is_remote(model)}
    same = dict.fromkeys(distinct, options)
    if len(local) < 2:
        return same
    shares = share(list(map(_read, local.values())), options, psutil.virtual_memory().available, usable_cores())
    return {**same, **dict(zip(local, shares, strict=True))}


def _read(model: str) -> Local:
    resolved = resolve(model)
    return Local(resolved.name, read_header(resolved.path))


def share(models: Sequence[Local], options: EngineOptions, free_bytes: int, cores: int) -> list[EngineOptions]:
    """The options of each of several models that run on one machine.

    Each gets the memory it can't do without. What is left goes to their KV caches, in proportion to what a token takes
    there. The cores go in proportion to the weights, which is what a token's computing takes; one at least.

    Args:
        models: several.
        options: what was asked for.
        free_bytes: memory that all may use together.
        cores: physical cores that all may use together.

    Raises:
        EngineError: they do not fit together; nothing was loaded.
    """
    least = [least_plan(model.header, options, name=model.name) for model in models]
    # of what an engine is given, its plan takes this share at most
    needs = [int(plan.total_bytes / MAY_TAKE) + 1 for plan in least]
    if sum(needs) > free_bytes:
        each = ", ".join(f"{m.name} {gib(plan.total_bytes)}" for m, plan in zip(models, least, strict=True))
        raise EngineError(
            f"{len(models)} models do not fit together: they need {each} of memory; of the {gib(free_bytes)} free they "
            f"may use {gib(int(MAY_TAKE * free_bytes))}",
            _SMALLER,
        )
    caches = [model.header.kv_cache_bytes(1, options.kv_type) for model in models]
    weights = [plan.weight_bytes for plan in least]
    left = free_bytes - sum(needs)
    return [
        options.model_copy(
            update={
                "memory_bytes": need + left * cache // max(1, sum(caches)),
                "threads": options.threads or max(1, round(cores * weight / max(1, sum(weights)))),
            }
        )
        for need, cache, weight in zip(needs, caches, weights, strict=True)
    ]


def _refuse_if_any_failed(opening: Sequence[Future[Engine]]) -> None:
    """Close what was opened if something was not."""
    errors = [error for future in opening if (error := future.exception())]
    if errors:
        for future in opening:
            if future.exception() is None:
                future.result().close()
        raise errors[0]
