"""The workflow's logic, with a scripted engine and a scripted sandbox: which steps are taken, and what comes out."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from team_script import TASK, judge_by, role_of, scripted_team

from leafwise.agents import Answer, AnswerStatus, Event, EventKind, RunInterrupted, Settings, asolve, solve, start
from leafwise.agents.checkpoints import open_checkpoints
from leafwise.agents.contracts import Candidate, Evidence, Failure, Node, NodeState, Spec, Spent
from leafwise.agents.settings import Part
from leafwise.agents.team import Team
from leafwise.runtime.contracts import Request
from leafwise.runtime.errors import SandboxBrokenError, ScriptExhaustedError
from leafwise.runtime.sandbox_contracts import Check, CheckResult, Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_scripted import ScriptedSandbox

GOOD = "\n    return sum(x * x for x in xs)\n"
BAD = "\n    return 0\n"
PLAN = " square_of(x):\n    '''Return x squared.'''\n    ...\n\ndef sum_of(xs):\n    '''Return the sum.'''\n    ...\n"
ROLES = ("draft", "tester", "generalist", "leaf", "compose", "critic", "repair")
LEAVES = {"square_of": "\n    return x * x\n", "sum_of": "\n    return sum(xs)\n"}


def leaf_reply(request: Request, _index: int) -> str:
    return next(code for name, code in LEAVES.items() if f"def {name}" in request.continuation)


def steps_of(events: list[Event]) -> list[str]:
    return [e.step for e in events if e.kind is EventKind.STEP_STARTED]


Ran = tuple[Answer, list[Event], list[Request]]


def run(replies: dict[str, Any], sandbox: ScriptedSandbox, **settings: Any) -> Ran:
    engine = scripted_team(replies)
    started = start(TASK, model=engine, sandbox=sandbox, settings=Settings(**settings))
    events = list(started)
    return started.result(), events, engine.requests


@pytest.mark.parametrize(
    ("parameters", "chance", "expected", "rounds"),
    [
        (135_000_000, None, 0.1, 4),
        (8_000_000_000, None, 0.4, 1),
        (None, None, 0.4, 1),
        (8_000_000_000, 0.1, 0.1, 4),
        (135_000_000, 1.0, 1.0, 1),
    ],
)
def test_where_a_small_model_plans_drafts_go_on_for_longer(
    parameters: int | None, chance: float | None, expected: float, rounds: int
) -> None:
    """As the chance of a split says that is given, or that the model's size suggests."""
    replies: dict[str, Any] = {"draft": BAD, "generalist": PLAN, "leaf": leaf_reply, "compose": GOOD}
    engine = scripted_team({**replies, "tester": "", "critic": ""})
    engine.info = engine.info.model_copy(update={"parameters": parameters})
    settings = Settings(split_chance=chance, repair_rounds=0)
    started = start(TASK, model=engine, sandbox=judge_by(lambda s: "square_of(" in s), settings=settings)
    events = list(started)
    steps = [step.partition(":")[0] for step in steps_of(events)]
    assert steps.index("plan") == rounds
    told = next(event for event in events if event.kind is EventKind.RUN_STARTED)
    assert told.data["settings"]["split_chance"] == expected


def test_a_resumed_run_finds_its_state_as_it_was() -> None:
    check = Check(code="f(1)", expected="1", cpu_seconds=0.25)
    spec = Spec(statement="One.", entry_point="f", examples=(check,))
    evidence = Evidence(loads=True, level=SandboxLevel.FULL, failure=Failure(code="f(1)", expected="1", observed="2"))
    state = {
        "nodes": {"root": Node(id="root", spec=spec, depth=0, state=NodeState.SPLIT)},
        "checks": {"root": [check]},  # a tuple comes back as a list
        "candidates": [Candidate(node="root", origin="draft", source="x = 1", rule="fence", evidence=evidence)],
        "spent": Spent(calls=1),
    }
    with open_checkpoints(None) as saver:
        found = saver.serde.loads_typed(saver.serde.dumps_typed(state))
    assert found == state


