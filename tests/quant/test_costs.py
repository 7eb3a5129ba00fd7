"""The cost table: errors against a computation by hand, types that are excluded, what is kept, the command."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_gguf import Floats, second_moments, weights, write_gguf

from leafwise.quant import costs_cli
from leafwise.quant.contracts import CostTable
from leafwise.quant.costs import cost_table, digest_of, importances_of, shapes_to_measure
from leafwise.quant.encoding_error import encoding_errors
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_tensors import TensorFile
from leafwise.quant.native_ggml import encode
from leafwise.quant.quantize_cli import main
from leafwise.quant.speeds import Shape, Speed, SpeedTable
from leafwise.quant.tensor_types import TYPES
from leafwise.runtime.errors import ModelFileError, UsageError
from leafwise.runtime.paths import file_sha256

UP, DOWN, EMBEDDING, OUTPUT = "blk.0.ffn_up.weight", "blk.1.ffn_down.weight", "token_embd.weight", "output.weight"
FAST = ("f16", "q8_0", "q6_k", "q4_0", "q3_k")


def tensors() -> dict[str, NDArray[np.generic]]:
    return {
        EMBEDDING: weights(40, 256, 1),
        UP: weights(96, 256, 2),
        "blk.0.ffn_norm.weight": np.ones(256, np.float32),
        DOWN: weights(64, 288, 3),  # no multiple of 256
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "source.gguf", tensors())


def lost(values: NDArray[np.generic], type_: str, given: Floats | None, weighting: Floats | None) -> float:
    """The error by its definition, decoded by the gguf package."""
    exact = values.astype(np.float32)
    raw = np.frombuffer(encode(exact, TYPES[type_], given), np.uint8).reshape(len(exact), -1)
    decoded = gguf.dequantize(raw, gguf.GGMLQuantizationType(TYPES[type_].number))
    squares = np.ones(exact.shape[1]) if weighting is None else weighting.astype(np.float64)
    return float((squares * (exact - decoded).astype(np.float64) ** 2).sum())


def test_bytes_and_errors_are_as_defined(source: Path, tmp_path: Path) -> None:
    importance = {UP: second_moments(256), OUTPUT: second_moments(256, 9)}
    table = cost_table(source, importance, types=FAST, journal=tmp_path / "journal")
    assert [t.name for t in table.tensors] == [EMBEDDING, UP, DOWN]
    assert (table.other_bytes, table.other_parameters) == (1024, 256)
    assert table.source_sha256 == file_sha256(source)
    assert table.importance_sha256 == digest_of(importance)
    embedding, up, down = table.tensors
    assert (up.kind, up.block, up.shape, embedding.block) == ("ffn_up", 0, (256, 96), None)
    assert [c.type for c in up.choices] == list(FAST)
    assert [c.type for c in down.choices] == ["f16", "q8_0", "q4_0"], "rows of 288 elements have no K-quants"
    assert up.choice("f16") is not None
    for name in FAST:
        choice = up.choice(name)
        assert choice is not None
        assert choice.bytes == 96 * 256 * TYPES[name].bits / 8
        assert choice.error == pytest.approx(lost(tensors()[UP], name, importance[UP], importance[UP]), rel=1e-5)
    q4 = down.choice("q4_0")
    assert q4 is not None
    assert q4.error == pytest.approx(lost(tensors()[DOWN], "q4_0", None, None), rel=1e-5)
    assert up.energy == pytest.approx(float((importance[UP] * tensors()[UP].astype(np.float64) ** 2).sum()), rel=1e-5)
    # it is the output matrix too: weighted as that, but encoded as llama.cpp does, which goes by the tensor's own name
    tied = embedding.choice("q3_k")
    assert tied is not None
    assert tied.error == pytest.approx(lost(tensors()[EMBEDDING], "q3_k", None, importance[OUTPUT]), rel=1e-5)
    assert (q4.prefill_seconds, table.machine) == (None, "")


def test_an_embedding_that_is_only_looked_up_is_not_weighted_as_an_output(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "untied.gguf", tensors() | {OUTPUT: weights(40, 256, 4)})
    importance = {OUTPUT: second_moments(256)}
    table = cost_table(path, importance, types=["q4_0"], journal=tmp_path / "journal")
    embedding, output = table.tensors[0].choices[0], table.tensors[-1].choices[0]
    assert embedding.error == pytest.approx(lost(tensors()[EMBEDDING], "q4_0", None, None), rel=1e-5)
    weighted = lost(weights(40, 256, 4), "q4_0", importance[OUTPUT], importance[OUTPUT])
    assert output.error == pytest.approx(weighted, rel=1e-5)


def test_types_that_need_an_importance_are_there_where_it_is(source: Path, tmp_path: Path) -> None:
    table = cost_table(source, {UP: second_moments(256)}, types=["q4_0", "iq3_xxs"], journal=tmp_path / "journal")
    assert [[c.type for c in t.choices] for t in table.tensors] == [["q4_0", "iq3_xxs"], ["q4_0", "iq3_xxs"], ["q4_0"]]


def test_threads_and_row_blocks_change_nothing(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tall.gguf", {UP: weights(4500, 256)})  # three blocks
    given = second_moments(256)
    types = [TYPES["q8_0"], TYPES["q4_0"]]
    with TensorFile(path) as file:
        (entry,) = file.entries
        one, two = (
            encoding_errors(file, entry, types, encoding=given, weighting=given, threads=threads) for threads in (1, 2)
        )
    assert one == two
    assert one.errors["q4_0"] == pytest.approx(lost(weights(4500, 256), "q4_0", given, given), rel=1e-4)


def test_a_sample_of_the_rows_estimates_the_error(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tall.gguf", {UP: weights(1500, 256)})
    seen: list[tuple[int, int]] = []
    (whole,) = cost_table(path, types=["q4_0"], journal=tmp_path / "journal").tensors
    (part,) = cost_table(
        path, types=["q4_0"], sample=0.1, journal=tmp_path / "journal", progress=lambda *at: seen.append(at)
    ).tensors
    assert seen[-1][0] == seen[-1][1]
    assert part.choices[0].error != whole.choices[0].error
    assert part.choices[0].error == pytest.approx(whole.choices[0].error, rel=0.05)
    assert part.energy == pytest.approx(whole.energy, rel=0.05)
    assert part.choices[0].bytes == whole.choices[0].bytes


def test_experts_have_an_importance_each(tmp_path: Path) -> None:
    experts = np.stack([weights(8, 256, seed) for seed in range(3)])
    path = write_gguf(tmp_path / "experts.gguf", {"blk.0.ffn_up_exps.weight": experts})
    given = [second_moments(256, seed) for seed in range(3)]
    importance = {"blk.0.ffn_up_exps.weight": np.concatenate(given)}
    (tensor,) = cost_table(path, importance, types=["q4_0"], journal=tmp_path / "journal").tensors
    expected = sum(lost(experts[i], "q4_0", given[i], given[i]) for i in range(3))
    assert tensor.choices[0].error == pytest.approx(expected, rel=1e-5)
    assert tensor.choices[0].bytes == 3 * 8 * 8 * 18


def test_what_has_the_type_already_loses_nothing(source: Path, tmp_path: Path) -> None:
    (_, up, _) = cost_table(source, types=["f16", "q8_0"], journal=tmp_path / "journal").tensors
    assert up.choices[0].error == 0 < up.choices[1].error


class StoppedError(Exception):
    pass


def test_an_interrupted_run_goes_on_and_new_types_are_added(source: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    whole = cost_table(source, types=FAST, journal=tmp_path / "other")

    def stop(done: int, _total: int) -> None:
        if done > 40 * 256 * len(FAST):  # in the second tensor
            raise StoppedError

    with pytest.raises(StoppedError):
        cost_table(source, types=FAST, journal=journal, progress=stop)
    (kept,) = journal.iterdir()
    assert json.loads(kept.read_text())["tensor"] == EMBEDDING
    with kept.open("a") as file:
        file.write('\n{"tensor": "blk.0.ffn_up.weight", "ener')  # cut off by a kill
    seen: list[tuple[int, int]] = []
    assert cost_table(source, types=FAST, journal=journal, progress=lambda *at: seen.append(at)) == whole
    assert seen[0][0] == 40 * 256 * len(FAST), "what is known is not computed again"
    assert seen[-1][0] == seen[-1][1]
    before = kept.stat().st_size
    assert cost_table(source, types=FAST, journal=journal) == whole
    assert kept.stat().st_size == before
    more = cost_table(source, types=[*FAST, "q5_0"], journal=journal)
    assert [c.type for c in more.tensors[0].choices] == [*FAST, "q5_0"]
    assert cost_table(source, {UP: second_moments(256)}, types=FAST, journal=journal) != whole


def test_seconds_of_outputs_are_of_one_token_and_lookups_are_free(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "untied.gguf", tensors() | {OUTPUT: weights(40, 256, 4)})
    shapes = shapes_to_measure(path, ["q4_k", "q4_0"])
    assert shapes == {Shape(256, 40): ["q4_k", "q4_0"], Shape(256, 96): ["q4_k", "q4_0"], Shape(288, 64): ["q4_0"]}
    table = SpeedTable(
        processor="A",
        fingerprint="",
        threads=2,
        llama_cpp="",
        speeds=tuple(
            Speed(
                type=t,
                columns=s.columns,
                rows=s.rows,
                prefill_seconds=5,
                decode_seconds=1,
                batch_seconds=2,
                buffer="CPU",
                clock="wall",
            )
            for s, types in shapes.items()
            for t in types
        ),
    )
    costs = cost_table(path, types=["q4_0"], speeds=table, journal=tmp_path / "journal")
    assert costs.machine == "A, 2 threads"
    seconds = {
        t.name: (t.choices[0].prefill_seconds, t.choices[0].decode_seconds, t.choices[0].batch_seconds)
        for t in costs.tensors
    }
    assert seconds == {EMBEDDING: (0, 0, 0), UP: (5, 1, 2), DOWN: (5, 1, 2), OUTPUT: (1, 1, 2)}


def test_unusable_input_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="q4_q"):
        cost_table(source, types=["q4_q"])
    with pytest.raises(QuantizeError, match="has 100 values"):
        cost_table(source, {UP: second_moments(100)}, journal=tmp_path / "journal")
    broken = tensors()
    broken[UP][3, 3] = np.nan
    with pytest.raises(QuantizeError, match="not finite"):
        cost_table(write_gguf(tmp_path / "nan.gguf", broken), types=["q4_0"], journal=tmp_path / "journal")
    norms = write_gguf(tmp_path / "norms.gguf", {"output_norm.weight": np.ones(256, np.float32)})
    with pytest.raises(QuantizeError, match="no tensor to quantize"):
        cost_table(norms)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(ModelFileError):
        cost_table(cut)
    with TensorFile(source) as file:
        assert importances_of(file.entries[0], None, tied=True) == (None, None)


def test_the_command(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "costs.json"
    arguments = ["costs", str(source), "--types", "q4_0,q6_k", "--no-speeds", "--threads", "1"]
    assert main([*arguments, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "ffn_down" in shown
    assert "4.50" in shown
    assert "without an importance matrix" in shown
    table = CostTable.model_validate_json(out.read_text())
    assert len(table.tensors) == 3
    assert main([*arguments, "--json"]) == 0
    assert CostTable.model_validate_json(capsys.readouterr().out) == table
    kinds = (t.model_copy(update={"kind": "\x1b[31m[/x]"}) for t in table.tensors)
    costs_cli._print_table(table.model_copy(update={"tensors": tuple(kinds)}))
    assert "\N{REPLACEMENT CHARACTER}[31m[/x] x 3" in capsys.readouterr().out
    with pytest.raises(UsageError):
        main(["costs", str(source), "--types", "q4_q"])
    with pytest.raises(UsageError, match="no directory"):
        main([*arguments, "--out", str(tmp_path / "no" / "x.json")])
