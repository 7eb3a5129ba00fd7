"""The engine in a process of its own: what a crash, a hang and an end of either process do to requests.

Most tests run a real process with an engine that misbehaves on demand in it; those marked `model` the real engine.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gguf_files import write_gguf_copy_without_template

from leafwise.runtime.contracts import Completion, FinishReason, Message, Request
from leafwise.runtime.engine import Generation
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import (
    ChatTemplateError,
    ContextOverflowError,
    EngineClosedError,
    EngineCrashedError,
    GrammarError,
    LeafwiseError,
    ModelFileError,
    ModelNotFoundError,
    PrefixFileError,
    UsageError,
)
from leafwise.runtime.isolated import IsolatedEngine
from leafwise.runtime.isolated_process import CHILD_COMMAND

REAL = EngineOptions(context=1024, running=4)
QUICK = EngineOptions(hang_seconds=0.8)
LONG = Request(messages=(Message(role="user", content="Tell me a long story."),), max_tokens=200)
SHORT = Request(messages=(Message(role="user", content="Name a colour."),), max_tokens=4)

UNRULY = (sys.executable, "-P", str(Path(__file__).with_name("unruly_engine.py")))


@pytest.fixture
def engine() -> Iterator[IsolatedEngine]:
    with IsolatedEngine("unruly", QUICK, command=UNRULY) as made:
        yield made


def say(text: str) -> Request:
    return Request(prompt=f"say {text}")


def wait_until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def started(engine: IsolatedEngine, prompt: str) -> Generation:
    generation = engine.submit(Request(prompt=prompt))
    wait_until(lambda: generation.started)
    return generation


def text(completion: Completion) -> str:
    return completion.samples[0].text


def pid_of(engine: IsolatedEngine) -> int:
    wait_until(lambda: engine.pid)
    assert engine.pid is not None
    return engine.pid


def children() -> set[int]:
    """Processes whose parent this one is, dead ones that were not waited for included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# --- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "message", "hint"),
    [
        (f"signal {int(signal.SIGKILL)}", r"killed \(SIGKILL: GGML_ASSERT\(rows > 0\) failed\)", "memory"),
        (f"signal {int(signal.SIGSEGV)}", r"crashed \(SIGSEGV: GGML_ASSERT", "leafwise doctor"),
        (f"signal {int(signal.SIGABRT)}", "crashed .SIGABRT", "leafwise doctor"),
        (f"signal {int(signal.SIGTERM)}", "ended from outside .SIGTERM", "again"),
        ("exit 7", "status 7", "report"),
        ("garbage", "no message", "report"),
        ("lie", "no message", "report"),
        ("huge", "no message|frame of", "report"),
        ("silent", "stopped talking", "report"),
        ("broken", "decode failed", "a hint"),
        ("hang", r"hung \(a step took longer than 0.8 s\)", "hang_seconds"),
    ],
)
def test_what_had_started_fails_and_what_had_not_is_answered(
    engine: IsolatedEngine, prompt: str, message: str, hint: str
) -> None:
    lost = engine.submit(Request(prompt=prompt))
    waiting = [engine.submit(say(f"after-{i}")) for i in range(3)]
    with pytest.raises(EngineCrashedError, match=message) as caught:
        lost.result(timeout=20)
    assert hint in caught.value.hint
    assert [text(g.result(timeout=20)) for g in waiting] == ["after-0", "after-1", "after-2"]
    assert text(engine.submit(say("later")).result(timeout=20)) == "later"
    meter = engine.meter()
    assert meter.restarts == 1
    assert meter.requests == 4


