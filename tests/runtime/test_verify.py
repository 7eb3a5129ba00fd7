from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from damaged_gguf import write_model

from leafwise.runtime import opening, verify
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import ChatTemplateError, ModelFileError
from leafwise.runtime.gguf_contents import Contents, read_contents
from leafwise.runtime.gguf_entries import tensor_types
from leafwise.runtime.gguf_values import data_sha256, scan_data
from leafwise.runtime.verify_child import check
from leafwise.runtime.verify_report import TEMPLATE, Findings, Order, Verification

UNDECODED = {"F64", "I8", "I16", "I32", "I64", "Q8_1", "Q8_K", "Q1_0"}
"""Types that the `gguf` package does not decode."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_model(tmp_path_factory.mktemp("sound") / "model.gguf").read_bytes()


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_model(tmp_path_factory.mktemp("sound") / "model.gguf", "llama").read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def verdict(path: Path, data: bytes, **order: bool) -> Verification:
    path.write_bytes(data)
    return check(path, Order(**order), lambda _: None)


def number(data: bytes, key: str, layout: str, new: float, *, kind: int | None = None) -> bytes:
    """The file with another number in its metadata, and perhaps of another type of the same length."""
    at = data.index(key.encode()) + len(key)
    begin = data[:at] + (data[at : at + 4] if kind is None else struct.pack("<I", kind))
    return begin + struct.pack(layout, new) + data[at + 4 + struct.calcsize(layout) :]


def text(data: bytes, old: str, new: str) -> bytes:
    """The file with a string replaced by one of the same length."""
    before, after = old.encode(), new.encode()
    assert len(before) == len(after)
    assert struct.pack("<Q", len(before)) + before in data
    return data.replace(struct.pack("<Q", len(before)) + before, struct.pack("<Q", len(after)) + after, 1)


def template(data: bytes, source: str) -> bytes:
    at = data.index(b"tokenizer.chat_template") + 27
    (length,) = struct.unpack_from("<Q", data, at)
    return data[: at + 8] + source.encode().ljust(length)[:length] + data[at + 8 + length :]


def scale(data: bytes, path: Path, name: str, at: int, new: bytes) -> bytes:
    """The file with other bytes in a tensor's data."""
    path.write_bytes(data)
    contents = read_contents(path)
    begin = contents.data_begin + next(t.offset for t in contents.tensors if t.name == name) + at
    return data[:begin] + new + data[begin + len(new) :]


@pytest.mark.parametrize("tokenizer", ["gpt2", "llama"])
def test_a_sound_file_has_no_findings(path: Path, tokenizer: str) -> None:
    types = ("Q8_0", "Q4_0", "F16", "Q4_K", "BF16", "F32", "Q5_1")
    verification = verify.verify(write_model(path, tokenizer, types), sha256=True)
    assert verification.findings == ()
    assert verification.sound
    assert (verification.tensors, verification.file_bytes) == (21, path.stat().st_size)
    assert verification.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.model
def test_the_embedded_model_is_sound(model_path: Path) -> None:
    verification = verify.verify(model_path)
    assert verification.findings == ()
    assert verification.tensors == 272


