from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from gguf_files import ARRAY, LLAMA, STRING, TENSORS, U32, U64, File, Raw, Tensor, text, value
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.runtime.errors import ModelFileError, UsageError
from leafwise.runtime.gguf_header import GGUFHeader, read_header
from leafwise.runtime.gguf_walk import MAX_HEADER_BYTES
from leafwise.runtime.models import DEFAULT_MODEL, resolve

GOOD = File().encode()


def header_of(tmp_path: Path, file: File | bytes) -> GGUFHeader:
    path = tmp_path / "model.gguf"
    path.write_bytes(file if isinstance(file, bytes) else file.encode())
    return read_header(path)


def refusal(tmp_path: Path, file: File | bytes) -> str:
    with pytest.raises(ModelFileError) as caught:
        header_of(tmp_path, file)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


def with_metadata(**changes: object) -> File:
    return File(metadata=LLAMA | {key.replace("__", "."): v for key, v in changes.items()})


def test_reads_what_the_file_says(tmp_path: Path) -> None:
    header = header_of(tmp_path, GOOD)
    assert (header.version, header.architecture, header.name, header.file_bytes) == (3, "llama", "Tiny", len(GOOD))
    assert (header.context_length, header.block_count, header.embedding_length) == (512, 2, 64)
    assert (header.n_head, header.n_head_kv, header.key_length, header.value_length) == (4, 2, 16, 16)
    assert (header.vocab_size, header.tokenizer_model, header.tokenizer_pre) == (3, "gpt2", "smollm")
    assert header.chat_template == "{{ messages }}"
    assert [(s.type, s.tensors, s.parameters, s.bytes) for s in header.tensor_types] == [
        ("Q4_1", 1, 4096, 2560),
        ("F32", 1, 64, 256),
        ("Q8_0", 1, 192, 204),
    ]
    assert header.parameters == 4352
    assert header.quantization == "Q4_1"
    assert header.bits_per_weight == pytest.approx(8 * 3020 / 4352)
    assert header.split_count == 1


