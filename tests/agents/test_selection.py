"""Choosing among candidates: the order of the evidence, and the invariants that no other evidence may break."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.checking import UNTRIED
from leafwise.agents.consensus import cluster_sizes, expected_agreements, trusted_checks
from leafwise.agents.contracts import Candidate, Evidence
from leafwise.agents.selection import agreement, best, rank
from leafwise.runtime.sandbox_contracts import SandboxLevel

FAILS = ("raises NameError", "no answer")


def candidate(source: str = "x", *, cut: bool = False, logprob: float | None = None, **fields: Any) -> Candidate:
    evidence = Evidence(**{"loads": True, "examples_total": 4, "level": SandboxLevel.FULL, **fields})
    return Candidate(
        node="root", origin="draft", source=source, rule="fence", cut=cut, logprob=logprob, evidence=evidence
    )


def test_behaviour_makes_clusters() -> None:
    same, other = ("returns 1", "returns 2"), ("returns 1", "raises ValueError")
    behaviours = [same, other, same, FAILS, FAILS, same]
    assert cluster_sizes([candidate(str(i), behaviour=b) for i, b in enumerate(behaviours)]) == [3, 1, 3, 0, 0, 3]


def test_without_inputs_only_equal_code_agrees() -> None:
    assert cluster_sizes([candidate("a"), candidate("b"), candidate("a")]) == [2, 1, 2]


def test_what_does_not_load_agrees_with_nothing() -> None:
    assert cluster_sizes([candidate("a", loads=False), candidate("a", loads=False)]) == [0, 0]


BETTER_FIRST = {
    "loading before not loading": (candidate(), candidate(loads=False, examples_passed=4, checks_passed=9)),
    "examples before agreement": (candidate("a", examples_passed=2), candidate("b", examples_passed=1)),
    "checks among equals": (candidate("a", checks_passed=2), candidate("b", checks_passed=1)),
    "whole before cut": (candidate("a"), candidate("b", cut=True)),
    "likelier last of all": (candidate("a", logprob=-0.1), candidate("b", logprob=-0.2)),
    "any likelihood before none": (candidate("a", logprob=-9.0), candidate("b")),
}


@pytest.mark.parametrize(("better", "worse"), BETTER_FIRST.values(), ids=BETTER_FIRST)
def test_order_of_the_evidence(better: Candidate, worse: Candidate) -> None:
    assert rank([worse, better]) == rank([better, worse]) == [better, worse]


def test_agreement_of_many_outranks_generated_checks() -> None:
    alone = candidate("a", behaviour=("returns 1",), check_results=(True, True))
    three = [candidate(s, behaviour=("returns 2",), check_results=(False, False)) for s in "bcd"]
    assert rank([alone, *three]) == [*three, alone]


def test_checks_that_candidates_agree_with_decide_between_like_support() -> None:
    failing = [candidate(s, behaviour=("returns 1",), check_results=(False, True)) for s in "ab"]
    passing = [candidate(s, behaviour=("returns 2",), check_results=(True, True)) for s in "cd"]
    assert rank([*failing, *passing]) == [*passing, *failing]
    assert rank([*failing, *passing], checks=False) == [*failing, *passing]


def test_without_consensus_only_checks_and_examples_count() -> None:
    pair = [candidate(s, behaviour=("returns 2",), check_results=(False,)) for s in "bc"]
    alone = candidate("a", behaviour=("returns 1",), check_results=(True,))
    assert rank([*pair, alone], consensus=False) == [alone, *pair]
    assert rank([*pair, alone], consensus=False, checks=False) == [*pair, alone]


AGREEMENTS = {
    "all alike": ([("returns 1", "returns 2")] * 3, [3, 3, 3]),
    "the mean over inputs": ([("returns 1", "returns 2"), ("returns 1", "returns 3")], [1.5, 1.5]),
    "one strange input does not tear a group apart": (
        [("returns 1", "returns 2", "returns 3"), ("returns 1", "returns 2", "returns 4"), ("returns 0",) * 3],
        [5 / 3, 5 / 3, 1],
    ),
    "inputs on which most fail say nothing": (
        [("returns 1", "raises KeyError"), ("returns 1", "raises KeyError"), ("returns 1", "returns 5")],
        [3, 3, 3],
    ),
    "exceptions count as behaviour": (
        [("returns 1", "raises KeyError"), ("returns 1", "returns 4"), ("returns 1", "returns 5")],
        [2, 2, 2],
    ),
    "what was not tried counts neither for nor against": (
        [
            ("returns 1", "no answer", UNTRIED),
            ("returns 1", "returns 2", "returns 3"),
            ("returns 1", "returns 2", "returns 3"),
        ],
        [2, 7 / 3, 7 / 3],
    ),
    "failing everywhere is no agreement": ([FAILS, FAILS, ("returns 1", "returns 1")], [0, 0, 1]),
    "other inputs cannot be compared": ([("returns 1",), ("returns 1", "returns 2")], [1, 1]),
}


@pytest.mark.parametrize(("behaviours", "expected"), AGREEMENTS.values(), ids=AGREEMENTS)
def test_expected_agreement(behaviours: list[tuple[str, ...]], expected: list[float]) -> None:
    candidates = [candidate(str(i), behaviour=b) for i, b in enumerate(behaviours)]
    assert expected_agreements(candidates) == pytest.approx(expected)


def test_what_fails_visible_examples_has_no_vote() -> None:
    wrong = [candidate(s, behaviour=("returns 1",), examples_passed=1) for s in "abc"]
    right = [candidate(s, behaviour=(b,), examples_passed=2) for s, b in (("d", "returns 1"), ("e", "returns 2"))]
    assert expected_agreements([*wrong, *right]) == [1, 1, 1, 1, 1]


def test_a_check_weighs_what_candidates_pass_it() -> None:
    results = [(True, True, False), (True, False, False), (True, False, False)]
    candidates = [candidate(str(i), behaviour=("returns 1",), check_results=r) for i, r in enumerate(results)]
    assert trusted_checks(candidates) == [1.0, 0.75, 0.75]
    assert trusted_checks([candidate("a")]) == [0.0]
    assert trusted_checks([*candidates, candidate("b", check_results=(True,))])[-1] == 0.0


def test_best_and_its_agreement() -> None:
    pair = [candidate(s, behaviour=("returns 2",)) for s in "bc"]
    lonely = candidate("a", behaviour=("returns 1",), examples_passed=3)
    assert best([*pair, lonely]) == lonely
    assert agreement([*pair, lonely]) == 1
    assert agreement(pair) == 2
    assert best([]) is None
    assert agreement([]) == 0


CANDIDATES = st.builds(
    candidate,
    st.sampled_from("abc"),
    cut=st.booleans(),
    logprob=st.one_of(st.none(), st.floats(-9, 0)),
    loads=st.booleans(),
    examples_passed=st.integers(0, 4),
    check_results=st.sampled_from([(), (True, False), (False, True), (True, True)]),
    behaviour=st.sampled_from([(), ("returns 1",), ("returns 2",), ("raises ValueError",)]),
)
many = given(st.lists(CANDIDATES, max_size=6))


@settings(max_examples=150, deadline=None)
@many
def test_more_examples_always_outrank(candidates: list[Candidate]) -> None:
    loading = [c.evidence.examples_passed for c in rank(candidates) if c.evidence.loads]
    assert loading == sorted(loading, reverse=True)
    assert len(rank(candidates)) == len(candidates)


@settings(max_examples=150, deadline=None)
@many
def test_generated_checks_never_veto(candidates: list[Candidate]) -> None:
    """They never reach over a visible example, and at most double what agreement says."""
    agreements = {id(c): a for c, a in zip(candidates, expected_agreements(candidates), strict=True)}
    ranked = rank(candidates)
    for better, worse in itertools.pairwise(ranked):
        same = better.evidence.loads, better.evidence.examples_passed
        if same == (worse.evidence.loads, worse.evidence.examples_passed):
            assert 2 * agreements[id(better)] >= agreements[id(worse)] - 1e-6
        else:
            assert same > (worse.evidence.loads, worse.evidence.examples_passed)


@settings(max_examples=150, deadline=None)
@many
def test_the_order_they_came_in_decides_only_between_equals(candidates: list[Candidate]) -> None:
    def visible(c: Candidate) -> tuple[Any, ...]:
        return c.evidence, c.cut, c.logprob, c.source

    winners = {visible(best(order)) for order in (candidates, candidates[::-1]) if order}  # type: ignore[arg-type]
    if len(winners) > 1:
        ranked = rank(candidates)
        assert rank(ranked[::-1])[0] != ranked[0]  # two that only their places tell apart


@settings(max_examples=100, deadline=None)
@given(CANDIDATES, st.integers(1, 5))
def test_equals_stay_in_order(one: Candidate, count: int) -> None:
    twins = [one.model_copy(update={"rule": str(i)}) for i in range(count)]
    assert rank(twins) == twins
    assert best(twins) == twins[0]


@settings(max_examples=100, deadline=None)
@many
def test_ranking_again_changes_nothing(candidates: list[Candidate]) -> None:
    assert rank(rank(candidates)) == rank(candidates)


def test_strict_answers_that_pass_outvote_a_sloppy_one() -> None:
    """Every generated input may be outside of what a strict function takes."""
    strict = [candidate(str(i), behaviour=("raises ValueError",) * 3, examples_passed=1) for i in range(3)]
    sloppy = candidate("s", behaviour=("returns 1", "returns 2", "raises ValueError"), examples_passed=1)
    assert best([sloppy, *strict]) in strict
    assert agreement([sloppy, *strict]) == 3


def test_without_an_example_cut_answers_and_nothing_have_no_vote() -> None:
    torn = [candidate(str(i), cut=True, examples_total=0, behaviour=("returns 1",)) for i in range(4)]
    silent = [candidate(f"n{i}", examples_total=0, behaviour=("returns None", "returns None")) for i in range(4)]
    whole = candidate("w", examples_total=0, behaviour=("returns 2",))
    assert best([*torn, whole]) == whole
    assert best([*silent, whole]) == whole
    assert agreement([*torn, *silent]) == 0


def test_what_is_no_plain_data_is_no_agreement() -> None:
    opaque = [candidate(str(i), behaviour=(UNTRIED, UNTRIED), examples_passed=1) for i in range(3)]
    assert agreement(opaque) == 1


def test_only_what_passes_as_much_agrees_with_the_best() -> None:
    special = candidate("a", examples_passed=4, behaviour=("returns 1", "returns 2"))
    failing = [candidate(s, examples_passed=3, behaviour=("returns 1", "returns 2")) for s in "bcd"]
    assert agreement([special, *failing]) == 1


def test_known_functions_have_no_vote() -> None:
    known = [candidate(str(i), behaviour=("returns 1",)).model_copy(update={"origin": "memory"}) for i in range(4)]
    new = [candidate(s, behaviour=("returns 2",)) for s in "ab"]
    assert best([*known, *new]) == new[0]
    assert agreement([*known, *new]) == 2


def test_one_strange_input_does_not_undo_an_agreement() -> None:
    usual = tuple(f"returns {i}" for i in range(40))
    pair = [candidate("a", behaviour=(*usual, "returns 7")), candidate("b", behaviour=(*usual, "raises ValueError"))]
    assert agreement(pair) == 2
    assert agreement([pair[0], candidate("c", behaviour=("returns 9",) * 41)]) == 1
