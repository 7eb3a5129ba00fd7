"""Measuring the real model: its definitions, its reference, and what goes wrong in native code."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from leafwise.benchmarks.synthetic_gguf import Shape, write_synthetic
from leafwise.quant import MIXES, QuantizeError, logits, measure_cli, quantize, reference_cli
from leafwise.quant.divergence import aggregate, negative_log_likelihood, score
from leafwise.quant.logits import LogitsProcess
from leafwise.quant.measure import make_reference, measure, perplexity
from leafwise.quant.reference import Reference, load_reference
from leafwise.runtime.errors import ModelFileError, UsageError
from leafwise.runtime.llama import LlamaModel, LlamaOptions
from leafwise.runtime.llama_batch import Row

CONTEXT, CHUNKS = 128, 2
SCORED = CHUNKS * 63


@pytest.fixture(scope="module")
def text() -> str:
    return (Path(sysconfig.get_path("stdlib")) / "heapq.py").read_text(encoding="utf-8")[2_000:4_000]


@pytest.fixture(scope="module")
def quantized(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("quantized") / "q4_0.gguf"
    quantize(model_path, target, MIXES["q4_0"], requantize=True)
    return target


@pytest.fixture(scope="module")
def reference_path(model_path: Path, quantized: Path, text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, seen = tmp_path_factory.mktemp("reference") / "reference", []
    made = make_reference(
        model_path,
        text,
        path,
        chunks=CHUNKS,
        context=CONTEXT,
        threads=2,
        check=quantized,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 2), (2, 2)]
    assert made.info == load_reference(path).info
    return path


@pytest.mark.model
def test_the_compact_form_is_within_two_percent_of_all_logits(reference_path: Path, quantized: Path) -> None:
    info = load_reference(reference_path).info
    assert (info.scored, info.chunks, info.context, info.n_vocab) == (SCORED, CHUNKS, CONTEXT, 49_152)
    check = info.check
    assert check is not None
    assert (check.against, check.tokens) == ("q4_0.gguf", SCORED)
    assert check.exact_kl > 0.02
    assert abs(check.relative_error) < 0.02
    assert check.bound_kl < check.stored_kl
    found = measure(quantized, reference_path, threads=2)
    # the same two models again: the same figure
    assert found.mean_kl == pytest.approx(check.stored_kl, rel=1e-6)
    assert found.mean_kl == pytest.approx(check.exact_kl, rel=0.02)
    assert found.mean_kl_bound == pytest.approx(check.bound_kl, rel=1e-6)
    assert found.mean_kl_storage_error < 0.01 * found.mean_kl
    assert 0.4 < found.top1 < 1
    assert found.tokens == SCORED
    assert found.reference_perplexity == pytest.approx(info.perplexity, rel=1e-6)
    # 602 MB for 6,120 tokens is what llama.cpp takes, and 20 MB the most that this may
    assert reference_path.stat().st_size < 20e6 / 6_120 * SCORED


@pytest.mark.model
def test_the_model_itself_does_not_diverge(reference_path: Path, model_path: Path) -> None:
    found = measure(model_path, reference_path, threads=2)
    assert 0 <= found.mean_kl < 1e-5
    assert found.top1 == 1
    assert found.log_ratio == pytest.approx(0, abs=1e-6)


@pytest.mark.model
def test_chunks_and_perplexity_are_as_llama_cpp_has_them(reference_path: Path, model_path: Path, text: str) -> None:
    """Each chunk on its own, from an empty cache; its first half and its last token score nothing."""
    model = LlamaModel(model_path, LlamaOptions(context=256, n_batch=CONTEXT, threads=2))
    tokens = model.tokenize(text, add_special=True, parse_special=False)[: CHUNKS * CONTEXT]
    nll = []
    for begin in range(0, len(tokens), CONTEXT):
        chunk = tokens[begin : begin + CONTEXT]
        model.clear()
        model.decode([Row(token, i, 0, True) for i, token in enumerate(chunk)])
        for position in range(CONTEXT // 2, CONTEXT - 1):
            row = model.logits(position)[None].copy()
            nll.append(negative_log_likelihood(row, np.array([chunk[position + 1]], np.int32))[0])
    model.close()
    reference = load_reference(reference_path)
    assert reference.tokens.reshape(-1).tolist() == tokens
    assert len(nll) == SCORED
    assert -reference.distributions.next_log_probs == pytest.approx(nll, abs=2e-3)
    assert reference.info.perplexity == pytest.approx(float(np.exp(np.mean(nll))), rel=1e-3)


@pytest.mark.model
def test_other_tokenizers_are_refused_and_bos_begins_each_chunk(
    reference_path: Path, model_path: Path, text: str, tmp_path: Path
) -> None:
    other, data = tmp_path / "other.gguf", bytearray(model_path.read_bytes())
    at = data.index(b"<repo_name>")
    data[at : at + 11] = b"<rope_name>"
    other.write_bytes(data)
    with pytest.raises(QuantizeError, match=r"other\.gguf has another vocabulary"):
        measure(other, reference_path, threads=2)
    key = b"tokenizer.ggml.add_bos_token\x07\0\0\0"
    data[data.index(key) + len(key)] = 1
    other.write_bytes(data)
    with LogitsProcess(other, text, context=CONTEXT, chunks=CHUNKS, threads=2) as process:
        assert process.tokens[:, 0].tolist() == [1, 1]
        before = load_reference(reference_path).tokens.reshape(-1)
        # the first one is put before the text; of the second chunk it takes the first token's place
        assert process.tokens[0, 1:].tolist() == before[: CONTEXT - 1].tolist()
        assert process.tokens[1, 1:].tolist() == before[CONTEXT:-1].tolist()


@pytest.mark.model
def test_a_chunk_may_come_in_several_blocks(
    reference_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logits, "_BLOCK_BYTES", 40 * 4 * 49_152)
    found = measure(model_path, _first_chunk(load_reference(reference_path)), threads=2)
    assert (found.tokens, found.top1) == (63, 1)
    assert found.mean_kl < 1e-5


_OTHER = Shape(blocks=1, embedding=256, feed_forward=256, heads=4, kv_heads=4, vocabulary=512, context=64)


def _first_chunk(reference: Reference) -> Reference:
    return Reference(reference.info, reference.tokens[:1], next(reference.distributions.blocks([63])))


@pytest.mark.model
def test_a_text_shorter_than_a_chunk_is_an_error(model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="the text has 4 tokens, and a chunk takes 512"):
        perplexity(model_path, "one two three four", threads=1)
    assert list(tmp_path.iterdir()) == []


def test_targets_are_looked_at_before_anything_is_computed(model_path: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("precious")
    with pytest.raises(QuantizeError, match="exists already"):
        make_reference(model_path, "", there)
    with pytest.raises(QuantizeError, match="the same file"):
        make_reference(model_path, "", model_path, replace=True)
    with pytest.raises(QuantizeError, match="no directory"):
        make_reference(model_path, "", tmp_path / "no" / "reference")
    with pytest.raises(ModelFileError):
        make_reference(there, "", tmp_path / "reference")
    with pytest.raises(ModelFileError, match="no file at"):
        make_reference(model_path, "", tmp_path / "reference", check=tmp_path / "none.gguf")
    write_synthetic(_OTHER, tmp_path / "other.gguf")
    with pytest.raises(QuantizeError, match="another vocabulary"):
        make_reference(model_path, "", tmp_path / "reference", check=tmp_path / "other.gguf")
    assert there.read_text() == "precious"


_STAND_IN = """
import json, os, sys
job = json.loads(sys.stdin.buffer.readline())
sys.stdin.buffer.read()
if job["safe"]:
    print(json.dumps({"error": "QuantizeError", "message": "safe now", "hint": ""}))
    sys.exit(1)
