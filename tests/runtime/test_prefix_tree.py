"""The prefix tree against a plain model of it: sequences as lists, and cells with an owner set each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leafwise.runtime.prefix_tree import PrefixTree, common_length

TOKENS = st.lists(st.integers(0, 2), max_size=12)


class PlainCache:
    """Every cell is an object of its own; a sequence is a list of cells."""

    def __init__(self) -> None:
        self.sequences: dict[int, list[tuple[int, object]]] = {}

    def cells(self) -> int:
        return len({id(cell) for sequence in self.sequences.values() for _, cell in sequence})

    def tokens(self, sequence: int) -> list[int]:
        return [token for token, _ in self.sequences[sequence]]

    def longest(self, tokens: list[int]) -> int:
        return max((common_length(self.tokens(s), tokens) for s in self.sequences), default=0)


@given(st.data())
def test_a_tree_knows_what_a_plain_list_of_cells_knows(data: st.DataObject) -> None:
    tree, plain = PrefixTree(), PlainCache()
    for number in range(data.draw(st.integers(1, 25))):
        known = sorted(plain.sequences)
        action = data.draw(st.sampled_from(["add", "copy", "extend", "remove", "cut", "rename"] if known else ["add"]))
        chosen = data.draw(st.sampled_from(known)) if known else 0
        if action == "add":
            tree.add(number)
            plain.sequences[number] = []
        elif action == "copy":
            length = data.draw(st.integers(0, len(plain.sequences[chosen])))
            tree.add(number, chosen, length)
            plain.sequences[number] = plain.sequences[chosen][:length]
        elif action == "extend":
            tokens = data.draw(TOKENS)
            tree.extend(chosen, tokens)
            plain.sequences[chosen] = plain.sequences[chosen] + [(token, object()) for token in tokens]
        elif action == "remove":
            tree.remove(chosen)
            del plain.sequences[chosen]
        elif action == "cut":
            length = data.draw(st.integers(0, len(plain.sequences[chosen])))
            tree.cut(chosen, length)
            plain.sequences[chosen] = plain.sequences[chosen][:length]
        else:
            tree.rename(chosen, 1000 + number)
            plain.sequences[1000 + number] = plain.sequences.pop(chosen)
        wanted = data.draw(TOKENS)
        holder, length = tree.longest(wanted)
        assert length == plain.longest(wanted)
        assert holder is None or plain.tokens(holder)[:length] == wanted[:length]
        assert (holder is None) == (length == 0)
        assert tree.cells == plain.cells()
        for sequence in plain.sequences:
            assert tree.tokens(sequence) == plain.tokens(sequence)
            assert tree.length(sequence) == len(plain.tokens(sequence))


def test_what_is_not_there_is_refused() -> None:
    tree = PrefixTree()
    tree.add(1)
    tree.extend(1, [1, 2, 3])
    with pytest.raises(ValueError, match="already"):
        tree.add(1)
    with pytest.raises(ValueError, match="3 tokens"):
        tree.add(2, 1, 4)
    assert 2 not in tree


def test_the_same_tokens_computed_twice_take_two_cells_each() -> None:
    tree = PrefixTree()
    for sequence in (1, 2):
        tree.add(sequence)
        tree.extend(sequence, [7, 8, 9])
    assert tree.cells == 6
    tree.remove(1)
    assert tree.longest([7, 8, 9, 10]) == (2, 3)


@given(TOKENS, TOKENS, st.integers(0, 200))
def test_the_common_length_is_that_of_comparing_one_by_one(left: list[int], right: list[int], shared: int) -> None:
    left, right = [5] * shared + left, [5] * shared + right
    expected = next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    assert common_length(left, right) == expected
