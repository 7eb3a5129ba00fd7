"""Jobs in threads and in processes: every job comes back once, whatever dies, and nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from team_script import judge_by, scripted_team
from tiny_jobs import MODEL, OPTIONS, essence, tiny_jobs

from leafwise.benchmarks.code_hash import code_identity
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.executor_local import LocalExecutor
from leafwise.benchmarks.executor_processes import ProcessExecutor
from leafwise.benchmarks.executor_station import (
    GenerationSetup,
    GenerationStation,
    lasting_model,
)
from leafwise.runtime.contracts import Request
from leafwise.runtime.engine import Generation
from leafwise.runtime.errors import EngineClosedError, EngineCrashedError, ModelNotFoundError, UsageError
from leafwise.runtime.paths import file_sha256
from leafwise.runtime.sandbox_contracts import SandboxLevel
from leafwise.runtime.scripted import ScriptedEngine

ANSWER = "```python\ndef f(x):\n    return x\n```"


class CrashingEngine(ScriptedEngine):
    """Crashes over some of its first requests."""

    def __init__(self, crashes: Callable[[int], bool]) -> None:
        super().__init__(lambda _request, _index: ANSWER)
        self._crashes = crashes

    def __enter__(self) -> CrashingEngine:
        return self

    def submit(self, request: Request) -> Generation:
        generation = super().submit(request)
        if self._crashes(len(self.requests)):
            raise EngineCrashedError("the engine's process crashed", "try it again")
        return generation


def wait_until(true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def job_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "leafwise-job"]


# --- threads ----------------------------------------------------------------------------------------------------------


def test_threads_do_every_job_once_and_leave_a_given_engine_open() -> None:
    engine = scripted_team({"draft": ANSWER})
    jobs = tiny_jobs(12)
    with closing(LocalExecutor(engine, sandbox=judge_by(lambda _: True), parallel=3)) as executor:
        outcomes = list(executor.run(jobs))
        assert sorted(o.job.key for o in outcomes) == sorted(job.key for job in jobs)
        assert all(o.generated and o.generated.sample.key == o.job.key and o.joules is None for o in outcomes)
        again = list(executor.run(jobs[:2]))
    assert len(again) == 2
    assert engine.submit(engine.requests[0]).result()


def test_an_error_of_one_job_is_its_outcome() -> None:
    def reply(request: Request, _index: int) -> str:
        return "x" * (1 << 20) if "factorial" in request.messages[-1].content else ANSWER

    engine = ScriptedEngine(reply)
    jobs = tiny_jobs(4)
    broken = jobs[1].model_copy(update={"task": jobs[1].task.model_copy(update={"statement": "word " * 9000})})
    with closing(LocalExecutor(engine, sandbox=judge_by(lambda _: True), parallel=2)) as executor:
        outcomes = list(executor.run([jobs[0], broken, jobs[2]]))
    errors = [o for o in outcomes if o.generated is None]
    assert [o.job for o in errors] == [broken]
    assert "context" in errors[0].error
    assert len(outcomes) == 3


def test_a_crash_is_tried_again_and_a_crash_for_good_ends_the_run() -> None:
    jobs = tiny_jobs(6)
    with closing(LocalExecutor(CrashingEngine(lambda n: n in (2, 3)), sandbox=judge_by(lambda _: True))) as executor:
        outcomes = list(executor.run(jobs))
    assert sorted(o.job.key for o in outcomes if o.generated) == sorted(job.key for job in jobs)
    with closing(LocalExecutor(CrashingEngine(lambda n: n > 2), sandbox=judge_by(lambda _: True))) as executor:
        found = executor.run(tiny_jobs(30))
        assert next(found).generated
        with pytest.raises(EngineCrashedError):
            list(found)
    wait_until(lambda: not job_threads())


def test_a_closed_engine_ends_the_run() -> None:
    engine = scripted_team({"draft": ANSWER})
    engine.close()
    with (
        closing(LocalExecutor(engine, sandbox=judge_by(lambda _: True))) as executor,
        pytest.raises(EngineClosedError),
    ):
        list(executor.run(tiny_jobs(3)))


@pytest.mark.model
@pytest.mark.sandbox
def test_closing_the_iterator_stops_the_threads_at_once() -> None:
    with closing(LocalExecutor(MODEL, OPTIONS.model_copy(update={"deterministic": False}), parallel=2)) as executor:
        outcomes = executor.run(tiny_jobs(10, tokens=300))
        assert next(outcomes).generated
        began = time.monotonic()
        outcomes.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 5
        assert not job_threads()
        assert len(essence(executor.run(tiny_jobs(1)))) == 1, "it can be used again"


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.sandbox
def test_processes_give_what_threads_give_even_if_one_is_killed() -> None:
    jobs = tiny_jobs(6)
    with closing(LocalExecutor(MODEL, OPTIONS, parallel=2)) as local:
        expected = essence(local.run(jobs))
    with closing(ProcessExecutor(MODEL, OPTIONS, processes=2)) as executor:
        outcomes = []
        for outcome in executor.run(jobs):
            outcomes.append(outcome)
            if len(outcomes) == 2:
                killed = executor.pids[0]
                os.kill(killed, signal.SIGKILL)
        pids = executor.pids
        assert essence(outcomes) == expected
        assert killed not in pids
    assert not any(map(psutil.pid_exists, [killed, *pids]))


def test_a_process_that_can_not_open_the_model_is_an_error(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + bytes(100))
    with closing(ProcessExecutor(str(damaged), OPTIONS)) as executor:
        for _ in range(2):  # and again, instead of waiting for ever
            with pytest.raises(Exception, match=r"process \d: ") as caught:
                list(executor.run(tiny_jobs(1)))
            assert type(caught.value).__name__ == "ModelFileError"
            assert executor.pids == []


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from tiny_jobs import MODEL, OPTIONS, tiny_jobs
from leafwise.benchmarks.executor_processes import ProcessExecutor
executor = ProcessExecutor(MODEL, OPTIONS.model_copy(update={"isolated": True}), processes=2)
for outcome in executor.run(tiny_jobs(50, tokens=200)):
    print("one", flush=True)
"""