def test_drafts_that_pass_and_agree_end_the_task() -> None:
    answer, events, _ = run({"draft": GOOD, "tester": "[1]) == 1"}, judge_by(lambda s: "x * x" in s))
    assert steps_of(events) == ["draft:root", "select:root"]
    assert answer.status is AnswerStatus.PASSED
    assert answer.origin == "draft"
    assert "Passed 1 visible example" in answer.statement
    assert answer.sandbox is SandboxLevel.SCRIPTED


def test_what_was_seen_before_the_time_was_up_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[bool] = []
    monkeypatch.setattr(Team, "seconds_left", property(lambda self: 0.0 if late else None))
    drafts = [BAD, *(f"\n    return sum(x * x for x in xs) + {i} - {i}\n" for i in range(7))]

    def verdict(program: Program) -> Verdict:
        good = "x * x" in program.source
        checks = tuple(CheckResult(passed=good, observed=repr(program.source)) for _ in program.checks)
        return Verdict(status=Status.PASSED, checks=checks, level=SandboxLevel.SCRIPTED)

    def tester(request: Request, index: int) -> str:
        late.append(True)
        return "[1]) == 1"

    replies: dict[str, Any] = {"draft": lambda request, index: drafts[index + (request.n > 1)], "tester": tester}
    answer, events, _ = run(replies, ScriptedSandbox(verdict), agreement=8)
    assert answer.status is AnswerStatus.PASSED
    assert late
    seen = [e.data["source"] for e in events if e.kind is EventKind.CANDIDATE]
    assert {source.strip() for source in seen} > {"def total(xs):" + drafts[1].rstrip()}


def test_direct_is_one_greedy_answer_and_nothing_else() -> None:
    answer, events, requests = run({"draft": BAD}, judge_by(lambda s: False), strategy="direct")
    assert steps_of(events) == ["draft:root", "select:root"]
    assert [(r.n, r.sampling.temperature) for r in requests] == [(1, 0.0)]
    assert answer.status is AnswerStatus.FAILED


def test_direct_can_be_sampled() -> None:
    _, _, requests = run({"draft": BAD}, judge_by(lambda s: False), strategy="direct", greedy_draft=False)
    assert [(r.n, r.sampling.temperature) for r in requests] == [(1, 0.8)]


STACK = "Write a class Stack with push and pop. s = Stack(); s.push(1); s.pop() == 1"
ASKED = {"draft", "generalist", "leaf", "tester", "compose", "critic", "repair"}


@pytest.mark.parametrize(
    ("task", "strategy", "roles"),
    [(TASK, "guided", ASKED), (TASK, "resample", {"draft"}), (STACK, "guided", {"draft", "critic", "repair"})],
)
def test_with_temperature_0_nothing_is_asked_twice(task: str, strategy: str, roles: set[str]) -> None:
    replies: dict[str, Any] = {"draft": BAD, "tester": "?", "generalist": PLAN, "leaf": leaf_reply, "critic": "No."}
    replies |= {"compose": "\n    return sum_of(map(square_of, xs))\n", "repair": f"def total(xs):{BAD}"}
    engine, settings = scripted_team(replies), Settings.model_validate({"strategy": strategy, "temperature": 0.0})
    started = start(task, model=engine, sandbox=judge_by(lambda s: False), settings=settings)
    assert any("temperature 0" in event.text for event in started if event.kind is EventKind.NOTE)
    assert started.result().ended_by == "done"
    asked = [(r.messages[0].content, r.continuation) for r in engine.requests]
    assert len(asked) == len(set(asked))
    assert {r.n for r in engine.requests} == {1}
    assert {role_of(r) for r in engine.requests} == roles


