"""More budget for a stored run: what it may be, whether it would change anything, and what to ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from leafwise.agents.checkpoints import stored_state
from leafwise.agents.contracts import AnswerStatus, Spent
from leafwise.agents.errors import RunError
from leafwise.agents.policy import Action, Step, is_settled, next_actions
from leafwise.agents.runs import StoredRun
from leafwise.agents.settings import Settings
from leafwise.agents.state import State, situation
from leafwise.agents.team import SHORTEST_ANSWER


def with_budget(run: StoredRun, max_tokens: int | None = None, time_limit: float | None = None) -> Settings:
    """The settings of a stored run with a larger budget.

    Args:
        run: finished or not.
        max_tokens: of the whole run, what is spent included; None keeps the run's own.
        time_limit: seconds of the whole run, likewise.

    Raises:
        RunError: the budget is spent already, the answer settled the task, or the team would do nothing more.
        ValidationError: a number is none that a budget can be.
    """
    given = {"max_tokens": max_tokens, "time_limit": time_limit}
    changes = {name: value for name, value in given.items() if value is not None}
    _refuse(run, stored_state(run.checkpoints), changes)
    return Settings.model_validate(run.record.settings.model_dump() | changes)


def next_budget(run: StoredRun) -> dict[str, float]:
    """What to ask for where a budget has ended a run: twice as much, by option; empty if it would change nothing.

    Raises:
        RunError: the run cannot be read.
    """
    settings, state = run.record.settings, stored_state(run.checkpoints)
    if state is None:
        return {}
    wanted: dict[str, float] = {}
    if _tokens_are_spent(settings, state["spent"]):
        wanted["max_tokens"] = 2 * settings.max_tokens
    if settings.time_limit is not None and _time_is_spent(settings, state["spent"]):
        wanted["time_limit"] = math.ceil(2 * max(settings.time_limit, state["spent"].seconds))
    try:
        _refuse(run, state, wanted)
    except RunError:
        return {}
    return {f"--{name.replace('_', '-')}": value for name, value in wanted.items()}


def _refuse(run: StoredRun, state: State | None, changes: Mapping[str, float]) -> None:
    """Raise a RunError for a budget that is spent already, or would change nothing."""
    settings = run.record.settings.model_copy(update=changes)
    _refuse_spent(run.id, settings, state["spent"] if state else Spent(), changes)
    if state is not None and state["answer"] is not None:
        _refuse_useless(run.id, settings, state)


def _tokens_are_spent(settings: Settings, spent: Spent) -> bool:
    return settings.max_tokens - spent.completion_tokens < SHORTEST_ANSWER


def _time_is_spent(settings: Settings, spent: Spent) -> bool:
    return settings.time_limit is not None and not settings.time_limit > spent.seconds  # so that NaN is refused


def _refuse_spent(run: str, settings: Settings, spent: Spent, given: Mapping[str, float]) -> None:
    tokens, seconds = spent.completion_tokens, spent.seconds
    if _tokens_are_spent(settings, spent):
        also = "" if "max_tokens" in given else " as well"
        raise RunError(
            f"run {run} has generated {tokens} tokens: its budget of {settings.max_tokens} is spent",
            f"give --max-tokens{also}: {tokens + SHORTEST_ANSWER} or more, of which {tokens} are spent",
        )
    if _time_is_spent(settings, spent):
        also = "" if "time_limit" in given else " as well"
        raise RunError(
            f"run {run} has taken {seconds:.1f} s: its limit of {settings.time_limit:g} s is spent",
            f"give --time-limit{also}: more than {seconds:.1f}, which are spent",
        )


def _refuse_useless(run: str, settings: Settings, state: State) -> None:
    """Refuse to go on where the policy would only choose the same answer once more."""
    left = settings.max_tokens - state["spent"].completion_tokens
    now = situation(state, settings, tokens_left=left, exhausted=False)
    if next_actions(now) != (Action(Step.SELECT),):
        return
    answer = state["answer"]
    if is_settled(now) or (answer is not None and answer.status is AnswerStatus.PASSED):
        raise RunError(
            f"run {run} has an answer that settled its task: a larger budget changes nothing",
            f"leafwise runs show {run} prints it; start a new run for another answer",
        )
    raise RunError(
        f"run {run} came to its end: with a larger budget the strategy {settings.strategy} would do nothing more",
        "start a new run, with another --seed or --strategy, or with more drafts in a team's file",
    )
