"""Functional consensus: how well candidates agree in what they do on generated inputs. Pure functions.

Independent answers that behave alike are more likely right than one that stands alone. Two measures: clusters of
candidates that behave alike on every input, and the expected agreement, input by input, in which one strange input
does not tear apart what agrees on all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from leafwise.agents.checking import UNTRIED, is_failure, is_nothing
from leafwise.agents.contracts import Candidate, Evidence


def cluster_sizes(candidates: Sequence[Candidate]) -> list[int]:
    """For each candidate, how many candidates behave like it, itself included.

    Candidates that do not load have size 0, and so have those that show nothing, on no example and on no input: sharing
    a mistake such as a missing helper is no agreement. One that passes an example and fails on every generated input
    may just be strict about them. Without generated inputs everything that loads would be one cluster, which
    says nothing: then only equal code counts as equal behaviour. The same code twice counts twice: the model meant it.
    Where no example vouches for it, an answer that was cut says nothing: often its end is missing.
    """
    keys = [_behaviour(candidate) for candidate in candidates]
    counts = Counter(key for key in keys if key is not None)
    return [counts[key] if key is not None else 0 for key in keys]


def expected_agreements(candidates: Sequence[Candidate]) -> list[float]:
    """For each candidate, how many of its peers, itself included, behave like it on an input: the mean over inputs.

    Peers are the candidates that compute and pass as many visible examples as any does: what is known to be wrong has
    no vote.
    Inputs on which most peers fail are left out: they are of the wrong type, or outside of what the function is for.
    An input that a candidate was not tried on, because it hung before, is not counted for or against it.
    Who does not load or fails everywhere has 0, and without inputs only equal code agrees, as in `cluster_sizes`.
    This is minimum Bayes risk decoding with the share of differing inputs as the loss.
    """
    sizes = cluster_sizes(candidates)
    ballots = _ballots([evidence for evidence in _peers(candidates) if evidence.behaviour])
    return [
        0.0 if not size else _agreement(candidate.evidence.behaviour, ballots, float(size))
        for candidate, size in zip(candidates, sizes, strict=True)
    ]


def trusted_checks(candidates: Sequence[Candidate]) -> list[float]:
    """For each candidate, the share of the generated checks that it passes, from 0 to 1.

    Each check weighs as much as the share of peers (see `expected_agreements`) that pass it: a check that nobody passes
    is most likely wrong and weighs nothing. Candidates that were run on other checks have 0.
    """
    peers = [evidence.check_results for evidence in _peers(candidates)]
    width = max(map(len, peers), default=0)
    votes = [sum(results[i] for results in peers if len(results) == width) for i in range(width)]
    total = sum(votes)
    return [
        sum(vote for vote, passed in zip(votes, results, strict=True) if passed) / total
        if total and len(results := candidate.evidence.check_results) == width
        else 0.0
        for candidate in candidates
    ]


def _behaviour(candidate: Candidate) -> tuple[str, ...] | None:
    evidence = candidate.evidence
    if not evidence.loads or (not evidence.examples_passed and (candidate.cut or _shows_nothing(evidence.behaviour))):
        return None
    tried = any(entry != UNTRIED for entry in evidence.behaviour)
    return evidence.behaviour if tried else (candidate.source,)


def _shows_nothing(behaviour: Sequence[str]) -> bool:
    return bool(behaviour) and (all(map(is_failure, behaviour)) or all(map(is_nothing, behaviour)))


def _peers(candidates: Sequence[Candidate]) -> list[Evidence]:
    """The evidence of those that have a vote; functions from a memory were not written for this task."""
    candidates = [c for c in candidates if c.origin != "memory"] or candidates
    candidates = [c for c in candidates if not c.evidence.hard_coded] or candidates
    most = max((c.evidence.examples_passed for c in candidates if c.evidence.loads), default=0)
    peers = [c.evidence for c in candidates if _behaviour(c) is not None]
    return [evidence for evidence in peers if evidence.examples_passed == most]


def _ballots(voters: Sequence[Evidence]) -> list[Counter[str] | None]:
    """For each input how many voters show which behaviour; None where most of them fail."""
    width = max((len(voter.behaviour) for voter in voters), default=0)
    votes = [Counter(v.behaviour[i] for v in voters if len(v.behaviour) == width) for i in range(width)]
    return [vote if _is_meaningful(vote) else None for vote in votes]


def _is_meaningful(vote: Counter[str]) -> bool:
    failing = sum(count for behaviour, count in vote.items() if is_failure(behaviour) and behaviour != UNTRIED)
    return 2 * failing <= vote.total() - vote[UNTRIED]


def _agreement(behaviour: Sequence[str], ballots: Sequence[Counter[str] | None], alone: float) -> float:
    """The mean of the votes for what a candidate does; `alone` where no input says anything."""
    if not behaviour or len(behaviour) != len(ballots):
        return alone
    votes = [vote[seen] for seen, vote in zip(behaviour, ballots, strict=True) if vote is not None and seen != UNTRIED]
    return sum(votes) / len(votes) if votes else alone
