"""The root of the command `leafwise`: finds the subcommand, runs it, and turns every error into a line and a status.

Imports only the standard library, and only the module of the subcommand that is called, so that `--help` is quick and
no lower folder imports a higher one. Subcommands are entry points of the group `leafwise.commands`: a callable that
takes the remaining arguments and gives the exit status. Exit statuses of the root: 2 usage, environment or bug; 130
interrupted; 141 when the reader of the output went away.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from leafwise.runtime.errors import LeafwiseError, UsageError
from leafwise.runtime.errors_cli import report, report_bug, version

# further modules are imported where they are used: until `main` runs, Ctrl-C would be a traceback

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.metadata import EntryPoint

    import typer

GROUP = "leafwise.commands"
FAILED, INTERRUPTED, READER_GONE = 2, 130, 141
HELP = {"help_option_names": ["-h", "--help"]}
"""Context settings of every Typer application."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; the console script's entry point."""
    for name in ("stdin", "stdout", "stderr"):  # closed by the caller: Python then leaves None there
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    return guarded(dispatch, sys.argv[1:] if arguments is None else list(arguments))


def dispatch(arguments: list[str]) -> int:
    """Runs the subcommand named by the first argument.

    Raises:
        UsageError: no such command, or its module can not be imported.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"leafwise {version()}")
        return 0
    name, rest = arguments[0], arguments[1:]
    commands = find_commands()
    if name not in commands:
        raise UsageError(f"no command {name!r}", _did_you_mean(name, list(commands)))
    _configure_process()
    return _load(commands[name])(rest)


def _configure_process() -> None:
    """What holds for the whole process: logging, warnings, signals, and how OpenMP waits.

    Warnings go to standard error as lines; LEAFWISE_LOG=debug (or info) shows more, llama.cpp's own words included.
    """
    import logging
    import signal
    import threading
    import warnings

    # `timeout`, a closed terminal or a shutdown is a Ctrl-C that nobody typed: what is done is kept, and said
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.default_int_handler)
    # llama.cpp's threads wait for each other some 300 times a token. Spinning is right for microseconds only: on a busy
    # machine it burns the very core that the other thread is waiting for. Read by libgomp when llama.cpp is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # parsing what a model wrote must not print about its bad escapes
    warnings.filterwarnings("ignore", category=SyntaxWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)

    name = (os.environ.get("LEAFWISE_LOG") or "warning").upper()
    level = logging.getLevelNamesMapping().get(name)
    if level is None:
        raise UsageError(f"LEAFWISE_LOG={name.lower()} is no level", "use debug, info, warning or error")
    handler = logging.StreamHandler()
    form = "{levelname}: {message}" if level >= logging.WARNING else "{name}: {message}"
    handler.setFormatter(logging.Formatter(form, style="{"))
    logger = logging.getLogger("leafwise")
    logger.setLevel(level)
    logger.handlers = [handler]


def find_commands() -> dict[str, EntryPoint]:
    """The subcommands by name; where two distributions give one name, leafwise's own wins."""
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name not in found or point.module.startswith("leafwise."):
            found[point.name] = point
    return found


def usage() -> str:
    """What `leafwise --help` prints: one line per command, read from its module without importing it."""
    commands = find_commands()
    width = max((len(name) for name in commands), default=0)
    lines = [f"  {name:<{width}}  {summary(point.module)}".rstrip() for name, point in commands.items()]
    return "\n".join(
        [
            "usage: leafwise COMMAND [ARGUMENTS]",
            "",
            "Solve coding tasks with small local models.",
            "",
            "commands:",
            *(lines or ["  (none found: the installation is incomplete)"]),
            "",
            "options:",
            "  -h, --help     show this text",
            "  -V, --version  show the version",
            "",
            "`leafwise COMMAND --help` says more about one command.",
        ]
    )


def summary(module: str) -> str:
    """The first line of a module's docstring, read from its source; nothing is imported."""
    import ast

    source = _find_source(module)
    if source is None:
        return "(not installed)"
    try:
        with open(source, encoding="utf-8") as file:  # noqa: PTH123 - pathlib would cost a third of the time of --help
            docstring = ast.get_docstring(ast.parse(file.read()))
    except (OSError, SyntaxError, ValueError):
        return "(can not be read)"
    return (docstring or "").partition("\n")[0]


def _find_source(module: str) -> str | None:
    # importlib.util.find_spec would import the parent package, and with it whatever that imports.
    path: list[str] | None = None
    origin: str | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        specs = (finder.find_spec(name, path) for finder in sys.meta_path)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
        path, origin = (None if locations is None else list(locations)), spec.origin
    return origin


def _load(point: EntryPoint) -> Callable[[list[str]], int]:
    try:
        command: Callable[[list[str]], int] = point.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"the command {point.name!r} can not be loaded: {error}", "reinstall leafwise with its dependencies"
        ) from error
    return command


def _did_you_mean(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=1)
    return f"did you mean `leafwise {close[0]}`?" if close else "`leafwise --help` lists the commands"


def guarded(command: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Runs a command; whatever it raises becomes a line on standard error and an exit status.

    Args:
        command: takes the arguments and gives the exit status.
        arguments: what follows the command's name.
    """
    try:
        status = command(arguments)
        sys.stdout.flush()  # here, so that a reader that went away is noticed inside the try
    except LeafwiseError as error:
        report(error)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes standard output once more at exit: let that go nowhere.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except OSError as error:  # a full disk behind standard output, a file that went away
        report(LeafwiseError(f"the system says: {error}", "LEAFWISE_DEBUG=1 shows where"))
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # the process boundary: anything else is a bug of ours
        report_bug(error)
        return FAILED
    return status


def run_typer(app: typer.Typer, name: str, arguments: list[str]) -> int:
    """Runs a Typer application as a subcommand: its usage errors are printed and give 2, `typer.Exit` gives its code.

    Args:
        app: an application with one command; an integer that it returns is the exit status.
        name: the subcommand's name, for its usage line.
        arguments: what follows the name.
    """
    try:
        result = app(args=arguments, prog_name=f"leafwise {name}", standalone_mode=False)
    except LeafwiseError:
        raise
    except SystemExit as error:  # click and rich make an exit status of their own of a reader that went away
        raise (error.__context__ if isinstance(error.__context__, BrokenPipeError) else error) from None
    except Exception as error:
        # click's own errors show themselves; it is looked at by shape, because Typer may bring its own copy of click.
        show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if type(error).__name__ == "Abort":
            raise KeyboardInterrupt from error
        if not callable(show) or not isinstance(code, int):
            raise
        show()
        return code
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
