"""Choosing among candidates: visible examples first, then agreement, then generated checks. Pure functions.

Functional consensus: candidates that behave alike on generated inputs form a cluster, and independent answers that
agree are more likely right than one that stands alone. A generated check is evidence, never a veto: it decides only
between candidates that are equal so far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from leafwise.agents.checking import is_failure
from leafwise.agents.contracts import Candidate


def cluster_sizes(candidates: Sequence[Candidate]) -> list[int]:
    """For each candidate, how many candidates behave like it, itself included.

    Candidates that do not load, and candidates that fail on every input, have size 0: sharing a mistake such as a
    missing helper is no agreement. Without generated inputs everything that loads would be one cluster, which
    says nothing: then only equal code counts as equal behaviour. The same code twice counts twice: the model meant it.
    """
    keys = [_behaviour(candidate) for candidate in candidates]
    counts = Counter(key for key in keys if key is not None)
    return [counts[key] if key is not None else 0 for key in keys]


def _behaviour(candidate: Candidate) -> tuple[str, ...] | None:
    evidence = candidate.evidence
    if not evidence.loads or (evidence.behaviour and all(map(is_failure, evidence.behaviour))):
        return None
    return evidence.behaviour or (candidate.source,)


def rank(candidates: Sequence[Candidate], *, consensus: bool = True) -> list[Candidate]:
    """Best first; equal candidates stay in order: an earlier stage's answer is not replaced without a reason.

    Args:
        candidates: of one node.
        consensus: whether agreement counts.
    """
    sizes = cluster_sizes(candidates) if consensus else [0] * len(candidates)

    def merit(index: int) -> tuple[bool, int, int, int, bool, float]:
        candidate, evidence = candidates[index], candidates[index].evidence
        return (
            evidence.loads,
            evidence.examples_passed,
            sizes[index],
            evidence.checks_passed,
            not candidate.cut,
            candidate.logprob if candidate.logprob is not None else float("-inf"),
        )

    order = sorted(range(len(candidates)), key=merit, reverse=True)
    return [candidates[i] for i in order]


def best(candidates: Sequence[Candidate], *, consensus: bool = True) -> Candidate | None:
    """The best candidate, if there is any."""
    ranked = rank(candidates, consensus=consensus)
    return ranked[0] if ranked else None


def agreement(candidates: Sequence[Candidate]) -> int:
    """Size of the best candidate's cluster."""
    winner = best(candidates)
    return 0 if winner is None else cluster_sizes(candidates)[list(candidates).index(winner)]