Edit = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("edit", "finding"),
    [
        (lambda d: d[:-1000], "file: truncated"),
        (lambda d: b"GGML" + d[4:], "file: "),
        (lambda d: number(d, "llama.block_count", "<I", 3), "tensor blk.2.attn_norm.weight: is missing"),
        (lambda d: number(d, "llama.block_count", "<I", 1), "lies outside of the 1 blocks"),
        (lambda d: number(d, "llama.block_count", "<I", 600), "llama.cpp has room for 512"),
        (lambda d: number(d, "llama.block_count", "<I", 2, kind=5), "not an unsigned 32-bit number"),
        (lambda d: number(d, "llama.context_length", "<I", 0), "context_length: is 0, not a positive"),
        (lambda d: number(d, "llama.embedding_length", "<I", 128), "is 64 where the heads' keys have 32"),
        (lambda d: number(d, "llama.embedding_length", "<I", 0), "embedding_length: is 0"),
        (lambda d: number(d, "llama.feed_forward_length", "<I", 512), "ffn_gate.weight: has the shape"),
        (lambda d: number(d, "attention.head_count", "<I", 0), "head_count_kv: is 2 in block 0, which has 0 heads"),
        (lambda d: number(d, "attention.head_count", "<I", 3), "head_count_kv: is 2 in block 0, which has 3 heads"),
        (lambda d: number(d, "attention.head_count_kv", "<I", 0), "head_count_kv: is 0"),
        (lambda d: number(d, "attention.head_count_kv", "<I", 4), "attn_k.weight: has the shape"),
        (lambda d: number(d, "rope.dimension_count", "<I", 62), "rope.dimension_count: is 62"),
        (lambda d: number(d, "rope.freq_base", "<f", float("nan")), "rope.freq_base: is nan"),
        (lambda d: number(d, "rope.freq_base", "<f", -1), "rope.freq_base: is -1.0"),
        (lambda d: number(d, "layer_norm_rms_epsilon", "<f", float("inf")), "epsilon: is inf"),
        (lambda d: number(d, "layer_norm_rms_epsilon", "<f", 0), "epsilon: is 0.0"),
        (lambda d: text(d, "llama.context_length", "llama.context_lengtg"), "context_length: is missing"),
        (lambda d: number(d, "ggml.eos_token_id", "<I", 264), "eos_token_id: is 264: there are 264 tokens"),
        (lambda d: text(d, "Ġthe", "Ġxhe").replace(b"eos_token_id", b"eox_token_id"), "tokens that are not in"),
        (lambda d: text(d, "in", "er"), "are the same, 'er'"),
        (lambda d: text(d, "a", "b"), "are the same, 'b'"),
        (lambda d: text(d, "in", "a\0"), "are the same, 'a'"),
        (lambda d: text(d, "i n", "i_n"), "merge 3 is not two tokens"),
        (lambda d: text(d, "tokenizer.ggml.merges", "tokenizer.ggml.mergex"), "has no merges"),
        (lambda d: text(d, "tokenizer.ggml.tokens", "tokenizer.ggml.tokenx"), "has no list of tokens"),
        (lambda d: text(d, "tokenizer.ggml.model", "tokenizer.ggml.modex"), "there is none"),
        (lambda d: text(d, "gpt2", "none"), "tokenizer: is none"),
        (lambda d: text(d, "output_norm.weight", "output_norx.weight"), "output_norm.weight: is missing"),
        (lambda d: template(d, "{% for"), "chat template: the model's chat template is not valid"),
        (lambda d: template(d, "{{ raise_exception('no') }}"), "chat template: the model's chat template failed: no"),
        (lambda d: template(d, "hello"), "leaves out what the user said last"),
        (lambda d: template(d, "{{ 10**99999 }}"), "chat template: "),
    ],
)
def test_an_error_says_what_and_where(path: Path, sound: bytes, edit: Edit, finding: str) -> None:
    verification = verdict(path, edit(sound))
    assert finding in "\n".join(map(str, verification.findings))
    assert not verification.sound or "merges make" in str(verification.findings)
    assert all(str(found).isprintable() for found in verification.findings)


@pytest.mark.parametrize(
    ("edit", "finding"),
    [
        (lambda d: text(d, "<0x41>", "<0x4x>"), "should be a byte such as <0x0A>"),
        (lambda d: text(d, "<0x41>", "<0x4x>"), "1 bytes have no token, at which llama.cpp ends the process: [65]"),
        (lambda d: text(d, "tokenizer.ggml.scores", "tokenizer.ggml.scorex"), "has 0 scores for 268 tokens"),
        (lambda d: d.replace(struct.pack("<f", -5), struct.pack("<f", float("nan")), 1), "1 scores are not finite"),
    ],
)
def test_errors_of_a_sentencepiece_tokenizer(path: Path, sentencepiece: bytes, edit: Edit, finding: str) -> None:
    verification = verdict(path, edit(sentencepiece), deep=False)
    assert finding in "\n".join(map(str, verification.errors))