def test_resample_draws_until_its_tokens_are_spent() -> None:
    settings: dict[str, Any] = {"strategy": "resample", "max_tokens": 120, "answer_tokens": 30}
    answer, events, requests = run({"draft": BAD}, judge_by(lambda s: False), **settings)
    steps = steps_of(events)
    assert steps == ["draft:root", *(f"draft:root#{i}" for i in range(2, len(steps))), "select:root"]
    assert len(steps) > 3
    assert 120 - 16 < answer.spent.completion_tokens <= 120
    assert [r.sampling.temperature == 0 for r in requests].count(True) == 1, "only the very first is greedy"
    assert all(r.n * r.max_tokens <= 120 for r in requests)
    assert len({r.seed for r in requests}) == len(requests)
    assert answer.ended_by == "tokens"
    assert answer.status is AnswerStatus.FAILED


def test_resample_takes_the_best_by_the_visible_examples() -> None:
    replies = iter([BAD, BAD, BAD, GOOD, *[BAD] * 100])
    answer, _, _ = run(
        {"draft": lambda *_: next(replies)}, judge_by(lambda s: "x * x" in s), strategy="resample", max_tokens=100
    )
    assert answer.status is AnswerStatus.PASSED
    assert "x * x" in answer.code


def test_a_hard_task_is_planned_solved_leaves_first_and_composed() -> None:
    replies = {
        "draft": BAD,
        "tester": "nothing",
        "generalist": PLAN,
        "leaf": leaf_reply,
        "compose": "\n    return sum_of([square_of(x) for x in xs])\n",
    }
    answer, events, requests = run(replies, judge_by(lambda s: "square_of" in s or "def sum_of" in s))
    assert sorted(steps_of(events)) == sorted(
        ["draft:root", "plan:root", "outline:root", "leaf:root.1", "leaf:root.2", "compose:root", "select:root"]
    )
    assert answer.status is AnswerStatus.PASSED
    assert answer.origin == "compose"
    assert [node.id for node in answer.nodes] == ["root", "root.1", "root.2"]
    scope: dict[str, Any] = {}
    exec(answer.code, scope)  # our own text, from this file
    assert scope["total"]([1, 2]) == 5
    composing = next(r.messages[0].content for r in requests if role_of(r) == "compose")
    assert "Return x squared." in composing
    assert "x * x" not in composing, "a parent's coder never sees its children's bodies"


def test_a_draft_that_lacks_helpers_is_the_plan_and_composes_without_another_word() -> None:
    draft = "\n    return sum_of([square_of(x) for x in xs])\n"
    replies = {"draft": draft, "tester": "nothing", "leaf": leaf_reply, "compose": BAD}
    answer, events, requests = run(replies, judge_by(lambda s: s.count("def ") == 3 or "def total" not in s))
    assert not any(role_of(r) == "generalist" for r in requests)
    assert "compose:root" in steps_of(events)
    assert answer.status is AnswerStatus.PASSED
    assert "def square_of" in answer.code


def test_a_failing_answer_is_repaired_with_evidence_and_the_best_is_kept() -> None:
    replies = {
        "draft": BAD,
        "tester": "?",
        "generalist": "no code",
        "critic": "It returns zero.",
        "repair": f"def total(xs):{GOOD}",
    }
    answer, events, requests = run(replies, judge_by(lambda s: "x * x" in s), most_drafts=6)
    assert steps_of(events) == ["draft:root", "plan:root", "plan:root#2", "repair:root", "select:root"]
    assert answer.origin == "repair"
    prompt = next(r.messages[0].content for r in requests if role_of(r) == "repair")
    assert "fails at `total([1, 2])`: expected 5, got 0." in prompt
    assert "It returns zero." in prompt


def test_repair_stops_when_nothing_improves_and_the_draft_comes_out() -> None:
    replies = {"draft": BAD, "tester": "?", "generalist": "?", "critic": "Hm.", "repair": f"def total(xs):{BAD}"}
    answer, events, _ = run(replies, judge_by(lambda s: False), repair_rounds=5)
    assert steps_of(events).count("repair:root") == 1
    assert answer.status is AnswerStatus.FAILED
    assert answer.code.startswith("def total(xs):")
    assert "Fails: 0 of 1 visible example" in answer.statement


