"""Scratch folders go with their users, also with those that were killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from leafwise.quant.scratch import scratch_folder

_VICTIM = """
import sys, time
from pathlib import Path
from leafwise.quant.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "copy").write_bytes(b"large")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _VICTIM, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        theirs = Path(victim.stdout.readline().strip())
        with scratch_folder(tmp_path) as mine:
            assert (theirs / "copy").exists()
            assert mine.is_dir()
            assert mine != theirs
        assert list(tmp_path.iterdir()) == [theirs]
        victim.kill()
    assert theirs.exists()
    with scratch_folder(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]
    assert list(tmp_path.iterdir()) == []
