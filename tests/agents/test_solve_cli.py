"""`leafwise solve` as a user meets it: good input with the real model, and every kind of bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from gguf_files import write_gguf_copy_without_template

from leafwise.agents import Settings
from leafwise.agents.settings import Part
from leafwise.runtime.models import DEFAULT_MODEL

ADD = "Write a function add(a, b) that returns the sum of two numbers. add(2, 3) == 5"
HARD = (
    "Write a function prime_palindromes(n) that returns all prime numbers below n that are palindromes. "
    "prime_palindromes(20) == [2, 3, 5, 7, 11]"
)
LEAFWISE = (sys.executable, "-m", "leafwise.runtime.cli")


def leafwise(*arguments: str, stdin: str | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LEAFWISE, *arguments], capture_output=True, text=True, input=stdin, cwd=cwd, timeout=240, check=False
    )


def assert_refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    """One line that says what is wrong, a hint, status 2, nothing on standard output, no traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith(("error:", "hint:"))]
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], done.stderr
    assert words in lines[0]
    assert "Traceback" not in done.stderr


# --- good input ------------------------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.sandbox
def test_the_issue_s_task_passes_and_piped_output_is_clean(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    done = leafwise("solve", ADD, "--out", "made.py", "--trace", str(trace), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Passed 1 visible example." in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert (tmp_path / "made.py").read_text() == done.stdout
    compile(done.stdout, "made.py", "exec")
    assert "def add" in done.stdout
    kinds = {json.loads(line)["kind"] for line in trace.read_text().splitlines()}
    assert {"run_started", "step_finished", "call", "candidate", "run_finished"} <= kinds
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.model
@pytest.mark.sandbox
def test_json_is_the_whole_answer_and_a_task_comes_from_standard_input() -> None:
    done = leafwise("solve", "-", "--json", "--quiet", "--strategy", "direct", stdin=ADD)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "passed"
    assert answer["evidence"]["examples_passed"] == 1
    assert answer["spent"]["completion_tokens"] > 0


@pytest.mark.model
@pytest.mark.sandbox
def test_what_cannot_be_checked_has_status_1_and_says_so() -> None:
    done = leafwise("solve", "Write a function add(a, b) that returns a + b.", "-q", "--strategy", "direct")
    assert done.returncode == 1
    assert "no example to check it with" in done.stderr


@pytest.mark.model
@pytest.mark.sandbox
def test_a_tests_file_is_what_the_answer_has_to_pass(tmp_path: Path) -> None:
    tests = tmp_path / "test_add.py"
    tests.write_text(
        "from solution import add\n\ndef test_small():\n    assert add(1, 1) == 2\n\nassert add(2, 3) == 5\n"
    )
    done = leafwise("solve", "Write a function add(a, b) that returns the sum.", "-q", "--tests", str(tests))
    assert done.returncode == 0, done.stderr
    assert "Passed 2 visible examples" in done.stderr


def start_hard(trace: Path, *options: str) -> subprocess.Popen[str]:
    command = [*LEAFWISE, "solve", HARD, "--trace", str(trace), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(trace: Path, kind: str, step: str, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if trace.exists() and any(
            event["kind"] == kind and event["step"].startswith(step) for event in read_trace(trace)
        ):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    pytest.fail(f"no {kind} of {step} in time")


def read_trace(trace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trace.read_text().splitlines() if line.endswith("}")]


@pytest.mark.model
@pytest.mark.sandbox
def test_a_killed_run_resumes_and_repeats_no_finished_step(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    process = start_hard(trace, "--max-tokens", "3000")
    wait_for(trace, "step_finished", "draft", process)
    wait_for(trace, "step_started", "", process)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = read_trace(trace)
    done_before = {e["step"] for e in before if e["kind"] == "step_finished"}
    assert "draft:root" in done_before
    assert not any(e["kind"] == "run_finished" for e in before)

    done = leafwise("solve", "--resume", before[0]["data"]["run"], "--trace", str(trace), "-q")
    assert done.returncode in (0, 1), done.stderr
    after = read_trace(trace)[len(before) :]
    assert after[0]["data"]["resumed"]
    assert after[-1]["kind"] == "run_finished"
    started_again = {e["step"] for e in after if e["kind"] == "step_started"}
    assert not started_again & done_before


@pytest.mark.model
@pytest.mark.sandbox
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_run_to_resume_and_no_process(number: signal.Signals, tmp_path: Path) -> None:
    trace, out_file = tmp_path / "trace.jsonl", tmp_path / "my answer.py"
    process = start_hard(trace, "-o", str(out_file), "--seed", "1", "-q", "--no-review")
    wait_for(trace, "step_started", "draft", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    run = read_trace(trace)[0]["data"]["run"]
    # what the run does not keep
    options = f"--out '{out_file}' --quiet --trace {trace} --no-review"
    assert f"interrupted; go on with: leafwise solve --resume {run} {options}\n" in err
    assert "Traceback" not in err


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["   "], "the task is empty"),
        ([], "no task given"),
        (["x", "--file", "y"], "given twice"),
        (["--file", "nothing.txt"], "cannot read the task"),
        ([ADD, "--model", "nothing.gguf"], "nothing.gguf"),
        ([ADD, "--model", "smollm"], "smollm"),
        ([ADD, "--model", "."], "is a directory"),
        ([ADD, "--model", "llama3.1-8b"], "llama3.1-8b"),
        ([ADD, "--example", "two plus two is four"], "cannot read the example"),
        ([ADD, "--tests", "nothing.py"], "cannot read the tests file"),
        ([ADD, "--out", "no/such/folder/x.py"], "cannot write"),
        ([ADD, "--out", "."], "it is a directory"),
        ([ADD, "--out", "/dev/null", "--force"], "no regular file"),
        ([ADD, "--trace", "no/such/folder/x"], "cannot write the trace"),
        (["--resume", "nothing"], "there is no run"),
        ([ADD, "--strategy", "magic"], "no strategy magic"),
        ([ADD, "--resume", "last"], "TASK cannot be given"),
        (["--resume", "last", "--seed", "99"], "--seed cannot be given"),
        ([ADD, "--out", "x" * 300], "cannot write"),
        (["Write f(x) \udcff. f(1) == 1"], "not text in UTF-8"),
    ],
)
def test_bad_input_is_one_line_with_a_hint(arguments: list[str], words: str, tmp_path: Path) -> None:
    assert_refused(leafwise("solve", *arguments, cwd=tmp_path), words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--max-tokens", "0"], ["--seed", "-1"], ["--nothing"]])
def test_wrong_options_have_status_2_and_no_traceback(arguments: list[str]) -> None:
    done = leafwise("solve", ADD, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert arguments[0] in done.stderr


def test_files_that_are_no_model(tmp_path: Path, model_path: Path) -> None:
    text, cut, bare = tmp_path / "text.gguf", tmp_path / "cut.gguf", tmp_path / "bare.gguf"
    text.write_text("This is no model.")
    with model_path.open("rb") as file:
        cut.write_bytes(file.read(3_000_000))
    write_gguf_copy_without_template(model_path, bare)
    assert_refused(leafwise("solve", ADD, "--model", str(text)), "text.gguf")
    assert_refused(leafwise("solve", ADD, "--model", str(cut)), "cut.gguf")
    assert_refused(leafwise("solve", ADD, "--model", str(bare)), "no chat template")


def test_a_tests_file_that_is_no_python(tmp_path: Path) -> None:
    tests = tmp_path / "tests.py"
    tests.write_text("assert add(1, 1) == (\n")
    assert_refused(leafwise("solve", ADD, "--tests", str(tests)), "syntax error")
    tests.write_text("x = 1\n")
    assert_refused(leafwise("solve", ADD, "--tests", str(tests)), "no check found")


@pytest.mark.model
def test_a_task_longer_than_the_context(tmp_path: Path) -> None:
    task = tmp_path / "task.txt"
    task.write_text(ADD + " Please. " * 9000)
    assert_refused(leafwise("solve", "--file", str(task), "-q"), "exceed the context")


def test_an_existing_file_is_not_replaced_without_force(tmp_path: Path) -> None:
    out = tmp_path / "kept.py"
    out.write_text("precious")
    assert_refused(leafwise("solve", ADD, "--out", str(out)), "exists already")
    assert out.read_text() == "precious"


def test_a_state_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = subprocess.run(
        [*LEAFWISE, "solve", ADD],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "file")},
        check=False,
    )
    assert_refused(done, "cannot make the directory")


def test_help_names_every_option() -> None:
    text = leafwise("solve", "--help").stdout
    options = "file model config strategy example tests out json seed max-tokens time-limit trace review resume sandbox"
    for option in f"{options} quiet force".split():
        assert f"--{option}" in text


def test_help_names_every_part_that_can_be_left_out() -> None:
    text = " ".join(leafwise("solve", "--help").stdout.split())
    assert f"PART is one of {', '.join(Part)}" in text


def test_defaults_of_the_command_are_those_of_the_library() -> None:
    text = " ".join(leafwise("solve", "--help").stdout.split())
    for default in (DEFAULT_MODEL, Settings().strategy, f"{Settings().max_tokens};", f"{Settings().seed};"):
        assert f"[default: {default}" in text
