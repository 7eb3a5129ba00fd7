"""The first decode in a child: simulated crashes, remembered verdicts, and the real thing."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from leafwise.runtime import probe as probe_module
from leafwise.runtime.errors import EngineCrashedError, EngineError, ModelFileError
from leafwise.runtime.native_build import reinstall_command
from leafwise.runtime.paths import cache_dir
from leafwise.runtime.probe import ProbeVerdict, child_command, model_fingerprint, probe

DIE = "import os, signal; os.kill(os.getpid(), signal.{})"


class Children:
    """Stands for the child: one program without, one with safe parameters; counts what is started."""

    def __init__(self, plain: str, safe: str = "") -> None:
        self.programs = {False: plain, True: safe}
        self.started: list[bool] = []

    def __call__(self, path: Path, safe: bool) -> list[str]:
        self.started.append(safe)
        return [sys.executable, "-c", self.programs[safe]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + str(tmp_path).encode())
    return path


@pytest.fixture(autouse=True)
def some_library(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Which build is installed is not what these tests are about, except those of the real model."""
    if request.node.get_closest_marker("model") is None:
        monkeypatch.setattr(probe_module, "_library", lambda: ("0.3.36", "build"))


def test_a_child_that_lives(model: Path) -> None:
    children = Children("")
    verdict = probe(model, command=children)
    assert (verdict.ok, verdict.safe_mode, verdict.reason, verdict.cached) == (True, False, "", False)
    assert verdict.warning == ""
    assert children.started == [False]


def test_a_verdict_is_remembered(model: Path) -> None:
    children = Children("")
    first = probe(model, command=children)
    second = probe(model, command=children)
    assert second == first.model_copy(update={"cached": True})
    assert len(children.started) == 1


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGABRT", "SIGBUS", "SIGFPE"])
def test_a_crash_falls_back_to_safe_parameters(model: Path, name: str) -> None:
    children = Children(DIE.format(name))
    verdict = probe(model, command=children)
    assert verdict.ok
    assert verdict.safe_mode
    assert verdict.reason == f"the installed llama.cpp build crashes on this CPU ({name})"
    assert verdict.warning.startswith(verdict.reason)
    assert reinstall_command() in verdict.warning
    assert children.started == [False, True]
    assert probe(model, command=children).safe_mode
    assert len(children.started) == 2


def test_the_last_words_of_a_crash_are_kept(model: Path) -> None:
    program = "import sys; sys.stderr.write('GGML_ASSERT(x) failed\\n\\n'); sys.stderr.flush(); " + DIE.format(
        "SIGABRT"
    )
    assert "(SIGABRT: GGML_ASSERT(x) failed)" in probe(model, command=Children(program)).reason


def test_a_crash_with_safe_parameters_too(model: Path) -> None:
    children = Children(DIE.format("SIGSEGV"), DIE.format("SIGSEGV"))
    with pytest.raises(EngineCrashedError, match=r"crashes on this CPU.*with safe parameters too") as caught:
        probe(model, command=children)
    assert reinstall_command() in caught.value.hint
    with pytest.raises(EngineCrashedError):
        probe(model, command=children)
    assert len(children.started) == 4, "a build that never worked is tried again each time: it may have been mended"


@pytest.mark.parametrize(("name", "text"), [("SIGKILL", "too little memory"), ("SIGTERM", "ended from outside")])
def test_a_signal_from_outside_is_no_crash(model: Path, name: str, text: str) -> None:
    children = Children(DIE.format(name))
    with pytest.raises(EngineCrashedError, match=text):
        probe(model, command=children)
    assert children.started == [False]


def test_an_error_of_ours_comes_back_as_itself(model: Path) -> None:
    report = '{"error": "ModelFileError", "message": "not a GGUF", "hint": "get another"}'
    with pytest.raises(ModelFileError, match="not a GGUF") as caught:
        probe(model, command=Children(f"print('noise'); print('{report}'); raise SystemExit(3)"))
    assert caught.value.hint == "get another"


@pytest.mark.parametrize("output", ["", "nothing like JSON", '{"error": "LeafwiseError"}', "[1]"])
def test_a_damaged_report_is_an_error_too(model: Path, output: str) -> None:
    with pytest.raises(EngineCrashedError, match="without saying why"):
        probe(model, command=Children(f"print('{output}'); raise SystemExit(3)"))


