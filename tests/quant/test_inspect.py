from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged_gguf import write_model

from leafwise.quant import inspect_cli
from leafwise.quant.errors import QuantizeError
from leafwise.quant.inspect import Inspection, inspect
from leafwise.quant.inspect_picture import draw
from leafwise.runtime.cli import main


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("reference") / "full.gguf", types=("F32",))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    notes = {
        "leafwise.version": "1.2.3",
        "leafwise.recipe": json.dumps(
            {"asked": {"bpw": "4.5"}, "predicted": {"error": 0.123456789}, "types": {"a": "b"}}
        ),
    }
    return write_model(tmp_path_factory.mktemp("made") / "small.gguf", types=("Q8_0", "Q4_0", "F16"), notes=notes)


@pytest.fixture(scope="module")
def inspection(made: Path, reference: Path) -> Inspection:
    return inspect(made, reference=reference)


def test_what_the_header_says(made: Path) -> None:
    found = inspect(made)
    assert found.blocks == [0, 1]
    assert found.kinds == ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    assert [tensor.kind for tensor in found.outside] == ["token_embd", "output"]
    assert found.parameters == sum(int(np.prod(tensor.shape)) for tensor in found.tensors)
    assert found.bits_per_weight == pytest.approx(8 * sum(tensor.bytes for tensor in found.tensors) / found.parameters)
    queries = found.at(0, "attn_q")
    assert queries is not None
    assert (queries.type, queries.bits, queries.error, queries.shape) == ("Q4_0", 4.5, None, (256, 256))
    assert found.error is None
    assert found.at(2, "attn_q") is None
    assert sum(found.types.values()) == pytest.approx(1)


def test_errors_are_those_of_the_decoded_weights(inspection: Inspection, made: Path, reference: Path) -> None:
    import gguf

    def weights(path: Path, name: str) -> Any:
        tensor = next(tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == name)
        return gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)

    for name in ("token_embd.weight", "blk.0.attn_q.weight", "blk.1.ffn_down.weight"):
        full = weights(reference, name)
        wanted = np.linalg.norm(weights(made, name) - full) / np.linalg.norm(full)
        found = next(tensor for tensor in inspection.tensors if tensor.name == name)
        assert found.error == pytest.approx(wanted, rel=1e-4)
    by_type = {tensor.type: tensor.error for tensor in inspection.tensors if tensor.error is not None}
    assert 1e-5 < by_type["F16"] < by_type["Q8_0"] < 0.01 < by_type["Q4_0"] < 0.12
    assert inspection.reference == "full.gguf"
    assert not inspection.weighted


def test_importance_weights_the_columns(made: Path, reference: Path) -> None:
    name = "blk.0.attn_q.weight"
    one = np.zeros(256, dtype=np.float32)
    one[17] = 2.0
    found = inspect(made, reference=reference, importance={name: one})
    import gguf

    columns = []
    for path in (made, reference):
        tensor = next(tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == name)
        columns.append(gguf.quants.dequantize(tensor.data, tensor.tensor_type)[:, 17].astype(np.float64))
    wanted = np.linalg.norm(columns[0] - columns[1]) / np.linalg.norm(columns[1])
    queries = found.at(0, "attn_q")
    assert queries is not None
    assert queries.error == pytest.approx(wanted, rel=1e-4)
    assert found.weighted
    with pytest.raises(QuantizeError, match="has 3 values for"):
        inspect(made, reference=reference, importance={name: one[:3]})