def test_useless_answers_everywhere_still_give_an_answer() -> None:
    answer, _, _ = run(dict.fromkeys(("draft", "tester", "generalist", "critic", "repair"), "I can't."), judge_by(bool))
    assert answer.status is AnswerStatus.FAILED
    assert answer.code == ""
    assert answer.statement == "The model wrote nothing that could be read as code."


def test_a_spent_token_budget_ends_the_run_with_the_best_so_far() -> None:
    answer, events, requests = run({"draft": BAD, "tester": "?"}, judge_by(lambda s: False), max_tokens=16)
    assert "plan:root" not in steps_of(events)
    assert answer.ended_by == "tokens"
    assert sum(r.n * r.max_tokens for r in requests) <= 16
    assert "token budget" in answer.statement


def test_a_prompt_that_outgrows_the_context_is_left_out_and_the_run_goes_on() -> None:
    def long_draft(_request: Request, _index: int) -> str:
        return f"\n    return 0  # {'word ' * 300}\n"

    engine = scripted_team({"draft": long_draft, "tester": "?", "generalist": "?", "critic": "?"})
    engine.info = engine.info.model_copy(update={"context": 700})
    started = start(TASK, model=engine, sandbox=judge_by(lambda s: False), settings=Settings(most_drafts=8))
    notes = [e.text for e in started if e.kind is EventKind.NOTE]
    assert any(note.startswith("coder not asked: the prompt has") for note in notes)
    assert started.result().status is AnswerStatus.FAILED


def test_what_the_machinery_does_wrong_is_an_error_and_not_an_answer() -> None:
    def broken(_program: object) -> Any:
        raise SandboxBrokenError("the worker died")

    with pytest.raises(SandboxBrokenError):
        solve(TASK, model=scripted_team({"draft": GOOD, "tester": "?"}), sandbox=ScriptedSandbox(broken))
    from leafwise.runtime.scripted import ScriptedEngine

    with pytest.raises(ScriptExhaustedError):
        solve(TASK, model=ScriptedEngine([]), sandbox=judge_by(bool))


@pytest.mark.parametrize("budget", [16, 100, 1000, 4000])
def test_the_budget_is_never_exceeded(budget: int) -> None:
    words = "    x = 1\n" * 400
    answer, _, _ = run(dict.fromkeys(ROLES, words), judge_by(lambda s: False), max_tokens=budget)
    assert answer.spent.completion_tokens <= budget


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(TypeError, match="unknown option strategy"):
        solve(TASK, strategy="direct")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="sequence of texts"):
        solve(TASK, examples="f(1) == 1")


def test_cancelling_interrupts_a_run() -> None:
    def cancel(_request: Request, _index: int) -> str:
        started.cancel()
        return GOOD

    started = start(TASK, model=scripted_team({"draft": cancel, "tester": "?"}), sandbox=judge_by(bool))
    with pytest.raises(RunInterrupted, match="stopped"):
        started.result(timeout=20)


def test_asyncio_gives_the_same_answer() -> None:
    async def use() -> Answer:
        return await asolve(TASK, model=scripted_team({"draft": GOOD, "tester": "?"}), sandbox=judge_by(lambda s: True))

    assert asyncio.run(use()).status is AnswerStatus.PASSED


def test_seeds_depend_on_the_place_and_not_on_the_order() -> None:
    def seeds(seed: int) -> set[int]:
        return {r.seed for r in run({"draft": GOOD, "tester": "?"}, judge_by(lambda s: True), seed=seed)[2]}

    assert seeds(1) == seeds(1) != seeds(2)


