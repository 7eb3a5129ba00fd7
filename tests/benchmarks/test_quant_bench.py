"""`leafwise bench quant` and `quant-speed`, on small files: the real thing, shortened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leafwise.benchmarks.bench_cli import main
from leafwise.benchmarks.synthetic_gguf import Shape, write_synthetic
from leafwise.quant.mixes import MIXES
from leafwise.quant.quantize import quantize
from leafwise.runtime.errors import UsageError

SHAPE = Shape(blocks=2, embedding=256, feed_forward=512, heads=4, kv_heads=1, vocabulary=512, context=1024)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_synthetic(SHAPE, folder / "q4.gguf")
    quantize(folder / "q4.gguf", folder / "f16.gguf", MIXES["f16"], requantize=True)
    return folder / "f16.gguf"


def test_a_mix_and_an_allocation_of_its_size(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    little = ["--groups", "9", "--chunks", "1", "--reference-chunks", "1", "--held-out-chunks", "1"]
    assert main(["quant", str(source), "--mixes", "pure-q4_0", "--bits", "6", "--json", *little]) == 0
    found = json.loads(capsys.readouterr().out)
    mix, ours, more = found["arms"]
    assert [(arm["name"], arm["like"]) for arm in (mix, ours, more)] == [
        ("pure-q4_0", "pure-q4_0"),
        ("ours", "pure-q4_0"),
        ("ours", "6 bits"),
    ]
    assert ours["weight_bytes"] <= mix["weight_bytes"]
    assert more["bits_per_weight"] <= 6
    assert more["divergence"]["mean_kl"] < ours["divergence"]["mean_kl"]
    assert mix["predicted_kl"] is None
    assert ours["predicted_kl"] > 0
    assert found["calibration_sha256"] != found["held_out_sha256"]


def test_speeds_by_turns(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quant-speed", str(source.with_name("q4.gguf")), str(source), "--rounds", "1", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["path"], second["path"]) == ("q4.gguf", "f16.gguf")
    assert all(
        len(speed[kind]) == 1 and speed[kind][0] > 0 for speed in (first, second) for kind in ("prefill", "decode")
    )


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--mixes", "q9"], "there is no mix"), (["--bits", "many"], "not numbers")]
)
def test_bad_input(arguments: list[str], words: str, source: Path) -> None:
    with pytest.raises(UsageError, match=words):
        main(["quant", str(source), *arguments])
