"""What the doctor says, and when it says that `solve` can work."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from leafwise.runtime import doctor, doctor_cli, sandbox_conformance
from leafwise.runtime.cpu import Cpu
from leafwise.runtime.doctor import Finding, Report, State, judge_build, judge_conformance, judge_layers
from leafwise.runtime.errors import EngineCrashedError, ModelNotFoundError, SandboxUnavailableError
from leafwise.runtime.models import ResolvedModel
from leafwise.runtime.native_build import reinstall_command
from leafwise.runtime.probe import ProbeVerdict
from leafwise.runtime.sandbox import LayerReport
from leafwise.runtime.sandbox_conformance import CaseResult
from leafwise.runtime.sandbox_contracts import SandboxLevel

INFO = "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | F16C = 1 | FMA = 1 | AVX512 = 0 | REPACK = 1 | "
VERDICT = ProbeVerdict(
    ok=True, safe_mode=False, reason="", library_version="1", library_build="b", cpu="c", model="m", seconds=0.5
)


def cpu(*features: str) -> Cpu:
    return Cpu("x86_64", "some", frozenset(features))


class TestBuild:
    def test_a_build_for_this_cpu(self) -> None:
        finding = judge_build(cpu("avx", "avx2", "fma", "f16c"), "0.3.36", INFO)
        assert finding.state is State.OK
        assert "AVX2" in finding.detail
        assert "AVX512" not in finding.detail

    def test_a_build_for_a_lesser_cpu(self) -> None:
        finding = judge_build(cpu("avx2", "avx512f"), "0.3.36", INFO)
        assert finding.state is State.WARN
        assert "this CPU also has avx512f" in finding.detail
        assert finding.remedy == reinstall_command()

    def test_amx_that_is_left_out_on_purpose(self) -> None:
        assert judge_build(cpu("avx2", "amx_int8"), "0.3.36", INFO).state is State.OK


class TestLayers:
    def states(self, **available: bool) -> dict[str, State]:
        layers = [LayerReport(name=name, available=value, detail="found") for name, value in available.items()]
        return {finding.name: finding.state for finding in judge_layers(layers)}

    def test_all(self) -> None:
        assert self.states(bubblewrap=True, level=True) == {"sandbox: bubblewrap": State.OK, "sandbox": State.OK}

    def test_a_missing_layer_is_a_warning_while_a_level_works(self) -> None:
        assert self.states(bubblewrap=False, level=True)["sandbox: bubblewrap"] is State.WARN

    def test_no_level(self) -> None:
        assert self.states(bubblewrap=True, level=False)["sandbox"] is State.MISSING


class TestConformance:
    PASSED = CaseResult(name="raises", passed=True)
    SKIPPED = CaseResult(name="forks", passed=False, skipped="asked of level full, not of level none")
    FAILED = CaseResult(name="cpu-limit", passed=False, detail="status: expected timeout, observed passed")

    def findings(self, *results: CaseResult) -> list[Finding]:
        return list(judge_conformance(SandboxLevel.NONE, list(results)))

    def test_all_pass(self) -> None:
        (count,) = self.findings(self.PASSED, self.SKIPPED)
        assert count.state is State.OK
        assert count.detail == "level none: 1 cases passed, 0 failed, 1 not asked of this level"
        assert not count.remedy

    def test_a_line_for_each_that_failed(self) -> None:
        failed, count = self.findings(self.PASSED, self.FAILED)
        assert failed.name == "conformance: cpu-limit"
        assert failed.detail == "status: expected timeout, observed passed"
        assert failed.state is count.state is State.MISSING
        assert "--conformance --json" in count.remedy

    @pytest.mark.sandbox
    def test_the_sandbox_that_would_be_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sandbox_conformance, "CASES", sandbox_conformance.CASES[:1])
        assert [finding.state for finding in doctor._conformance()] == [State.OK]

    def test_no_sandbox(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse() -> None:
            raise SandboxUnavailableError("no sandbox works here", "install it")

        monkeypatch.setattr(doctor, "open_sandbox", refuse)
        (finding,) = doctor._conformance()
        assert finding.state is State.MISSING
        assert finding.remedy == "install it"


class TestDecode:
    @pytest.fixture(autouse=True)
    def some_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "resolve", lambda name: ResolvedModel(name=name, path=Path("/m.gguf")))

    def finding(self) -> Finding:
        (finding,) = doctor._decode()
        return finding

    def test_it_computes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "probe", lambda path, fresh: VERDICT)
        assert self.finding().state is State.OK

    def test_safe_mode_names_the_reason_and_the_remedy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        verdict = VERDICT.model_copy(update={"safe_mode": True, "reason": "crashes (SIGSEGV)"})
        monkeypatch.setattr(doctor, "probe", lambda path, fresh: verdict)
        finding = self.finding()
        assert finding.state is State.WARN
        assert "crashes (SIGSEGV)" in finding.detail
        assert finding.remedy == reinstall_command()

    def test_a_crash(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash(path: Path, fresh: bool) -> ProbeVerdict:
            raise EngineCrashedError("crashes", "build it")

        monkeypatch.setattr(doctor, "probe", crash)
        assert self.finding() == Finding(name="first decode", state=State.MISSING, detail="crashes", remedy="build it")

    def test_no_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nothing(name: str) -> ResolvedModel:
            raise ModelNotFoundError("not here", "pull it")

        monkeypatch.setattr(doctor, "resolve", nothing)
        assert self.finding().state is State.MISSING


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    _, finding = doctor._library()
    assert finding.state is State.MISSING
    assert finding.remedy == reinstall_command()


def test_an_unwritable_cache_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    finding, _ = doctor._disk()
    assert finding.state is State.WARN
    assert finding.remedy


def test_without_a_place_for_runs_solve_cannot_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    _, finding = doctor._disk()
    assert finding.state is State.MISSING
    assert finding.remedy


class TestCommand:
    def report(self, state: State) -> Report:
        finding = Finding(name="thing", state=state, detail="[as] it is", remedy="" if state is State.OK else "do this")
        return Report(findings=(finding,))

    @pytest.mark.parametrize(("state", "status"), [(State.OK, 0), (State.WARN, 0), (State.MISSING, 2)])
    def test_status(self, monkeypatch: pytest.MonkeyPatch, state: State, status: int) -> None:
        monkeypatch.setattr(doctor_cli, "examine", lambda conformance: self.report(state))
        assert doctor_cli.main([]) == status

    def test_lines(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(doctor_cli, "examine", lambda conformance: self.report(State.WARN))
        doctor_cli.main([])
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "warn  thing  [as] it is"
        assert lines[1].strip() == "-> do this"

    def test_json(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(doctor_cli, "examine", lambda conformance: self.report(State.OK))
        assert doctor_cli.main(["--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["can_solve"] is True
        assert printed["findings"][0]["name"] == "thing"

    @pytest.mark.parametrize(("options", "wanted"), [([], False), (["--conformance"], True)])
    def test_conformance_is_only_tried_when_asked_for(
        self, monkeypatch: pytest.MonkeyPatch, options: list[str], wanted: bool
    ) -> None:
        asked: list[bool] = []

        def examine(conformance: bool) -> Report:
            asked.append(conformance)
            return self.report(State.OK)

        monkeypatch.setattr(doctor_cli, "examine", examine)
        assert doctor_cli.main(options) == 0
        assert asked == [wanted]

    def test_help_and_usage(self) -> None:
        assert doctor_cli.main(["--help"]) == 0
        assert doctor_cli.main(["--jsno"]) == 2


@pytest.mark.model
def test_this_machine() -> None:
    report = doctor.examine()
    states = {finding.name: finding.state for finding in report.findings}
    assert {"python", "cpu", "llama.cpp", "first decode", "models", "memory", "cache"} <= set(states)
    assert states["first decode"] is State.OK
    assert states["models"] is State.OK
    llama = next(finding for finding in report.findings if finding.name == "llama.cpp")
    assert re.search(r"llama-cpp-python \d+\.\d+", llama.detail)
