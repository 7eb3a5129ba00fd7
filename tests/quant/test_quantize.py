"""Quantizing for real: the output runs, the input is untouched, and whatever goes wrong leaves nothing behind."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from leafwise.quant import MIXES, QuantizeError, quantize
from leafwise.runtime.contracts import Request
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import ModelFileError
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.opening import open_engine


@pytest.mark.model
def test_a_quantized_file_runs_and_its_input_is_untouched(model_path: Path, tmp_path: Path) -> None:
    before = hashlib.sha256(model_path.read_bytes()).hexdigest()
    target, seen = tmp_path / "small.gguf", []
    made = quantize(
        model_path, target, MIXES["q4_0"], requantize=True, progress=lambda done, total: seen.append((done, total))
    )
    assert made.weight_bytes == read_header(target).weight_bytes
    assert made.quantization == "Q4_0"
    assert made.parameters == read_header(model_path).parameters
    assert made.weight_bytes < read_header(model_path).weight_bytes
    assert seen[-1][0] == seen[-1][1] > 100
    assert hashlib.sha256(model_path.read_bytes()).hexdigest() == before
    assert [p.name for p in tmp_path.iterdir()] == ["small.gguf"]
    engine = open_engine(target, EngineOptions(context=256))
    try:
        assert engine.submit(Request(prompt="def add(a, b):", max_tokens=8)).result().samples[0].text
    finally:
        engine.close()


def test_what_would_lose_something_is_refused(model_path: Path, tmp_path: Path) -> None:
    mix = MIXES["q4_k_m"]
    with pytest.raises(QuantizeError, match="quantized already"):
        quantize(model_path, tmp_path / "x.gguf", mix)
    with pytest.raises(QuantizeError, match="the same file"):
        quantize(model_path, model_path, mix, requantize=True, replace=True)
    there = tmp_path / "there.gguf"
    there.write_text("precious")
    with pytest.raises(QuantizeError, match="exists already"):
        quantize(model_path, there, mix, requantize=True)
    with pytest.raises(QuantizeError, match="no directory"):
        quantize(model_path, tmp_path / "no" / "x.gguf", mix, requantize=True)
    assert there.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["there.gguf"]


def test_a_truncated_input_is_refused_before_native_code_sees_it(model_path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    with model_path.open("rb") as file:
        cut.write_bytes(file.read(5_000_000))
    with pytest.raises(ModelFileError):
        quantize(cut, tmp_path / "out.gguf", MIXES["q8_0"], requantize=True)
    assert [p.name for p in tmp_path.iterdir()] == ["cut.gguf"]


def test_a_native_crash_is_an_error_and_leaves_nothing(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def crash(_command: list[str], **options: object) -> object:
        return start([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", crash)
    with pytest.raises(QuantizeError, match="SIGSEGV"):
        quantize(model_path, tmp_path / "out.gguf", MIXES["q8_0"], requantize=True)
    assert list(tmp_path.iterdir()) == []
