"""`leafwise bench humaneval`: the run's directory, killing and resuming, and every kind of bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from measured_run import sample as made_up

from leafwise.agents import Settings
from leafwise.agents.settings import Strategy
from leafwise.benchmarks import evaluation_cli
from leafwise.benchmarks.contracts import Generated, Job, Manifest
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.evaluation import Evaluation, plan_run
from leafwise.benchmarks.evaluation_run import choose_tasks, in_running_order, unaskable
from leafwise.benchmarks.executors import Outcome
from leafwise.benchmarks.manifest import make_manifest, read_manifest
from leafwise.benchmarks.problems import read_problem_set, task_of
from leafwise.benchmarks.traces import read_trace, trace_path
from leafwise.runtime.cli import main
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import UsageError

PROBLEMS = read_problem_set("humaneval")
TASKS = {problem.id: task_of(problem) for problem in PROBLEMS.problems}
ALL: tuple[Strategy, ...] = ("direct", "resample", "guided")


def manifest_of(tasks: str = "0-2", strategies: Sequence[Strategy] = ALL, **settings: Any) -> Manifest:
    chosen = choose_tasks(PROBLEMS, tasks)
    return make_manifest(PROBLEMS, chosen, ["smollm2-135m"], strategies, Settings(**settings), EngineOptions(), 1)


class Machine:
    """Does jobs at once; those of some tasks it can't do."""

    def __init__(self, broken: Sequence[str] = ()) -> None:
        self.jobs: list[Job] = []
        self._broken = broken

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        for job in jobs:
            self.jobs.append(job)
            if job.task_id in self._broken:
                yield Outcome(job, None, "the prompt does not fit")
                continue
            changed = {"arm": job.arm.name, "task_id": job.task_id, "fingerprint": job.arm.fingerprint}
            tokens = {"completion_tokens": 100 + int(job.task_id.rpartition("/")[2]), "max_tokens": job.max_tokens}
            yield Outcome(
                job, Generated(sample=made_up("x", 0).model_copy(update=changed | tokens), events=()), joules=2.5
            )

    def close(self) -> None:
        pass


def test_tasks_are_chosen_by_number_range_half_and_name() -> None:
    assert choose_tasks(PROBLEMS, limit=2) == ("HumanEval/0", "HumanEval/1")
    assert choose_tasks(PROBLEMS, "3, HumanEval/1,5-6") == tuple(f"HumanEval/{i}" for i in (1, 3, 5, 6))
    assert choose_tasks(PROBLEMS, "odd", 3) == ("HumanEval/1", "HumanEval/3", "HumanEval/5")
    assert len(choose_tasks(PROBLEMS, "even")) == 82
    with pytest.raises(UsageError, match="no task 900"):
        choose_tasks(PROBLEMS, "1,900")
    for nothing in (",", " ", " , "):
        with pytest.raises(UsageError, match="names no task"):
            choose_tasks(PROBLEMS, nothing)


def test_resample_runs_last_and_gets_what_guided_used(tmp_path: Path) -> None:
    with Evaluation(tmp_path, manifest_of(), resume=False) as run:
        order = in_running_order(run.manifest.arms)
        assert [arm.name for arm in order] == ["direct", "guided", "resample"]
        direct, guided, resample = order
        assert run.missing(resample, TASKS) == [], "before guided nothing is known"
        list(run.generate(run.missing(guided, TASKS), Machine(broken=["HumanEval/1"])))
        jobs = run.missing(resample, TASKS)
        assert [(job.task_id, job.max_tokens) for job in jobs] == [("HumanEval/0", 100), ("HumanEval/2", 102)]
        assert {job.max_tokens for job in run.missing(direct, TASKS)} == {Settings().max_tokens}


def test_what_failed_is_no_answer_and_is_asked_again(tmp_path: Path) -> None:
    manifest = manifest_of(strategies=["direct"])
    with Evaluation(tmp_path, manifest, resume=False) as run:
        outcomes = list(run.generate(run.missing(manifest.arms[0], TASKS), Machine(broken=["HumanEval/1"])))
        assert [outcome.error for outcome in outcomes] == ["", "the prompt does not fit", ""]
    with Evaluation(tmp_path, manifest, resume=True) as run:
        machine = Machine()
        list(run.generate(run.missing(manifest.arms[0], TASKS), machine))
        assert [job.task_id for job in machine.jobs] == ["HumanEval/1"]
        assert len(run.samples) == 3
        assert {sample.joules for sample in run.samples.values()} == {2.5}
        assert read_trace(trace_path(tmp_path, *run.done(manifest.arms[0])[0].key)) is not None


