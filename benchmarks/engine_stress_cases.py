"""Random requests for the stress section, and what may be expected of each answer. Pure functions."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Literal

from leafwise.benchmarks.engine_prompts import random_words
from leafwise.runtime.contracts import Completion, Contract, FinishReason, Message, Request, Sample, Sampling

_CUT = (FinishReason.CANCELLED, FinishReason.DEADLINE)
Cancel = Literal["never", "at once", "with text", "later"]
"""When whoever asked cancels."""


class Case(Contract):
    """One request, and what happens to it."""

    base: int
    """Which of the base requests it is."""
    request: Request
    """The base request, some with a deadline."""
    cancel: Cancel = "never"
    """Whether and when it is cancelled."""
    delay: float = 0.0
    """Seconds until a `later` cancel."""


class _Point(Contract):
    x: int
    y: int


class _Note(Contract):
    name: str
    good: bool
    numbers: list[int]


def base_requests(count: int, seed: int, longest: int) -> list[Request]:
    """Different requests: short and long, raw and chats, greedy and sampled, grammars, stops, several samples.

    Args:
        count: how many.
        seed: of everything.
        longest: tokens of prompt and answer together, about; single words count as one.
    """
    dice = random.Random(seed)
    # beginnings that many share, as the team's prompts do
    shared = [random_words(dice, dice.randrange(4, longest // 4)) for _ in range(6)]
    return [_base(dice, shared, longest) for _ in range(count)]


def _base(dice: random.Random, shared: list[str], longest: int) -> Request:
    beginning = dice.choice(shared) if dice.random() < 0.5 else ""
    text = f"{beginning} {random_words(dice, dice.randrange(1, longest // 4))}".strip()
    fields: dict[str, object] = {
        "max_tokens": dice.randrange(1, longest // 8),
        "n": dice.choice((1, 1, 1, 1, 2, 3, 4)),
        "seed": dice.randrange(2**32),
        "logprobs": dice.random() < 0.2,
        "lookup": dice.random() < 0.2,
    }
    if dice.random() < 0.6:
        top_k, top_p = dice.choice((0, 0, 40)), dice.choice((1.0, 0.95))
        fields["sampling"] = Sampling(temperature=dice.choice((0.7, 1.0)), top_k=top_k, top_p=top_p)
    if dice.random() < 0.3:
        fields["stop"] = tuple(dice.sample((" the", "e a", "\n\n", ".", "```", "ing"), dice.randrange(1, 3)))
    elif dice.random() < 0.4:
        fields["json_schema"] = dice.choice((_Point, _Note)).model_json_schema()
        fields["json_after"] = dice.choice((None, None, "\n", "a"))
    if dice.random() < 0.5:
        return Request.model_validate({"messages": (Message(role="user", content=text),), **fields})
    return Request.model_validate({"prompt": text, **fields})


def make_cases(bases: Sequence[Request], count: int, seed: int) -> list[Case]:
    """Cases drawn from the base requests; about a third has a deadline or is cancelled."""
    dice = random.Random(seed)
    cases: list[Case] = []
    for _ in range(count):
        base = dice.randrange(len(bases))
        request, cancel = bases[base], "never"
        if dice.random() < 0.2:
            request = request.model_copy(update={"deadline": dice.uniform(0.01, 4.0)})
        elif dice.random() < 0.2:
            cancel = dice.choice(("at once", "with text", "later"))
        case = {"base": base, "request": request, "cancel": cancel, "delay": dice.uniform(0.0, 1.0)}
        cases.append(Case.model_validate(case))
    return cases


def fault(case: Case, completion: Completion) -> str | None:
    """What is wrong with an answer by itself: limits, stops, grammar, reasons; None if nothing is."""
    if len(completion.samples) != case.request.n:
        return f"{len(completion.samples)} samples instead of {case.request.n}"
    return next((wrong for sample in completion.samples if (wrong := _fault_of(case, sample))), None)


def _fault_of(case: Case, sample: Sample) -> str | None:
    request, reason = case.request, sample.finish_reason
    full = reason in (FinishReason.LENGTH, FinishReason.GRAMMAR)
    wrongs = {
        "too many tokens": sample.tokens > request.max_tokens,
        "cut before its length": full and sample.tokens != request.max_tokens,
        "cancelled by nobody": reason is FinishReason.CANCELLED and case.cancel == "never",
        "a deadline nobody set": reason is FinishReason.DEADLINE and request.deadline is None,
        # text that is cut may end in the first characters of a stop string, but never holds a whole one
        "a stop string is in the text": any(stop in sample.text for stop in request.stop),
        "not the JSON that was asked for": reason is FinishReason.STOP and not _is_sound(request, sample.text),
    }
    return next((name for name, wrong in wrongs.items() if wrong), None)


def _is_sound(request: Request, text: str) -> bool:
    """Whether the text is the JSON that was asked for, if any was."""
    if request.json_schema is None:
        return True
    if request.json_after is not None:
        _, found, text = text.partition(request.json_after)
        if not found:  # the model ended its turn before the grammar began
            return True
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and set(request.json_schema["required"]) <= set(value)


def differs(case: Case, completion: Completion, alone: Completion) -> bool:
    """Whether an answer is not what the same request gives alone; one that was cut has to be its beginning."""
    return any(
        not _agrees(case.request, mine, other) for mine, other in zip(completion.samples, alone.samples, strict=True)
    )


def _agrees(request: Request, mine: Sample, alone: Sample) -> bool:
    if mine.finish_reason not in _CUT:
        return (mine.text, mine.finish_reason, mine.tokens) == (alone.text, alone.finish_reason, alone.tokens)
    # what was held back is given out at the end: half a character, or the beginning of a stop string
    text = mine.text.rstrip("\ufffd")
    return any((alone.text + stop).startswith(text) for stop in ("", *request.stop))