def test_an_abort_of_ggml_says_one_line() -> None:
    found = importlib.util.find_spec("llama_cpp")
    assert found is not None
    assert found.origin is not None
    library = Path(found.origin).with_name("lib") / "libggml-base.so"
    program = f"import ctypes; ctypes.CDLL({str(library)!r}).ggml_abort(b'file.c', 7, b'out of rows')"
    interpreter = CHILD_COMMAND[: CHILD_COMMAND.index(sys.executable) + 1]
    done = subprocess.run([*interpreter, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGABRT, "file.c:7: out of rows\n")


def test_a_request_is_run_again_once_only() -> None:
    with IsolatedEngine("unruly", QUICK, command=UNRULY) as engine:
        with pytest.raises(EngineCrashedError, match="SIGABRT"):
            engine.submit(Request(prompt="crash at submit"))
        assert engine.meter().restarts == 2
        assert text(engine.submit(say("fine")).result(timeout=20)) == "fine"


def test_times_and_deadlines_of_what_is_run_again_count_from_the_first_submission(engine: IsolatedEngine) -> None:
    started(engine, "run")
    waiting = engine.submit(Request(prompt="say x", deadline=100.0))
    time.sleep(0.5)
    os.kill(pid_of(engine), signal.SIGKILL)
    usage = waiting.result(timeout=20).usage
    assert usage.seconds > 0.5
    # the unruly engine says its deadline where a time belongs, and the delay is added to that
    assert usage.first_token_seconds == pytest.approx(100.0)


def test_a_stopped_process_counts_as_hung(engine: IsolatedEngine) -> None:
    lost = started(engine, "run")
    os.kill(pid_of(engine), signal.SIGSTOP)
    waiting: list[str] = []
    submitter = threading.Thread(target=lambda: waiting.append(text(engine.submit(say("x")).result(timeout=20))))
    submitter.start()
    with pytest.raises(EngineCrashedError, match=r"hung.*no sign of life"):
        lost.result(timeout=20)
    submitter.join(20)
    assert waiting == ["x"]


def test_a_process_that_cannot_be_started_again_is_given_up(tmp_path: Path) -> None:
    with IsolatedEngine(str(tmp_path / "starts"), QUICK, command=UNRULY) as engine:
        running = started(engine, "run")
        waiting = engine.submit(say("x"))
        os.kill(pid_of(engine), signal.SIGKILL)
        with pytest.raises(EngineCrashedError, match="SIGKILL"):
            running.result(timeout=20)
        with pytest.raises(EngineCrashedError, match=r"can not be started again.*SIGABRT"):
            waiting.result(timeout=20)
        for call in (engine.submit, engine.count_tokens):
            with pytest.raises(EngineCrashedError, match="can not be started again"):
                call(say("x"))
        assert (tmp_path / "starts").read_text() == "xxxx"
        assert engine.meter().requests == 0
    with pytest.raises(EngineCrashedError, match="SIGABRT"):  # the first start is tried once
        IsolatedEngine(str(tmp_path / "starts"), QUICK, command=UNRULY)
    with pytest.raises(EngineCrashedError, match="can not be started"):
        IsolatedEngine("unruly", QUICK, command=("/nowhere/python",))


def test_a_process_that_dies_while_idle_is_replaced(engine: IsolatedEngine) -> None:
    first = pid_of(engine)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: engine.pid not in (None, first))
    assert engine.count_tokens(say("x")) == 2


class Load:
    """Threads that ask one thing after the other and note how each ended."""

    def __init__(self, engine: IsolatedEngine, make: Callable[[int], Request], threads: int) -> None:
        self.answers: list[Completion] = []
        self.errors: list[Exception] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(engine, make, i)) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def _ask(self, engine: IsolatedEngine, make: Callable[[int], Request], number: int) -> None:
        while not self._over.is_set():
            try:
                self.answers.append(engine.submit(make(number)).result(timeout=60))
            except Exception as error:
                self.errors.append(error)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def kill_under_load(engine: IsolatedEngine, load: Load, kills: int, pauses: Callable[[], float]) -> None:
    for i in range(kills):
        time.sleep(pauses())
        os.kill(pid_of(engine), signal.SIGKILL)
        wait_until(lambda i=i: engine.meter().restarts > i)  # type: ignore[misc]
        if i % 3:  # every third one's successor is killed while it starts; three in a row would be given up
            engine.count_tokens(SHORT)
    assert engine.count_tokens(SHORT) > 0
    load.end()
    assert engine.meter().restarts == kills
    assert {type(error) for error in load.errors} == {EngineCrashedError}
    assert all("SIGKILL" in str(error) for error in load.errors)
    assert load.answers


def test_kills_under_load_lose_no_request() -> None:
    before = children(), open_descriptors()
    with IsolatedEngine("unruly", QUICK, command=UNRULY) as engine:
        load = Load(engine, lambda number: say(f"{number}"), 4)
        kill_under_load(engine, load, 8, lambda: random.uniform(0.0, 0.2))
        assert {text(completion) for completion in load.answers} == {"0", "1", "2", "3"}
    assert (children(), open_descriptors()) == before


