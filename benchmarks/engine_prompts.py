"""Prompts of an exact number of tokens, no two alike."""

from __future__ import annotations

import random
from collections.abc import Callable

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Request
from leafwise.runtime.engine import Engine

_TEXT = """
time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work government number night point home water room mother area money
story fact month lot right study book eye job word business issue side kind head house service friend father power hour
game line end member law car city name team minute idea body back parent
"""
_WORDS = tuple(_TEXT.split())
_TRIES = 50


def random_words(dice: random.Random, count: int) -> str:
    """So many common words; most tokenizers make about one token of each."""
    return " ".join(dice.choices(_WORDS, k=count))


class PromptMaker:
    """Makes texts of random words whose number of tokens is exact, special tokens included.

    Args:
        count: tokens of a text, as the engine counts those of a raw prompt.
        seed: of the words.
    """

    def __init__(self, count: Callable[[str], int], seed: int = 0) -> None:
        self._count = count
        self._random = random.Random(seed)
        self._units = self._single_tokens()

    def text(self, tokens: int, beginning: str = "") -> str:
        """A text of so many tokens.

        Args:
            tokens: of the whole text.
            beginning: what it begins with, word for word; a text made here.

        Raises:
            BenchmarkError: no such text was found; nearly impossible for 8 tokens and more.
        """
        missing = tokens - (self._count(beginning) if beginning else self._count("x") - 1)
        for _ in range(_TRIES):
            more = "".join(self._random.choice(self._units) for _ in range(missing)) if missing > 0 else ""
            text = beginning + more if beginning else more.lstrip()
            if (found := self._count(text)) == tokens:
                return text
            missing += tokens - found
        raise BenchmarkError(f"no text of {tokens} tokens was found", "please report this, with the model's name")

    def _single_tokens(self) -> list[str]:
        """Pieces of text that add one token each wherever they stand: words, or letters where words take several."""
        base = self._count("x x")
        words = [f" {word}" for word in _WORDS if self._count(f"x x {word}") == base + 1]
        return words if len(words) >= len(_WORDS) // 2 else list("bcdfgjklmnpqrsvwz")


def prompt_maker(engine: Engine, seed: int = 0) -> PromptMaker:
    """A maker for the tokens of this engine's model."""
    return PromptMaker(lambda text: engine.count_tokens(Request(prompt=text)), seed)
