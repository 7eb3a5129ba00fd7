"""Plans an engine's memory before anything is loaded: layout of the KV cache, sequences, context, and what they take.

The sizes are llama.cpp's own (0.3.36 on a CPU), compared with what it reports for five shapes: the KV cache is exact,
the compute buffer is right or up to 18 MiB too large, and weights count once. So they have to be read (`load_mode`
none) where their tensors are repacked: a memory map would hold those a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from leafwise.runtime.compute_buffer import compute_bytes
from leafwise.runtime.contracts import Contract
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import EngineError, UsageError
from leafwise.runtime.gguf_header import GGUFHeader, KVType

Layout = Literal["separate", "unified"]

MAY_TAKE = 0.9
"""Share of the free memory that a plan may take: others need some too."""
_MODEST = 0.25  # share that the cache may take for `auto` to choose the separate layout
_DEFAULT_CONTEXTS = (8192, 4096)
_RUNNING = (16, 8, 4, 2, 1)
_PADDING = 256  # llama.cpp rounds each stream's cells up to this
_KV_TYPES: tuple[KVType, ...] = ("f16", "q8_0", "q4_0")
_KV_BLOCK = 32  # elements of a quantized block: a head's length must be a multiple
# Measured: Python with the engine's modules and libraries, and llama.cpp's vocabulary (20 MiB for 49,152 tokens).
_PROCESS_BYTES = 80 * 2**20
_BYTES_PER_TOKEN = 448


class MemoryPlan(Contract):
    """How an engine uses memory, and how much."""

    context: int
    """Tokens that one sequence may have."""
    running: int
    """Samples that generate at once."""
    sequences: int
    """Sequences that may have cells at once (`n_seq_max`): those running, and cached prefixes."""
    cells: int
    """Cells of the KV cache over all sequences (`n_ctx`); a multiple of 256 per stream, so llama.cpp takes it as is."""
    outputs: int
    """Most rows of a step whose logits may be asked for (`n_outputs_max`): llama.cpp aborts the process beyond it."""
    layout: Layout
    """`separate`: `context` cells for each sequence. `unified`: one pool."""
    kv_type: KVType
    """How the cache is stored."""
    flash_attention: bool
    """Whether attention is computed without a matrix of scores."""
    weight_bytes: int
    """The model's tensors."""
    kv_bytes: int
    """The KV cache."""
    compute_bytes: int
    """Activations, scores and logits of the largest step."""
    base_bytes: int
    """The Python process with its libraries, and the vocabulary."""

    @property
    def total_bytes(self) -> int:
        """Peak resident memory of the process that runs the engine."""
        return self.weight_bytes + self.kv_bytes + self.compute_bytes + self.base_bytes

    def describe(self) -> str:
        """One line for people."""
        attention = ", flash attention" if self.flash_attention else ""
        parts = (self.total_bytes, self.weight_bytes, self.kv_bytes, self.compute_bytes, self.base_bytes)
        total, weights, cache, computing, process = map(gib, parts)
        return (
            f"{self.running} samples at once, {self.context:,} tokens of context, {self.layout} {self.kv_type} cache "
            f"of {self.cells:,} cells{attention}; {total} of memory: weights {weights}, cache {cache}, "
            f"computing {computing}, process {process}"
        )


def plan_memory(
    header: GGUFHeader, options: EngineOptions, free_bytes: int, *, name: str, batch: int = 512
) -> MemoryPlan:
    """The best plan that fits.

    What the options leave open is chosen in this order: the separate layout for 16, then 8 samples at once while its
    cache takes a quarter of the free memory at most; then the unified layout with two contexts, with one; a default
    context of 4,096 instead of 8,192 tokens; fewer samples. What they say is kept, or refused.

    Args:
        header: the model's file.
        options: what was asked for.
        free_bytes: memory that may be used, as `psutil.virtual_memory().available` says.
        name: the model's name, for messages.
        batch: most rows of a step (`n_ubatch`).

    Raises:
        UsageError: the options contradict each other.
        EngineError: the model was not trained for this context, cannot have this cache, or does not fit; the hint names
            what would.
    """
    _check(header, options, name)
    smallest = None
    for choice in _choices(header, options):
        smallest = _plan(header, options, choice, batch)
        if _fits(smallest, free_bytes, modest=choice.modest):
            return smallest
    assert smallest is not None
    raise EngineError(
        f"{name} needs {gib(smallest.total_bytes)} of memory at a context of {smallest.context:,} tokens with "
        f"{smallest.running} running; of the {gib(free_bytes)} free it may use {gib(int(MAY_TAKE * free_bytes))}",
        _what_fits(header, options, smallest, free_bytes, batch),
    )


def least_plan(header: GGUFHeader, options: EngineOptions, *, name: str, batch: int = 512) -> MemoryPlan:
    """The plan that takes the least memory of those that `plan_memory` could choose.

    Raises:
        UsageError, EngineError: as `plan_memory`, but for the memory.
    """
    _check(header, options, name)
    return min((_plan(header, options, c, batch) for c in _choices(header, options)), key=lambda p: p.total_bytes)


class _Choice(NamedTuple):
    layout: Layout
    running: int
    context: int
    contexts: int = 1  # unified: how many the pool holds
    modest: bool = False  # taken only where its cache is small beside the free memory


def _check(header: GGUFHeader, options: EngineOptions, name: str) -> None:
    trained, context = header.context_length, options.context
    if context is not None and trained and context > trained:
        raise EngineError(
            f"{name} has a context of {trained} tokens, not {context}", f"ask for a context of at most {trained}"
        )
    if options.kv_type == "f16":
        return
    if options.flash_attention is False:
        raise UsageError(
            f"a {options.kv_type} KV cache needs flash attention", "leave flash attention on, or use the f16 cache"
        )
    if _broken_blocks(header):
        raise EngineError(
            f"{name} cannot have a {options.kv_type} KV cache: its heads have {header.key_length} elements, "
            f"not a multiple of {_KV_BLOCK}",
            "use the f16 cache",
        )


