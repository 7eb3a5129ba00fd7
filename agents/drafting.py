"""How drafts are asked for: how many at once, how the answer begins, and when it is not worth its tokens any more.

A pure plan of requests, tested by tables. `guided` draws like `resample`, but gives up sooner, in two ways that `Pace`
remembers from round to round. (Measured on even tasks: twice the right answers per token with the embedded model.)

Short first: right answers are short far more often than wrong ones, which ramble up to their limit. The first round has
a low limit for all but the greedy answer; where it cut most answers, the next round's is doubled, so a task that needs
length gets it at less than twice the price.

Bare: an answer that begins by writing the docstring again, which the task has already, is ended there and costs next to
nothing. Where most answers begin so, the next rounds let them.

With temperature 0 all answers that begin alike are equal: one of each kind is asked for, whole, in one round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from leafwise.agents.role_settings import Role
from leafwise.agents.settings import Settings

Form = Literal["signature", "fence"]
"""How an answer begins: with the function's `def` line, or with the code block only, so that imports can come first."""

_MOST_AT_ONCE = 16
"""Samples that `resample` asks for in one round."""


@dataclass(frozen=True)
class Pace:
    """What a round of `guided` allows its answers."""

    cap: int
    """Most tokens of an answer."""
    bare: bool = True
    """Whether an answer ends where it repeats the docstring."""


@dataclass(frozen=True)
class Batch:
    """Samples asked for in one request."""

    form: Form
    n: int
    max_tokens: int
    greedy: bool = False
    bare: bool = False


def draft_batches(settings: Settings, rounds: int, pace: Pace, tokens_left: int) -> tuple[Batch, ...]:
    """The requests of a round of drafts.

    Args:
        settings: the knobs.
        rounds: rounds of drafts done before.
        pace: of this round, for `guided`.
        tokens_left: of the budget.
    """
    greedy, whole = settings.greedy_draft and not rounds, settings.answer_tokens
    head = Batch("signature", 1, whole, greedy)
    match settings.strategy:
        case "direct" | "paper":
            return (head,)
        case _ if not settings.varies(Role.CODER):
            return _most_likely(settings, tokens_left)
        case "resample":
            # as many as can't outrun the budget; some without the opening, so that imports can come first
            n = min(_MOST_AT_ONCE, max(1, tokens_left // whole))
            rest = Batch("fence", (n - 1) // 2, whole), Batch("signature", n // 2, whole)
            return tuple(batch for batch in (head, *rest) if batch.n)
        case "guided":
            return _round(settings, head if greedy else None, pace, tokens_left)


def _most_likely(settings: Settings, tokens_left: int) -> tuple[Batch, ...]:
    """One answer of each kind, where sampling would only repeat them; the second where it can't take from the first."""
    head = Batch("signature", 1, settings.answer_tokens, greedy=True)
    both = tokens_left >= 2 * settings.answer_tokens and (settings.strategy == "resample" or settings.drafts > 1)
    return (head, replace(head, form="fence")) if both else (head,)


def _round(settings: Settings, head: Batch | None, pace: Pace, tokens_left: int) -> tuple[Batch, ...]:
    """A round of `guided`: as many answers as the budget has room for, each with its whole limit.

    The greedy answer is `direct`'s: cut short, it could lose what one plain question would have found, so it may have
    half of the budget. In a full round one answer may begin with imports; it has to write the `def` line as well, so
    it may be longer.
    """
    room = tokens_left // 2 if head else tokens_left
    full = settings.drafts - (head is not None)
    n = max(0 if head else 1, min(full, room // pace.cap))
    fence = Batch("fence", int(n == full > 1), min(2 * pace.cap, settings.answer_tokens))
    bare = Batch("signature", n - fence.n, pace.cap, bare=pace.bare)
    if head:
        head = replace(head, max_tokens=min(head.max_tokens, tokens_left - n * pace.cap))
    return tuple(batch for batch in (head, bare, fence) if batch is not None and batch.n)


def next_pace(settings: Settings, pace: Pace, answers: int, cut: int, empty: int) -> Pace:
    """What the next round of `guided` allows.

    Args:
        settings: the knobs.
        pace: of the round that is done.
        answers: in it.
        cut: of these, answers that reached their limit.
        empty: of these, answers that ended by themselves without any code.
    """
    wider = 2 * pace.cap if 3 * cut >= 2 * answers else pace.cap
    return Pace(min(wider, settings.answer_tokens), bare=pace.bare and 3 * empty < 2 * answers)
