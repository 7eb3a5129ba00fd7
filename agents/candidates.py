"""From what a coder wrote to candidates with evidence: run each program once, and tell the listener."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from leafwise.agents import roles
from leafwise.agents.contracts import Candidate, EventKind, Evidence, Origin, Spec
from leafwise.agents.inputs import generate_inputs
from leafwise.agents.policy import settles
from leafwise.agents.selection import agreement, best
from leafwise.agents.settings import Settings
from leafwise.agents.team import Place, Team
from leafwise.runtime.sandbox_contracts import Check

_AT_ONCE = 4
"""Programs given to the sandbox at once; it runs as many as it has workers."""


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
    sources = [build(answer.extraction.code) if answer.extraction.code else "" for answer in written]
    unique = [source for source in dict.fromkeys(sources) if source]

    def run(source: str) -> Evidence | None:
        # when the time is up, one candidate is still looked at: better an answer with evidence than none
        late = team.seconds_left == 0.0 and source != unique[0]
        return None if late else team.examine(source, spec, checks, inputs)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        evidence = dict(zip(unique, pool.map(run, unique), strict=True))
    return [
        Candidate(
            node=place.node,
            origin=origin,
            source=source,
            answer=answer.answer,
            rule=answer.extraction.rule,
            cut=answer.cut,
            logprob=answer.logprob,
            evidence=found,
        )
        for answer, source in zip(written, sources, strict=True)
        if source and (found := evidence[source]) is not None
    ]


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
        text = f"{lost} of {len(written)} answers held no usable code or came too late"
        team.emit(EventKind.NOTE, place, text, lost=lost)