def test_a_run_is_not_mixed_with_another(tmp_path: Path) -> None:
    first = manifest_of(strategies=["direct"])
    with Evaluation(tmp_path, first, resume=False) as run:
        list(run.generate(run.missing(first.arms[0], TASKS), Machine()))
        with pytest.raises(BenchmarkError, match="another process"):
            Evaluation(tmp_path, first, resume=True)
    with pytest.raises(BenchmarkError, match="holds a run already"):
        Evaluation(tmp_path, first, resume=False)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(BenchmarkError, match="max_tokens 12000 is now 77"):
        Evaluation(tmp_path, manifest_of(strategies=["direct"], max_tokens=77), resume=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    with Evaluation(tmp_path, manifest_of("0-4"), resume=True) as run:
        assert [len(run.missing(arm, TASKS)) for arm in run.manifest.arms] == [2, 0, 5]
    lines = (tmp_path / "samples.jsonl").read_text().splitlines()
    stranger = lines[0].replace(first.arms[0].fingerprint, "0123456789abcdef")
    (tmp_path / "samples.jsonl").write_text(f"{stranger}\n")
    with pytest.raises(BenchmarkError, match="a sample of another run"):
        Evaluation(tmp_path, first, resume=True)


def test_a_plan_makes_nothing(tmp_path: Path) -> None:
    first = manifest_of(strategies=["direct"])
    assert plan_run(tmp_path / "a" / "run", first, resume=False) == first
    assert not list(tmp_path.iterdir())
    with Evaluation(tmp_path / "run", first, resume=False):
        pass
    with pytest.raises(BenchmarkError, match="holds a run already"):
        plan_run(tmp_path / "run", first, resume=False)
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert plan_run(tmp_path / "run", manifest_of("4"), resume=True).tasks == tuple(
        f"HumanEval/{number}" for number in (0, 1, 2, 4)
    )
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match="file is no directory"):
        plan_run(tmp_path / "file" / "run", first, resume=False)
    with pytest.raises(BenchmarkError, match="cannot write in /proc:"):  # where even root can't
        plan_run(Path("/proc/a/run"), first, resume=False)


# --- the command -----------------------------------------------------------------------------------------------------

BENCH = (sys.executable, "-m", "leafwise.runtime.cli", "bench", "humaneval")
TINY = ("--tasks", "23,53", "--max-tokens", "64", "--answer-tokens", "32", "--context", "1024", "--deterministic")


def bench(*arguments: str | Path, seconds: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*BENCH, *map(str, arguments)], capture_output=True, text=True, timeout=seconds, check=False)


def outcome_of(directory: Path) -> tuple[list[Any], list[Any]]:
    """What does not depend on when it was done."""
    samples = [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]
    verdicts = [json.loads(line) for line in (directory / "verdicts.jsonl").read_text().splitlines()]
    kept = ("arm", "task_id", "solution", "raw", "rule", "status", "seed", "max_tokens", "calls", "completion_tokens")
    told = [[v["arm"], v["task_id"], v["key"], v["base"]["status"]] for v in verdicts]
    return sorted([sample[name] for name in kept] for sample in samples), sorted(told)