def test_an_importance_matrix_of_llama_cpps(
    made: Path, reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from leafwise.quant.gguf_imatrix import write_imatrix
    from leafwise.quant.importance import ImportanceMatrix

    name = "blk.0.attn_q.weight"
    sums = np.linspace(1, 50, 256).astype(np.float32)
    matrix = ImportanceMatrix({name: sums}, {name: np.array([10], dtype=np.float32)}, chunks=1, chunk_size=10)
    write_imatrix(matrix, tmp_path / "imatrix.gguf")
    options = ["--reference", str(reference), "--imatrix", str(tmp_path / "imatrix.gguf"), "--json"]
    assert inspect_cli.main([str(made), *options]) == 0
    said = json.loads(capsys.readouterr().out)
    wanted = inspect(made, reference=reference, importance={name: (sums / 10).astype(np.float32)}).at(0, "attn_q")
    found = next(tensor for tensor in said["tensors"] if tensor["name"] == name)
    assert said["weighted"]
    assert wanted is not None
    assert found["error"] == pytest.approx(wanted.error)


def test_a_file_equals_itself(reference: Path) -> None:
    told: list[tuple[int, int]] = []
    found = inspect(reference, reference=reference, progress=lambda done, total: told.append((done, total)))
    assert found.error == 0
    assert told[-1][0] == told[-1][1] == sum(int(np.prod(t.shape)) for t in found.tensors if len(t.shape) > 1)


def test_another_models_reference_is_refused(made: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.gguf", "llama", types=("F32",))
    with pytest.raises(QuantizeError, match=r"other.gguf has no token_embd.weight of the shape \(256, 264\)"):
        inspect(made, reference=other)


def test_provenance(inspection: Inspection) -> None:
    assert inspection.provenance == {"version": "1.2.3", "asked bpw": "4.5", "predicted error": "0.123457"}


def test_the_table(made: Path, reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect_cli.main([str(made), "--reference", str(reference)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "\x1b" not in "".join(lines)
    head = next(line for line in lines if line.startswith("block"))
    first = lines[lines.index(head) + 1]
    assert head.split() == ["block", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    assert first.split()[:3] == ["0", "q4_0", "4.5"]
    assert len(first.split()) == 1 + 3 * 7
    assert any(line.startswith("token_embd  q8_0") for line in lines)
    assert any(line.startswith("error") and "of the weights in full.gguf" in line for line in lines)


def test_json(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect_cli.main([str(made), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    del said["path"]
    assert Inspection.model_validate(said) == inspect(made)


def test_usage(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", "inspect", str(made), "--imatrix", str(tmp_path / "none")]) == 2
    assert "--reference" in capsys.readouterr().err
    assert main(["quantize", "inspect", str(tmp_path / "none.gguf")]) == 2
    assert main(["quantize", "inspect", str(made), "--picture", str(tmp_path / "picture.txt")]) == 2
    assert ".svg" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["heat.png", "heat.svg"])
def test_the_picture(inspection: Inspection, tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    draw(inspection, tmp_path / name, "small")
    data = (tmp_path / name).read_bytes()
    assert len(data) > 5000
    assert data.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")


def test_the_picture_of_full_precision_is_whole_or_not_there(reference: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(inspect(reference), tmp_path / "heat.svg", "full")
    assert [path.name for path in tmp_path.iterdir()] == ["heat.svg"]
    with pytest.raises(QuantizeError, match="cannot write"):
        draw(inspect(reference), tmp_path / "no" / "heat.svg", "full")


def test_names_of_a_file_steer_neither_terminal_nor_picture(
    inspection: Inspection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[31m[/x]$\\bad{$" + "n" * 40
    kinds = {"token_embd": evil, "attn_q": evil}
    tensors = (t.model_copy(update={"kind": kinds.get(t.kind, t.kind)}) for t in inspection.tensors)
    marked = inspection.model_copy(update={"tensors": tuple(tensors)})
    inspect_cli._print(marked, Path("small.gguf"))
    assert "\x1b" not in (shown := capsys.readouterr().out)
    assert "[/x]" in shown
    pytest.importorskip("matplotlib")
    draw(marked, tmp_path / "heat.svg", "$\\bad{$")
    assert b"\x1b" not in (tmp_path / "heat.svg").read_bytes()


def test_without_matplotlib(inspection: Inspection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(QuantizeError, match="need matplotlib") as caught:
        draw(inspection, tmp_path / "heat.png", "small")
    assert caught.value.hint == "pip install 'leafwise[plots]'"
    assert not (tmp_path / "heat.png").exists()
