"""Recorded samples: what a model once said about a task, and an engine that says it again."""

from __future__ import annotations

from collections.abc import Sequence

from leafwise.runtime.contracts import Contract, Request
from leafwise.runtime.errors import ScriptExhaustedError
from leafwise.runtime.scripted import ScriptedEngine

_CONTEXT = 1_000_000
_AT_ONCE = 256


class Recorded(Contract):
    """What a model once said about one task."""

    task_id: str
    """The problem's id."""
    prompt: str
    """What the solutions continue."""
    solutions: tuple[str, ...]
    """Empty texts stand for what is no text in the file."""
    check_prompt: str = ""
    """What the checks continue."""
    checks: tuple[str, ...] = ()
    """Texts with generated checks."""


def replaying_engine(prompt: str, texts: Sequence[str]) -> ScriptedEngine:
    """An engine that answers one prompt with what was recorded: sample by sample, in order.

    Args:
        prompt: what the texts continue; another one, or one text too many, is a `ScriptExhaustedError`.
        texts: the recorded texts.
    """
    left = iter(texts)

    def reply(request: Request, _index: int) -> str:
        text = next(left, None) if request.prompt == prompt else None
        if text is None:
            raise ScriptExhaustedError("nothing more was recorded for this prompt")
        return text

    return ScriptedEngine(reply, context=_CONTEXT)


def replayed(engine: ScriptedEngine, prompt: str, count: int) -> list[str]:
    """The engine's next answers to a prompt.

    Args:
        engine: see `replaying_engine`.
        prompt: a recorded prompt.
        count: how many answers.
    """
    texts: list[str] = []
    while len(texts) < count:
        n = min(_AT_ONCE, count - len(texts))
        request = Request(prompt=prompt, n=n, max_tokens=_CONTEXT // 2)
        texts += [sample.text for sample in engine.submit(request).result().samples]
    return texts
