"""A tree of token runs: which sequences hold which tokens, and where a prompt has been computed before.

The tree mirrors the KV cache. A run is a stretch of tokens that were computed together, with one cell per token; a
sequence is a path from the root, and sequences that were copied from each other share the runs they have in common.
Two runs with equal tokens that were computed twice stay two runs, as they are in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_STRETCH = 64


@dataclass(eq=False)
class _Run:
    """Consecutive tokens held by the same sequences."""

    tokens: list[int]
    parent: _Run | None
    children: list[_Run] = field(default_factory=list)
    sequences: set[int] = field(default_factory=set)


class PrefixTree:
    """The tokens of all sequences, shared where the cache shares them."""

    def __init__(self) -> None:
        self._root = _Run([], None)
        self._ends: dict[int, _Run] = {}
        self._lengths: dict[int, int] = {}
        self.cells = 0
        """Tokens stored, what is shared counted once."""

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._ends

    def length(self, sequence: int) -> int:
        """Tokens of a sequence."""
        return self._lengths[sequence]

    def tokens(self, sequence: int) -> list[int]:
        """The tokens of a sequence, from its beginning."""
        return [token for run in reversed(list(self._path(sequence))) for token in run.tokens]

    def add(self, sequence: int, source: int | None = None, length: int = 0) -> None:
        """Begin a sequence, which shares the first `length` tokens of `source`.

        Raises:
            ValueError: the sequence is there already, or the source is not that long.
        """
        if sequence in self._ends:
            raise ValueError(f"sequence {sequence} is in the tree already")
        end = self._root if source is None or length == 0 else self._end_at(source, length)
        self._ends[sequence], self._lengths[sequence] = end, length if end is not self._root else 0
        for run in self._path(sequence):
            run.sequences.add(sequence)

    def extend(self, sequence: int, tokens: Sequence[int]) -> None:
        """Append tokens that were computed for this sequence alone."""
        end = self._ends[sequence]
        if end is self._root or end.children or len(end.sequences) > 1:
            end = _Run([], end, sequences={sequence})
            assert end.parent is not None
            end.parent.children.append(end)
            self._ends[sequence] = end
        end.tokens.extend(tokens)
        self._lengths[sequence] += len(tokens)
        self.cells += len(tokens)

    def remove(self, sequence: int) -> None:
        """Forget a sequence; what others share stays."""
        for run in list(self._path(sequence)):
            run.sequences.discard(sequence)
            if not run.sequences:
                assert run.parent is not None
                run.parent.children.remove(run)
                self.cells -= len(run.tokens)
        del self._ends[sequence], self._lengths[sequence]

    def rename(self, old: int, new: int) -> None:
        """Call a sequence by another number, because its cells were moved."""
        for run in self._path(old):
            run.sequences.discard(old)
            run.sequences.add(new)
        self._ends[new], self._lengths[new] = self._ends.pop(old), self._lengths.pop(old)

    def cut(self, sequence: int, length: int) -> None:
        """Forget all but the first `length` tokens of a sequence."""
        beginning = -1 - sequence
        self.add(beginning, sequence, length)
        self.remove(sequence)
        self.rename(beginning, sequence)

    def longest(self, tokens: Sequence[int]) -> tuple[int | None, int]:
        """A sequence that begins with as many of these tokens as any, and how many; (None, 0) if none does."""
        best: tuple[int | None, int] = (None, 0)
        open_runs: list[tuple[_Run, int]] = [(self._root, 0)]
        while open_runs:
            parent, start = open_runs.pop()
            for run in parent.children:
                end = start + common_length(run.tokens, tokens[start : start + len(run.tokens)])
                if end > best[1]:
                    best = (next(iter(run.sequences)), end)
                if end == start + len(run.tokens):
                    open_runs.append((run, end))
        return best

    def _path(self, sequence: int) -> Iterator[_Run]:
        """Its runs from the end up, without the root."""
        run: _Run | None = self._ends[sequence]
        while run is not None and run is not self._root:
            yield run
            run = run.parent

    def _end_at(self, source: int, length: int) -> _Run:
        """The run of the source that ends after `length` tokens; a longer one is split there."""
        if length > self._lengths[source]:
            raise ValueError(f"sequence {source} has {self._lengths[source]} tokens, not {length}")
        end = self._lengths[source]
        for run in self._path(source):
            start = end - len(run.tokens)
            if start < length:
                return run if length == end else self._split(run, length - start)
            end = start
        raise AssertionError("a path begins at 0")

    def _split(self, run: _Run, at: int) -> _Run:
        """Cut a run in two; the lower half stays the same object, so that the sequences that end in it still do."""
        assert run.parent is not None
        upper = _Run(run.tokens[:at], run.parent, [run], set(run.sequences))
        run.parent.children[run.parent.children.index(run)] = upper
        run.tokens, run.parent = run.tokens[at:], upper
        return upper


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """How many elements two sequences have in common from their beginning."""
    shortest = min(len(left), len(right))
    start = 0  # whole stretches are compared at C speed, single tokens only in the one that differs
    while start < shortest and left[start : start + _STRETCH] == right[start : start + _STRETCH]:
        start += _STRETCH
    while start < shortest and left[start] == right[start]:
        start += 1
    return min(start, shortest)
