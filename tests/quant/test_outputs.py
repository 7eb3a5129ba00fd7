"""No command destroys what it reads, nor one of its outputs with another; it says so before its work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_files import matrices, sha256, write_tiny
from tiny_gguf import write_gguf

from leafwise.quant import making
from leafwise.quant.contracts import Recipe
from leafwise.quant.errors import QuantizeError
from leafwise.quant.outputs import check_outputs
from leafwise.quant.quantize import MIXES, quantize
from leafwise.quant.quantize_cli import main
from leafwise.runtime.errors import UsageError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("imatrix SOURCE SOURCE --force", "an input too"),
        ("imatrix SOURCE LINK --force", "an input too"),
        ("imatrix SOURCE m.gguf --merge m.gguf --chunks 0 --force", "an input too"),
        ("SOURCE out.gguf --bpw 5 --save-recipe SOURCE --force", "an input too"),
        ("SOURCE out.gguf --recipe r.json --save-recipe r.json --force", "an input too"),
        ("SOURCE r.json --recipe r.json --force", "an input too"),
        ("SOURCE out.gguf --bpw 5 --save-recipe ./out.gguf", "two outputs"),
        ("SOURCE no/out.gguf --bpw 5", "no directory no"),
        ("SOURCE out.gguf --bpw 5 --save-recipe no/r.json", "no directory no"),
        ("SOURCE FOLDER --bpw 5 --force", "Is a directory"),
        ("SOURCE out.gguf --bpw 5 --save-recipe r.json", "exists already"),
        ("SOURCE out.gguf --bpw 5 --requantize", "does not go with limits"),
        ("costs SOURCE --no-speeds --out SOURCE --force", "an input too"),
        ("costs SOURCE --no-speeds --out r.json", "exists already"),
        ("inspect SOURCE --picture r.json", "exists already"),
        ("inspect SOURCE --picture SOURCE --force", "an input too"),
        ("reference SOURCE r.json --text r.json --force", "an input too"),
        ("sweep c.svg --plot c.svg", "an input too"),
    ],
)
def test_nothing_is_lost_and_nothing_begun(
    arguments: str, problem: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "LINK").symlink_to(source)
    (tmp_path / "FOLDER").mkdir()
    for name in ("r.json", "m.gguf", "c.svg"):
        (tmp_path / name).write_text("mine")
    before = source.read_bytes()
    with pytest.raises(UsageError, match=problem):
        main([str(source) if word == "SOURCE" else word for word in arguments.split()])
    assert source.read_bytes() == before
    assert (tmp_path / "r.json").read_text() == "mine"
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize(
    ("target", "problem"), [("/dev/null", "not a regular file"), ("out.gguf", "quantized already")]
)
def test_a_target_or_a_source_that_will_not_do_is_refused_before_the_choice(
    target: str, problem: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized = tmp_path / "small.gguf"
    quantize(source, quantized, MIXES["q4_0"])
    monkeypatch.setattr(making, "gather_evidence", None)  # would be called
    with pytest.raises(QuantizeError, match=problem):
        main([str(quantized), str(tmp_path / target), "--bpw", "4", "--force"])


def test_one_quantized_tensor_makes_a_quantized_file(source: Path, tmp_path: Path) -> None:
    names = list(matrices(source))
    recipe = Recipe(source_sha256=sha256(source), types={name: "f16" for name in names} | {names[-1]: "q2_k"})
    quantize(source, tmp_path / "mixed.gguf", recipe)
    with pytest.raises(QuantizeError, match=r"quantized already \(Q2_K"):
        quantize(tmp_path / "mixed.gguf", tmp_path / "out.gguf", MIXES["q4_0"])


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "vocabulary.gguf", {})
    for limit in (["--size", "1MB"], ["--bpw", "4", "--no-imatrix"], ["--mix", "q4_0"]):
        with pytest.raises(QuantizeError, match="has no tensors"):
            main([str(tmp_path / "vocabulary.gguf"), str(tmp_path / "out.gguf"), *limit])


def test_names_that_are_no_text(source: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"\xff.gguf")
    quantize(source, odd, MIXES["q4_0"])
    with pytest.raises(UsageError, match="not UTF-8"):
        main(["inspect", str(odd)])
    with pytest.raises(UsageError, match="not UTF-8"):
        main(["measure", str(odd)])


def test_what_is_no_file_may_be_written_to(tmp_path: Path) -> None:
    check_outputs([Path("/dev/null"), None, tmp_path / "new"], inputs=[None, tmp_path / "none"], replace=False)
