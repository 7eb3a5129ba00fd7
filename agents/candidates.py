"""From what a coder wrote to candidates with evidence: run each program once, and tell the listener."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leafwise.agents import roles
from leafwise.agents.contracts import Candidate, EventKind, Origin, Settings, Spec
from leafwise.agents.inputs import generate_inputs
from leafwise.agents.policy import settles
from leafwise.agents.selection import agreement, best
from leafwise.agents.team import Place, Team
from leafwise.runtime.contracts import Check


def examine_all(
    team: Team,
    place: Place,
    spec: Spec,
    origin: Origin,
    written: Sequence[roles.Written],
    checks: tuple[Check, ...] = (),
    build: Callable[[str], str] = str,
) -> list[Candidate]:
    """Run what a coder wrote; answers without usable code are dropped. Equal programs are run once."""
    inputs = (
        () if team.settings.strategy == "direct" else generate_inputs(spec, team.settings.inputs, team.settings.seed)
    )
    seen: dict[str, Candidate] = {}
    candidates: list[Candidate] = []
    for answer in written:
        if not answer.extraction.code:
            continue
        source = build(answer.extraction.code)
        twin = seen.get(source)
        evidence = twin.evidence if twin else team.examine(source, spec, checks, inputs)
        candidate = Candidate(
            node=place.node,
            origin=origin,
            source=source,
            rule=answer.extraction.rule,
            cut=answer.cut,
            logprob=answer.logprob,
            evidence=evidence,
        )
        seen[source] = candidate
        candidates.append(candidate)
    return candidates


def settled(spec: Spec, candidates: Sequence[Candidate], settings: Settings) -> bool:
    """Whether drafts settle the task (see `policy.settles`)."""
    winner = best(candidates)
    passes = winner is not None and winner.evidence.passes
    return settles(passes, bool(spec.examples), agreement(candidates), settings)


def tell(team: Team, place: Place, written: Sequence[roles.Written], candidates: Sequence[Candidate]) -> None:
    """Tell the listener of candidates, and of answers that held no usable code."""
    for candidate in candidates:
        team.emit(EventKind.CANDIDATE, place, candidate.evidence.detail, **candidate.model_dump(mode="json"))
    if lost := len(written) - len(candidates):
        team.emit(EventKind.NOTE, place, f"{lost} of {len(written)} answers held no usable code", lost=lost)
