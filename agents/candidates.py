"""From what a coder wrote to candidates with evidence: run each program once, and tell the listener."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from leafwise.agents.contracts import Candidate, EventKind, Evidence, Origin, Spec
from leafwise.agents.inputs import generate_inputs
from leafwise.agents.place import Place
from leafwise.agents.policy import settles
from leafwise.agents.selection import agreement, best
from leafwise.agents.settings import Part, Settings
from leafwise.agents.team import Team
from leafwise.agents.written import Written
from leafwise.runtime.sandbox_contracts import Check

_AT_ONCE = 4
"""Programs given to the sandbox at once; it runs as many as it has workers."""


def examine_all(
    team: Team,
    place: Place,
    spec: Spec,
    origin: Origin,
    written: Sequence[Written],
    checks: tuple[Check, ...] = (),
    build: Callable[[str], str] = str,
    *,
    compare: bool = True,
) -> list[Candidate]:
    """Run what a coder wrote; answers without usable code are dropped. Equal programs are run once.

    Args:
        team: runs them.
        place: the step.
        spec: what they should do.
        origin: the stage that they come from.
        written: the answers.
        checks: generated checks.
        build: makes the module of an answer's code.
        compare: whether they are run on generated inputs too, where the strategy compares.
    """
    inputs = _inputs(spec, team.settings, checks) if compare else ()
    sources = [build(answer.code) if answer.code else "" for answer in written]
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
            rule=answer.rule,
            cut=answer.cut,
            logprob=answer.logprob,
            evidence=found,
        )
        for answer, source in zip(written, sources, strict=True)
        if source and (found := evidence[source]) is not None
    ]


def _inputs(spec: Spec, settings: Settings, checks: Sequence[Check]) -> tuple[str, ...]:
    """Inputs to compare candidates on, for strategies that compare: the checks' are among them."""
    if settings.strategy == "direct" or not _compares(settings):
        return ()
    return generate_inputs(spec, settings.inputs, settings.seed, [check.code for check in checks])


def winner(candidates: Sequence[Candidate], settings: Settings) -> Candidate | None:
    """The best candidate as the strategy chooses: without consensus by examples and checks only."""
    return best(candidates, consensus=_compares(settings), checks=settings.has(Part.TESTER))


def agreement_of(candidates: Sequence[Candidate], settings: Settings) -> int:
    """How many candidates behave like the best one, itself included."""
    if not _compares(settings):
        return min(1, len(candidates))
    return agreement(candidates, checks=settings.has(Part.TESTER))


def _compares(settings: Settings) -> bool:
    return settings.strategy != "paper" and settings.has(Part.CONSENSUS)


def wants_checks(spec: Spec, candidates: Sequence[Candidate], settings: Settings) -> bool:
    """Whether checks can decide something between a task's first drafts.

    `paper` always asks its tester. `guided` does where drafts that are all one can wish for behave differently.
    """
    if settings.strategy == "paper":
        return True
    if settings.strategy != "guided" or not settings.has(Part.TESTER):
        return False
    leader = winner(candidates, settings)
    if leader is None or not leader.evidence.passes:
        return False
    agreed = agreement_of(candidates, settings)
    if settles(True, bool(spec.examples), agreed, settings, comparable=spec.entry_point is not None):
        return False
    return len({c.evidence.behaviour for c in candidates if c.evidence.passes}) > 1


def tell(team: Team, place: Place, written: Sequence[Written], candidates: Sequence[Candidate]) -> None:
    """Tell the listener of candidates, and of answers that held no usable code."""
    for candidate in candidates:
        team.emit(EventKind.CANDIDATE, place, candidate.evidence.detail, **candidate.model_dump(mode="json"))
    if (lost := len(written) - len(candidates)) > 0:
        cut = sum(answer.cut for answer in written if not answer.code)
        empty = sum(not answer.cut for answer in written if not answer.code)
        late = lost - cut - empty
        reasons = (
            (cut, "cut at their limit before any code ended"),
            (empty, "without usable code"),
            (late, "too late"),
        )
        text = ", ".join(f"{count} {why}" for count, why in reasons if count)
        team.emit(EventKind.NOTE, place, f"{lost} of {len(written)} answers: {text}", lost=lost)