@pytest.mark.parametrize(
    ("name", "at", "new", "finding"),
    [
        ("token_embd.weight", 34 * 5, b"\0\x7c", "1 block not finite in Q8_0, the first at 5"),
        ("blk.0.attn_q.weight", 0, b"\xff\xff", "1 block not finite in Q4_0, the first at 0"),
        ("blk.0.attn_output.weight", 10, b"\0\xfc", "1 value not finite in F16, the first at 5"),
        ("blk.0.ffn_gate.weight", 146, b"\0\x7e", "1 block not finite in Q4_K, the first at 1"),
        ("output_norm.weight", 8, b"\0\0\x80\x7f", "1 value not finite in F32, the first at 2"),
    ],
)
def test_numbers_that_are_none(path: Path, sound: bytes, name: str, at: int, new: bytes, finding: str) -> None:
    damaged = scale(sound, path, name, at, new)
    assert [str(found) for found in verdict(path, damaged).findings] == [f"tensor {name}: {finding}"]
    assert verdict(path, damaged, deep=False).findings == ()


def test_a_tensor_of_zeros_is_suspicious(path: Path, sound: bytes) -> None:
    damaged = scale(sound, path, "blk.1.attn_k.weight", 0, bytes(4096))
    assert verdict(path, damaged).findings == ()  # a part of it may be zero
    path.write_bytes(sound)
    size = next(t.bytes for t in read_contents(path).tensors if t.name == "blk.1.attn_k.weight")
    found = verdict(path, scale(sound, path, "blk.1.attn_k.weight", 0, bytes(size)))
    assert found.sound
    assert "nothing but zeros" in str(found.findings[0])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, about the very numbers that are looked for
@pytest.mark.parametrize("kind", sorted({name for name, _, _ in tensor_types().values()} - UNDECODED))
def test_the_scan_finds_what_the_decoder_makes_of_it(kind: str) -> None:
    """Random bytes hold all kinds of scales; the `gguf` package's decoder is the reference."""
    import gguf

    _, length, size = next(entry for entry in tensor_types().values() if entry[0] == kind)
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 256, (400, size), dtype=np.uint8)
    decoded = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[kind]).reshape(400, length)
    bad = ~np.isfinite(decoded).all(axis=1)
    scan = scan_data(blocks.ravel(), kind)
    assert scan.bad == bad.sum()
    assert scan.bad or kind == "NVFP4"
    assert scan.first == bad.argmax()


def test_the_hash_of_the_data_that_our_quantizer_noted(path: Path) -> None:
    write_model(path, notes={"leafwise.data_sha256": "0" * 64})
    wrong = path.read_bytes()
    assert "not the hash of the tensors' data" in str(verdict(path, wrong).errors[0])
    right = wrong.replace(b"0" * 64, data_sha256(read_contents(path)).encode())
    assert verdict(path, right).findings == ()
    assert not verdict(path, right[:-1] + bytes([right[-1] ^ 1])).sound


def test_the_hash_that_lies_beside_the_file(path: Path, sound: bytes) -> None:
    path.write_bytes(sound)
    noted = path.with_name("model.gguf.sha256")
    noted.write_text(f"{hashlib.sha256(sound).hexdigest()}  model.gguf\n")
    assert verdict(path, sound, sha256=True).sound
    noted.write_text(f"{'0' * 64}  model.gguf\n")
    assert "noted in model.gguf.sha256" in str(verdict(path, sound, sha256=True).errors[0])


