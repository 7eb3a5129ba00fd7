from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_journal import files_up_to

from leafwise.benchmarks.contracts import Judgement
from leafwise.benchmarks.journal import Journal
from leafwise.benchmarks.problems import read_problem_set
from leafwise.runtime.cli import main

PROBLEMS = read_problem_set("humaneval").problems
COMMAND = "import sys\nfrom leafwise.runtime.cli import main\nsys.exit(main())"


def write(path: Path, count: int = 20, copies: int = 1) -> Path:
    """Right answers, but for every fifth task."""
    with path.open("w") as file:
        for i, problem in enumerate(PROBLEMS[:count]):
            module = "x = 1" if i % 5 == 0 else problem.reference
            file.write((json.dumps({"task_id": problem.id, "solution": module}) + "\n") * copies)
    return path


def judge(*arguments: object) -> int:
    return main(["bench", "judge", *map(str, arguments)])


def outcomes(path: Path) -> dict[tuple[str, int], str]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {(line["task_id"], line["sample"]): line["base"]["status"] for line in lines}


@pytest.mark.sandbox
def test_counts_and_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert judge(write(tmp_path / "s.jsonl"), "--json", out) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "16/20 passed"
    found: dict[str, Any] = json.loads(out.read_text())
    assert found["totals"] == {"base": {"passed": 16, "samples": 20}}
    (score,) = found["scores"]
    assert score["pass_at"] == {"1": 0.8, "10": None, "100": None}
    assert score["interval"]["low"] < 0.8 < score["interval"]["high"]
    assert score["tasks"]["HumanEval/5"] == {"passed": 0, "samples": 1}
    assert [verdict["task_id"] for verdict in found["verdicts"]] == [problem.id for problem in PROBLEMS[:20]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--resume"], "--resume"),
        (["--out", "s.jsonl", "--resume"], "is what is read"),
        (["--json", "s.jsonl"], "is what is read"),
        (["--out", "there.jsonl"], "is there already"),
        (["--out", "a.json", "--json", "a.json"], "same file"),
        (["--json", "none/a.json"], "no directory"),
        (["--json", "."], "is a directory"),
        (["--json", "/proc/a.json"], "cannot write"),
        (["--out", "-"], "--out needs a file"),
        (["there.jsonl", "--dataset", "mbpp"], "--dataset mbpp:s.jsonl there.jsonl"),
        (["--dataset", "none"], "no data set"),
        (["--dataset", "mbpp"], "mbpp"),
        (["--level", "none"], "without a sandbox"),
        (["--level", "high"], "no sandbox level"),
        (["s.jsonl"], "unexpected argument"),
    ],
)
def test_bad_use_is_refused_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = write(Path("s.jsonl")).read_bytes()
    Path("there.jsonl").write_text("mine\n")
    assert judge("s.jsonl", *arguments) == 2
    assert said in capsys.readouterr().err
    assert Path("s.jsonl").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.jsonl", "there.jsonl"]


@pytest.mark.sandbox
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_broken_off_judging_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    samples, out = write(tmp_path / "s.jsonl", 40, 10), tmp_path / "v.jsonl"
    line = [sys.executable, "-c", COMMAND, "bench", "judge", str(samples), "--out", str(out)]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while not out.exists() or out.read_bytes().count(b"\n") < 20:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(how)
        _, errors = process.communicate(timeout=20)
    kept = outcomes(out)
    assert 20 <= len(kept) < 400
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert "--resume goes on" in errors
    assert judge(samples, "--out", out, "--resume") == 0
    assert out.read_bytes().count(b"\n") == 400, "nothing was judged twice"
    wrong = {problem.id for problem in PROBLEMS[:40:5]}
    assert all((status == "passed") == (task not in wrong) for (task, _), status in outcomes(out).items())


@pytest.mark.sandbox
def test_a_self_check_that_refuses_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = {
        "task_id": "Tiny/2",
        "prompt": "def double(n):\n",
        "entry_point": "double",
        "canonical_solution": "    return n\n",
        "test": "def check(candidate):\n    assert candidate(3) == 6\n",
    }
    data, samples, out = tmp_path / "tiny.jsonl", tmp_path / "s.jsonl", tmp_path / "v.jsonl"
    data.write_text(json.dumps(problem))
    samples.write_text(json.dumps({"task_id": "Tiny/2", "completion": "    return 2 * n\n"}))
    assert judge(samples, "--dataset", data, "--out", out) == 2
    assert "nothing is scored" in capsys.readouterr().err
    assert not out.exists()
    data.write_text(json.dumps({**problem, "canonical_solution": "    return 2 * n\n"}))
    assert judge(samples, "--dataset", data, "--out", out) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1/1 passed"


@pytest.mark.sandbox
def test_a_changed_answer_is_judged_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, out = write(tmp_path / "s.jsonl", 3), tmp_path / "v.jsonl"
    assert judge(samples, "--out", out) == 0
    text = json.dumps({"task_id": PROBLEMS[0].id, "solution": PROBLEMS[0].reference})
    samples.write_text("\n".join([text, *samples.read_text().splitlines()[1:]]))
    assert judge(samples, "--out", out, "--resume") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3/3 passed"
    assert out.read_bytes().count(b"\n") == 4


@pytest.mark.sandbox
def test_a_full_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    samples, out = write(tmp_path / "s.jsonl"), tmp_path / "v.jsonl"
    append = Journal.append

    def on_a_full_disk(journal: Journal[Judgement], verdict: Judgement) -> None:
        with files_up_to(1500):  # only here: the sandbox's own files in memory count too
            append(journal, verdict)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", on_a_full_disk)
        assert judge(samples, "--out", out) == 2
    assert "cannot write" in capsys.readouterr().err
    assert 0 < len(outcomes(out)) < 20
    assert judge(samples, "--out", out, "--resume") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "16/20 passed"


@pytest.mark.sandbox
def test_answers_to_what_is_broken_count_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = {"text": "Double.", "code": "def f(x): return 2 * x", "test_list": ["assert f(2) == 4"]}
    codes = {1: task["code"], 2: "def f(x): return x", 3: "def f(:", 4: task["code"]}
    mbpp, samples, out = tmp_path / "mbpp.jsonl", tmp_path / "s.jsonl", tmp_path / "out.json"
    mbpp.write_text("".join(json.dumps({**task, "task_id": i, "code": code}) + "\n" for i, code in codes.items()))
    answers = [{"task_id": task_id, "completion": task["code"]} for task_id in (1, "2", "Mbpp/3")]
    samples.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    assert judge(samples, "--dataset", f"mbpp:{mbpp}") == 2
    assert "--leave-out-broken" in capsys.readouterr().err
    assert judge(samples, "--dataset", f"mbpp:{mbpp}", "--leave-out-broken", "--json", out) == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == ["1 of 2 tasks have no sample", "1/1 passed"]
    assert "LEFT OUT, because they can't be scored here: 2 tasks" in output.err
    assert [*json.loads(out.read_text())["left_out"]] == ["Mbpp/3", "Mbpp/2"]
    samples.write_text(json.dumps(answers[2]))
    assert judge(samples, "--dataset", f"mbpp:{mbpp}", "--leave-out-broken") == 2
    assert "are to tasks that are left out" in capsys.readouterr().err
