"""Prompt lookup: guesses at the next tokens from what the text has said before, to be checked in one batch.

Where an answer repeats its prompt (a repaired program is mostly the old one), the tokens that followed the same few
tokens earlier are a good guess. A guess costs a row in the batch and saves a step if it is right, so guesses grow with
success and pause after failure.
"""

from __future__ import annotations

from collections.abc import Sequence

_NGRAM = 3
"""Tokens that have to repeat before anything is guessed."""
_MOST = 8
"""Tokens guessed at once at most."""


class PromptLookup:
    """Guesses for one sequence.

    Args:
        prompt: its tokens.
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        self._width = 2
        self._pause = 0
        for token in prompt:
            self.add(token)

    def add(self, token: int) -> None:
        """Take the next token of the sequence."""
        # what ends here is remembered only now, so that a sequence's last tokens never point at themselves
        if len(self._tokens) >= _NGRAM:
            self._after[tuple(self._tokens[-_NGRAM:])] = len(self._tokens)
        self._tokens.append(token)

    def guess(self, most: int) -> list[int]:
        """The next tokens as they followed before; empty where nothing repeats, or guessing did not pay lately.

        Args:
            most: tokens that may be guessed.
        """
        if self._pause > 0:
            self._pause -= 1
            return []
        at = self._after.get(tuple(self._tokens[-_NGRAM:])) if len(self._tokens) >= _NGRAM else None
        return [] if at is None else self._tokens[at : at + min(self._width, most)]

    def tell(self, guessed: int, accepted: int) -> None:
        """Learn how a guess went."""
        if accepted == guessed:
            self._width = min(2 * self._width, _MOST)
        else:
            self._width = max(1, accepted)
            self._pause = 0 if accepted else 2