def test_paper_splits_whatever_passes_and_gives_feedback_at_the_leaves() -> None:
    leaves = iter(["\n    return 0\n", "\n    return sum(xs)\n"])

    def repaired(prompt: str) -> str:
        shown = prompt.split("```python\n")[1].split("```")[0]
        return shown if "return 0" not in shown else "def square_of(x):\n    return x * x\n"

    replies = {
        "draft": GOOD,
        "tester": "[1]) == 1",
        "generalist": lambda request, _: PLAN if "total" in request.messages[0].content.split("yet")[0] else "no code",
        "leaf": lambda *_: next(leaves),
        "critic": lambda request, _: "It returns zero." if "what is wrong" in request.messages[0].content else "Slow.",
        "repair": lambda request, _: repaired(request.messages[0].content),
        "compose": "\n    return sum_of([square_of(x) for x in xs])\n",
    }
    good = judge_by(lambda s: "return 0" not in s)
    answer, events, requests = run(replies, good, strategy="paper", max_depth=1)
    steps = steps_of(events)
    assert steps[:2] == ["draft:root", "plan:root"]
    assert steps[-3:] == ["compose:root", "repair:root", "select:root"]
    assert {r.n for r in requests if role_of(r) in ("leaf", "compose", "repair")} == {1}
    asked = [r.messages[0].content for r in requests if role_of(r) == "repair"]
    assert sum("This code is wrong" in prompt for prompt in asked) == 1, "the leaf that fails its check"
    assert sum("A reviewer says: Slow." in prompt for prompt in asked) == 3, "both leaves, and the root, once they pass"
    assert answer.status is AnswerStatus.PASSED


def test_paper_asks_no_greedy_question_twice() -> None:
    replies: dict[str, Any] = {"draft": BAD, "tester": "2) == 4", "critic": "No.", "repair": f"def total(xs):{BAD}"}
    replies |= {"generalist": PLAN, "leaf": leaf_reply, "compose": "\n    return sum_of(map(square_of, xs))\n"}
    _, _, requests = run(replies, judge_by(lambda s: False), strategy="paper", max_depth=1)
    asked = [(r.messages[0].content, r.continuation) for r in requests if r.sampling.greedy]
    assert [prompt for prompt, _ in asked if "This code is wrong" in prompt]
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("part", "silent"), [(Part.TESTER, "tester"), (Part.CRITIC, "critic"), (Part.DECOMPOSE, "generalist")]
)
def test_a_part_that_is_left_out_is_never_asked(part: Part, silent: str) -> None:
    replies: dict[str, Any] = dict.fromkeys(ROLES, BAD) | {"generalist": PLAN, "repair": f"def total(xs):{BAD}"}
    replies |= {"leaf": leaf_reply, "compose": "\n    return sum_of(map(square_of, xs))\n"}
    _, _, requests = run(replies, judge_by(lambda s: False), most_drafts=6)
    asked = {role_of(r) for r in requests}
    assert silent in asked
    _, _, requests = run(replies, judge_by(lambda s: False), most_drafts=6, without=(part,))
    left_out = {role_of(r) for r in requests}
    assert silent not in left_out


def test_without_repair_nothing_is_repaired_and_without_consensus_nothing_is_compared() -> None:
    replies: dict[str, Any] = dict.fromkeys(ROLES, BAD)
    _, events, _ = run(replies, judge_by(lambda s: False), most_drafts=6, without=(Part.REPAIR,))
    assert "repair:root" not in steps_of(events)
    _, events, _ = run({"draft": GOOD}, judge_by(bool), without=(Part.CONSENSUS,))
    shown = [e.data for e in events if e.kind is EventKind.CANDIDATE]
    assert shown
    assert not any(candidate["evidence"]["behaviour"] for candidate in shown)


def test_a_value_that_is_written_down_is_repaired_with_words() -> None:
    def good(source: str) -> bool:
        return "return 5" in source or "x * x" in source

    written = "\n    return 5\n"
    replies: dict[str, Any] = dict.fromkeys(ROLES, written) | {"generalist": "?", "repair": f"def total(xs):{GOOD}"}
    answer, _, requests = run(replies, judge_by(good), most_drafts=6)
    assert answer.status is AnswerStatus.PASSED
    assert answer.origin == "repair"
    asked = [r.messages[0].content for r in requests if role_of(r) == "repair"]
    assert "expected a value that is computed from the arguments" in asked[0]