@pytest.mark.model
@pytest.mark.sandbox
def test_processes_end_with_a_parent_that_is_killed() -> None:
    command = [sys.executable, "-c", PARENT, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "one\n"
        family = psutil.Process(parent.pid).children(recursive=True)
        assert len(family) > 2
        parent.kill()
    wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family))


# --- what crosses -----------------------------------------------------------------------------------------------------


def test_names_of_models_that_other_processes_find(
    tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lasting_model(MODEL, "--processes") == MODEL
    (tmp_path / "link.gguf").symlink_to(model_path)
    monkeypatch.chdir(tmp_path)
    assert lasting_model("link.gguf", "--processes") == str(tmp_path / "link.gguf")
    with pytest.raises(UsageError, match="--ray and a model behind a URL"):
        lasting_model("http://127.0.0.1:1/v1", "--ray")
    with pytest.raises(ModelNotFoundError):
        lasting_model("nothing", "--ray")


def test_a_station_refuses_another_file_of_the_same_name(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    setup = GenerationSetup(
        model=str(model_path),
        engine=OPTIONS,
        sandbox=SandboxLevel.NONE,
        sandbox_workers=1,
        parallel=1,
        model_sha256="0" * 64,
        measures_energy=True,
    )
    with pytest.raises(BenchmarkError, match=r"another file here: SHA-256 [0-9a-f]{12}\.\.\., expected 0{12}\."):
        GenerationStation(setup)


def test_the_identity_of_the_code_is_stable() -> None:
    assert code_identity() == code_identity()
    assert "sources" in code_identity()
