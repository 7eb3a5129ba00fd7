"""The steps of the workflow: plain functions from the state (and the team) to an update of the state.

Those of the tree are in `growing`.
"""

from __future__ import annotations

from collections.abc import Callable

from leafwise.agents import roles
from leafwise.agents.candidates import examine_all, tell, wants_checks, winner
from leafwise.agents.contracts import ROOT, Answer, AnswerStatus, EventKind, Evidence
from leafwise.agents.drafting import Pace, draft_batches, next_pace
from leafwise.agents.feedback import improve, rewrite
from leafwise.agents.growing import compose, decided, leaf, outline, plan
from leafwise.agents.memory_use import keep, remembered
from leafwise.agents.place import Place
from leafwise.agents.policy import Step
from leafwise.agents.role_settings import Role
from leafwise.agents.state import State, Update
from leafwise.agents.statement import describe
from leafwise.agents.team import Team


def draft(state: State, team: Team, place: Place) -> Update:
    """A round of direct answers to the task; in the first, the tester's checks where they can decide something."""
    spec, settings = state["nodes"][ROOT].spec, team.settings
    rounds = sum(step.startswith(Step.DRAFT) for step in state["finished"])
    pace = Pace(min(state["cap"] or settings.first_answer_tokens, settings.answer_tokens), bare=state["bare"])
    coder = roles.Coder(team, place, spec)
    written = coder.read(coder.ask_drafts(draft_batches(settings, rounds, pace, team.tokens_left)))
    checks = state["checks"].get(ROOT, ())
    candidates = examine_all(team, place, spec, "draft", written, checks)
    if not rounds and wants_checks(spec, candidates, settings):
        checks = roles.receive_checks(team, place, spec, roles.ask_tester(team, place, spec))
        if checks:
            # when the time is up meanwhile, what was seen without the checks still stands
            seen = {c.source: c for c in examine_all(team, place, spec, "draft", written, checks)}
            candidates = [seen.get(candidate.source, candidate) for candidate in candidates]
    tell(team, place, written, candidates)
    candidates += remembered(team, place, spec, checks) if not rounds else []
    if not rounds and settings.strategy in ("resample", "guided") and not settings.varies(Role.CODER):
        team.emit(EventKind.NOTE, place, "with temperature 0 all answers to a prompt are equal: one round of drafts")
    cut = sum(answer.cut for answer in written)
    empty = sum(not answer.cut and not answer.code for answer in written)
    short = cut if pace.cap < settings.answer_tokens else 0  # with more room they might have been right
    pace = next_pace(settings, pace, len(written), cut, empty)
    return {
        "checks": {ROOT: checks},
        "candidates": candidates,
        "drafted": len(written) - empty - short,
        "cap": pace.cap,
        "bare": pace.bare,
        "tried": len(candidates),
    }


def repair(state: State, team: Team, place: Place) -> Update:
    """The best candidate is written again, with evidence and the critic's words; a worse one changes nothing.

    One that passes is written again only for the critic's words, as `paper` wants it.
    """
    spec, before = state["nodes"][ROOT].spec, winner(state["candidates"], team.settings)
    if before is None:
        return {"improved": False}
    again = improve if before.evidence.passes else rewrite
    candidates = again(team, place, spec, before, state["checks"].get(ROOT, ()))
    after = winner([*state["candidates"], *candidates], team.settings)
    improved = after is not None and after.evidence.examples_passed > before.evidence.examples_passed
    return {"candidates": candidates, "tried": len(candidates), "improved": improved}


def select(state: State, team: Team, place: Place) -> Update:
    """The best of all candidates of all stages becomes the answer, with the honest statement of what was checked."""
    chosen = winner(state["candidates"], team.settings)
    keep(team, place, state["nodes"][ROOT].spec, chosen, state["checks"].get(ROOT, ()))
    evidence = chosen.evidence if chosen else None
    nodes = {**state["nodes"], ROOT: decided(state["nodes"][ROOT], chosen)}
    answer = Answer(
        run="",
        status=_status(evidence),
        code=chosen.source if chosen else "",
        statement=describe(evidence, team.ended_by),
        entry_point=state["task"].entry_point,
        strategy=team.settings.strategy,
        origin=chosen.origin if chosen else None,
        evidence=evidence,
        nodes=tuple(nodes.values()),
        candidates=state["tried"],
        ended_by=team.ended_by,
        spent=team.total_spent(),
        model=team.model_name,
        sandbox=team.sandbox.level,
    )
    return {"answer": answer}


STEPS: dict[Step, Callable[[State, Team, Place], Update]] = {
    Step.DRAFT: draft,
    Step.PLAN: plan,
    Step.OUTLINE: outline,
    Step.LEAF: leaf,
    Step.COMPOSE: compose,
    Step.REPAIR: repair,
    Step.SELECT: select,
}


def _status(evidence: Evidence | None) -> AnswerStatus:
    if evidence is None or not evidence.passes:
        return AnswerStatus.FAILED
    return AnswerStatus.PASSED if evidence.examples_total else AnswerStatus.UNCHECKED