# --- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ContextOverflowError, ChatTemplateError, GrammarError])
def test_refusals_are_raised_by_submit_as_themselves(engine: IsolatedEngine, kind: type[LeafwiseError]) -> None:
    with pytest.raises(kind, match=r"^no$") as caught:
        engine.submit(Request(prompt=f"refuse {kind.__name__}"))
    assert caught.value.hint == "a hint"


def test_an_error_that_is_not_ours_is_an_engine_error(engine: IsolatedEngine, tmp_path: Path) -> None:
    with pytest.raises(LeafwiseError, match="FileNotFoundError"):
        engine.load_prefix(tmp_path / "nothing")


def test_prefixes_are_saved_and_loaded_by_the_process(engine: IsolatedEngine, tmp_path: Path) -> None:
    assert engine.save_prefix(say("x"), tmp_path / "prefix") == len("say x")
    assert engine.load_prefix(tmp_path / "prefix") == len("say x")


@pytest.mark.parametrize(
    "wrong",
    [
        Request(prompt="\ud800"),
        Request(prompt="x").model_copy(update={"n": 0}),
        Request(prompt="x", json_schema={"x": float}),
    ],
)
def test_what_can_not_be_sent_is_refused_and_harms_nobody(engine: IsolatedEngine, wrong: Request) -> None:
    pid = engine.pid
    for call in (engine.submit, engine.count_tokens):
        with pytest.raises(UsageError):
            call(wrong)
    deep: dict[str, object] = {}
    for _ in range(250):
        deep = {"not": deep}
    with pytest.raises(UsageError):
        engine.submit(Request(prompt="x", json_schema=deep))
    assert (engine.count_tokens(say("x")), engine.pid) == (2, pid)


def test_cancelling_reaches_the_process(engine: IsolatedEngine) -> None:
    running = started(engine, "run")
    waiting = engine.submit(Request(prompt="run on"))
    for generation in (waiting, running):
        generation.cancel()
    for generation in (running, waiting):
        assert generation.result(timeout=5).samples[0].finish_reason is FinishReason.CANCELLED


def test_a_cancelled_request_that_is_run_again_stays_cancelled(engine: IsolatedEngine) -> None:
    started(engine, "run")
    waiting = engine.submit(Request(prompt="run on"))
    os.kill(pid_of(engine), signal.SIGSTOP)  # it does not hear of it
    waiting.cancel()
    assert waiting.result(timeout=20).samples[0].finish_reason is FinishReason.CANCELLED


def test_log_records_of_the_process_are_records_here(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with IsolatedEngine("unruly", QUICK, command=UNRULY):
        pass
    (record,) = [r for r in caplog.records if r.name == "leafwise.unruly"]
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "opened\x1b")
    assert "".join(capfd.readouterr()) == ""


# --- endings ---------------------------------------------------------------------------------------------------------


