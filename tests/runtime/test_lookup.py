"""Guesses at what follows: what was said before after the same three tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leafwise.runtime.lookup import PromptLookup


def test_what_followed_before_is_guessed() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 5, 6, 9, 1, 2, 3])
    assert lookup.guess(8) == [4, 5]
    lookup.tell(2, 2)
    for token in (4, 5):
        lookup.add(token)
    assert lookup.guess(8) == [6, 9, 1, 2]
    assert lookup.guess(1) == [6]


def test_nothing_is_guessed_where_nothing_repeats() -> None:
    assert PromptLookup([1, 2, 3, 4]).guess(8) == []
    assert PromptLookup([1, 2]).guess(8) == []
    assert PromptLookup([]).guess(8) == []


def test_the_latest_occurrence_counts() -> None:
    assert PromptLookup([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3]).guess(1) == [5]


def test_wrong_guesses_pause_and_shrink() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3])
    lookup.tell(2, 0)
    assert [lookup.guess(8) for _ in range(3)] == [[], [], [4]]


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 8))
def test_a_guess_continues_an_earlier_occurrence(tokens: list[int], most: int) -> None:
    guess = PromptLookup(tokens).guess(most)
    assert len(guess) <= most
    if guess:
        ending = tokens[-3:]
        starts = [i for i in range(len(tokens) - 3) if tokens[i : i + 3] == ending]
        assert any(tokens[i + 3 : i + 3 + len(guess)] == guess for i in starts)