def test_a_helper_that_nothing_calls_is_never_written() -> None:
    replies = {
        "draft": BAD,
        "tester": "nothing",
        "generalist": PLAN,
        "leaf": leaf_reply,
        "compose": "\n    return sum([square_of(x) for x in xs])\n",
    }
    answer, events, _ = run(replies, judge_by(lambda s: "square_of" in s or "def sum_of" in s))
    steps = [step for step in steps_of(events) if step.startswith("leaf")]
    assert len(steps) == 1
    states = {node.spec.entry_point: node.state for node in answer.nodes}
    assert states["sum_of"] is NodeState.DROPPED
    assert states["square_of"] is NodeState.SOLVED
    assert answer.status is AnswerStatus.PASSED


def test_an_outline_that_repeats_the_stubs_calls_them_all_the_same() -> None:
    stubs = "\n\ndef square_of(x):\n    '''Return x squared.'''\n\ndef sum_of(xs):\n    pass\n"
    replies = {"draft": BAD, "tester": "nothing", "generalist": PLAN, "leaf": leaf_reply}
    replies["compose"] = f"\n    return sum_of([square_of(x) for x in xs])\n{stubs}"
    answer, _, _ = run(replies, judge_by(lambda s: "x * x" in s or "def sum_of" in s))
    assert answer.status is AnswerStatus.PASSED
    assert "x * x" in answer.code
    assert answer.code.count("def square_of") == 1


def test_a_leaf_that_is_written_again_after_nothing_keeps_its_checks() -> None:
    numbers = itertools.count()
    replies: dict[str, Any] = {"draft": BAD, "tester": "2) == 4", "critic": "No.", "repair": "?"}
    replies["generalist"] = ' square_of(x):\n    """Return x squared."""\n    ...\n'
    replies["leaf"] = lambda *_: "((" if next(numbers) < 3 else LEAVES["square_of"]
    replies["compose"] = "\n    return sum([square_of(x) for x in xs])\n"
    answer, events, requests = run(replies, judge_by(lambda s: "x * x" in s))
    assert "leaf:root.1#2" in steps_of(events)
    assert answer.status is AnswerStatus.PASSED
    assert answer.spent.calls == len(requests), "an answer that nobody waits for is in no budget"
    assert [role_of(r) for r in requests].count("tester") == 1


def test_a_plan_that_nothing_uses_costs_no_leaf_and_its_parents_compete() -> None:
    replies = {"draft": BAD, "tester": "nothing", "generalist": PLAN, "compose": GOOD}
    answer, events, _ = run(replies, judge_by(lambda s: "x * x" in s))
    assert steps_of(events)[:3] == ["draft:root", "plan:root", "outline:root"]
    assert not any(step.startswith(("leaf", "compose")) for step in steps_of(events))
    assert answer.origin == "compose"
    assert answer.status is AnswerStatus.PASSED


def test_where_the_winners_fail_together_other_versions_are_tried() -> None:
    def leaf(request: Request, index: int) -> str:
        if "square_of" not in request.messages[0].content:
            return leaf_reply(request, index)
        return "\n    return x * x\n" if index == 2 else "\n    return x + x\n"

    replies: dict[str, Any] = dict.fromkeys(ROLES, "nothing") | {"draft": BAD, "generalist": PLAN, "leaf": leaf}
    replies["compose"] = "\n    return sum_of([square_of(x) for x in xs])\n"
    answer, events, _ = run(replies, judge_by(lambda s: "x * x" in s), leaf_samples=3)
    found = [e for e in events if e.kind is EventKind.CANDIDATE and e.data["origin"] == "recombine"]
    assert len(found) == 1
    assert answer.origin == "recombine"
    assert "x * x" in answer.code
    assert "def sum_of" in answer.code
    _, events, _ = run(replies, judge_by(lambda s: "x * x" in s), leaf_samples=3, without=(Part.RECOMBINE,))
    assert not any(e.data.get("origin") == "recombine" for e in events)
