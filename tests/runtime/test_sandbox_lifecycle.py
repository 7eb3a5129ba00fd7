from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from leafwise.runtime.errors import SandboxBrokenError, SandboxError, SandboxUnavailableError
from leafwise.runtime.sandbox import open_sandbox, probe_layers
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, SandboxLevel, Status

pytestmark = pytest.mark.sandbox
LEVELS = [SandboxLevel.FULL, SandboxLevel.LANDLOCK, SandboxLevel.NONE]
DOUBLE = Program(source="def f(x):\n    return 2 * x\n", checks=(Check(code="f(4)", expected="8"),))


def descendants() -> set[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def own_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder that only this test writes to, and every user can."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.setenv("TMPDIR", name)
        yield Path(name)


@pytest.mark.parametrize("level", LEVELS)
def test_close_leaves_nothing(level: SandboxLevel, own_tmp: Path) -> None:
    before = descendants(), open_descriptors(), list(own_tmp.iterdir())
    sandbox = open_sandbox(level, workers=2)
    with ThreadPoolExecutor(2) as threads:
        assert all(v.passed for v in threads.map(sandbox.run, [DOUBLE] * 20))
    assert descendants() - before[0]
    sandbox.close()
    sandbox.close()
    assert (descendants(), open_descriptors(), list(own_tmp.iterdir())) == before
    with pytest.raises(SandboxError):
        sandbox.run(DOUBLE)


def test_more_callers_than_workers() -> None:
    with open_sandbox(SandboxLevel.FULL, workers=2) as sandbox, ThreadPoolExecutor(8) as threads:
        programs = [
            Program(source=f"def f(x):\n    return x * {n}\n", checks=(Check(code="f(3)", expected=str(3 * n)),))
            for n in range(40)
        ]
        assert all(v.passed for v in threads.map(sandbox.run, programs))


def test_a_fork_of_the_process_does_not_close_its_sandbox() -> None:
    with open_sandbox(workers=1) as sandbox:
        assert sandbox.run(DOUBLE).passed
        before = descendants()
        if not (child := os.fork()):
            sandbox.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert sandbox.run(DOUBLE).passed
        assert descendants() == before


def test_close_while_a_program_runs() -> None:
    before = descendants()
    sandbox = open_sandbox(SandboxLevel.FULL, workers=1)
    threading.Timer(0.3, sandbox.close).start()
    start = time.monotonic()
    with pytest.raises(SandboxBrokenError):
        sandbox.run(Program(source="import time\ntime.sleep(60)"), Limits(wall_seconds=60))
    assert time.monotonic() - start < 10
    sandbox.close()
    assert descendants() == before


@pytest.mark.parametrize("level", [SandboxLevel.FULL, SandboxLevel.LANDLOCK])
def test_a_worker_that_dies_is_replaced(level: SandboxLevel) -> None:
    before = descendants()
    with open_sandbox(level, workers=1) as sandbox:
        for pid in descendants() - before:
            os.kill(pid, signal.SIGKILL)
        assert sandbox.run(DOUBLE).passed


PARENT = """
import sys, threading, time
from leafwise.runtime.sandbox_contracts import Limits, Program, SandboxLevel
from leafwise.runtime.sandbox import open_sandbox
sandbox = open_sandbox(SandboxLevel(sys.argv[1]), workers=1)
endless = Program(source="while True: pass"), Limits(cpu_seconds=60, wall_seconds=60)
threading.Thread(target=sandbox.run, args=endless, daemon=True).start()
time.sleep(0.3)
print("running", flush=True)
if sys.argv[2] == "wait":
    time.sleep(60)
"""


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("how", ["wait", "exit"])
def test_nothing_outlives_the_parent(level: SandboxLevel, how: str, own_tmp: Path) -> None:
    before = set(Path("/proc").glob("[0-9]*"))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, level.value, how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    with parent.stdout as out:
        assert out.readline() == b"running\n"
        started = _python_or_bwrap(set(Path("/proc").glob("[0-9]*")) - before, parent.pid)
        if how == "wait":
            assert started
            parent.kill()
        parent.wait(20)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(_alive(path) for path in started):
        time.sleep(0.02)
    assert not [path for path in started if _alive(path)]
    assert not list(own_tmp.iterdir())


def _python_or_bwrap(paths: set[Path], parent: int) -> set[Path]:
    """Of some processes, those whose chain of parents leads to `parent`."""
    chosen: set[Path] = set()
    for path in paths:
        at = path
        for _ in range(6):
            try:
                above = (at / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                break
            if above == str(parent):
                chosen.add(path)
            at = Path("/proc") / above
    return chosen


def _alive(path: Path) -> bool:
    try:
        return (path / "stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_without_bubblewrap_it_falls_back_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with caplog.at_level(logging.WARNING), open_sandbox(workers=1) as sandbox:
        assert sandbox.level is SandboxLevel.LANDLOCK
        verdict = sandbox.run(DOUBLE)
        assert verdict.passed
        assert verdict.level is SandboxLevel.LANDLOCK
    assert len(caplog.records) == 1
    assert "bubblewrap is not installed" in caplog.text
    assert "apt install bubblewrap" in caplog.text


def test_a_refusing_bubblewrap_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with caplog.at_level(logging.WARNING), open_sandbox(workers=1) as sandbox:
        assert sandbox.level is SandboxLevel.LANDLOCK
    assert "bwrap: setting up uid map: Permission denied" in caplog.text
    assert "AppArmor" in caplog.text
    with pytest.raises(SandboxUnavailableError, match="setting up uid map") as caught:
        open_sandbox(SandboxLevel.FULL, workers=1)
    assert "AppArmor" in caught.value.hint


def test_neither_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("leafwise.runtime.sandbox_probe.landlock_abi", lambda: 0)
    before = open_descriptors()
    with pytest.raises(SandboxUnavailableError) as caught:
        open_sandbox(workers=1)
    assert "apt install bubblewrap" in caught.value.hint
    assert "Linux 5.13" in caught.value.hint
    assert open_descriptors() == before


def test_full_without_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leafwise.runtime.sandbox_worker.landlock_abi", lambda: 0)
    with open_sandbox(SandboxLevel.FULL, workers=1) as sandbox:
        assert sandbox.run(DOUBLE).passed


def test_other_systems_are_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(SandboxUnavailableError) as caught:
        open_sandbox()
    assert "WSL2" in caught.value.hint
    assert [report.name for report in probe_layers()] == ["level"]


def test_none_warns_on_each_open(caplog: pytest.LogCaptureFixture) -> None:
    for opened in (1, 2):
        with open_sandbox(SandboxLevel.NONE, workers=1) as sandbox:
            assert sandbox.run(DOUBLE).level is SandboxLevel.NONE
        assert len(caplog.records) == opened


def test_scripted_is_not_opened() -> None:
    with pytest.raises(SandboxUnavailableError):
        open_sandbox(SandboxLevel.SCRIPTED)


def test_probe_names_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = {report.name: report for report in probe_layers()}
    assert list(reports)[-1] == "level"
    assert {"bubblewrap", "user namespaces", "Landlock", "seccomp"} <= set(reports)
    monkeypatch.setenv("PATH", "/nowhere")
    reports = {report.name: report for report in probe_layers()}
    assert not reports["bubblewrap"].available
    assert "apt install bubblewrap" in reports["bubblewrap"].remedy


def test_status_is_never_passed_without_the_testers_word() -> None:
    from leafwise.runtime.inside_report import Report
    from leafwise.runtime.sandbox_job import Outcome
    from leafwise.runtime.sandbox_verdict import verdict_of

    report = Report("", solver=0, tester=0, cpu=0.0, clean=True)
    told: list[list[dict[str, Any]]] = [
        [],
        [{"loaded": True}],
        [{"end": True}],
        [{"check": {"passed": "maybe"}}, {"end": True}],
        [{"check": []}],
    ]
    for messages in told:
        verdict = verdict_of(DOUBLE, Limits(), Outcome(report, messages), SandboxLevel.FULL)
        assert verdict.status in (Status.FAILED, Status.CRASHED)
