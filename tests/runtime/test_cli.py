"""The root of the command: finding commands without importing them, and turning errors into lines and statuses."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer

from leafwise.runtime import cli, errors_cli
from leafwise.runtime.errors import ModelNotFoundError, UsageError

COMMAND = [sys.executable, "-P", "-m", "leafwise.runtime.cli"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


class TestHelp:
    def test_lists_each_command_with_the_first_line_of_its_module(self) -> None:
        done = run("--help")
        assert done.returncode == 0, done.stderr
        for name, point in cli.find_commands().items():
            assert f"  {name}" in done.stdout
            assert cli.summary(point.module) in done.stdout
        assert "what this machine has" in done.stdout

    def test_no_arguments_is_help(self) -> None:
        assert run().stdout == run("-h").stdout

    def test_is_quick(self) -> None:
        """Below 0.3 s, in processor time: it never waits for anything but a busy machine."""
        seconds = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            run("--help")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert min(seconds) < 0.3

    def test_imports_no_command_and_no_dependency(self) -> None:
        program = (
            "import sys\nbefore = set(sys.modules)\nfrom leafwise.runtime.cli import main\nmain(['--help'])\n"
            "new = set(sys.modules) - before\n"
            "known = set(sys.stdlib_module_names) | {'leafwise'}\n"
            "assert not {name.partition('.')[0] for name in new} - known, new\n"
            "ours = {name for name in new if name.startswith('leafwise.')}\n"
            "assert {n.removeprefix('leafwise.runtime') for n in ours} == {'', '.cli', '.errors', '.errors_cli'}\n"
        )
        done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_version(self) -> None:
        done = run("--version")
        assert done.returncode == 0
        assert done.stdout.startswith("leafwise ")


class TestSummary:
    @pytest.fixture
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "some_commands"
        folder.mkdir()
        (folder / "__init__.py").write_text("raise RuntimeError('imported')\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        return folder

    def test_nothing_is_imported(self, package: Path) -> None:
        (package / "one.py").write_text('"""Do one thing.\n\nMore."""\nraise RuntimeError\n', encoding="utf-8")
        assert cli.summary("some_commands.one") == "Do one thing."

    def test_a_module_that_can_not_be_parsed(self, package: Path) -> None:
        (package / "two.py").write_text("def broken(:\n", encoding="utf-8")
        assert cli.summary("some_commands.two") == "(can not be read)"

    def test_no_docstring(self, package: Path) -> None:
        (package / "three.py").write_text("x = 1\n", encoding="utf-8")
        assert cli.summary("some_commands.three") == ""

    @pytest.mark.parametrize("module", ["some_commands.none", "no_such_package.module", "os.path.deeper"])
    def test_a_module_that_is_not_there(self, package: Path, module: str) -> None:
        assert cli.summary(module) == "(not installed)"


class TestDispatch:
    def test_an_unknown_command_names_the_closest(self) -> None:
        done = run("doctr")
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr == "error: no command 'doctr'\nhint: did you mean `leafwise doctor`?\n"

    def test_an_unknown_command_like_no_other(self) -> None:
        assert "`leafwise --help` lists the commands" in run("xyzzy").stderr

    @pytest.mark.parametrize(
        ("level", "status", "said"), [("", 0, ""), ("loud", 2, "error: LEAFWISE_LOG=loud is no level")]
    )
    def test_the_level_of_the_log(self, level: str, status: int, said: str) -> None:
        done = run("models", "list", LEAFWISE_LOG=level)
        assert done.returncode == status
        assert done.stderr.startswith(said)
        assert bool(done.stderr) == bool(said)

    def test_the_rest_of_the_arguments_goes_to_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[list[str]] = []

        def command(arguments: list[str]) -> int:
            seen.append(arguments)
            return 1

        monkeypatch.setattr(cli, "find_commands", lambda: {"name": None})
        monkeypatch.setattr(cli, "_load", lambda point: command)
        assert cli.main(["name", "--help", "x"]) == 1
        assert seen == [["--help", "x"]]

    def test_a_command_that_can_not_be_imported(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        point = EntryPoint("gone", "no_such_module:main", cli.GROUP)
        monkeypatch.setattr(cli, "find_commands", lambda: {"gone": point})
        assert cli.main(["gone"]) == 2
        assert "the command 'gone' can not be loaded: No module named 'no_such_module'" in capsys.readouterr().err

    def test_our_own_command_wins_over_anothers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        points = [EntryPoint("solve", f"{module}:main", cli.GROUP) for module in ("a.b", "leafwise.c", "z.y")]
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
        assert cli.find_commands()["solve"].module == "leafwise.c"


class TestGuarded:
    def status(self, error: BaseException) -> int:
        def command(arguments: list[str]) -> int:
            raise error

        return cli.guarded(command, [])

    def test_our_errors_are_two_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.status(ModelNotFoundError("no model is called 'x'", "leafwise models list")) == 2
        assert capsys.readouterr().err == "error: no model is called 'x'\nhint: leafwise models list\n"

    def test_no_hint_no_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.status(UsageError("wrong"))
        assert capsys.readouterr().err == "error: wrong\n"

    def test_an_error_that_quotes_a_file_does_not_steer_the_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.status(UsageError("tensor \x1b]0;title\x07 is\nwrong"))
        assert (
            capsys.readouterr().err
            == "error: tensor \N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER} is\nwrong\n"
        )

    def test_an_interruption_is_quiet(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.status(KeyboardInterrupt()) == 130
        assert capsys.readouterr().err == ""

    def test_a_bug_is_one_line_and_its_traceback_a_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.status(ZeroDivisionError("division\nby zero")) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert line.startswith("error: this is a bug in leafwise: ZeroDivisionError: division by zero; the traceback")
        saved = Path(line.strip().rpartition(" is in ")[2])
        assert "Traceback" in saved.read_text(encoding="utf-8")
        assert os.environ["XDG_STATE_HOME"] in str(saved)

    def test_an_unwritable_state_folder_is_no_second_bug(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
        assert self.status(ZeroDivisionError()) == 2
        Path(capsys.readouterr().err.strip().rpartition(" is in ")[2]).unlink()

    def test_debugging_shows_the_traceback(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("LEAFWISE_DEBUG", "1")
        self.status(ZeroDivisionError())
        assert "Traceback (most recent call last)" in capsys.readouterr().err

    def test_a_reader_that_goes_away(self) -> None:
        done = subprocess.run(
            ["sh", "-c", f"{{ {' '.join(COMMAND)} --help; echo $? >&2; }} | true"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # The reader may be gone before or after the small text is written.
        assert done.stderr in ("141\n", "0\n")

    def test_a_closed_pipe_is_quiet(self) -> None:
        program = (
            "import os, sys\nfrom leafwise.runtime.cli import guarded\n"
            "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
            "def command(arguments):\n    print('x' * 10)\n    return 0\n"
            "sys.exit(guarded(command, []))\n"
        )
        done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (141, "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestColor:
    def test_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        stream = Terminal()
        errors_cli.report(UsageError("wrong", "do this"), stream)
        assert stream.getvalue() == "\x1b[1;31merror:\x1b[0m wrong\n\x1b[1;36mhint:\x1b[0m do this\n"

    def test_not_where_nobody_wants_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        stream = Terminal()
        errors_cli.report(UsageError("wrong"), stream)
        assert stream.getvalue() == "error: wrong\n"


class TestRunTyper:
    def app(self, error: BaseException | None = None, result: int | None = None) -> typer.Typer:
        app = typer.Typer(add_completion=False)

        @app.command()
        def command(count: int = 0) -> int | None:
            if error is not None:
                raise error
            return result

        return app

    @pytest.mark.parametrize(("result", "status"), [(None, 0), (0, 0), (1, 1), (2, 2)])
    def test_the_result_is_the_status(self, result: int | None, status: int) -> None:
        assert cli.run_typer(self.app(result=result), "name", []) == status

    def test_exit_gives_its_code(self) -> None:
        assert cli.run_typer(self.app(typer.Exit(5)), "name", []) == 5

    @pytest.mark.parametrize("arguments", [["--cuont"], ["--count", "many"], ["left over"]])
    def test_a_usage_error_is_printed(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.run_typer(self.app(), "name", arguments) == 2
        assert "leafwise name" in capsys.readouterr().err

    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.run_typer(self.app(), "name", ["--help"]) == 0
        assert "leafwise name" in capsys.readouterr().out

    @pytest.mark.parametrize("arguments", [["models", "list"], ["models", "list", "--help"]])
    def test_a_reader_that_goes_away_is_no_failure(self, arguments: list[str]) -> None:
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as pipe:
            done = subprocess.run(
                [*COMMAND, *arguments], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60, check=False
            )
        assert (done.returncode, done.stderr) == (141, "")

    @pytest.mark.parametrize("printing", ["typer.echo('x')", "Console(force_terminal=True).print('x')"])
    def test_what_click_and_rich_make_of_it(self, printing: str) -> None:
        program = (
            "import os, sys, typer\nfrom rich.console import Console\n"
            "from leafwise.runtime.cli import guarded, run_typer\n"
            "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
            f"app = typer.Typer()\n@app.command()\ndef command():\n    {printing}\n"
            "sys.exit(guarded(lambda arguments: run_typer(app, 'name', arguments), []))\n"
        )
        done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (141, "")

    def test_an_interruption_goes_on_to_the_root(self) -> None:
        assert cli.guarded(lambda arguments: cli.run_typer(self.app(KeyboardInterrupt()), "name", arguments), []) == 130

    @pytest.mark.parametrize("error", [UsageError("wrong"), ZeroDivisionError()])
    def test_errors_go_on_to_the_root(self, error: Exception) -> None:
        with pytest.raises(type(error)):
            cli.run_typer(self.app(error), "name", [])
