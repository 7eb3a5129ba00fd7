"""`leafwise runs`: what was stored is listed, shown and removed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from team_script import TASK, scripted_team

from leafwise.agents import Settings, read_inputs, runs_cli, start
from leafwise.agents.errors import RunError
from leafwise.agents.runs import create_run, runs_folder
from leafwise.runtime.errors import UsageError

CODE = "\n    return sum(x * x for x in xs)\n"


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def solved() -> str:
    """The id of a run that ended."""
    engine = scripted_team({"draft": CODE})
    return start(read_inputs(TASK), model=engine, settings=Settings(strategy="direct"), store=True).result().run


def unfinished() -> str:
    return create_run(read_inputs(TASK), Settings(), "m").id


def test_the_list_says_how_runs_ended(capsys: pytest.CaptureFixture[str]) -> None:
    ids = sorted([solved(), unfinished()])
    assert runs_cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ids
    assert sorted(line.split()[1] for line in lines) == ["passed", "unfinished"]
    assert runs_cli.main(["list", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [run["id"] for run in told] == ids
    assert all(run["bytes"] > 0 and run["task"] for run in told)


def test_an_answer_is_shown_again_and_so_is_how_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    run = solved()
    assert runs_cli.main(["show", run]) == 0
    out, err = capsys.readouterr()
    assert "return sum(x * x for x in xs)" in out
    assert TASK.strip().splitlines()[0] in err
    assert "draft:root" in err
    assert "Passed" in err


def test_a_run_without_an_answer_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    run = unfinished()
    assert runs_cli.main(["show", "last"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"--resume {run}" in err


def test_named_runs_are_removed_and_others_stay() -> None:
    first, second = unfinished(), solved()
    assert runs_cli.main(["remove", first]) == 0
    assert [folder.name for folder in runs_folder().iterdir()] == [second]


def test_old_runs_are_removed_by_when_they_were_last_worked_on() -> None:
    old, new = unfinished(), solved()
    for file in (runs_folder() / old).iterdir():
        os.utime(file, (0, 0))
    assert runs_cli.main(["remove", "--older", "30"]) == 0
    assert [folder.name for folder in runs_folder().iterdir()] == [new]
    assert runs_cli.main(["remove", "--all"]) == 0
    assert list(runs_folder().iterdir()) == []


def test_a_run_that_is_worked_on_stays(capsys: pytest.CaptureFixture[str]) -> None:
    stored = create_run(read_inputs(TASK), Settings(), "m")
    with stored.locked():
        assert runs_cli.main(["remove", stored.id]) == 1
        assert runs_cli.main(["remove", "--all"]) == 0
    assert f"{stored.id} stays" in capsys.readouterr().err
    assert stored.folder.exists()


def test_a_run_of_another_version_is_listed_and_can_be_removed(capsys: pytest.CaptureFixture[str]) -> None:
    stored = create_run(read_inputs(TASK), Settings(), "m")
    (stored.folder / "run.json").write_text("{}")
    assert runs_cli.main(["list"]) == 0
    assert "unreadable" in capsys.readouterr().out
    with pytest.raises(RunError, match="cannot be read"):
        runs_cli.main(["show", stored.id])
    assert runs_cli.main(["remove", stored.id]) == 0
    assert not stored.folder.exists()


@pytest.mark.parametrize("arguments", [[], ["last", "--all"], ["--all", "--older", "3"]])
def test_what_to_remove_is_said_in_one_way(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="which runs"):
        runs_cli.main(["remove", *arguments])
