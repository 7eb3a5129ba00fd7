"""Choosing among candidates: the order of the evidence, and the invariants that no other evidence may break."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.contracts import Candidate, Evidence
from leafwise.agents.selection import agreement, best, cluster_sizes, rank
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


def test_agreement_outranks_generated_checks() -> None:
    alone = candidate("a", behaviour=("returns 1",), checks_passed=4)
    pair = [candidate(s, behaviour=("returns 2",)) for s in "bc"]
    assert rank([alone, *pair]) == [*pair, alone]


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
    checks_passed=st.integers(0, 3),
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
    """What generated checks say may only reorder candidates that are equal in everything before."""

    def unchecked(c: Candidate) -> Candidate:
        return c.model_copy(update={"evidence": c.evidence.model_copy(update={"checks_passed": 0})})

    sizes = {id(c): size for c, size in zip(candidates, cluster_sizes(candidates), strict=True)}
    plain = [unchecked(c) for c in candidates]
    sizes |= {id(c): size for c, size in zip(plain, cluster_sizes(plain), strict=True)}

    def visible(c: Candidate) -> tuple[bool, int, int]:
        return c.evidence.loads, c.evidence.examples_passed, sizes[id(c)]

    assert [visible(c) for c in rank(candidates)] == [visible(c) for c in rank(plain)]


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
