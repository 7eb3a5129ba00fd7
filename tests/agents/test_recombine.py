"""Versions of functions, and modules of them in the order in which they are likely right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leafwise.agents.checking import UNTRIED
from leafwise.agents.contracts import Candidate, Evidence
from leafwise.agents.recombine import Version, combinations, versions_of
from leafwise.runtime.sandbox_contracts import SandboxLevel


def candidate(source: str, behaviour: tuple[str, ...], *, loads: bool = True) -> Candidate:
    evidence = Evidence(loads=loads, behaviour=behaviour, level=SandboxLevel.FULL)
    return Candidate(node="root.1", origin="leaf", source=source, rule="fence", evidence=evidence)


def test_candidates_that_behave_alike_are_one_version_and_weigh_as_many() -> None:
    written = [candidate("a", ("returns 1",)), candidate("b", ("returns 2",)), candidate("c", ("returns 2",))]
    versions = versions_of([*written, candidate("d", (), loads=False)])
    assert [(version.source, version.weight) for version in versions] == [("b", 2.0), ("a", 1.0)]


def test_what_nobody_can_compare_is_a_version_each() -> None:
    assert len(versions_of([candidate("a", (UNTRIED,)), candidate("b", (UNTRIED,)), candidate("b", (UNTRIED,))])) == 2


@given(st.lists(st.lists(st.floats(0.5, 9), min_size=1, max_size=4), min_size=1, max_size=3))
def test_all_combinations_come_once_and_the_heaviest_first(slots: list[list[float]]) -> None:
    names = [f"g{i}" for i in range(len(slots))]
    children = [
        [Version(f"def {name}(x):\n    return {j}\n", weight) for j, weight in enumerate(slot)]
        for name, slot in zip(names, slots, strict=True)
    ]
    calls = ", ".join(f"{name}(x)" for name in names)
    found = [*combinations([Version(f"def f(x):\n    return [{calls}]\n", 1.0)], children, names)]
    weights = [weight for _, weight in found]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1.0)
    results = set()
    for module, _ in found:
        scope: dict[str, object] = {}
        exec(f"{module}\nresult = tuple(f(0))", scope)  # our own text
        results.add(scope["result"])
    assert len(results) == len(found)
    assert len({module for module, _ in found}) == len(found)


def test_without_a_version_there_is_no_combination() -> None:
    assert list(combinations([], [[Version("def g(x):\n    return 1\n", 1.0)]], ["g"])) == []
