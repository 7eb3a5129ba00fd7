"""Which task of a data set is meant: by an id as other tools write it, or by a prompt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from leafwise.agents.reading import find_signature
from leafwise.benchmarks.contracts import Problem

_NUMBERED = re.compile(r"(?P<set>.*?)[^A-Za-z0-9]*(?P<number>[0-9]+)(?:_.*)?", re.DOTALL)


class TaskNames:
    """The names of a data set's tasks.

    Args:
        problems: the data set's.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = {problem.id: problem for problem in problems}
        times = Counter(map(_plain, self.problems))
        self._plain = {_plain(name): name for name in self.problems if times[_plain(name)] == 1}
        kinds = {name.rstrip("0123456789") for name in self._plain}
        self._kind = kinds.pop() if len(kinds) == 1 else ""

    def named(self, given: str) -> str | None:
        """The id of a task by a name; a number alone will do if all tasks are of one kind."""
        if given in self.problems:
            return given
        return self._plain.get((self._kind if given.isdecimal() else "") + _plain(given))

    def asked_by(self, prompt: str) -> str | None:
        """The id of the task whose function a prompt asks for; of several, the one that it agrees with longest."""
        signature = find_signature(prompt) if prompt else None
        same = [p for p in self.problems.values() if signature and p.entry_point == signature[0]]
        return max(same, key=lambda problem: _agreement(problem.prompt, prompt)).id if same else None


def _plain(name: str) -> str:
    """An id without what tools write differently: case, what stands before the number, a name behind it."""
    match = _NUMBERED.fullmatch(name)
    kind, number = (match["set"], match["number"]) if match else (name, "")
    return re.sub(r"[^a-z0-9+]", "", kind.lower()) + (str(int(number)) if number and len(number) < 10 else number)


def _agreement(one: str, other: str) -> int:
    """How many characters are the same from the beginning on, white space left out."""
    texts = ["".join(text.split()) for text in (one, other)]
    pairs = zip(*texts, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(map(len, texts)))
