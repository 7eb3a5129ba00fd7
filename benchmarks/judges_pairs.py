"""Two verdicts on each sample, side by side: how many agree, and why the others differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from leafwise.benchmarks.contracts import Judgement, Result
from leafwise.benchmarks.report import Recorder
from leafwise.runtime.sandbox_contracts import Status

TIME, MEMORY, MODULE, OTHER = "time-out in one", "memory limit", "needs a module", "other"
_TIMED_OUT = ("timed out", "timeout")


class Pair(NamedTuple):
    """Two verdicts on one sample."""

    name: str
    """Its task, and which of its samples."""
    ours: Result
    """Our judge's: of the suite that decided."""
    theirs: str
    """What the other judge says: a word, and possibly a reason after a colon."""
    passed: bool
    """Whether the other judge lets it pass."""

    @property
    def agree(self) -> bool:
        """Whether both or neither let it pass."""
        return (self.ours.status is Status.PASSED) == self.passed

    @property
    def timed_out_in_one(self) -> bool:
        """Whether one judge saw a time-out and the other something else."""
        return (self.ours.status is Status.TIMEOUT) != self.theirs.startswith(_TIMED_OUT)


def decisive(judgement: Judgement) -> Result:
    """The result of the last suite that was run: `base` unless it passed and there is a `plus`."""
    return judgement.plus if judgement.plus is not None else judgement.base


def kind_of_difference(pair: Pair) -> str:
    """Why two verdicts may differ, judged by what was said."""
    said = f"{words(pair.ours)} {pair.theirs}"
    if pair.timed_out_in_one:
        return TIME
    if "MemoryError" in said or "cannot allocate memory" in said.lower():
        return MEMORY
    return MODULE if "No module named" in said else OTHER


def words(result: Result) -> str:
    """A result on one line: how it ended, and the first error."""
    return _short(": ".join(part for part in (result.status.value, result.detail) if part))


def report_pairs(
    pairs: Sequence[Pair], other: str, out: Recorder, *, suite: str = "", at_most_per_thousand: float = 0.0
) -> None:
    """Keep counts, and a table with every difference.

    Args:
        pairs: of one suite.
        other: the other judge's name.
        out: gets it.
        suite: stands in front of the figures' names.
        at_most_per_thousand: the goal for verdicts that differ.
    """
    before = f"{suite}: " if suite else ""
    differing = [pair for pair in pairs if not pair.agree]
    kinds = [kind_of_difference(pair) for pair in differing]
    rows = [
        (pair.name, kind, words(pair.ours), _short(pair.theirs)) for pair, kind in zip(differing, kinds, strict=True)
    ]
    ends = Counter((pair.ours.status.value, pair.theirs.partition(":")[0]) for pair in pairs)
    out.table(f"{before}ends", ("leafwise", other, ""), [(*end, float(count)) for end, count in ends.most_common()])
    out.table(f"{before}different verdicts", ("sample", "kind", "leafwise", other), rows)
    out.figure(f"{before}samples", len(pairs))
    out.figure(f"{before}passed in both", sum(pair.agree and pair.passed for pair in pairs))
    out.figure(f"{before}failed in both", sum(pair.agree and not pair.passed for pair in pairs))
    out.figure(f"{before}failed in both, time-out in one only", sum(p.agree and p.timed_out_in_one for p in pairs))
    out.figure(f"{before}different verdicts", len(differing), at_most=at_most_per_thousand * len(pairs) / 1000)
    for kind, count in Counter(kinds).items():
        out.figure(f"{before}different verdicts: {kind}", count)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:97]}..."