def test_agrees_with_the_gguf_package(tmp_path: Path) -> None:
    import gguf
    import numpy as np

    path = tmp_path / "written.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_array("tokenizer.ggml.scores", [0.5] * 5000)
    writer.add_token_list(["ä", "", "b"])
    writer.add_custom_alignment(64)
    writer.add_tensor("a", np.ones((3, 5), dtype=np.float16))
    writer.add_tensor("b", np.ones((7,), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(path)
    reader = gguf.GGUFReader(path)
    assert header.parameters == sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert header.weight_bytes == sum(int(tensor.n_bytes) for tensor in reader.tensors)
    assert header.vocab_size == 3


def test_embedded_model() -> None:
    """The numbers llama.cpp logs for this file: 134.52 M parameters, 5.74 bits per weight, 92.10 MiB of weights."""
    header = read_header(resolve(DEFAULT_MODEL).path)
    assert header.parameters == 134_515_008
    assert round(header.bits_per_weight, 2) == 5.74
    assert round(header.weight_bytes / 2**20, 2) == 92.10
    assert (header.block_count, header.n_head, header.n_head_kv, header.vocab_size) == (30, 9, 3, 49_152)
    assert header.chat_template is not None
    assert "<|im_start|>" in header.chat_template


@pytest.mark.parametrize(("kv_type", "mebibytes"), [("f16", 22.50), ("q8_0", 11.95), ("q4_0", 6.33)])
def test_kv_cache_is_what_llama_cpp_allocates(kv_type: str, mebibytes: float) -> None:
    """llama.cpp's own log of the embedded model with n_ctx = 1000."""
    header = read_header(resolve(DEFAULT_MODEL).path)
    cache = header.kv_cache_bytes(1000, kv_type)  # type: ignore[arg-type]
    assert round(cache / 2**20, 2) == mebibytes
    assert header.memory_bytes(1000, kv_type) == header.weight_bytes + cache  # type: ignore[arg-type]


@pytest.mark.parametrize(("context", "kv_type"), [(0, "f16"), (-1, "q8_0"), (512, "f17")])
def test_memory_of_nonsense_is_a_usage_error(tmp_path: Path, context: int, kv_type: str) -> None:
    with pytest.raises(UsageError, match="no KV cache"):
        header_of(tmp_path, GOOD).memory_bytes(context, kv_type)  # type: ignore[arg-type]


def test_kv_heads_may_differ_by_block(tmp_path: Path) -> None:
    header = header_of(tmp_path, with_metadata(llama__attention__head_count_kv=[1, 3]))
    assert (header.n_head_kv, header.n_head_kv_total) == (3, 4)
    assert header.kv_cache_bytes(256) == 256 * 4 * (16 + 16) * 2


def test_what_a_file_does_not_say(tmp_path: Path) -> None:
    header = header_of(tmp_path, File({"general.architecture": "clip"}, tensors=()))
    assert header.chat_template is None
    assert (header.name, header.parameters, header.bits_per_weight, header.quantization) == ("", 0, 0.0, "")
    assert header.kv_cache_bytes(100) == 0


def test_paths_that_are_not_model_files(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    (tmp_path / "empty.gguf").touch()
    (tmp_path / "text.gguf").write_text("hello")
    (tmp_path / "loop.gguf").symlink_to(tmp_path / "loop.gguf")
    for path, message in {
        tmp_path / "none.gguf": "no file at",
        tmp_path: "is a directory",
        pipe: "not a regular file",
        tmp_path / "empty.gguf": "is empty",
        tmp_path / "text.gguf": "is not a GGUF file",
        tmp_path / "loop.gguf": "cannot read",
        tmp_path / ("x" * 300): "cannot read",
        Path("null\0byte"): "cannot read",
        tmp_path / "text.gguf" / "below": "cannot read",
    }.items():
        with pytest.raises(ModelFileError, match=message) as caught:
            read_header(path)
        assert caught.value.hint


def test_unreadable_file(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = tmp_path / "model.gguf"
    path.write_bytes(GOOD)
    path.chmod(0)
    with pytest.raises(ModelFileError, match="Permission denied"):
        read_header(path)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (File(magic=b"GGML"), "is not a GGUF file"),
        (File(version=1), "version 1 is not supported"),
        (File(version=3 << 24), "big-endian"),
        (File(tensor_count=2**63), "claims"),
        (File(entry_count=2**40), "claims"),
        (File(tensor_count=60_000), "has 0 dimensions"),
        (GOOD[:-1], "truncated: "),
        (GOOD[:200], "ends inside its header"),
        (GOOD[:6], "ends inside its header"),
        (File(tensors=[TENSORS[0], TENSORS[0]]), "appears twice"),
        (File(tensors=[Tensor("a", (2,) * 5)]), "has 5 dimensions"),
        (File(tensors=[Tensor("a", ())]), "has 0 dimensions"),
        (File(tensors=[Tensor("a", (0, 4))]), "cannot have the shape"),
        (File(tensors=[Tensor("a", (2**33, 2**33))]), "cannot have the shape"),
        (File(tensors=[Tensor("a", (33,), 8)]), "cannot have the shape"),
        (File(tensors=[Tensor("a", (4,), 4)]), "unknown type 4"),
        (File(tensors=[Tensor("a", (4,), offset=64)]), "expected at 0"),
        (File(tensors=[TENSORS[0], Tensor("b", (4,), offset=0)]), "expected at"),
        (File(tensors=[Tensor("a", (2**40,))]), "truncated"),
        (with_metadata(general__alignment=0), "not a power of two"),
        (with_metadata(general__alignment=48), "not a power of two"),
        (with_metadata(general__alignment="32"), "not a power of two"),
        (with_metadata(general__architecture=3), "not a text"),
        (with_metadata(general__architecture=""), "not the name of an architecture"),
        (with_metadata(general__architecture="\x1b[31m"), "not the name of an architecture"),
        (File({"general.name": "x"}), "not the name of an architecture"),
        (with_metadata(llama__block_count="2"), "not a count"),
        (with_metadata(llama__block_count=2**31), "not a number of blocks"),
        (with_metadata(llama__context_length=Raw(U64, struct.pack("<Q", 2**63))), "not a count"),
        (with_metadata(llama__context_length=Raw(5, struct.pack("<i", -1))), "not a count"),
        (with_metadata(llama__attention__head_count_kv=[1, 2, 3]), "one count for each of 2 blocks"),
        (with_metadata(tokenizer__chat_template=[1]), "not a text"),
        (with_metadata(x=Raw(99, b"")), "unknown type 99"),
        (with_metadata(x=Raw(STRING, struct.pack("<Q", 2**63))), "a string of"),
        (with_metadata(x=Raw(STRING, struct.pack("<Q", 2**20))), "ends inside its header"),
        (with_metadata(x=Raw(ARRAY, struct.pack("<IQ", STRING, 2**60))), "ends inside its header"),
        (with_metadata(x=Raw(ARRAY, struct.pack("<IQ", U64, 2**61))), "ends inside its header"),
        (with_metadata(x=Raw(ARRAY, struct.pack("<IQQ", STRING, 1, 2**63))), "ends inside its header"),
        (with_metadata(x=Raw(ARRAY, struct.pack("<IQ", ARRAY, 1))), "array of the unknown type"),
        (File(more_entries=text("general.name") + value("again"), entry_count=len(LLAMA) + 1), "appears twice"),
        (File(more_entries=text(b"\xff") + value(1), entry_count=len(LLAMA) + 1), "is not text"),
    ],
)
def test_refuses(tmp_path: Path, file: File | bytes, message: str) -> None:
    assert message in refusal(tmp_path, file)


def test_a_name_that_is_not_text_is_no_reason_to_refuse(tmp_path: Path) -> None:
    assert header_of(tmp_path, with_metadata(general__name=b"\xffx")).name == "\N{REPLACEMENT CHARACTER}x"


def test_counts_in_the_file_allocate_nothing(tmp_path: Path) -> None:
    tracemalloc.start()
    refusal(tmp_path, with_metadata(x=Raw(ARRAY, struct.pack("<IQ", U32, 2**61))))
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()


def test_many_small_arrays_do_not_fill_the_memory(tmp_path: Path) -> None:
    small = Raw(ARRAY, struct.pack("<IQ", 2, 4096) + struct.pack("<H", 999) * 4096)
    path = tmp_path / "model.gguf"
    path.write_bytes(File(metadata=LLAMA | {f"k{i}": small for i in range(500)}).encode())
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match="small arrays"):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    few = {f"k{i}": small for i in range(60)}
    assert header_of(tmp_path, File(metadata=LLAMA | few)).block_count == 2


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "endless.gguf"
    head = File(with_metadata(x=Raw(ARRAY, struct.pack("<IQ", 0, 2**36))).metadata, tensors=()).encode().rstrip(b"\0")
    with path.open("wb") as file:
        file.write(head)
        file.truncate(2**37)  # sparse: takes no space
    with pytest.raises(ModelFileError, match=f"longer than {MAX_HEADER_BYTES // 2**20} MiB"):
        read_header(path)


@settings(max_examples=400, deadline=None)
@given(cut=st.integers(0, len(GOOD) - 1))
def test_no_truncation_gets_through(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    refusal(tmp_path_factory.getbasetemp(), GOOD[:cut])


@settings(max_examples=600, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=8) | st.just(b"\xff" * 8)),
        min_size=1,
        max_size=6,
    ),
    drop=st.tuples(st.integers(0, len(GOOD)), st.integers(0, 16)),
)
def test_damage_raises_only_model_file_errors(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, bytes]], drop: tuple[int, int]
) -> None:
    damaged = bytearray(GOOD)
    for at, new in edits:
        damaged[at : at + len(new)] = new
    del damaged[drop[0] : drop[0] + drop[1]]
    try:
        header = header_of(tmp_path_factory.getbasetemp(), bytes(damaged))
    except ModelFileError:
        refusal(tmp_path_factory.getbasetemp(), bytes(damaged))
        return
    header.model_dump_json()
    header.memory_bytes(4096)