@pytest.mark.model
@pytest.mark.sandbox
def test_a_killed_run_resumes_to_what_an_unbroken_one_is(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = bench("--out", whole, *TINY)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert {path.name for path in whole.iterdir()} >= {"manifest.json", "summary.json", "report.md", "report.html"}
    assert done.stdout.splitlines()[-1] == str(whole / "report.html")
    assert len(outcome_of(whole)[0]) == 6

    process = subprocess.Popen(
        [*BENCH, "--out", str(broken), *TINY], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    samples = broken / "samples.jsonl"
    while not samples.exists() or samples.read_bytes().count(b"\n") < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "summary.json").exists()
    done = bench("--out", broken, *TINY, "--resume")
    assert done.returncode == 0, done.stderr
    assert outcome_of(broken) == outcome_of(whole)

    before = samples.read_bytes()
    done = bench("--out", broken, *TINY, "--resume", "--json")
    assert json.loads(done.stdout)["complete"] is True
    assert samples.read_bytes() == before, "nothing is left to do"


BAD: dict[str, tuple[list[str], str]] = {
    "strategy": (["--strategies", "direct,magic"], "no strategy magic"),
    "task": (["--tasks", "0,400"], "no task 400"),
    "no task": (["--tasks", ","], "names no task"),
    "model": (["--model", "llama9-1t"], "llama9-1t"),
    "data set without a file": (["--dataset", "mbpp"], "mbpp"),
    "data set that is not there": (["--dataset", "nowhere.jsonl"], "nowhere.jsonl"),
    "plus that is not there": (["--plus", "nowhere.jsonl.gz"], "nowhere.jsonl.gz"),
    "level": (["--level", "steel"], "steel"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_before_anything_is_made(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = bench("--out", tmp_path / "run", *arguments)
    assert done.returncode == 2, done.stderr
    assert "error:" in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = bench("--out", tmp_path / "file" / "run")
    assert done.returncode == 2
    assert "cannot make" in done.stderr


@pytest.fixture
def broken_task(tmp_path: Path) -> str:
    """A data set whose task 1 has a reference that fails, and whose task 2 is right."""
    task = {"task_id": 1, "text": "Double.", "code": "def f(x):\n    return x", "test_list": ["assert f(2) == 4"]}
    mended = {**task, "task_id": 2, "code": "def f(x):\n    return 2 * x"}
    (tmp_path / "mbpp.jsonl").write_text(json.dumps([task, mended]))
    return f"mbpp:{tmp_path / 'mbpp.jsonl'}"


@pytest.mark.model
@pytest.mark.sandbox
def test_a_broken_task_can_be_left_out(broken_task: str, tmp_path: Path) -> None:
    done = bench("--out", tmp_path / "run", "--dataset", broken_task, *TINY[2:], "--tasks", "2")
    assert done.returncode == 0, done.stderr


@pytest.mark.sandbox
def test_a_run_that_the_self_check_refuses_leaves_nothing(broken_task: str, tmp_path: Path) -> None:
    done = bench("--out", tmp_path / "run", "--dataset", broken_task)
    assert done.returncode == 2
    assert "1 reference solutions fail here: Mbpp/1" in done.stderr
    assert "--leave-out-broken" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.sandbox
def test_a_run_goes_on_without_what_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = {"task_id": 2, "text": "Double.", "code": "def f(x):\n    return 2 * x", "test_list": ["assert f(2) == 4"]}
    strange = {"task_id": 4, "text": "Write an asynchronous function to double."}
    lines = [right, {**right, "task_id": 1, "code": "def f(x): return x"}, {**right, "task_id": 3, "code": "def f(:"}]
    (tmp_path / "mbpp.jsonl").write_text("\n".join(map(json.dumps, [*lines, {**right, **strange}, "no object"])))
    monkeypatch.setattr(evaluation_cli._Where, "open_executor", lambda *_: Machine())
    asked = ["bench", "humaneval", "--dataset", f"mbpp:{tmp_path / 'mbpp.jsonl'}", "--out", str(tmp_path / "run")]
    assert main(asked) == 2
    assert "line 3: code or tests are no Python" in (said := capsys.readouterr().err)
    assert "--leave-out-broken" in said
    for more in ([], ["--resume"]):
        assert main([*asked, "--leave-out-broken", *more]) == 0
        output = capsys.readouterr()
        assert "LEFT OUT, because they can't be scored here: 4 tasks" in output.err
        assert "Mbpp/1: failed: AssertionError" in output.err
        assert "Left out of every score, because they could not be scored here: 4 tasks" in output.out
    manifest = read_manifest(tmp_path / "run" / "manifest.json")
    assert manifest.tasks == ("Mbpp/2",)
    assert [*manifest.left_out] == ["Mbpp/3", "line 5", "Mbpp/4", "Mbpp/1"]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["complete"] is True
    assert summary["tasks"] == ["Mbpp/2"]


def test_tasks_that_cannot_be_asked_are_refused() -> None:
    strange = PROBLEMS.problems[0].model_copy(update={"prompt": "Write an async function f.", "completes": False})
    problems = PROBLEMS.model_copy(update={"problems": (strange, *PROBLEMS.problems[1:])})
    assert unaskable(problems, ["HumanEval/1"], leave_out=False) == {}
    with pytest.raises(BenchmarkError, match="1 tasks cannot be asked: HumanEval/0: the task asks for an async"):
        unaskable(problems, ["HumanEval/0", "HumanEval/1"], leave_out=False)
    assert [*unaskable(problems, ["HumanEval/0", "HumanEval/1"], leave_out=True)] == ["HumanEval/0"]
    with pytest.raises(BenchmarkError, match="1 tasks cannot be asked") as caught:
        unaskable(problems, ["HumanEval/0"], leave_out=True)  # nothing would be left
    assert "--tasks" in str(caught.value.hint)
