"""A real Ray cluster of two nodes on this machine, one of which is killed in the middle."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tiny_answers import tiny_answers
from tiny_jobs import MODEL, tiny_jobs

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.executor_ray import RayExecutor

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the package ray is not installed")
SECONDS = 240  # for a machine that is very busy; 40 on one that is not


@pytest.fixture
def session() -> Iterator[Path]:
    """Ray's sockets lie below it: their paths must be shorter than those of `tmp_path`."""
    folder = Path(tempfile.mkdtemp(prefix="lw-ray-"))
    yield folder
    for process in of_session(folder):
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def of_session(folder: Path) -> list[psutil.Process]:
    """The processes that were started with this folder, by their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("RAY_TMPDIR") == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


@needs_ray
@pytest.mark.model
@pytest.mark.sandbox
def test_a_cluster_judges_as_it_is_done_here_and_loses_no_job_with_a_node(session: Path) -> None:
    environment = os.environ | {
        "RAY_TMPDIR": str(session),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]),
    }
    command = [sys.executable, str(Path(__file__).with_name("ray_scenario.py"))]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)  # and nothing else: Ray must not write on the command's output
    assert sorted(map(tuple, said["jobs"])) == sorted(job.key for job in tiny_jobs(8))
    assert said["equal"], "other samples than a local run gives"
    assert "other code runs there" in said["other_code"]
    assert said["without_room"].startswith("BenchmarkError: no worker is left on the Ray cluster")
    assert said["verdicts_equal"], said["verdicts"]
    assert len(said["verdicts"]) == len(tiny_answers())
    assert said["stranger"] == "there is no task T/9"
    end = time.monotonic() + 20
    while left := of_session(session):
        assert time.monotonic() < end, left
        time.sleep(0.2)


@needs_ray
def test_a_cluster_that_is_not_there_is_an_error_soon() -> None:
    began = time.monotonic()
    with pytest.raises(BenchmarkError, match=r"no Ray cluster answers at 127\.0\.0\.1:1: .*refused"):
        RayExecutor("127.0.0.1:1", MODEL)
    assert time.monotonic() - began < 30


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BenchmarkError) as caught:
        RayExecutor("auto", MODEL)
    assert caught.value.hint == "pip install 'leafwise[ray]'"
