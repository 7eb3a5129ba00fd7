"""`leafwise quantize imatrix`: gathers, goes on, merges and shows; and llama.cpp's layout is checked, not believed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from leafwise.benchmarks.synthetic_gguf import Shape, write_synthetic
from leafwise.quant import imatrix, native_graph
from leafwise.quant.calibration import calibration_text
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_imatrix import read_imatrix
from leafwise.quant.gguf_tensors import tensor_shapes
from leafwise.quant.quantize_cli import main
from leafwise.runtime.errors import UsageError

TINY = Shape(blocks=2, embedding=256, feed_forward=512, heads=4, kv_heads=2, vocabulary=512, context=512)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_synthetic(TINY, path)
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(calibration_text("heldout", 3_000).text)
    return path


def test_gather_resume_merge_show(tiny: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, both = tmp_path / "i.gguf", tmp_path / "both.gguf"
    run = ["imatrix", str(tiny), str(out), "--text", str(source), "--context", "32", "--threads", "1"]
    assert main([*run, "--chunks", "1"]) == 0
    shown = capsys.readouterr()
    assert re.search(r"tensors +15\nchunks +1 of 32 tokens\ntexts +text\.txt \(SHA-256 ", shown.out)
    assert shown.err == ""
    with pytest.raises(UsageError, match="exists already"):
        main([*run, "--chunks", "2"])
    assert main([*run, "--chunks", "2", "--resume"]) == 0
    assert read_imatrix(out).chunks == 2
    assert main(["imatrix", str(tiny), str(both), "--chunks", "0", "--merge", str(out), "--merge", str(out)]) == 0
    assert read_imatrix(both).chunks == 4
    assert main([*run, "--chunks", "1", "--force", "--merge", str(both)]) == 0
    assert read_imatrix(out).chunks == 5
    capsys.readouterr()
    assert main(["imatrix", "--show", "--json", str(out)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["chunks"] == 5
    assert facts["sha256"] == read_imatrix(out).sha256
    assert len(facts["tensors"]) == 15
    assert facts["key_maxima_blocks"] == 2


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ([], "there is no OUT"),
        (["o.gguf", "--resume", "--force"], "--resume does not go with --force"),
        (["o.gguf", "--resume", "--merge", "x.gguf"], "--resume does not go with --merge"),
        (["o.gguf", "--chunks", "0"], "nothing to do"),
        (["no/such/o.gguf"], "no directory"),
        (["o.gguf", "--show"], "takes one file"),
        (["o.gguf", "--text", "none.txt"], "cannot read none"),
    ],
)
def test_wrong_usage_is_said(
    tiny: Path, more: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=problem):
        main(["imatrix", str(tiny), *more])
    assert list(tmp_path.iterdir()) == []


def test_names_from_a_file_do_not_steer_the_terminal(
    tiny: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = tmp_path / "\x1b[31mred.txt"
    evil.write_text(source.read_text())
    out = tmp_path / "i.gguf"
    assert main(["imatrix", str(tiny), str(out), "--text", str(evil), "--context", "32", "--chunks", "1"]) == 0
    assert "red.txt" in (shown := capsys.readouterr().out)
    assert "\x1b" not in shown


def test_another_layout_of_tensors_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    native_graph.check_layout()
    fields = {name: value for name, value, *_ in native_graph.Tensor._fields_}
    assert fields.keys() >= {"type", "ne", "nb", "op", "op_params", "src", "data", "name"}
    monkeypatch.setattr(native_graph, "_OBJECT_BYTES", 40)
    with pytest.raises(QuantizeError, match="lays out its tensors"):
        native_graph.check_layout()
    monkeypatch.undo()
    monkeypatch.setattr(native_graph.Tensor, "op", native_graph.Tensor.flags)  # a field that moved
    with pytest.raises(QuantizeError, match="lays out its tensors"):
        native_graph.check_layout()


def test_shapes_that_the_header_does_not_state_are_refused(
    tiny: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = tensor_shapes(tiny)
    assert shapes["blk.0.ffn_down.weight"] == (512, 256)
    monkeypatch.setattr(imatrix, "tensor_shapes", lambda _: shapes | {"blk.0.ffn_down.weight": (256, 512)})
    with pytest.raises(QuantizeError, match=r"shows blk\.0\.ffn_down\.weight as \(512, 256, 1, 1\)"):
        imatrix.gather(tiny, calibration_text("heldout", 2_000), chunks=1, context=32, threads=1)
