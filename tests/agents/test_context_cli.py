"""`leafwise solve --context` and `--memory` as a user meets them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from leafwise.agents import solve_cli
from leafwise.benchmarks import bench_cli
from leafwise.runtime import models_cli
from leafwise.runtime.errors import UsageError

UTILS = 'def slugify(title: str) -> str:\n    """Turn a title into a slug: lower case, words joined by dashes."""\n'
BODY = '    return "-".join(title.lower().split())\n'
SLUGS = 'Write a function slugs(titles) that returns the list of the slugs of all titles. slugs(["A B"]) == ["a-b"]'


@pytest.mark.model
@pytest.mark.sandbox
def test_the_real_model_calls_a_function_of_the_user_s_and_the_answer_says_so(tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text(UTILS + BODY)
    command = [sys.executable, "-m", "leafwise.runtime.cli", "solve", SLUGS, "--context", "words.py"]
    done = subprocess.run(
        [*command, "--strategy", "direct"], capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("from words import slugify\n")
    assert "context: slugify (" in done.stderr
    assert f"imports {tmp_path / 'words.py'}" in done.stderr


def test_what_context_meant_before_is_explained() -> None:
    with pytest.raises(UsageError, match="takes a file or a folder, not 4096") as caught:
        solve_cli.main([SLUGS, "--context", "4096"])
    assert "--window 4096" in caught.value.hint


@pytest.mark.parametrize("option", ["--context", "--memory"])
def test_a_stored_run_has_its_own(option: str) -> None:
    with pytest.raises(UsageError, match=f"{option} cannot be given"):
        solve_cli.main(["--resume", "last", option, "somewhere"])


@pytest.mark.parametrize("option", ["--context", "--window"])
def test_other_commands_know_the_window_by_both_names(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert models_cli.main(["show", "smollm2-135m", option, "0"]) == 2
    assert bench_cli.main(["humaneval", option, "0"]) == 2
    assert capsys.readouterr().err.count("Invalid value for '--window' / '--context'") == 2