def _broken_blocks(header: GGUFHeader) -> bool:
    return bool(header.key_length % _KV_BLOCK or header.value_length % _KV_BLOCK)


def _choices(header: GGUFHeader, options: EngineOptions) -> Iterator[_Choice]:
    """What could be done, best first; the last one takes the least memory."""
    contexts = _contexts(header, options)
    runnings = _RUNNING if options.running is None else (options.running,)
    each = contexts[-1]  # every sequence has its own, so a long one by default would take a lot for nothing
    if options.kv_layout == "separate":
        yield from (_Choice("separate", running, each) for running in runnings)
        return
    if options.kv_layout == "auto":
        many = [running for running in runnings if running >= 8 or options.running is not None]
        yield from (_Choice("separate", running, each, modest=True) for running in many)
    for context in contexts:
        yield from (_Choice("unified", runnings[0], context, pools) for pools in (2, 1))
    yield from (_Choice("unified", running, contexts[-1]) for running in runnings[1:])


def _contexts(header: GGUFHeader, options: EngineOptions) -> list[int]:
    if options.context is not None:
        return [options.context]
    trained = header.context_length or _DEFAULT_CONTEXTS[0]
    return sorted({min(trained, tokens) for tokens in _DEFAULT_CONTEXTS}, reverse=True)


def _plan(header: GGUFHeader, options: EngineOptions, choice: _Choice, batch: int) -> MemoryPlan:
    layout, running, context, contexts, _ = choice
    if layout == "separate":
        sequences = running + max(4, running // 4)
        cells = sequences * _padded(context)
    else:
        sequences, cells = 2 * running, _padded(contexts * context)
    flash = options.flash_attention
    if flash is None:
        flash = options.kv_type != "f16" or layout == "unified"
    # a sample and 7 guesses of prompt lookup; llama.cpp insists on one for each sequence
    outputs = max(sequences, min(batch, 8 * running))
    return MemoryPlan(
        context=context,
        running=running,
        sequences=sequences,
        cells=cells,
        outputs=outputs,
        layout=layout,
        kv_type=options.kv_type,
        flash_attention=flash,
        weight_bytes=header.weight_bytes * max(1, header.split_count),  # the parts of a split model are about equal
        kv_bytes=header.kv_cache_bytes(cells, options.kv_type),
        compute_bytes=compute_bytes(
            header,
            rows=-(-batch // sequences) * sequences,  # llama.cpp reserves for equal shares of all sequences
            cells=cells // sequences if layout == "separate" else cells,
            outputs=outputs,
            flash_attention=flash,
            kv_type=options.kv_type,
        )
        + 4 * sequences * header.vocab_size,
        base_bytes=_PROCESS_BYTES + _BYTES_PER_TOKEN * header.vocab_size,
    )


def _fits(plan: MemoryPlan, free_bytes: int, *, modest: bool = False) -> bool:
    return plan.total_bytes <= MAY_TAKE * free_bytes and (not modest or plan.kv_bytes <= _MODEST * free_bytes)


def _what_fits(header: GGUFHeader, options: EngineOptions, smallest: MemoryPlan, free_bytes: int, batch: int) -> str:
    """Changes of the options that would fit, each by itself; else all together; else the largest file."""

    def fits(**changes: object) -> bool:
        changed = options.model_copy(update={"context": smallest.context, **changes})
        plans = (_plan(header, changed, choice, batch) for choice in _choices(header, changed) if not choice.modest)
        return any(_fits(plan, free_bytes) for plan in plans)

    smaller = _smaller_types(header, options)
    found = [f"a {kv_type} KV cache" for kv_type in smaller if fits(kv_type=kv_type)][:1]
    if context := _largest_context(smallest.context, lambda tokens: fits(context=tokens)):
        found.insert(0, f"a context of at most {context:,} tokens")
    if options.kv_layout == "separate" and fits(kv_layout="unified"):
        found.append("the unified cache layout")
    found += [f"at most {n} running" for n in range((options.running or 1) - 1, 0, -1) if fits(running=n)][:1]
    if not found:
        found = [
            f"{context:,} tokens of context, 1 running, a unified {kv_type} cache"
            for context in (4096, 2048, 1024, 512)
            for kv_type in (options.kv_type, *smaller)
            if context <= smallest.context and fits(context=context, kv_type=kv_type, kv_layout="unified", running=1)
        ][:1]
    if found:
        return "this would fit: " + ", or ".join(found)
    room = int(MAY_TAKE * free_bytes) - (smallest.total_bytes - smallest.weight_bytes)
    return f"use {f'a file of at most {gib(room)}' if room > 0 else 'a smaller model'}, or free some memory"


def _smaller_types(header: GGUFHeader, options: EngineOptions) -> tuple[KVType, ...]:
    """Types of the cache that take less than the one asked for, and that this model can have."""
    possible = options.flash_attention is not False and not _broken_blocks(header)
    return _KV_TYPES[_KV_TYPES.index(options.kv_type) + 1 :] if possible else ()


def _largest_context(below: int, fits: Callable[[int], bool]) -> int:
    """The largest multiple of 256 under `below` that fits, 0 for none; memory grows with the context."""
    low, high = 0, (below - 1) // _PADDING
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * _PADDING) else (low, middle - 1)
    return low * _PADDING


def _padded(tokens: int) -> int:
    return -(-tokens // _PADDING) * _PADDING


def gib(size: int) -> str:
    """A size for people."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