sys.stdout.flush()
os.kill(os.getpid(), %d)
"""


@pytest.mark.parametrize(
    ("signal", "message"),
    [(11, "safe now"), (9, "died of SIGKILL")],  # a crash is tried again without repacked weights, a kill is not
)
def test_what_kills_native_code_is_an_error(
    model_path: Path, signal: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logits, "_COMMAND", (sys.executable, "-c", _STAND_IN % signal))
    with pytest.raises(QuantizeError, match=message):
        perplexity(model_path, "text")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise SystemExit('no library')", "failed: no library"),
        ("print('hello')", "failed"),
        ("import sys; sys.stdin.buffer.read(); print('[]')", "failed"),
    ],
)
def test_what_says_nothing_of_use_is_an_error(
    model_path: Path, program: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logits, "_COMMAND", (sys.executable, "-c", program))
    with pytest.raises(QuantizeError, match=message):
        perplexity(model_path, "text" * 100_000)


@pytest.mark.model
def test_the_commands(model_path: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target, copy = tmp_path / "text.py", tmp_path / "reference", tmp_path / "copy.gguf"
    source.write_text(text, encoding="utf-8")
    shutil.copy(model_path, copy)
    options = ["--text", str(source), "--chunks", "1", "--context", "32", "--threads", "2"]
    assert reference_cli.main(["smollm2-135m", str(target), *options]) == 0
    out, err = capsys.readouterr()
    assert out == f"{target}\n"
    assert "1 chunk of 32 tokens (text.py): 15 scored" in err
    assert "mean KL to the same with its KV cache in q4_0 on 15 tokens is" in err
    assert load_reference(target).info.text_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert measure_cli.main([str(copy), "--reference", str(target), "--kv-type", "q8_0", "--threads", "2"]) == 0
    out, err = capsys.readouterr()
    titles, values = (line.split("\t") for line in out.splitlines())
    assert dict(zip(titles, values, strict=True))["model"] == "copy"
    assert "from all logits of the reference, mean KL would be" in err
    assert measure_cli.main([str(copy), "--json", *options]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["tokens"] == 15
    assert row["perplexity"] == pytest.approx(load_reference(target).info.perplexity, rel=1e-6)
    assert "mean_kl" not in row
    with pytest.raises(UsageError, match="--text does not go with --reference"):
        measure_cli.main([str(copy), "--reference", str(target), "--text", str(source)])


def test_scores_of_a_stored_reference_need_no_model(reference_path: Path) -> None:
    reference = load_reference(reference_path)
    flat = np.zeros((SCORED, reference.info.n_vocab), np.float32)
    found = aggregate(score(reference.distributions, flat, reference.tokens[:, 65:].reshape(-1)))
    assert found.perplexity == pytest.approx(49_152, rel=1e-4)
    assert found.mean_kl > 3
