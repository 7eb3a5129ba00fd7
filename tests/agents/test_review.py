"""Plans that somebody reviews: what is asked, what the answer changes, and that nothing of it is lost."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from team_script import TASK, judge_by, role_of, scripted_team

from leafwise.agents import Answer, Event, EventKind, RunInterrupted, Settings, read_inputs, resume, start
from leafwise.agents.contracts import Node, Spec
from leafwise.agents.errors import ReviewError
from leafwise.agents.review import ProposedPlan, plan_text, read_plan_text, split
from leafwise.agents.runs import load_run
from leafwise.runtime.contracts import Request
from leafwise.runtime.sandbox_scripted import ScriptedSandbox
from leafwise.runtime.scripted import ScriptedEngine

PLAN = " square_of(x):\n    '''Return x squared.'''\n    ...\n\ndef sum_of(xs):\n    '''Return the sum.'''\n    ...\n"
LEAVES = {"square_of": "\n    return x * x\n", "sum_of": "\n    return sum(xs)\n", "cube_of": "\n    return x ** 3\n"}
CUBE = Spec(statement="Return x cubed.", entry_point="cube_of", signature="def cube_of(x):")


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def leaf_reply(request: Request, _index: int) -> str:
    return next(code for name, code in LEAVES.items() if f"def {name}" in request.continuation)


COMPOSED = "\n    return sum_of([square_of(x) for x in xs])\n"


def team() -> ScriptedEngine:
    return scripted_team(
        {
            "draft": "\n    return 0\n",
            "tester": "?",
            "generalist": PLAN,
            "leaf": leaf_reply,
            "compose": COMPOSED,
            "critic": "Hm.",
            "repair": "?",
        }
    )


def sandbox() -> ScriptedSandbox:
    """Helpers pass, and whatever composes them."""
    return judge_by(lambda s: "def total" not in s or "def square_of" in s)


def run(review: Callable[[ProposedPlan], Sequence[Spec]]) -> tuple[Answer, list[Event], list[Request]]:
    engine = team()
    started = start(TASK, model=engine, sandbox=sandbox(), review=review)
    events = list(started)
    return started.result(), events, engine.requests


def steps(events: list[Event]) -> list[str]:
    return [e.step for e in events if e.kind is EventKind.STEP_STARTED]


def test_a_plan_that_is_accepted_is_carried_out() -> None:
    seen: list[ProposedPlan] = []

    def accept(plan: ProposedPlan) -> Sequence[Spec]:
        seen.append(plan)
        return plan.stubs

    answer, events, _ = run(accept)
    assert answer.status == "passed"
    assert [stub.entry_point for stub in seen[0].stubs] == ["square_of", "sum_of"]
    assert list(seen[0].nodes) == ["root"], "the plan is not part of the tree yet"
    assert steps(events)[:3] == ["draft:root", "plan:root", "review:root"]
    assert [n.id for n in answer.nodes] == ["root", "root.1", "root.2"]
    asked = next(e for e in events if e.kind is EventKind.REVIEW)
    assert asked.data["helpers"] == ["square_of", "sum_of"]


def test_a_helper_that_is_dropped_is_never_written() -> None:
    answer, events, requests = run(lambda plan: plan.stubs[:1])
    assert [n.spec.entry_point for n in answer.nodes] == ["total", "square_of"]
    assert "leaf:root.2" not in steps(events)
    assert not any("def sum_of" in r.continuation for r in requests)


def test_helpers_may_be_others() -> None:
    answer, _, requests = run(lambda plan: [CUBE, *plan.stubs])
    assert [n.spec.entry_point for n in answer.nodes] == ["total", "cube_of", "square_of", "sum_of"]
    composing = next(r.messages[0].content for r in requests if role_of(r) == "compose")
    assert "Return x cubed." in composing


def test_without_any_helper_the_run_goes_on_without_a_plan() -> None:
    answer, events, _ = run(lambda _plan: ())
    assert [n.id for n in answer.nodes] == ["root"]
    assert not any(step.startswith(("leaf", "compose")) for step in steps(events))
    assert steps(events).count("plan:root") == 1


def test_a_useless_plan_is_asked_about_as_well_so_that_somebody_can_write_one() -> None:
    engine = team()
    replies = {"draft": "\n    return 0\n", "tester": "?", "generalist": "no code", "critic": "?", "repair": "?"}
    engine = scripted_team({**replies, "leaf": leaf_reply, "compose": "\n    return cube_of(2)\n"})
    started = start(TASK, model=engine, sandbox=judge_by(lambda s: False), review=lambda plan: [*plan.stubs, CUBE])
    assert [n.spec.entry_point for n in started.result(timeout=30).nodes] == ["total", "cube_of"]


def test_the_time_of_a_review_is_not_the_run_s() -> None:
    def think(plan: ProposedPlan) -> Sequence[Spec]:
        time.sleep(1.2)
        return plan.stubs

    engine = team()
    run = start(TASK, model=engine, sandbox=sandbox(), review=think, settings=Settings(time_limit=1.0))
    answer = run.result(timeout=30)
    assert answer.ended_by == "done"
    assert answer.spent.seconds < 1.0


@pytest.mark.parametrize(
    "stubs",
    [
        [Spec(statement="no name")],
        [CUBE, CUBE],
        [CUBE.model_copy(update={"entry_point": "total"})],
        ["def cube_of(x): ..."],
    ],
)
def test_what_is_no_plan_is_refused(stubs: Any) -> None:
    with pytest.raises(ReviewError) as caught:
        run(lambda _plan: stubs)
    assert caught.value.hint


# --- stopping and going on -------------------------------------------------------------------------------------------


def stop(_plan: ProposedPlan) -> Sequence[Spec]:
    raise RunInterrupted("enough for today")


def test_a_run_that_ends_at_its_review_asks_again_and_plans_no_second_time() -> None:
    first = start(TASK, model=team(), sandbox=sandbox(), review=stop, store=True)
    with pytest.raises(RunInterrupted):
        first.result(timeout=30)
    assert load_run(first.id).record.reviewed
    engine, asked = team(), []

    def drop(plan: ProposedPlan) -> Sequence[Spec]:
        asked.append([stub.entry_point for stub in plan.stubs])
        return plan.stubs[:1]

    answer = resume(first.id, model=engine, sandbox=sandbox(), review=drop).result(timeout=30)
    assert asked == [["square_of", "sum_of"]]
    assert not any(role_of(r) in ("draft", "generalist") for r in engine.requests)
    assert [n.spec.entry_point for n in answer.nodes] == ["total", "square_of"]
    again = resume(first.id, model=engine, sandbox=sandbox(), review=drop).result(timeout=30)
    assert (again.code, asked) == (answer.code, [["square_of", "sum_of"]]), "what was answered is not asked again"
    trace = [json.loads(line) for line in load_run(first.id).trace.read_text().splitlines()]
    finished = [e["step"] for e in trace if e["kind"] == "step_finished"]
    assert sorted(finished) == sorted(set(finished))


def test_a_run_that_ended_at_its_review_can_go_on_unreviewed() -> None:
    first = start(TASK, model=team(), sandbox=sandbox(), review=stop, store=True)
    with pytest.raises(RunInterrupted):
        first.result(timeout=30)
    answer = resume(first.id, model=team(), sandbox=sandbox()).result(timeout=30)
    assert [n.spec.entry_point for n in answer.nodes] == ["total", "square_of", "sum_of"]


def test_a_run_that_ends_after_its_review_does_not_ask_again() -> None:
    def stop_at_leaf(request: Request, index: int) -> str:
        first.cancel()
        return leaf_reply(request, index)

    replies = {"draft": "\n    return 0\n", "tester": "?", "generalist": PLAN, "compose": COMPOSED}
    engine = scripted_team({**replies, "leaf": stop_at_leaf})
    first = start(TASK, model=engine, sandbox=sandbox(), review=lambda plan: plan.stubs[:1], store=True)
    with pytest.raises(RunInterrupted):
        first.result(timeout=30)
    answer = resume(first.id, model=team(), sandbox=sandbox(), review=stop).result(timeout=30)
    assert [n.spec.entry_point for n in answer.nodes] == ["total", "square_of"]


def test_each_of_several_plans_is_asked_about_once_however_often_the_run_ends() -> None:
    """The root's plan is dropped to one helper that nobody can write, so that this one is split in turn."""
    helper = " part_of(x):\n    '''Return a part.'''\n    ...\n"

    def plan_reply(request: Request, _index: int) -> str:
        return helper if "square_of" in request.messages[0].content.partition("Do not write")[2] else PLAN

    def engine() -> ScriptedEngine:
        replies = {"draft": "\n    return 0\n", "tester": "?", "critic": "?", "repair": "?", "compose": "?"}
        return scripted_team({**replies, "generalist": plan_reply, "leaf": "I can't."})

    asked: list[str] = []

    def take_the_first(plan: ProposedPlan) -> Sequence[Spec]:
        asked.append(plan.node.id)
        return plan.stubs[:1]

    def only_the_root(plan: ProposedPlan) -> Sequence[Spec]:
        return take_the_first(plan) if plan.node.id == "root" else stop(plan)

    box = judge_by(lambda s: False)
    run = start(TASK, model=engine(), sandbox=box, review=only_the_root, store=True)
    for _ in range(2):
        with pytest.raises(RunInterrupted):
            run.result(timeout=30)
        run = resume(run.id, model=engine(), sandbox=box, review=only_the_root)
    with pytest.raises(RunInterrupted):
        run.result(timeout=30)
    answer = resume(run.id, model=engine(), sandbox=box, review=take_the_first).result(timeout=30)
    assert asked[:2] == ["root", "root.1"]
    assert len(asked) == len(set(asked))
    assert [n.spec.entry_point for n in answer.nodes][:3] == ["total", "square_of", "part_of"]


