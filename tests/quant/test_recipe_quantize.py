"""Recipes and importance really reach llama.cpp, and what it would do silently is refused or said."""

from __future__ import annotations

import ctypes
import json
import logging
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
from tiny_files import (
    encoded,
    importance_of,
    matrices,
    recipe_of,
    sha256,
    text,
    types,
    weights,
    write_narrow,
    write_tiny,
)

from leafwise.benchmarks.synthetic_gguf import Shape, write_synthetic
from leafwise.quant import quantize_cli, quantizer_process
from leafwise.quant.contracts import Recipe
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_imatrix import write_imatrix
from leafwise.quant.gguf_layout import read_layout
from leafwise.quant.importance import ImportanceMatrix
from leafwise.quant.native import _check_layout
from leafwise.quant.quantize import MIXES, Quantized, plan_mix, quantize
from leafwise.quant.quantizer_process import Order, run_quantizer
from leafwise.quant.recipes import write_recipe
from leafwise.runtime.errors import UsageError
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.llama_serial import SerialLlama

ALL_KINDS = (
    *("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1"),
    *("iq4_nl", "iq4_xs", "iq3_s", "f16", "bf16", "f32"),
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


def test_every_tensor_gets_the_type_that_the_recipe_says(tiny: Path, tmp_path: Path) -> None:
    recipe, before = recipe_of(tiny, *ALL_KINDS), sha256(tiny)
    made = quantize(tiny, tmp_path / "out.gguf", recipe)
    expected = types(tiny) | recipe.types
    assert types(tmp_path / "out.gguf") == expected
    assert {share.type.lower() for share in made.tensor_types} == set(expected.values())
    assert made.unweighted == sum(type_ != "f16" for type_ in recipe.types.values())
    assert sha256(tiny) == before
    llama = SerialLlama(tmp_path / "out.gguf", 256, 1)
    try:
        assert len(llama.generate("def", 4).tokens) == 4
    finally:
        llama.close()


def test_types_that_need_importance_get_it_or_are_refused(tiny: Path, tmp_path: Path) -> None:
    recipe, matrix = recipe_of(tiny, "q8_0"), importance_of(tiny)
    poor = {"blk.1.attn_q.weight": "iq3_xxs", "blk.2.attn_k.weight": "iq3_xxs"}
    recipe = recipe.model_copy(update={"types": recipe.types | poor})
    made = quantize(tiny, tmp_path / "out.gguf", recipe, importance=matrix)
    assert made.unweighted == 0
    assert types(tmp_path / "out.gguf") == types(tiny) | recipe.types
    del matrix["blk.1.attn_q.weight"]
    with pytest.raises(QuantizeError, match=r"blk\.1\.attn_q\.weight") as caught:
        quantize(tiny, tmp_path / "other.gguf", recipe, importance=matrix)
    assert "--imatrix" in caught.value.hint
    with pytest.raises(QuantizeError, match="iq2_m needs an importance matrix"):
        quantize(tiny, tmp_path / "other.gguf", MIXES["iq2_m"])
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


@pytest.mark.parametrize("type_", ["q4_0", "q4_k", "q2_k"])
def test_importance_lowers_the_error_that_it_weights(tiny: Path, tmp_path: Path, type_: str) -> None:
    recipe, matrix = recipe_of(tiny, type_), importance_of(tiny)
    quantize(tiny, tmp_path / "plain.gguf", recipe)
    quantize(tiny, tmp_path / "weighted.gguf", recipe, importance=matrix)
    true, plain, weighted = (weights(path) for path in (tiny, tmp_path / "plain.gguf", tmp_path / "weighted.gguf"))
    for name, values in matrix.items():
        errors = [float((values * (decoded[name] - true[name]) ** 2).sum()) for decoded in (plain, weighted)]
        assert errors[1] < 0.9 * errors[0], name


def test_importance_of_another_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    recipe, name = recipe_of(tiny, "q4_k"), "blk.0.ffn_down.weight"
    for values, problem in (
        ({name: np.ones(256, np.float32)}, "256 values for blk.0.ffn_down.weight, not 512"),
        ({name: np.full(512, np.nan, np.float32)}, "finite"),
        ({"blk.99.ffn_down.weight": np.ones(512, np.float32)}, "names no tensor"),
    ):
        with pytest.raises(QuantizeError, match=problem):
            quantize(tiny, tmp_path / "out.gguf", recipe, importance=values)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_does_not_fit_is_refused_by_name(tiny: Path, model_path: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tiny, "q4_k")
    without = {name: type_ for name, type_ in recipe.types.items() if name != "output.weight"}
    for change, problem in (
        ({"types": recipe.types | {"blk.9.attn_q.weight": "q4_k"}}, r"1 tensor that the file has not: blk\.9\.attn_q"),
        ({"types": without}, r"1 tensor that the recipe has not: output\.weight"),
        ({"types": recipe.types | {"output.weight": "q4_x"}}, "unknown type 'q4_x'"),
        ({"source_sha256": "0" * 64}, "made for another file"),
    ):
        with pytest.raises(QuantizeError, match=problem):
            quantize(tiny, tmp_path / "out.gguf", recipe.model_copy(update=change))
    wrong = recipe_of(model_path, "q4_k")  # whose rows are 576 and 1536
    with pytest.raises(QuantizeError, match=r"blk\.0\.attn_k\.weight \(q4_k, rows of 576\)"):
        quantize(model_path, tmp_path / "out.gguf", wrong, requantize=True)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_llama_cpp_does_not_follow_is_noticed(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["leafwise.quant.quantize"]  # the package has the function under this name
    monkeypatch.setattr(module, "run_quantizer", lambda order, told: run_quantizer(order._replace(types={}), told))
    with pytest.raises(QuantizeError, match="did not follow the recipe"):
        quantize(tiny, tmp_path / "out.gguf", recipe_of(tiny, "q4_k", "q5_k"))
    assert list(tmp_path.iterdir()) == []


def test_parameters_laid_out_otherwise_are_noticed() -> None:
    _check_layout(llama_cpp.llama_model_quantize_default_params())

    class Shifted(ctypes.Structure):
        """A field too many, as another version might have it."""

        _fields_ = (
            ("nthread", ctypes.c_int32),
            ("new", ctypes.c_int64),
            *llama_cpp.llama_model_quantize_params._fields_[1:],
        )

    there = llama_cpp.llama_model_quantize_default_params()
    memory = ctypes.create_string_buffer(bytes(there) + bytes(64))
    with pytest.raises(RuntimeError, match="not laid out as expected"):
        _check_layout(Shifted.from_buffer(memory))


def test_the_metadata_says_how_the_file_was_made_and_loses_nothing(tiny: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tiny, "q4_k", "q6_k").model_copy(update={"importance_sha256": "ab" * 32, "asked": {"bpw": "5"}})
    out, matrix = tmp_path / "out.gguf", importance_of(tiny)
    quantize(tiny, out, recipe, importance=matrix, metadata={"reference_sha256": "cd" * 32})
    assert Recipe.model_validate_json(text(out, "leafwise.recipe")) == recipe
    assert "leafwise.importance_sha256" not in read_layout(out).entries, "whoever gives the matrix knows its hash"
    assert text(out, "leafwise.reference_sha256") == "cd" * 32
    assert text(out, "leafwise.llama_cpp_version") == llama_cpp.__version__
    assert text(out, "leafwise.version")
    old, new = read_layout(tiny).entries, read_layout(out).entries
    changes = {"general.file_type", "general.quantization_version"}
    kept = {key: entry for key, entry in old.items() if not key.startswith("leafwise.") and key not in changes}
    assert {key: new[key] for key in kept} == kept, "the vocabulary and all the rest"
    assert not [key for key in new if "reserve" in key]


def test_what_an_input_says_about_its_own_making_is_replaced(tiny: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tiny, "q8_0")
    quantize(tiny, tmp_path / "first.gguf", recipe, metadata={"reference_sha256": "cd" * 32})
    quantize(tmp_path / "first.gguf", tmp_path / "second.gguf", MIXES["q4_k_s"], requantize=True)
    assert json.loads(text(tmp_path / "second.gguf", "leafwise.recipe")) == {"mix": "q4_k_s"}
    assert "leafwise.reference_sha256" not in read_layout(tmp_path / "second.gguf").entries


def test_a_mix_is_what_llama_cpp_makes_and_what_its_dry_run_announces(tiny: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    made = quantize(tiny, ours, MIXES["q3_k_m"])
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q3_K_M
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    assert llama_cpp.llama_model_quantize(str(tiny).encode(), str(theirs).encode(), ctypes.byref(parameters)) == 0
    assert encoded(ours) == encoded(theirs)
    plan = plan_mix(tiny, MIXES["q3_k_m"])
    assert {name: type_ for name, (type_, _) in plan.items()} == types(ours)
    assert sum(size for _, size in plan.values()) == made.weight_bytes
    assert len(set(types(ours).values())) > 3, "or this shows little"
    assert {type_ for type_, _ in plan_mix(tiny, MIXES["q3_k_m"], pure=True).values()} == {"q3_k", "f32"}


def test_falling_back_to_other_types_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_narrow(tmp_path / "narrow.gguf")
    with caplog.at_level(logging.WARNING, logger="leafwise"):
        made = quantize(tmp_path / "narrow.gguf", tmp_path / "out.gguf", MIXES["q4_k_m"])
    assert isinstance(made, Quantized)
    assert made.fallbacks["blk.0.attn_q.weight"] == ("q4_k", "q5_0")
    assert len(made.fallbacks) == 6, "the embedding gets q8_0 by the mix"
    assert "6 of 11 tensors" in caplog.text
    made_types = types(tmp_path / "out.gguf")
    assert all(made_types[name] == got for name, (_, got) in made.fallbacks.items())
    assert made_types["blk.0.ffn_down.weight"] in ("q4_k", "q6_k")


def test_a_file_that_may_not_grow_is_an_error_in_words(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def limited(command: list[str], **options: Any) -> Any:
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))  # noqa: E731
        return start(command, preexec_fn=limit, **options)

    monkeypatch.setattr(subprocess, "Popen", limited)
    with pytest.raises(QuantizeError, match="could not write the file: a full disk or a limit"):
        quantize(tiny, tmp_path / "out.gguf", MIXES["q8_0"])
    assert list(tmp_path.iterdir()) == []


def test_the_quantizer_tells_the_memory_it_took(tiny: Path, tmp_path: Path) -> None:
    made = quantize(tiny, tmp_path / "out.gguf", MIXES["q8_0"], threads=1)
    assert 20e6 < made.peak_bytes < 400e6
    assert read_header(tmp_path / "out.gguf").quantization == "Q8_0"
    assert matrices(tmp_path / "out.gguf") == matrices(tiny)


def test_the_command_takes_a_recipe_and_says_fallbacks(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(tiny, "q4_k", "q5_k")
    write_recipe(recipe, tmp_path / "recipe.json")
    out = tmp_path / "out.gguf"
    assert quantize_cli.main([str(tiny), str(out), "--recipe", str(tmp_path / "recipe.json")]) == 0
    assert types(out) == types(tiny) | recipe.types
    assert capsys.readouterr().out == f"{out}\n"
    with pytest.raises(UsageError, match="exclude each other"):
        quantize_cli.main([str(tiny), str(out), "--recipe", str(tmp_path / "recipe.json"), "--mix", "q4_0"])
    write_narrow(tmp_path / "narrow.gguf")
    assert quantize_cli.main([str(tmp_path / "narrow.gguf"), str(out), "--force", "--mix", "q4_k_s"]) == 0
    assert "5 tensors got q5_0: q4_k does not fit their rows" in capsys.readouterr().err


def written_matrix(tiny: Path, target: Path, seed: int = 0) -> ImportanceMatrix:
    matrix = ImportanceMatrix(
        sums=importance_of(tiny, seed),
        counts=dict.fromkeys(matrices(tiny), np.ones(1, np.float32)),
        chunks=1,
        chunk_size=512,
        text_sha256="ab" * 32,
    )
    return write_imatrix(matrix, target)


def test_a_recipe_goes_with_its_importance_matrix(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = written_matrix(tiny, tmp_path / "own.gguf")
    written_matrix(tiny, tmp_path / "other.gguf", seed=1)
    recipe = recipe_of(tiny, "q4_k").model_copy(update={"importance_sha256": own.sha256})
    write_recipe(recipe, tmp_path / "recipe.json")
    out = tmp_path / "out.gguf"
    run = [str(tiny), str(out), "--recipe", str(tmp_path / "recipe.json")]
    with pytest.raises(QuantizeError, match="and none is given") as caught:
        quantize_cli.main(run)
    assert "--no-imatrix" in caught.value.hint
    with pytest.raises(QuantizeError, match=f"{own.sha256[:12]}, not with "):
        quantize_cli.main([*run, "--imatrix", str(tmp_path / "other.gguf")])
    with pytest.raises(UsageError, match="exclude each other"):
        quantize_cli.main([*run, "--imatrix", str(tmp_path / "own.gguf"), "--no-imatrix"])
    assert not out.exists()
    assert quantize_cli.main([*run, "--imatrix", str(tmp_path / "own.gguf")]) == 0
    assert text(out, "leafwise.importance_sha256") == own.sha256
    capsys.readouterr()
    assert quantize_cli.main([*run, "--no-imatrix", "--force"]) == 0
    assert "predictions do not hold" in capsys.readouterr().err
    assert "leafwise.importance_sha256" not in read_layout(out).entries


def test_the_command_takes_an_importance_matrix(tiny: Path, tmp_path: Path) -> None:
    sealed = written_matrix(tiny, tmp_path / "imatrix.gguf")
    out = tmp_path / "out.gguf"
    assert quantize_cli.main([str(tiny), str(out), "--mix", "q4_0", "--imatrix", str(tmp_path / "imatrix.gguf")]) == 0
    quantize(tiny, tmp_path / "plain.gguf", MIXES["q4_0"])
    assert encoded(out)["blk.1.attn_q.weight"] != encoded(tmp_path / "plain.gguf")["blk.1.attn_q.weight"]
    assert text(out, "leafwise.importance_sha256") == sealed.sha256
    assert text(out, "leafwise.calibration_sha256") == "ab" * 32


def test_memory_is_bounded_by_the_buffer_and_not_by_the_largest_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = Shape(blocks=1, embedding=1024, feed_forward=1024, heads=8, kv_heads=8, vocabulary=65_536, context=8192)
    write_synthetic(shape, tmp_path / "wide.gguf")  # its largest tensors take 268 MB in float32
    peaks = []
    for buffer in (2**30, 8 * 2**20):
        monkeypatch.setattr(quantizer_process, "_BUFFER_BYTES", buffer)
        order = Order(tmp_path / "wide.gguf", tmp_path / "out.gguf", MIXES["q8_0"].file_type, threads=1)
        peaks.append(run_quantizer(order).peak_bytes)
    assert peaks[1] < peaks[0] - 250e6
    assert peaks[1] < 300e6
