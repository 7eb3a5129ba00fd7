"""Recombination: other versions of a tree's functions are tried in place of the winners, at the price of no token.

A leaf's winner is chosen by agreement and by checks that a model wrote; the visible examples say nothing of it. They do
say whether the whole module is right. So where a module of winners fails them, modules of other versions are run, the
most likely first, until one passes: running a program costs milliseconds, writing a function again costs tokens.
(Parsel, arXiv 2212.10561, searches the implementations of a given decomposition in this way.)
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from leafwise.agents.assembly import assemble
from leafwise.agents.candidates import examine_all, tell
from leafwise.agents.checking import UNTRIED
from leafwise.agents.consensus import cluster_sizes, trusted_checks
from leafwise.agents.contracts import Candidate, Spec
from leafwise.agents.place import Place
from leafwise.agents.selection import rank
from leafwise.agents.settings import Part
from leafwise.agents.team import Team
from leafwise.agents.written import Written
from leafwise.runtime.sandbox_contracts import Check

_AT_ONCE = 8
"""Modules tried before it is asked whether one of them passes."""
_MOST_SECONDS = 15.0
"""Wall-clock time after which no further ones are tried: some hang."""
_LONELY = 0.5
"""Weight of a version that no input or check speaks for."""


@dataclass(frozen=True)
class Version:
    """One of the ways in which a function was written: candidates that behave alike are one."""

    source: str
    """The best of these candidates: the function and what it needs of its own."""
    weight: float
    """How much speaks for it, compared with the function's other versions."""


def versions_of(candidates: Sequence[Candidate]) -> tuple[Version, ...]:
    """Candidates that load, the best of each behaviour, best first.

    A version weighs as many candidates as behave like it, times one plus the share of generated checks that it passes.
    """
    ranked = [candidate for candidate in rank(candidates) if candidate.evidence.loads]
    sizes, trusted = cluster_sizes(ranked), trusted_checks(ranked)
    found: dict[tuple[str, ...], Version] = {}
    for candidate, size, trust in zip(ranked, sizes, trusted, strict=True):
        version = Version(candidate.source, max(size, _LONELY) * (1 + trust))
        tells = any(entry != UNTRIED for entry in candidate.evidence.behaviour)
        found.setdefault(candidate.evidence.behaviour if tells else (candidate.source,), version)
    return tuple(found.values())


def combinations(
    parents: Sequence[Version], children: Sequence[Sequence[Version]], names: Sequence[str]
) -> Iterator[tuple[str, float]]:
    """Modules of one of the parent's versions and one version of each child, with their weights, the heaviest first.

    Args:
        parents: versions of the parent, without its children.
        children: versions of each child.
        names: of the children's functions, in the same order.
    """
    slots = [sorted(slot, key=lambda version: -version.weight) for slot in (parents, *children)]
    if not all(slots):
        return
    for chosen, weight in _heaviest([[version.weight for version in slot] for slot in slots]):
        main, *parts = (slot[i].source for slot, i in zip(slots, chosen, strict=True))
        yield assemble(parts, main, names), weight


def _heaviest(slots: Sequence[Sequence[float]]) -> Iterator[tuple[tuple[int, ...], float]]:
    """Choices of one place of each slot, by the product of the chosen weights' shares; slots are sorted."""
    shares = [[weight / sum(slot) for weight in slot] for slot in slots]

    def weight_of(chosen: Sequence[int]) -> float:
        return math.prod(slot[i] for slot, i in zip(shares, chosen, strict=True))

    first = (0,) * len(slots)
    heap, seen = [(-weight_of(first), first)], {first}
    while heap:
        weight, chosen = heapq.heappop(heap)
        yield chosen, -weight
        for slot, place in enumerate(chosen):
            following = (*chosen[:slot], place + 1, *chosen[slot + 1 :])
            if place + 1 < len(slots[slot]) and following not in seen:
                seen.add(following)
                heapq.heappush(heap, (-weight_of(following), following))


def recombine(
    team: Team,
    place: Place,
    spec: Spec,
    written: Sequence[Written],
    names: Sequence[str],
    versions: Sequence[Sequence[Version]],
    tried: Collection[str],
    checks: tuple[Check, ...],
) -> list[Candidate]:
    """Look for a combination that passes the visible examples, where that of the winners does not.

    Args:
        team: runs them.
        place: the step.
        spec: of the parent.
        written: versions of the parent.
        names: of the children's functions.
        versions: of each child.
        tried: modules that have been run already.
        checks: generated checks of the parent.

    Returns:
        Of those that pass, one with the behaviour that has most weight; none if nothing passes, or it can't be told.
    """
    settings = team.settings
    wanted = settings.strategy == "guided" and settings.has(Part.RECOMBINE)
    if not (wanted and spec.examples and names):
        return []
    votes = Counter(answer.code for answer in written if answer.code)
    parents = [Version(code, count) for code, count in votes.items()]
    likely = itertools.islice(combinations(parents, versions, names), settings.combinations)
    new = ((module, weight) for module, weight in likely if module not in tried)
    found = _first_passing(team, place, spec, new, checks)
    best = _most_agreed(found)
    tell(team, place, (), best)
    return best


def _first_passing(
    team: Team, place: Place, spec: Spec, modules: Iterator[tuple[str, float]], checks: tuple[Check, ...]
) -> list[tuple[Candidate, float]]:
    """Those that pass among the first few modules of which any does."""
    ends = time.monotonic() + _MOST_SECONDS
    while weights := dict(itertools.islice(modules, _AT_ONCE)):
        if time.monotonic() > ends or team.ended_by == "time":
            break
        written = [Written(code=module, rule="recombined") for module in weights]
        examined = examine_all(team, place, spec, "recombine", written, compare=False)
        if passing := [one.source for one in examined if one.evidence.passes]:
            again = [answer for answer in written if answer.code in passing]
            return [(one, weights[one.source]) for one in examine_all(team, place, spec, "recombine", again, checks)]
    return []


def _most_agreed(passing: Sequence[tuple[Candidate, float]]) -> list[Candidate]:
    weights: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for candidate, weight in passing:
        weights[candidate.evidence.behaviour] += weight
    best = max(passing, key=lambda pair: weights[pair[0].evidence.behaviour], default=None)
    return [best[0]] if best else []