# --- the plan as a text ----------------------------------------------------------------------------------------------


def proposed(*stubs: Spec) -> ProposedPlan:
    root = Node(id="root", spec=read_inputs(TASK).spec(), depth=0)
    return ProposedPlan(node=root, stubs=stubs, nodes={"root": root})


def test_a_plan_that_is_not_edited_comes_back_as_it_was() -> None:
    given_example = CUBE.model_copy(update={"allow_imports": ("numpy",)})
    plan = proposed(given_example, Spec(statement="Is.", entry_point="is_odd", signature="def is_odd(n: int) -> bool:"))
    assert read_plan_text(plan_text(plan), plan) == plan.stubs
    assert read_plan_text(plan_text(proposed()), plan) == ()
    assert read_plan_text("", plan) == ()


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\0\f\v\t"), max_size=40))
def test_every_docstring_survives(words: str) -> None:
    statement = inspect.cleandoc(words).strip() or "x"  # as every stub's is read
    plan = proposed(CUBE.model_copy(update={"statement": statement}))
    assert read_plan_text(plan_text(plan), plan) == plan.stubs


def test_an_edited_docstring_brings_its_examples() -> None:
    plan = proposed(CUBE)
    text = plan_text(plan).replace("Return x cubed.", "Return x cubed.\n\n    >>> cube_of(2)\n    8\n    ")
    (stub,) = read_plan_text(text, plan)
    assert [(e.code, e.expected) for e in stub.examples] == [("cube_of(2)", "8")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(x)\n    ...", "line 1: expected ':'"),
        ("import os\n", "line 1: 'import os' is no function"),
        ("def total(xs): ...", "total: the name is taken"),
        ("def f(): ...", "f: takes no argument"),
        ("def f(x): ...\ndef f(y): ...", "f: the name is taken"),
        ("def f(x: Wish): ...", "f: its types are unknown: Wish"),
        ("x\0", "no"),
    ],
)
def test_an_edited_plan_that_cannot_be_read_says_why(text: str, words: str) -> None:
    with pytest.raises(ReviewError, match=words) as caught:
        read_plan_text(text, proposed())
    assert caught.value.hint
    assert "types" not in words or "types" in caught.value.hint


def test_an_edited_plan_may_name_types_of_the_given_code() -> None:
    spec = Spec(statement="x", entry_point="main", given="from shop import Basket")
    plan = ProposedPlan(node=Node(id="root", spec=spec, depth=0), stubs=(), nodes={})
    (stub,) = read_plan_text("def f(basket: Basket): ...", plan)
    assert stub.signature == "def f(basket: Basket):"


def test_helpers_inherit_what_the_function_may_import() -> None:
    root = Node(id="root.2", spec=Spec(statement="x", entry_point="f", allow_imports=("numpy",)), depth=1)
    nodes = split(ProposedPlan(node=root, stubs=(), nodes={"root.2": root}), [CUBE])
    assert nodes["root.2"].children == ("root.2.1",)
    assert nodes["root.2.1"].spec.allow_imports == ("numpy",)
    assert nodes["root.2.1"].depth == 2
