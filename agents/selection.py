"""Choosing among candidates: visible examples first, then what other candidates and generated checks say.

Pure functions. A generated check is evidence, never a veto: it weighs as much as candidates agree with it, at most
doubles what agreement says, and never reaches over a visible example.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from leafwise.agents.consensus import cluster_sizes, expected_agreements, trusted_checks
from leafwise.agents.contracts import Candidate

_NEARLY = 0.1
"""What the expected agreement may lack of a whole candidate."""


def rank(candidates: Sequence[Candidate], *, consensus: bool = True, checks: bool = True) -> list[Candidate]:
    """Best first; equal candidates stay in order: an earlier stage's answer is not replaced without a reason.

    What is hard-coded comes after all that computes. After that and visible examples comes the expected agreement,
    times one plus the share of the generated checks that the candidate passes, each weighed by how many candidates
    pass it. Among equals, a whole answer is better than one that was cut, and a likelier one better than another.

    Args:
        candidates: in the order in which they came.
        consensus: whether agreement counts (`Part.CONSENSUS`).
        checks: whether generated checks count (`Part.TESTER`).
    """
    agreements = expected_agreements(candidates) if consensus else [1.0] * len(candidates)
    trusted = trusted_checks(candidates) if checks else [0.0] * len(candidates)

    def merit(index: int) -> tuple[bool, bool, int, float, int, bool, float]:
        candidate, evidence = candidates[index], candidates[index].evidence
        return (
            evidence.loads,
            not evidence.hard_coded,
            evidence.examples_passed,
            round(agreements[index] * (1 + trusted[index]), 9),  # equal ones must not differ by the order of a sum
            evidence.checks_passed if checks else 0,
            not candidate.cut,
            candidate.logprob if candidate.logprob is not None else float("-inf"),
        )

    order = sorted(range(len(candidates)), key=merit, reverse=True)
    return [candidates[i] for i in order]


def best(candidates: Sequence[Candidate], *, consensus: bool = True, checks: bool = True) -> Candidate | None:
    """The best candidate, if there is any; see `rank`."""
    ranked = rank(candidates, consensus=consensus, checks=checks)
    return ranked[0] if ranked else None


def agreement(candidates: Sequence[Candidate], *, consensus: bool = True, checks: bool = True) -> int:
    """How many candidates behave like the best one, itself included; see `rank`.

    Only those count that pass as many visible examples, and known functions do not: all that speaks for them are their
    words. One that differs on a few inputs counts in part: right ones may differ on what the task excludes.
    """
    winner = best(candidates, consensus=consensus, checks=checks)
    if winner is None:
        return 0
    passed = winner.evidence.examples_passed
    alike = [c for c in candidates if c.evidence.examples_passed == passed and c.origin != "memory"]
    voters = [winner, *(c for c in alike if c is not winner)]
    return max(cluster_sizes(voters)[0], math.floor(expected_agreements(voters)[0] + _NEARLY))
