"""`leafwise solve --review` on a real terminal, with a real editor command and the real model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import Terminal

from leafwise.agents.errors import ReviewError
from leafwise.agents.review_cli import edit

LEAFWISE = (sys.executable, "-m", "leafwise.runtime.cli")
IMPOSSIBLE = "Write a function total(xs) that returns the sum of the squares of a list. total([1, 2]) == 12345"
QUICK = """\
[team]
strategy = "paper"
drafts = 1
plans = 1
answer_tokens = 48
max_tokens = 900
leaf_samples = 1
max_depth = 1
"""
CUBE = 'def cube_of(x):\n    """Return x cubed."""\n'


@pytest.fixture
def team(tmp_path: Path) -> str:
    path = tmp_path / "team.toml"
    path.write_text(QUICK)
    return str(path)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An editor that writes what lies in `new.py`, and notes what it was given."""
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import pathlib, sys\n"
        "here, file = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[1])\n"
        "with (here / 'given.txt').open('a') as notes:\n"
        "    notes.write(file.read_text() + '---\\n')\n"
        "file.write_text((here / 'new.py').read_text())\n"
    )
    return {"VISUAL": "", "EDITOR": f"{sys.executable} '{editor}'", "XDG_STATE_HOME": str(tmp_path / "state")}


def solve(home: dict[str, str], *arguments: str, pipe: bool = False) -> Terminal:
    return Terminal([*LEAFWISE, "solve", *arguments], home, pipe=pipe)


@pytest.mark.model
@pytest.mark.sandbox
def test_a_plan_is_edited_and_a_killed_review_asks_again(team: str, home: dict[str, str], tmp_path: Path) -> None:
    new, notes = tmp_path / "new.py", tmp_path / "given.txt"
    with solve(home, IMPOSSIBLE, "--config", team, "--review") as terminal:
        assert "for total:" in terminal.wait_for("[Enter] go on   e edit in")
        terminal.wait_for("> ")
        new.write_text("def cube_of(x\n")
        terminal.press("e\n")
        terminal.wait_for("line 1: '(' was never closed")
        terminal.wait_for("> ")
        new.write_text(CUBE)
        terminal.press("e\n")
        assert "1  cube_of(x)  Return x cubed." in terminal.wait_for("> ")
        first, second, _ = notes.read_text().split("---\n")
        assert "# The helper functions of total, which are written first." in first
        assert second == "def cube_of(x\n", "what could not be read is there to be mended"
        terminal.press("nonsense\n")
        terminal.wait_for("'nonsense' is none of these")
        terminal.process.send_signal(signal.SIGKILL)
        assert terminal.end() == -signal.SIGKILL
    with solve(home, "--resume", "last", pipe=True) as terminal:
        before = terminal.wait_for("> ")
        assert "resumed" not in before
        assert "cube_of" not in before, "nothing was answered yet"
        terminal.press("e\n")
        terminal.wait_for("> ")
        terminal.press("\n")
        assert "cube_of" in terminal.wait_for("leaf")
        terminal.end()
        assert terminal.process.stdout is not None
        assert b"Enter" not in terminal.process.stdout.read(), "the code's output has nothing but code"


@pytest.mark.model
@pytest.mark.sandbox
def test_helpers_are_dropped_and_a_stopped_run_goes_on(team: str, home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text(CUBE + CUBE.replace("cube", "root"))
    with solve(home, IMPOSSIBLE, "--config", team, "--review") as terminal:
        terminal.wait_for("> ")
        terminal.press("e\n")
        assert "2  root_of(x)" in terminal.wait_for("> ")
        terminal.press("d 1\n")
        assert "1  root_of(x)" in terminal.wait_for("> ")
        terminal.press("d 2\n")
        terminal.wait_for("'d 2' is none of these")
        terminal.press("q\n")
        terminal.wait_for("stopped; go on with: leafwise solve --resume ")
        assert terminal.end() == 130
    with solve(home, "--resume", "last") as terminal:
        terminal.wait_for("> ")
        terminal.press("\x03")
        terminal.wait_for("interrupted; go on with")
        assert terminal.end() == 130
    command = [*LEAFWISE, "solve", "--resume", "last"]
    for options, status, words in (
        ([], 2, "--review asks on a terminal"),
        (["--no-review"], 1, "resumed: smollm2-135m"),
    ):
        done = subprocess.run(
            [*command, *options],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **home},
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_what_cannot_be_reviewed_is_refused(tmp_path: Path) -> None:
    for options, words in (
        ((), "--review asks on a terminal, and standard input is none"),
        (("--strategy", "direct"), "the strategy direct makes no plans"),
        (("--strategy", "guided-no-decompose"), "the strategy guided-no-decompose makes no plans"),
    ):
        command = [*LEAFWISE, "solve", IMPOSSIBLE, "--review", *options]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 2
        assert words in done.stderr
        assert "hint:" in done.stderr
        assert "Traceback" not in done.stderr


def test_what_goes_wrong_with_an_editor_is_a_clear_error(tmp_path: Path) -> None:
    script = tmp_path / "editor.py"
    for code, words in (
        ("raise SystemExit(3)", "ended with status 3"),
        ("import sys; open(sys.argv[1], 'wb').write(b'\\xff')", "cannot edit"),
        ("import os, sys; os.remove(sys.argv[1])", "cannot edit"),
    ):
        script.write_text(code)
        with pytest.raises(ReviewError, match=words) as caught:
            edit("x", [sys.executable, str(script)])
        assert caught.value.hint
    with pytest.raises(ReviewError, match="cannot edit with no-such-editor"):
        edit("x", ["no-such-editor"])


def test_ctrl_c_in_the_editor_is_the_editor_s(tmp_path: Path) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import os, signal, sys, time\n"
        "stopped = []\n"
        "signal.signal(signal.SIGINT, lambda *_: stopped.append(1))\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "open(sys.argv[1], 'w').write(f'{len(stopped)}')\n"
    )
    assert edit("x", [sys.executable, str(script)]) == "1"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