def test_closing_cuts_off_what_runs_and_leaves_nothing() -> None:
    before = children(), open_descriptors(), threading.active_count()
    engine = IsolatedEngine("unruly", QUICK, command=UNRULY)
    engine.submit(say("x")).result(timeout=5)
    cut = [started(engine, "run"), engine.submit(say("x"))]
    closers = [threading.Thread(target=engine.close) for _ in range(3)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(10)
    engine.close()
    for generation in cut:
        with pytest.raises(EngineClosedError):
            generation.result(timeout=0)
    with pytest.raises(EngineClosedError):
        engine.submit(say("x"))
    with pytest.raises(EngineClosedError):
        engine.count_tokens(say("x"))
    meter = engine.meter()
    assert (meter.requests, meter.restarts, meter.peak_memory_bytes) == (1, 0, 6)
    assert engine.meter().seconds == meter.seconds
    assert (children(), open_descriptors(), threading.active_count()) == before


def test_closing_ends_a_stopped_process_and_one_that_is_being_started() -> None:
    before = children(), open_descriptors()
    patient = EngineOptions()
    engine = IsolatedEngine("unruly", patient, command=UNRULY)
    os.kill(pid_of(engine), signal.SIGSTOP)
    begin = time.monotonic()
    engine.close()
    assert time.monotonic() - begin < 5
    engine = IsolatedEngine("unruly", patient, command=UNRULY)
    os.kill(pid_of(engine), signal.SIGKILL)
    wait_until(lambda: engine.meter().restarts)
    engine.close()
    assert (children(), open_descriptors()) == before


def test_an_ending_may_close_the_engine(engine: IsolatedEngine) -> None:
    generation, closed = engine.submit(say("x")), threading.Event()
    generation.watch(lambda _: None, lambda _: (engine.close(), closed.set())[1])  # type: ignore[func-returns-value]
    assert closed.wait(10)
    assert text(generation.result(timeout=1)) == "x"


PARENT = """
import sys, time
from leafwise.runtime.contracts import Request
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.isolated import IsolatedEngine
from leafwise.runtime.isolated_process import CHILD_COMMAND
engine = IsolatedEngine("unruly", EngineOptions(), command=tuple(sys.argv[2:]))
generation = engine.submit(Request(prompt="run"))
print(engine.pid, "llama_cpp" in sys.modules, flush=True)
if sys.argv[1] == "wait":
    time.sleep(60)
"""


@pytest.mark.parametrize("end", ["killed", "exits"])
def test_the_process_ends_with_its_parent(end: str) -> None:
    how = "wait" if end == "killed" else "go"
    with subprocess.Popen([sys.executable, "-c", PARENT, how, *UNRULY], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, imported = parent.stdout.readline().split()
        assert imported == "False"
        if end == "killed":
            parent.kill()
        assert parent.wait(10) == (-signal.SIGKILL if end == "killed" else 0)
    wait_until(lambda: not alive(int(pid)))


# --- the real engine -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Iterator[IsolatedEngine]:
    with IsolatedEngine("smollm2-135m", REAL) as made:
        yield made


@pytest.mark.model
def test_the_real_engine_answers_from_its_process(real: IsolatedEngine, tmp_path: Path) -> None:
    generation = real.submit(SHORT)
    pieces = list(generation)
    completion = generation.result()
    assert "".join(piece.text for piece in pieces) == text(completion) != ""
    assert completion.usage.prompt_tokens == real.count_tokens(SHORT) > 0
    assert generation.started
    assert real.info.context == REAL.context
    assert "own process" in real.info.detail
    long = real.submit(LONG)
    next(iter(long))
    long.cancel()
    assert long.result(timeout=20).samples[0].finish_reason is FinishReason.CANCELLED
    kept = real.save_prefix(SHORT, tmp_path / "prefix")
    assert kept == real.load_prefix(tmp_path / "prefix") > 0
    meter = real.meter()
    assert meter.requests >= 2
    assert meter.decoded_tokens > 0
    assert meter.restarts == 0


@pytest.mark.model
def test_the_real_engine_refuses_at_submit(real: IsolatedEngine, tmp_path: Path) -> None:
    with pytest.raises(ContextOverflowError, match="context"):
        real.submit(Request(prompt="word " * 2000, max_tokens=16))
    with pytest.raises(GrammarError):
        real.submit(SHORT.model_copy(update={"json_schema": {"$ref": "#/nowhere"}}))
    with pytest.raises(PrefixFileError):
        real.load_prefix(tmp_path / "nothing")


@pytest.mark.model
def test_opening_errors_are_raised_as_themselves(tmp_path: Path, model_path: Path) -> None:
    before = children(), open_descriptors()
    with pytest.raises(ModelNotFoundError, match="no model is called"):
        IsolatedEngine("smollm9", REAL)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelFileError):
        IsolatedEngine(str(broken), REAL)
    bare = write_gguf_copy_without_template(model_path, tmp_path / "bare.gguf")
    with pytest.raises(ChatTemplateError, match="no chat template") as caught:
        IsolatedEngine(str(bare), REAL)
    assert "Instruct" in caught.value.hint
    assert (children(), open_descriptors()) == before


@pytest.mark.model
def test_twenty_kills_of_the_real_engine(model_path: Path) -> None:
    before = children(), open_descriptors()
    with IsolatedEngine(str(model_path), REAL) as engine:
        load = Load(engine, lambda number: (SHORT, SHORT, LONG)[number % 3], 6)
        kill_under_load(engine, load, 20, lambda: random.uniform(0.0, 0.3))
    assert (children(), open_descriptors()) == before
