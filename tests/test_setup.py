"""The set-up commands: what the Makefile and .ci/run promise, tried without building anything."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments: str, folder: Path = ROOT, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [shutil.which("make") or "make", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def fake(folder: Path, name: str, body: str = "exit 0") -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the set-up looks at, in a folder whose path holds no surprise."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "runtime", folder / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with the basic tools only: no Python, no bubblewrap, no apt-get."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("sh", "echo", "touch", "mkdir", "rm", "id", "uname", "sed"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def test_help_is_the_default_and_names_every_target() -> None:
    done = make()
    assert done.returncode == 0, done.stderr
    for target in ("demo", "test", "lint", "format", "clean", "help"):
        assert re.search(rf"^  make {target} ", done.stdout, re.MULTILINE), target


def test_no_python_is_said_in_two_lines(checkout: Path, tools: Path) -> None:
    done = make("setup", folder=checkout, path=str(tools))
    assert done.returncode == 2
    assert "error: no Python 3.11 or newer" in done.stderr
    assert "hint: " in done.stderr
    assert not (checkout / ".venv").exists()


def test_an_old_python_is_not_taken(checkout: Path, tools: Path) -> None:
    fake(tools, "python3", "exit 1")  # the version test says no
    fake(tools, "python3.12", 'case "$1" in -c) exit 0;; *) echo "took $0 $*" >&2; exit 1;; esac')
    done = make("setup", folder=checkout, path=str(tools))
    assert f"took {tools}/python3.12 -m venv" in done.stderr
    assert done.returncode == 2
    assert "hint: apt-get install python3-venv" in done.stderr


class TestBubblewrap:
    STAMP = ".venv/.stamps/bubblewrap"

    @pytest.fixture
    def ready(self, checkout: Path) -> Path:
        stamps = checkout / ".venv/.stamps"
        stamps.mkdir(parents=True)
        (stamps / "venv").touch()
        return checkout

    @pytest.mark.skipif(os.uname().sysname != "Linux", reason="Linux only")
    def test_without_root_it_is_said(self, ready: Path, tools: Path) -> None:
        (tools / "id").unlink()
        fake(tools, "id", "echo 1000")
        fake(tools, "apt-get", "echo must not run >&2")
        fake(tools, "sudo", "echo must not run >&2")
        done = make(self.STAMP, folder=ready, path=str(tools))
        assert done.returncode == 0
        assert "bubblewrap is not installed: programs run at the Landlock level; to get the full level: " in done.stdout
        assert "must not run" not in done.stderr
        assert not (ready / self.STAMP).exists(), "so that the next set-up looks again"

    def test_as_root_it_is_installed(self, ready: Path, tools: Path) -> None:
        (tools / "id").unlink()
        fake(tools, "id", "echo 0")
        fake(tools, "apt-get", f'echo "$@" >> {ready}/apt; : > {tools}/bwrap; /bin/chmod +x {tools}/bwrap')
        done = make(self.STAMP, folder=ready, path=str(tools))
        assert done.returncode == 0
        assert "Landlock level" not in done.stdout
        assert (ready / "apt").read_text(encoding="utf-8") == "install -y -qq bubblewrap\n"
        assert (ready / self.STAMP).exists()

    def test_a_failing_apt_is_no_failure(self, ready: Path, tools: Path) -> None:
        (tools / "id").unlink()
        fake(tools, "id", "echo 0")
        fake(tools, "apt-get", "exit 100")
        assert make(self.STAMP, folder=ready, path=str(tools)).returncode == 0


def test_nothing_needs_more_rights() -> None:
    assert not re.search(r"\bsudo\b", MAKEFILE)


def test_no_machine_and_no_registry_is_named() -> None:
    for name in ("Makefile", "constraints.txt", ".ci/run"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"--(extra-)?index-url|--find-links|trusted-host|/root|/home/|/opt/", text), name


def test_ci_run_is_strict_and_runs_everything() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "set -euo pipefail" in script
    assert "make lint" in script
    assert "make test" in script
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_clean_removes_what_setup_makes(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / "runtime/__pycache__").mkdir()
    assert make("clean", folder=checkout).returncode == 0
    assert not (checkout / ".venv").exists()
    assert not (checkout / "runtime/__pycache__").exists()
    assert (checkout / "runtime/cli.py").exists()
