"""Killed at any moment, or out of disk: no half file under the final name, the input intact, nothing left for long."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tiny_files import encoded, recipe_of, sha256, write_tiny

from leafwise.quant.errors import QuantizeError
from leafwise.quant.quantize import MIXES, quantize
from leafwise.quant.recipes import write_recipe
from leafwise.quant.safe_write import remove_leftovers

KILLS = 20
# Imports once; for every line it forks a process that quantizes, says its id, and says its status when it is gone.
VICTIMS = """
import os, signal, sys
from pathlib import Path
from leafwise.quant.quantize import quantize
from leafwise.quant.recipes import read_recipe
source, target, recipe = map(Path, sys.argv[1:])
recipe = read_recipe(recipe)
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = 1
        try:
            quantize(source, target, recipe, threads=1)
            status = 0
        finally:
            os._exit(status)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


class Victims:
    """Processes that quantize, one at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def start(self) -> psutil.Process:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return psutil.Process(int(self._line()))

    def status(self) -> int:
        return int(self._line())


@contextlib.contextmanager
def victims(source: Path, target: Path, recipe: Path) -> Iterator[Victims]:
    command = [sys.executable, "-c", VICTIMS, str(source), str(target), str(recipe)]
    errors = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        try:
            yield Victims(process)
        finally:
            process.kill()


def native_children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children()
    return []


def test_killed_twenty_times(tiny: Path, tmp_path: Path) -> None:
    recipe, target = tmp_path / "recipe.json", tmp_path / "out" / "out.gguf"
    target.parent.mkdir()
    write_recipe(recipe_of(tiny, "q4_k", "q5_k", "q3_k", "iq4_xs"), recipe)
    before, rng, cut_short = sha256(tiny), random.Random(7), 0
    with victims(tiny, target, recipe) as pool:
        began = time.monotonic()
        pool.start()
        assert pool.status() == 0
        seconds = time.monotonic() - began
        whole = encoded(target)
        target.unlink()
        for i in range(KILLS):
            process = pool.start()
            time.sleep(rng.random() * seconds)
            children = native_children(process)
            sent = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, "the quantizer")[i % 4]
            with contextlib.suppress(psutil.Error):
                if sent == "the quantizer":
                    for child in children:
                        child.kill()
                else:
                    process.send_signal(sent)  # type: ignore[arg-type]
            status = pool.status()
            _gone, alive = psutil.wait_procs(children, timeout=10)
            assert not alive, f"{sent}: the quantizer outlived its parent"
            if status != 0:
                assert not target.exists(), f"{sent}: a file under the final name"
                cut_short += 1
            else:
                assert encoded(target) == whole
                target.unlink()
            if status and sent in (signal.SIGINT, "the quantizer"):
                remains = [path.name for path in target.parent.iterdir()]
                assert all(_is_dead(name) for name in remains), f"{sent}: left {remains}"
            assert sha256(tiny) == before
    assert cut_short >= KILLS // 2, "too late to show anything"
    made = quantize(tiny, target, MIXES["q8_0"], threads=1)
    assert made.quantization == "Q8_0"
    assert [path.name for path in target.parent.iterdir()] == ["out.gguf"], "the next run removes what kills left"


def _is_dead(name: str) -> bool:
    """Whether a leftover is of a process that was killed earlier."""
    return name.startswith(".leafwise-") and not psutil.pid_exists(int(name.split("-")[1]))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_command_cleans_up_when_it_is_told_to_end(tiny: Path, tmp_path: Path, number: signal.Signals) -> None:
    code = "import sys; from leafwise.runtime.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "quantize", str(tiny), str(tmp_path / "out.gguf"), "--mix", "q4_k_m"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode not in (0, -number), "it ended by itself, or had no time to clean up"
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let the tests mount a small file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_too_small_is_noticed_before(tiny: Path, small_disk: Path) -> None:
    (small_disk / "other").write_bytes(bytes(2_500_000))
    with pytest.raises(QuantizeError, match="GB are free"):
        quantize(tiny, small_disk / "out.gguf", MIXES["q8_0"])
    assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_a_disk_that_fills_up_meanwhile(tiny: Path, small_disk: Path) -> None:
    before = sha256(tiny)

    def fill(_done: int, _total: int) -> None:
        with contextlib.suppress(OSError), (small_disk / "other").open("ab", buffering=0) as file:
            for _ in range(100):
                file.write(bytes(100_000))

    with pytest.raises(QuantizeError, match="a full disk"):
        quantize(tiny, small_disk / "out.gguf", MIXES["q8_0"], progress=fill)
    assert [path.name for path in small_disk.iterdir()] == ["other"]
    assert sha256(tiny) == before
    (small_disk / "other").unlink()
    assert quantize(tiny, small_disk / "out.gguf", MIXES["q8_0"]).quantization == "Q8_0"
    assert remove_leftovers(small_disk) == 0
