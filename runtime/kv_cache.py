"""The books of the KV cache: which sequence numbers are taken, what they hold, what is promised, what may be dropped.

Prompts are computed in sequences of their own and stay there, cached, until their room is needed; samples run in
copies. The cache has one of two layouts (see `EngineOptions.kv_layout`). In a unified one all sequences draw from one
pool of cells, and a copy shares cells. In a separate one each sequence has cells of its own, a copy copies them, and
sequences with neighbouring numbers are computed together: the samples have the lowest, and move up to close gaps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from leafwise.runtime.llama import LlamaModel
from leafwise.runtime.prefix_tree import PrefixTree

_WORTH_COPYING = 16
"""With separate cells: tokens below which computing again is as quick as copying."""


class KVCache:
    """Hands out sequences of a model's context.

    Args:
        model: whose context it is; nobody else may change it.
        running: samples that may run at once.
    """

    def __init__(self, model: LlamaModel, running: int) -> None:
        self._model = model
        self._unified = model.options.unified
        self._running = running
        self.clear()

    def clear(self) -> None:
        """Forget everything, what runs too."""
        self._model.clear()
        self._tree = PrefixTree()
        self._promised: dict[int, int] = {}
        self._samples: set[int] = set()
        self._free_samples = set(range(self._running))
        self._free_prefixes = set(range(self._running, self._model.options.n_seq_max))
        self._pinned: set[int] = set()
        self._last_used: dict[int, float] = {}

    # what is there

    @property
    def cells(self) -> int:
        """Cells that hold a token."""
        return self._tree.cells

    @property
    def leaked(self) -> list[int]:
        """Sequences that llama.cpp holds cells for, and these books do not."""
        numbers = range(self._model.options.n_seq_max)
        return [number for number in numbers if number not in self._tree and not self._model.is_empty(number)]

    def longest(self, tokens: Sequence[int]) -> int:
        """How many of these tokens, from their beginning, are there."""
        return self._tree.longest(tokens)[1]

    # prompts

    def open_prompt(self, prompt: Sequence[int], more: int) -> tuple[int, int] | None:
        """A pinned sequence for a prompt, which begins with what is cached of it.

        Args:
            prompt: its tokens; the last is never taken from the cache, since its logits are needed.
            more: cells to promise beyond the prompt.

        Returns:
            The sequence and the number of tokens it has already; None if there is no room now.
        """
        source, shared = self._tree.longest(prompt[:-1])
        if not self._unified and shared < _WORTH_COPYING:
            source, shared = None, 0
        if source in self._last_used:
            self._last_used[source] = time.monotonic()  # the last to be dropped now
        cells = len(prompt) - shared + more
        while not (self._free_prefixes and self._has_cells(cells)):
            victim = self._least_recently_used()
            if victim is None:
                return None
            if victim == source:  # nothing else is left: it becomes the new prompt where the two part
                self._tree.cut(victim, shared)
                self._model.cut(victim, shared)
                return self._pin(victim, cells, shared) if self._has_cells(cells) else None
            self.drop(victim)
        sequence = min(self._free_prefixes)
        self._free_prefixes.discard(sequence)
        self._begin(sequence, source, shared)
        return self._pin(sequence, cells, shared)

    def _pin(self, sequence: int, cells: int, shared: int) -> tuple[int, int]:
        self._pinned.add(sequence)
        self._last_used[sequence] = time.monotonic()
        self._promised[sequence] = cells
        return sequence, shared

    def unpin(self, sequence: int) -> None:
        """Keep a prompt as long as its room is not needed."""
        if sequence in self._pinned:
            self._pinned.discard(sequence)
            self._promised.pop(sequence, None)
            self._last_used[sequence] = time.monotonic()

    def drop(self, sequence: int) -> None:
        """Forget a cached prompt."""
        self._pinned.discard(sequence)
        self._promised.pop(sequence, None)
        del self._last_used[sequence]
        self._forget(sequence)
        self._free_prefixes.add(sequence)

    def drop_unused(self) -> None:
        """Forget all cached prompts that nobody works with."""
        for sequence in self._last_used.keys() - self._pinned:
            self.drop(sequence)

    def holder(self, tokens: Sequence[int]) -> int | None:
        """A sequence that begins with all of these tokens."""
        sequence, length = self._tree.longest(tokens)
        return sequence if length == len(tokens) else None

    def adopt(self, count: int, path: Path) -> int:
        """Read a prompt of `count` tokens from a file of llama.cpp's; gives `count`, or 0 if it does not go in."""
        opened = self.open_prompt([-1] * count, 0) if count <= self._model.options.sequence_cells else None
        if opened is None:
            return 0
        sequence, _ = opened
        tokens = self._model.load_sequence(sequence, count, path)
        if len(tokens) != count:
            self.drop(sequence)
            return 0
        self.append(sequence, tokens)
        self.unpin(sequence)
        return count

    # samples

    def open_sample(self, prompt: int, length: int, cells: int, *, promised: bool) -> int | None:
        """A sequence for a sample, which begins with the first `length` tokens of a prompt.

        Args:
            prompt: the prompt's sequence.
            length: tokens to begin with.
            cells: cells it may take beyond these.
            promised: whether they were promised with the prompt.

        Returns:
            The sequence; None if there is no room now.
        """
        wanted = 0 if promised else cells
        while not (self._free_samples and self._has_cells(wanted)):
            victim = self._least_recently_used()
            if victim is None or not self._free_samples:
                return None
            self.drop(victim)
        if promised:
            self._promised[prompt] -= cells
        sequence = min(self._free_samples)
        self._free_samples.discard(sequence)
        self._samples.add(sequence)
        self._begin(sequence, prompt, length)
        self._promised[sequence] = cells
        return sequence

    def close_sample(self, sequence: int) -> None:
        """Free a sample's cells."""
        self._samples.discard(sequence)
        del self._promised[sequence]
        self._forget(sequence)
        self._free_samples.add(sequence)

    def close_gaps(self) -> dict[int, int]:
        """Give the running samples neighbouring numbers, where that makes them quicker.

        Returns:
            The new number of each sample that was moved.
        """
        moved: dict[int, int] = {}
        while not self._unified and self._samples and min(self._free_samples, default=1 << 30) < max(self._samples):
            old, new = max(self._samples), min(self._free_samples)
            self._model.move(old, new)
            self._tree.rename(old, new)
            self._promised[new] = self._promised.pop(old)
            self._samples ^= {old, new}
            self._free_samples ^= {old, new}
            moved[old] = new
        return moved

    # both

    def append(self, sequence: int, tokens: Sequence[int]) -> None:
        """Note tokens that were computed in a sequence."""
        self._tree.extend(sequence, tokens)
        self._promised[sequence] -= len(tokens)

    def tokens(self, sequence: int) -> list[int]:
        """The tokens of a sequence."""
        return self._tree.tokens(sequence)

    def _begin(self, sequence: int, source: int | None, length: int) -> None:
        self._tree.add(sequence, source, length)
        if source is not None and length:
            self._model.copy(source, sequence, length)

    def _forget(self, sequence: int) -> None:
        self._tree.remove(sequence)
        self._model.forget(sequence)

    def _has_cells(self, cells: int) -> bool:
        """Whether so many cells are neither taken nor promised; separate cells are each sequence's own."""
        if not self._unified:
            return True
        return self._tree.cells + sum(self._promised.values()) + cells <= self._model.options.context

    def _least_recently_used(self) -> int | None:
        unused = self._last_used.keys() - self._pinned
        return min(unused, key=lambda sequence: self._last_used[sequence], default=None)
