"""How an answer leaves the command: on a terminal, in a pipe, and when the run is interrupted."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console
from team_script import TASK, judge_by, scripted_team

from leafwise.agents import Settings, read_inputs, solve_cli, start
from leafwise.agents.answer_cli import show
from leafwise.agents.solve import Run
from leafwise.runtime.errors import UsageError

CODE = f"\n    words = '{'long ' * 30}'\n    return sum(x * x for x in xs) + 0 * len(words)\n"


class TerminalText(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def started() -> Run:
    team, sandbox = scripted_team({"draft": CODE}), judge_by(lambda _: True)
    return start(read_inputs(TASK), model=team, sandbox=sandbox, settings=Settings(strategy="direct"))


def test_code_on_a_narrow_terminal_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    run, narrow = started(), TerminalText()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", narrow)
    assert show(run, None, as_json=False, quiet=True, console=Console(file=io.StringIO())) == 0
    shown = narrow.getvalue()
    assert "\x1b[" in shown, "it is coloured"
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == run.result().code


def test_an_interruption_before_the_run_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[Run.__module__], "start", interrupted)
    assert solve_cli.main([TASK]) == 130
    assert capsys.readouterr().err == "interrupted before the run began\n"


def test_a_stored_run_keeps_its_seed_and_the_hint_says_so() -> None:
    with pytest.raises(UsageError, match="--seed cannot be given") as caught:
        solve_cli.main(["--resume", "last", "--seed", "99"])
    assert "start a new one" in caught.value.hint
