"""Feedback into regeneration: a candidate goes back to the coder, with evidence of a failure and the critic's words."""

from __future__ import annotations

from leafwise.agents import roles
from leafwise.agents.candidates import examine_all, tell, winner
from leafwise.agents.contracts import Candidate, Failure, Spec
from leafwise.agents.place import Place
from leafwise.agents.settings import Part
from leafwise.agents.team import Team
from leafwise.runtime.sandbox_contracts import Check


def rewrite(
    team: Team, place: Place, spec: Spec, before: Candidate, checks: tuple[Check, ...], *, by_checks: bool = False
) -> list[Candidate]:
    """Have a failing candidate written again.

    Args:
        team: who works on it.
        place: the step.
        spec: what it should do.
        before: the candidate.
        checks: generated checks, to be passed as well as possible.
        by_checks: whether failing a generated check alone is reason enough: they may be wrong.

    Returns:
        The new candidates; none if it does not fail when it is run once more.
    """
    failure = team.diagnose(before.source, spec, checks if by_checks else ()) or _written_down(spec, before)
    if failure is None:
        return []
    words = _words(team, place, spec, before, failure)
    return _again(team, place, spec, before, checks, failure, words)


def improve(team: Team, place: Place, spec: Spec, before: Candidate, checks: tuple[Check, ...]) -> list[Candidate]:
    """Have a passing candidate written again as the critic advises, who looks at its efficiency. See `rewrite`.

    Returns:
        The new candidates; none without a critic, or if it has nothing to say.
    """
    words = _words(team, place, spec, before, None)
    return _again(team, place, spec, before, checks, None, words) if words else []


def _words(team: Team, place: Place, spec: Spec, before: Candidate, failure: Failure | None) -> str:
    """What the critic says; nothing in a team without one."""
    return roles.critique(team, place, spec, before.source, failure) if team.settings.has(Part.CRITIC) else ""


def _written_down(spec: Spec, before: Candidate) -> Failure | None:
    """What is wrong with a candidate that only writes an example's value down: no run shows it."""
    if not before.evidence.hard_coded or not spec.examples:
        return None
    expected, observed = "a value that is computed from the arguments", "one that is written down in the code"
    return Failure(code=spec.examples[0].code, expected=expected, observed=observed)


def _again(
    team: Team,
    place: Place,
    spec: Spec,
    before: Candidate,
    checks: tuple[Check, ...],
    failure: Failure | None,
    words: str,
) -> list[Candidate]:
    coder = roles.Coder(team, place, spec)
    written = coder.repair(team.settings.samples_per_node, before.source, failure, words)
    candidates = examine_all(team, place, spec, "repair", written, checks)
    tell(team, place, written, candidates)
    return candidates


def regenerate(
    team: Team, place: Place, spec: Spec, candidates: list[Candidate], checks: tuple[Check, ...]
) -> list[Candidate]:
    """`paper`'s loop at a node: tester, critic, and the code agent again, while a check fails and rounds are left.

    What passes is reviewed once, for its efficiency.

    Returns:
        The further candidates; none for other strategies, whose nodes take the best of several instead.
    """
    found: list[Candidate] = []
    for _ in range(team.settings.repair_rounds if team.settings.strategy == "paper" else 0):
        before = winner([*candidates, *found], team.settings)
        if before is None or team.ended_by != "done":
            break
        written = rewrite(team, place, spec, before, checks, by_checks=True)
        if not written:
            found += improve(team, place, spec, before, checks)
            break
        found += written
        if winner([*candidates, *found], team.settings) is before:
            break  # the same prompt once more would give the same answer
    return found
