"""`bench select` as a command: refusals, the self-check, and that no number is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leafwise.benchmarks import select_bench
from leafwise.runtime import paths
from leafwise.runtime.cli import main

PROMPT = 'def double(n):\n    """Twice."""\n'
PROBLEM = {
    "task_id": "Tiny/2",
    "prompt": PROMPT,
    "entry_point": "double",
    "canonical_solution": "    return 2 * n\n",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n",
}
RECORDED = {"task_id": "Tiny/2", "prompt": PROMPT, "solutions": ["    return 2 * n\n", "    return n * n\n", "nothing"]}


def written(path: Path, **fields: Any) -> Path:
    path.write_text(json.dumps(fields) + "\n")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a data set and recorded samples."""
    monkeypatch.chdir(tmp_path)
    written(Path("tiny.jsonl"), **PROBLEM)
    written(Path("r.jsonl"), **RECORDED)
    return tmp_path


def select(*arguments: str) -> int:
    return main(["bench", "select", "r.jsonl", "--dataset", "tiny.jsonl", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "."], "is a directory"),
        (["--json", "/proc/a.json"], "cannot write"),
        (["--keep", "-"], "needs a file"),
        (["--json", "tiny.jsonl"], "is what is read"),
        (["--json", "a", "--keep", "a"], "same file"),
        (["m.jsonl"], "unexpected argument m.jsonl"),
        (["--dataset", "mbpp"], "--dataset mbpp:FILE"),
        (["tiny.jsonl", "--dataset", "mbpp"], "--dataset mbpp:r.jsonl tiny.jsonl"),
    ],
)
def test_bad_use_is_refused_and_changes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    assert select(*arguments) == 2
    assert said in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


@pytest.mark.sandbox
def test_nothing_is_scored_where_the_reference_fails(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(here / "tiny.jsonl", **{**PROBLEM, "canonical_solution": "    return n\n"})
    assert select("--json", "out.json") == 2
    output = capsys.readouterr()
    assert "nothing is scored: 1 reference solutions fail here: Tiny/2" in output.err
    assert output.out == ""
    assert not Path("out.json").exists()


@pytest.mark.sandbox
@pytest.mark.usefixtures("here")
def test_numbers_are_told_where_the_file_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths, "write_whole", full)
    assert select("--json", "out.json") == 2
    output = capsys.readouterr()
    assert "1 of 3 solutions have no code" in output.out
    assert "a right one among them  " in output.out
    assert "cannot write out.json: No space left" in output.err
    assert "--keep" in output.err


@pytest.mark.sandbox
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("keep", "said"), [([], "--keep FILE"), (["--keep", "k.jsonl"], "so far is in k.jsonl")])
def test_ctrl_c_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keep: list[str], said: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(select_bench, "judge_candidates", interrupted)
        assert select(*keep) == 130
    assert f"interrupted; {'what was run ' if keep else 'nothing is kept: '}{said}" in capsys.readouterr().err
    assert select("--no-examples", "--json", "-") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["without_code"], report["solutions"], report["fewer_samples"]) == (1, 3, 1)


@pytest.mark.sandbox
def test_few_tasks_in_another_tools_form(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = [{**PROBLEM, "task_id": f"Tiny/{i}"} for i in range(6)]
    tasks[4]["canonical_solution"] = "    return n\n"
    (here / "tiny.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    ids = (5, "Other/9", 4, 3, 2, 1)
    lines = [{"task_id": i, "completion": text} for i in ids for text in RECORDED["solutions"]]
    (here / "r.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert select("--tasks", "2-4", "--limit", "3") == 2
    assert "1 reference solutions fail here: Tiny/4" in capsys.readouterr().err
    assert select("--tasks", "7") == 2
    assert "no task 7" in capsys.readouterr().err
    assert select("--tasks", "2-5", "--half", "even", "--leave-out-broken", "--json", "out.json") == 0
    output = capsys.readouterr()
    assert "LEFT OUT, because they can't be scored here: 1 tasks" in output.err
    assert "5 of 6 tasks of the data set are not measured\n" in output.out
    assert "there are no generated checks\n" in output.out
    report = json.loads(Path("out.json").read_text())
    assert (report["tasks"], report["solutions"]) == (1, 3)
    left_out = {"Other/9": "the data set has no such task", "Tiny/4": "failed: AssertionError"}
    assert report["reading"]["left_out"] == left_out
