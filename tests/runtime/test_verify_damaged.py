"""A part of what `python tests/runtime/damaged_run.py FOLDER 500` does in full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import damaged_run
import pytest
from damaged_gguf import DAMAGES, damaged, write_model


def test_damage_is_seeded_and_of_every_kind(tmp_path: Path) -> None:
    sound = write_model(tmp_path / "model.gguf").read_bytes()
    first, again = list(damaged(sound, 24, seed=1)), list(damaged(sound, 24, seed=1))
    assert first == again
    assert {name[4:] for name, _ in first} == set(DAMAGES)
    assert sum(data != sound for _, data in first) >= 20
    assert first != list(damaged(sound, 24, seed=2))


@pytest.mark.model
def test_damaged_files_take_nothing_down(tmp_path: Path) -> None:
    """Verified, shown, and loaded where they pass; one goes through the command line."""
    command = [sys.executable, damaged_run.__file__, str(tmp_path), "120", "11", "6", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    facts = json.loads(done.stdout)
    assert facts["failures"] == []
    assert facts["peak_bytes"] < damaged_run.MOST_BYTES
    assert done.returncode == 0
    assert facts["tally"]["sound"] + facts["tally"]["unsound"] == 120
    assert facts["tally"]["unsound"] > 60
    assert facts["tally"]["engine: generated"] > 0
