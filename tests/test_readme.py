"""The README is true: its Python runs, and what it says of commands and folders is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.model
@pytest.mark.sandbox
@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_python_block_runs(block: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr == ""


def test_there_are_blocks_and_none_is_left_to_fill_in() -> None:
    assert len(BLOCKS) >= 2
    assert "TRANSCRIPT" not in TEXT
    assert len(TEXT.splitlines()) < 250


def test_every_option_of_solve_that_is_shown_exists() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "leafwise.runtime.cli", "solve", "--help"], capture_output=True, text=True, check=True
    )
    for option in re.findall(r"leafwise solve [^\n`]*?(--[a-z-]+)", TEXT):
        assert option in done.stdout


def test_folders_and_make_targets_exist() -> None:
    for folder in re.findall(r"^\| `(\w+)/`", TEXT, re.MULTILINE):
        assert (ROOT / folder).is_dir()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^\$ |`)make (\w+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
