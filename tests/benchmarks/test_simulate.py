"""The simulator with the real team and the real sandbox, on two small problems; its file; its map."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from simulated_problems import LINES, small_problems

from leafwise.agents.settings import Part, Settings
from leafwise.benchmarks.bench_cli import main
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.simulate import (
    ArmOutcome,
    Cell,
    SimulationFile,
    Study,
    arm_settings,
    run_cell,
    with_known,
)
from leafwise.benchmarks.simulate_map import PS, QS, grid_of, write_map
from leafwise.benchmarks.simulate_mistakes import mistakes
from leafwise.benchmarks.simulate_reference import SimulatedTask, read_reference
from leafwise.benchmarks.simulate_results import groups_of, rows_of
from leafwise.benchmarks.simulate_sandbox import RememberingSandbox
from leafwise.benchmarks.simulate_tasks import prepare_tasks
from leafwise.benchmarks.simulated_engine import Skill, answer_tokens
from leafwise.runtime.errors import UsageError
from leafwise.runtime.sandbox import Sandbox, open_sandbox

STUDY = Study(tasks=("Small/0", "Composed/1"))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as box:
        yield RememberingSandbox(box)


@pytest.fixture(scope="module")
def tasks(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulatedTask, ...]:
    store = tmp_path_factory.mktemp("store")
    found = prepare_tasks(small_problems(), sandbox, store)
    assert prepare_tasks(small_problems(), sandbox, store) == found  # from the store
    assert len(list(store.iterdir())) == 2
    return found


@pytest.mark.parametrize("code", ["largest = max", "largest = lambda xs: max(xs)", "def helper(x):\n    return x"])
def test_a_reference_without_the_function_is_refused(code: str) -> None:
    with pytest.raises(BenchmarkError, match="Small/0 has no `def largest`"):
        read_reference(small_problems()[0].model_copy(update={"reference": code}))


@pytest.mark.sandbox
def test_a_prepared_task_has_mistakes_and_calls_of_every_function(tasks: tuple[SimulatedTask, ...]) -> None:
    assert [[f.name for f in task.functions] for task in tasks] == [
        ["largest"],
        ["even_squares", "square", "is_even"],
    ]
    for function in (function for task in tasks for function in task.functions):
        assert len(function.mistakes) >= 2
        assert len(function.calls) == len(function.values) >= 2
        assert all(len(mistake.values) == len(function.calls) for mistake in function.mistakes)
        assert all(mistake.source != function.source for mistake in function.mistakes)
    square = tasks[1].functions[1]
    assert square.values == tuple(str(eval(call, {"square": lambda x: x * x})) for call in square.calls)


@pytest.mark.sandbox
@pytest.mark.parametrize(("p", "expected"), [(1.0, True), (0.0, False)])
def test_strategies_are_as_good_as_the_model(
    p: float, expected: bool, tasks: tuple[SimulatedTask, ...], sandbox: Sandbox
) -> None:
    arms = ["direct", "resample-matched", "guided"]
    cell = run_cell(Cell(skill=Skill(p=p), budget=20), arms, tasks, STUDY, sandbox)
    for name in arms:
        arm = cell.arm(name)
        assert arm is not None
        assert set(arm.passed.values()) == {(expected,)}
    guided, matched = cell.arm("guided"), cell.arm("resample-matched")
    assert guided is not None
    assert matched is not None
    for task in tasks:
        assert matched.tokens[task.problem.id] <= guided.tokens[task.problem.id]
        assert guided.tokens[task.problem.id][0] <= 20 * answer_tokens(task)


@pytest.mark.sandbox
def test_a_cell_is_the_same_again_and_what_it_has_is_not_run(
    tasks: tuple[SimulatedTask, ...], sandbox: Sandbox
) -> None:
    study = STUDY.model_copy(update={"samples": 4})
    empty = Cell(skill=Skill(p=0.5), budget=6)
    first = run_cell(empty, ["resample"], tasks, study, sandbox)
    assert run_cell(empty, ["resample"], tasks, study, sandbox) == first
    assert all(len(passed) == 4 for passed in first.arms[0].passed.values())
    assert run_cell(first, ["resample"], (), study, sandbox) is first


def test_mistakes_are_other_programs_that_parse() -> None:
    loop = "    for x in sorted(xs)[1:]:\n        if x > best and x != 3:\n            best = x\n"
    source = f"def f(xs):\n    best = 0\n{loop}    return best"
    found = mistakes(source, 40, random.Random(0))
    assert len(found) == len(set(found)) > 15
    assert source not in found
    for text in found:
        compile(text, "mistake", "exec")
    assert any("if" not in text for text in found)  # forgotten
    assert any("lambda" in text or "list(xs)" in text for text in found)  # confused
    assert mistakes(source, 40, random.Random(0)) == found


# --- names, file, results, map ---------------------------------------------------------------------------------------


def test_arms_are_strategies_with_knobs() -> None:
    settings = arm_settings("guided-no-critic:drafts=3+temperature=0.5", Settings())
    assert (settings.strategy, settings.without, settings.drafts, settings.temperature) == (
        "guided",
        (Part.CRITIC,),
        3,
        0.5,
    )
    assert arm_settings("resample-matched", Settings()).strategy == "resample"


@pytest.mark.parametrize(
    ("name", "words"), [("magic", "no strategy"), ("guided:dragons=1", "no knob"), ("guided:drafts=0", "drafts")]
)
def test_other_names_are_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        arm_settings(name, Settings())


def _outcome(arm: str, right: int, of: int = 8) -> ArmOutcome:
    ids = [f"{'A' if i % 2 else 'B'}/{i}" for i in range(of)]
    passed: dict[str, tuple[bool, ...]] = {task: (i < right,) for i, task in enumerate(ids)}
    return ArmOutcome(arm=arm, passed=passed, tokens=dict.fromkeys(ids, (9,)), answers=2.0)


def test_the_file_keeps_cells_of_the_same_study_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "simulate.json"
    cell = Cell(skill=Skill(p=0.2), budget=5, arms=(_outcome("direct", 3),))
    SimulationFile(path, STUDY).add(cell)
    again = SimulationFile(path, STUDY)
    assert again.cell(Skill(p=0.2), 5) == cell
    assert again.cell(Skill(p=0.2), 6).arms == ()
    assert SimulationFile(path, STUDY.model_copy(update={"seed": 1})).content.cells == ()
    path.write_text("{}")
    with pytest.raises(BenchmarkError, match="no simulation"):
        SimulationFile(path, STUDY)


def test_drafts_are_shared_by_cells_that_differ_in_checks_and_plans_only() -> None:
    known = Cell(skill=Skill(p=0.2, q=0.1), budget=5, arms=(_outcome("resample", 3), _outcome("guided", 3)))
    assert [arm.arm for arm in with_known(Cell(skill=Skill(p=0.2, q=0.9), budget=5), [known]).arms] == ["resample"]
    assert with_known(Cell(skill=Skill(p=0.3, q=0.1), budget=5), [known]).arms == ()


def test_rows_have_rates_by_data_set_and_the_gain_over_resample() -> None:
    cell = Cell(skill=Skill(), budget=5, arms=(_outcome("resample", 4), _outcome("guided", 6)))
    resample, guided = rows_of(cell, ["resample", "guided", "paper"])
    assert groups_of(cell.arms[0].passed) == ("all", "B", "A")
    assert [rate.rate for rate in guided.rates] == [0.75, 0.75, 0.75]
    assert resample.gains == {}
    assert (guided.gains["all"].difference, len(guided.gains["all"].won), guided.gains["all"].p) == (25.0, 2, 0.5)


def test_the_map_shows_every_cell_and_says_where_it_loses(tmp_path: Path) -> None:
    cells = [
        Cell(skill=skill, budget=5, arms=(_outcome("resample", 4), _outcome("guided", 3 if skill.p < 0.3 else 6)))
        for skill in grid_of(Skill())
    ]
    told = write_map(cells, ["guided"], STUDY, tmp_path)
    assert len(told) == 6
    assert f"worse in {2 * len(QS)}" in told[3]
    assert told[4].startswith("  mean gain in points at p 0.1: -25.0, 0.2: -25.0, 0.3: +25.0")
    svg = ElementTree.fromstring((tmp_path / "map.svg").read_text())
    titles = [node.text or "" for node in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert sum("points (" in title for title in titles) == 2 * len(PS) * len(QS)
    page = (tmp_path / "map.html").read_text()
    assert "no model ran" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.sandbox
def test_the_command_prints_a_table_and_goes_on_from_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "small.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    command = ["simulate", "--dataset", str(data), "--out", str(tmp_path / "out"), "--budget", "6"]
    assert main([*command, "--strategies", "resample,guided"]) == 0
    said = capsys.readouterr().out
    assert "no model ran" in said
    assert "gain over resample" in said
    assert main([*command, "--strategies", "resample,guided", "--json"]) == 0
    stored = json.loads(capsys.readouterr().out)
    assert [arm["arm"] for arm in stored["cells"][0]["arms"]] == ["resample", "guided"]
    assert stored == json.loads((tmp_path / "out" / "simulate.json").read_text())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--map"], "needs --out"),
        (["--map", "--budget", "5", "--budget", "6"], "one budget"),
        (["--strategies", "magic"], "no strategy"),
        (["--dataset", "nowhere"], "no data set"),
        (["--dataset", "mbpp", "mbpp.jsonl"], "unexpected argument mbpp.jsonl"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(options: list[str], words: str) -> None:
    with pytest.raises((UsageError, BenchmarkError), match=words):
        main(["simulate", *options])