class TestLimits:
    def test_a_template_that_takes_memory(self, path: Path, sound: bytes) -> None:
        path.write_bytes(template(sound, "{% set a = 'a' * 10**7 %}{{ a * 10**4 }}"))
        (error,) = verify.verify(path).errors
        assert error.where == TEMPLATE
        assert "Memory" in error.what

    def test_a_template_that_takes_time(self, path: Path, sound: bytes) -> None:
        endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
        path.write_bytes(template(sound, endless))
        (error,) = verify.verify(path).errors
        assert (error.where, "not finished within" in error.what) == (TEMPLATE, True)

    def test_a_template_that_cannot_be_interrupted(self, path: Path, sound: bytes) -> None:
        path.write_bytes(template(sound, "{{ 7**(7**(7**7)) }}"))
        (error,) = verify.verify(path, seconds=8).errors
        assert (error.where, "not finished within" in error.what) == (TEMPLATE, True)

    def test_a_child_that_dies(self, path: Path, sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_bytes(sound)
        broken = ["sh", "-c", 'echo \'{"doing": "the tokenizer"}\'; kill -SEGV $$']
        child = verify._Child(path, Order())
        child._command = broken
        (error,) = child.run(len(sound), None).errors
        assert str(error) == "file: the check died of SIGSEGV, at the tokenizer"

    def test_memory_that_does_not_suffice_for_the_header(self, path: Path, sound: bytes) -> None:
        path.write_bytes(sound)
        (error,) = verify.verify(path, memory_bytes=2**16).errors
        assert "the check " in error.what


class TestTheEngine:
    def test_a_sound_file_is_verified_once(self, path: Path, sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_bytes(sound)
        looked: list[Path] = []
        real = verify.verify

        def counted(file: Path) -> Verification:
            looked.append(file)
            return real(file)

        monkeypatch.setattr(verify, "verify", counted)
        verify.require_sound(path)
        verify.require_sound(path)
        assert looked == [path]
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        verify.require_sound(path)
        assert looked == [path, path]

    def test_an_unsound_file_never_reaches_native_code(
        self, path: Path, sound: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(opening, "probe", lambda _: pytest.fail("that decodes with llama.cpp"))
        path.write_bytes(text(sound, "a", "b"))
        for _ in range(2):  # only what is sound is remembered
            with pytest.raises(ModelFileError, match=r"is not sound: tokenizer: tokens .* are the same") as caught:
                opening.open_in_process(path, EngineOptions(context=64))
            assert "quantize verify" in caught.value.hint

    def test_a_template_that_fails_is_an_error_of_its_own(self, path: Path, sound: bytes) -> None:
        path.write_bytes(template(sound, "{{ raise_exception('no') }}"))
        with pytest.raises(ChatTemplateError, match="failed: no"):
            verify.require_sound(path)

    def test_a_remembered_verdict_costs_little(self, path: Path, sound: bytes) -> None:
        path.write_bytes(sound)
        verify.require_sound(path)
        began = time.process_time()
        verify.require_sound(path)
        assert time.process_time() - began < 0.02

    def test_a_file_that_is_not_there(self, path: Path) -> None:
        with pytest.raises(ModelFileError):
            verify.require_sound(path)
        with pytest.raises(ModelFileError):
            verify.verify(path)


def test_findings_are_printable_and_not_without_end() -> None:
    findings = Findings()
    for i in range(1000):
        findings.warning("tensor \x1b[2J", f"{i}\n")
    findings.error("file", "x" * 10_000)
    assert len(findings.all()) == 101
    assert findings.all()[0].severity == "error"
    assert all(str(found).isprintable() and len(str(found)) < 1000 for found in findings.all())


def test_a_part_of_a_model_is_checked_as_far_as_possible(path: Path) -> None:
    part = write_model(path, notes={"split.count": 2}).read_bytes()
    verification = verdict(path, text(part, "output_norm.weight", "output_norx.weight"))
    assert verification.sound
    assert [str(found) for found in verification.findings] == [
        "file: is one of 2 files: what the others hold is unchecked"
    ]


def test_contents_of_another_architecture_are_checked_as_far_as_possible(path: Path, sound: bytes) -> None:
    other = text(sound, "llama", "qwen9").replace(b"llama.", b"qwen9.")
    verification = verdict(path, other)
    assert verification.sound
    assert "does not know what qwen9 consists of" in str(verification.findings)
    assert isinstance(read_contents(path), Contents)
