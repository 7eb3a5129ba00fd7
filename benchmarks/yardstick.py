"""What yardsticks share: others' judges run as processes, and, for what a model wrote, inside bubblewrap.

Other judges have no walls of their own, so here they get some: no network, no home, a read-only system.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.layer_bubblewrap import command, find_bubblewrap, interpreter
from leafwise.runtime.layer_scratch import SCRATCH
from leafwise.runtime.sandbox_imports import PACKAGES
from leafwise.runtime.sandbox_probe import remedy

START_SECONDS = 60.0
"""How long a yardstick may take beside its samples."""
MEMORY_BYTES = 4 << 30
"""Address space per process of a yardstick that runs what a model wrote."""
BY_HAND = "run it by hand to see why"
_SCRATCH_BYTES = 256 << 20
_LOOK = """
import importlib.metadata, importlib.util, json, sys
origins = {}
for name in sys.argv[2:]:
    spec = importlib.util.find_spec(name)
    origins[name] = spec.origin if spec else None
try:
    version = importlib.metadata.version(sys.argv[1])
except importlib.metadata.PackageNotFoundError:
    version = ""
print(json.dumps([sys.version_info[:2], version, origins]))
"""
_LOOK_SECONDS = 60.0


class Packages(NamedTuple):
    """What a yardstick imports beside the standard library."""

    version: str
    """The version of its own package."""
    paths: tuple[Path, ...]
    """Installed packages, and the shared libraries that lie beside them."""


def find_packages(distribution: str, modules: Sequence[str], install: str, python: Path | None = None) -> Packages:
    """Find installed packages.

    Args:
        distribution: the yardstick's own.
        modules: names as in `import NAME`, of all that it needs.
        install: the command that installs them, for the hint.
        python: the Python that has them; this one by default.

    Raises:
        BenchmarkError: one is missing, or the Python is of another version than this one.
    """
    line = [str(python or sys.executable), "-c", _LOOK, distribution, *modules]
    try:
        said = subprocess.run(line, capture_output=True, text=True, check=True, timeout=_LOOK_SECONDS).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise BenchmarkError(f"cannot ask {line[0]} what it has installed: {error}", "name a Python") from None
    running, version, origins = json.loads(said)
    if tuple(running) != sys.version_info[:2]:
        theirs, ours = (".".join(map(str, pair)) for pair in (running, sys.version_info[:2]))
        raise BenchmarkError(f"{line[0]} is Python {theirs} and this one {ours}", "make an environment of this version")
    missing = [name for name, origin in origins.items() if origin is None]
    if missing:
        raise BenchmarkError(f"{distribution} is not installed, or not whole: no module {', '.join(missing)}", install)
    return Packages(version, tuple(path for origin in origins.values() for path in _files(Path(origin))))


def _files(origin: Path) -> list[Path]:
    """What has to be there for a module to be imported."""
    if origin.name != "__init__.py":
        return [origin]
    libraries = origin.parent.with_name(f"{origin.parent.name}.libs")  # shared libraries of a wheel
    return [origin.parent, *([libraries] if libraries.is_dir() else [])]


def walled(
    who: str,
    program: str,
    packages: Sequence[Path],
    *,
    shown: Mapping[str, Path] | None = None,
    environment: Mapping[str, str] | None = None,
    memory_files: Sequence[str] = (),
) -> list[str]:
    """The command that runs a Python program inside bubblewrap, to which its arguments can be added.

    The walls are those of a worker of the sandbox, without its capability. The program starts in a small scratch
    directory.

    Args:
        who: the yardstick, for the error.
        program: Python.
        packages: what it may import beside the standard library.
        shown: path inside -> what else lies there, read-only.
        environment: further variables.
        memory_files: folders that are there as file systems in memory; each must be in `shown`, which makes it.

    Raises:
        BenchmarkError: there is no bubblewrap.
    """
    bwrap = find_bubblewrap()
    if bwrap is None:
        raise BenchmarkError(
            f"{who} runs what a model wrote only inside bubblewrap, and there is none",
            "apt install bubblewrap, dnf install bubblewrap, or pacman -S bubblewrap",
        )
    variables = {"PYTHONPATH": PACKAGES, "HOME": SCRATCH, "TMPDIR": SCRATCH, "LANG": "C.UTF-8"}
    variables |= {"OPENBLAS_NUM_THREADS": "1", **(environment or {})}
    beside = {f"{PACKAGES}/{package.name}": package for package in packages}
    *line, end = command(bwrap, variables, beside | dict(shown or {}))
    line += ["--cap-drop", "ALL"]
    for folder in (SCRATCH, *memory_files):
        line += ["--size", str(_SCRATCH_BYTES), "--tmpfs", folder]
    line += ["--chdir", SCRATCH, end]
    return [*line, str(interpreter()), "-s", "-S", "-P", "-B", "-c", program]


def run_group(who: str, line: Sequence[str], text: str, folder: str, seconds: float) -> str:
    """Run a command with all its children in a session of their own, which is killed when it is not wanted any more.

    Args:
        who: the yardstick, for the errors.
        line: the command.
        text: its standard input.
        folder: where it starts.
        seconds: how long it may take.

    Returns:
        Its standard output.

    Raises:
        BenchmarkError: it failed or did not finish.
    """
    with subprocess.Popen(
        line,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, errors = process.communicate(text, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{who} did not finish within {seconds:.0f} s", "take fewer samples") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        last = (errors.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        raise BenchmarkError(f"{who} did not run: {last}", remedy(last) if last.startswith("bwrap") else BY_HAND)
    return said