def test_a_report_can_only_name_our_errors(model: Path) -> None:
    report = '{"error": "annotations", "message": "m", "hint": ""}'
    with pytest.raises(EngineError, match="m"):
        probe(model, command=Children(f"print('{report}'); raise SystemExit(3)"))


def test_any_other_failure_shows_its_last_line(model: Path) -> None:
    with pytest.raises(EngineCrashedError, match="ValueError: odd"):
        probe(model, command=Children("raise ValueError('odd')"))


def test_a_child_that_hangs(model: Path) -> None:
    with pytest.raises(EngineCrashedError, match="within 0 s"):
        probe(model, command=Children("import time; time.sleep(60)"), timeout=0.3)


class TestMemory:
    def test_another_file_is_tried_again(self, model: Path) -> None:
        children = Children("")
        probe(model, command=children)
        model.write_bytes(model.read_bytes() + b".")
        probe(model, command=children)
        assert len(children.started) == 2

    def test_another_build_of_the_same_version_is_tried_again(
        self, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else the reinstall command would not restore full speed."""
        children = Children(DIE.format("SIGSEGV"))
        assert probe(model, command=children).safe_mode
        monkeypatch.setattr(probe_module, "_library", lambda: ("0.3.36", "another build"))
        assert not probe(model, command=Children("")).safe_mode

    def test_fresh_tries_again_and_remembers(self, model: Path) -> None:
        probe(model, command=Children(DIE.format("SIGSEGV")))
        assert not probe(model, command=Children(""), fresh=True).safe_mode
        assert not probe(model, command=Children("")).safe_mode

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"ok": true}', b"[]"])
    def test_a_damaged_file_is_as_none(self, model: Path, content: bytes) -> None:
        children = Children("")
        probe(model, command=children)
        for path in (cache_dir() / "probe").iterdir():
            path.write_bytes(content)
        assert not probe(model, command=children).cached
        assert probe(model, command=children).cached

    def test_an_unwritable_cache_only_forgets(
        self, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        children = Children("")
        assert probe(model, command=children).ok
        assert probe(model, command=children).ok
        assert len(children.started) == 2

    def test_concurrent_writers(self, model: Path) -> None:
        verdicts: list[ProbeVerdict] = []
        threads = [
            threading.Thread(target=lambda: verdicts.append(probe(model, command=Children("")))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(verdicts) == 8
        assert probe(model, command=Children("")).cached
        assert not list((cache_dir() / "probe").glob("*.tmp"))


def test_fingerprint(model: Path, tmp_path: Path) -> None:
    assert model_fingerprint(model) == model_fingerprint(model)
    with pytest.raises(ModelFileError, match="can not be read"):
        model_fingerprint(tmp_path / "nothing.gguf")
    with pytest.raises(ModelFileError):
        model_fingerprint(tmp_path)


def test_without_the_library(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match="llama-cpp-python is not installed") as caught:
        probe(model, command=Children(""))
    assert reinstall_command() in caught.value.hint


@pytest.mark.model
class TestRealModel:
    def test_it_computes(self, model_path: Path) -> None:
        verdict = probe(model_path, fresh=True)
        assert verdict.ok
        assert not verdict.safe_mode, verdict.reason
        assert probe(model_path).cached

    def test_safe_parameters_compute(self, model_path: Path) -> None:
        done = subprocess.run(child_command(model_path, True), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr

    def test_a_broken_file_is_reported(self, tmp_path: Path, model_path: Path) -> None:
        broken = tmp_path / "broken.gguf"
        with model_path.open("rb") as file:
            broken.write_bytes(file.read(1 << 20))
        with pytest.raises(ModelFileError):
            probe(broken)

    def test_a_remembered_verdict_costs_little_and_loads_nothing(self, model_path: Path) -> None:
        probe(model_path)
        program = (
            "import sys, time\nfrom pathlib import Path\nfrom leafwise.runtime.probe import probe\n"
            f"started = time.process_time()\nverdict = probe(Path({str(model_path)!r}))\n"
            "print(verdict.cached, 'llama_cpp' in sys.modules, time.process_time() - started)"
        )
        best = 1.0
        for _ in range(3):
            done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
            cached, loaded, seconds = done.stdout.split()
            assert (cached, loaded) == ("True", "False")
            best = min(best, float(seconds))
        assert best < 0.020
