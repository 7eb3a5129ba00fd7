"""How drafts are asked for: how many at once, how warm, how the answer begins, and how long it may get.

A pure plan of requests, tested by tables. `guided` draws differently from `resample` in one way.

Short first: right answers are short far more often than wrong ones, which ramble up to their limit. The first round has
a low limit for all but the greedy answer; where it cut most answers, the next round's is doubled, so a task that needs
length gets it at less than twice the price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from leafwise.agents.settings import Settings

Form = Literal["signature", "fence"]
"""How an answer begins: with the function's `def` line, or with the code block only, so that imports can come first."""

_MOST_AT_ONCE = 16
"""Samples that `resample` asks for in one round."""


@dataclass(frozen=True)
class Batch:
    """Samples asked for in one request."""

    form: Form
    n: int
    max_tokens: int
    greedy: bool = False


def draft_batches(settings: Settings, rounds: int, cap: int, tokens_left: int) -> tuple[Batch, ...]:
    """The requests of a round of drafts.

    Args:
        settings: the knobs.
        rounds: rounds of drafts done before.
        cap: tokens per answer in this round, for `guided` (see `next_cap`).
        tokens_left: of the budget.
    """
    greedy, whole = settings.greedy_draft and not rounds, settings.answer_tokens
    head = Batch("signature", 1, whole, greedy)
    match settings.strategy:
        case "direct" | "paper":
            return (head,)
        case "resample":
            # as many as can't outrun the budget
            return _round(head, min(_MOST_AT_ONCE, max(1, tokens_left // whole)), whole)
        case "guided":
            # the greedy answer is `direct`'s: cut short, it could lose what one plain question would have found
            return _round(head if greedy else Batch("signature", 1, cap), settings.drafts, cap)


def _round(head: Batch, n: int, max_tokens: int) -> tuple[Batch, ...]:
    """The first answer, and the others of n; some without the opening, so that imports can come first."""
    fence, signature = Batch("fence", (n - 1) // 2, max_tokens), Batch("signature", n // 2, max_tokens)
    return tuple(batch for batch in (head, fence, signature) if batch.n)


def next_cap(settings: Settings, cap: int, drafts: int, cut: int) -> int:
    """Tokens per answer of the next round of `guided`.

    Args:
        settings: the knobs.
        cap: of the round that is done.
        drafts: answers in it.
        cut: of these, answers that reached their limit.
    """
    wider = 2 * cap if 3 * cut >= 2 * drafts else cap
    return min(wider, settings.answer_tokens)
