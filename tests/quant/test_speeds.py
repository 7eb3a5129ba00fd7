"""Speeds are measured for real, once; what the measuring process does wrong is an error."""

from __future__ import annotations

import subprocess
import sys

import pytest

from leafwise.quant import speeds
from leafwise.quant.errors import QuantizeError
from leafwise.quant.native_speed import _rows_used
from leafwise.quant.speeds import Shape, measure
from leafwise.runtime.cpu import read_cpu

SHAPE = Shape(256, 64)
START = subprocess.Popen


def child(code: str) -> object:
    """Popen with another program."""
    return lambda _command, **options: START([sys.executable, "-c", code], **options)


def test_measured_once_in_the_buffer_that_llama_cpp_would_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    wanted = {SHAPE: ["f16", "q4_0", "q4_1", "q6_k"], Shape(96, 20): ["q4_0"]}
    table = measure(wanted, threads=1, rounds=2, progress=lambda *at: seen.append(at))
    assert seen == [(1, 2), (2, 2)]
    assert table.machine.endswith(", 1 thread")
    found = {name: table.find(name, SHAPE) for name in wanted[SHAPE]}
    assert all(found.values())
    for speed in table.speeds:
        assert 1e-7 < speed.decode_seconds < speed.prefill_seconds < 1
    if "avx2" in read_cpu().features:
        assert found["q4_0"] is not None
        assert found["q4_0"].buffer == "CPU_REPACK"
    odd = table.find("q4_0", Shape(96, 20))
    assert odd is not None
    assert odd.buffer == "CPU", "20 rows are no whole groups of 8"
    assert found["q4_1"] is not None
    assert found["q4_1"].buffer == "CPU"
    monkeypatch.setattr(subprocess, "Popen", child("raise SystemExit(1)"))
    assert measure({SHAPE: ["q4_0"]}, threads=1) == table, "known: nothing is started"
    with pytest.raises(QuantizeError, match="failed"):
        measure({SHAPE: ["q4_0"]}, threads=1, again=True)
    with pytest.raises(QuantizeError, match="failed"):
        measure({SHAPE: ["q4_0"]}, threads=3)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("print('[{]')", "no usable answer"),
        ("print('[{}]')", "no usable answer"),
        ("pass", "failed"),
    ],
)
def test_a_measuring_process_that_fails_is_an_error(code: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", child(code))
    with pytest.raises(QuantizeError, match=what):
        measure({Shape(512, 64): ["q4_0"]}, threads=5)


def test_a_type_that_the_rows_cannot_have_is_refused_before_anything_starts() -> None:
    with pytest.raises(QuantizeError, match="cannot be q4_k"):
        measure({Shape(96, 20): ["q4_k"]}, threads=1)


def test_a_damaged_or_foreign_cache_is_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    path = speeds._path(speeds._load(6))
    path.parent.mkdir(exist_ok=True)
    for content in ("{", '{"processor": "another"}', speeds._load(7).model_dump_json()):
        path.write_text(content)
        assert speeds._load(6).threads == 6
        assert speeds._load(6).speeds == ()


def test_of_tall_matrices_some_rows_are_used_with_the_same_remainder() -> None:
    assert _rows_used(576, 1536) == 1536
    used = _rows_used(4096, 128_257)
    assert used <= 2048
    assert used % 64 == 128_257 % 64
