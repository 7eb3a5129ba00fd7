"""What cannot be converted is refused by name, before anything is written, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_llamas import FIXTURE, change_json

from leafwise.quant.convert import convert, pair_neighbours
from leafwise.quant.convert_cli import main
from leafwise.quant.errors import QuantizeError
from leafwise.quant.float_formats import convert as convert_floats
from leafwise.quant.float_formats import from_f32, to_f32
from leafwise.runtime.errors import LeafwiseError

SHAPES = {
    "model.embed_tokens.weight": (4096, 32),
    "model.layers.0.input_layernorm.weight": (32,),
    "model.layers.0.self_attn.q_proj.weight": (32, 32),
    "model.layers.0.self_attn.k_proj.weight": (16, 32),
    "model.layers.0.self_attn.v_proj.weight": (16, 32),
    "model.layers.0.self_attn.o_proj.weight": (32, 32),
    "model.layers.0.post_attention_layernorm.weight": (32,),
    "model.layers.0.mlp.gate_proj.weight": (64, 32),
    "model.layers.0.mlp.up_proj.weight": (64, 32),
    "model.layers.0.mlp.down_proj.weight": (32, 64),
    "model.norm.weight": (32,),
}
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "vocab_size": 4096,
    "tie_word_embeddings": True,
    "bos_token_id": 4088,
    "eos_token_id": 4089,
}


def tensors() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {name: random.standard_normal(shape, dtype=np.float32) for name, shape in SHAPES.items()}


def save(folder: Path, content: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    save_file(content, folder / "model.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound checkpoint of one block, made without torch."""
    made = tmp_path / "hf"
    made.mkdir()
    save(made, tensors())
    (made / "config.json").write_text(json.dumps(CONFIG))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(FIXTURE / name, made / name)
    return made


def refused(folder: Path, match: str) -> QuantizeError:
    target = folder.parent / "made.gguf"
    with pytest.raises(QuantizeError, match=match) as caught:
        convert(folder, target, type_="f16")
    assert [p.name for p in folder.parent.iterdir()] == ["hf"]
    assert caught.value.hint
    return caught.value


def test_it_is_sound_to_begin_with(folder: Path) -> None:
    assert convert(folder, folder.parent / "made.gguf", type_="f16").block_count == 1


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"architectures": ["MixtralForCausalLM"]}, "architecture MixtralForCausalLM is not supported"),
        ({"architectures": None, "model_type": "gemma"}, "architecture gemma is not supported"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"quantized already \(gptq\)"),
        ({"attention_bias": True}, "attention_bias True is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act gelu is not supported"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, "rope scaling 'yarn' is not supported"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "low_freq_factor is None, not a number"),
        ({"rope_scaling": 3}, "rope_scaling is no object"),
        ({"rope_theta": float("inf")}, "rope_theta is inf, not a number"),
        ({"rope_theta": 1e300}, "rope_theta is 1e.300, not a number"),
        ({"rms_norm_eps": 1e300}, "rms_norm_eps is 1e.300, not a number"),
        ({"num_attention_heads": 64, "num_key_value_heads": 64, "head_dim": None}, "64 heads cannot share 32 elements"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, not a count"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0, not a count"),
        ({"num_key_value_heads": 3}, "cannot share 3 KV heads"),
        ({"hidden_size": "32"}, "hidden_size is 32, not a count"),
        ({"num_hidden_layers": 2}, "9 tensors are missing, the first is model.layers.1.input_layernorm.weight"),
        ({"tie_word_embeddings": False}, "1 tensors are missing, the first is lm_head.weight"),
        ({"vocab_size": 4100}, r"model.embed_tokens.weight has the shape \(4096, 32\)"),
    ],
)
def test_configurations(folder: Path, changes: dict[str, object], match: str) -> None:
    change_json(folder / "config.json", **changes)
    refused(folder, match)


def add_bias(content: dict[str, np.ndarray]) -> None:
    content["model.layers.0.self_attn.q_proj.bias"] = np.zeros(32, np.float32)


def add_nan(content: dict[str, np.ndarray]) -> None:
    content["model.norm.weight"][3] = np.nan


def add_large(content: dict[str, np.ndarray]) -> None:
    content["model.layers.0.mlp.up_proj.weight"][5, 5] = 7e4


def use_integers(content: dict[str, np.ndarray]) -> None:
    content["model.layers.0.mlp.up_proj.weight"] = np.zeros((64, 32), np.int8)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (add_bias, "q_proj.bias has no place in a Llama"),
        (add_nan, "model.norm.weight holds NaN or infinite values"),
        (add_large, r"up_proj.weight holds values up to 7e\+04, too large for F16"),
        (use_integers, "up_proj.weight is stored as I8"),
    ],
)
def test_tensors(folder: Path, change: Callable[[dict[str, np.ndarray]], None], match: str) -> None:
    content = tensors()
    change(content)
    save(folder, content)
    refused(folder, match)


def test_what_f16_cannot_hold_bf16_can(folder: Path) -> None:
    content = tensors()
    add_large(content)
    save(folder, content)
    assert convert(folder, folder.parent / "made.gguf", type_="bf16").quantization == "BF16"


def test_computed_buffers_and_tied_copies_are_left_out(folder: Path) -> None:
    convert(folder, folder.parent / "a.gguf", type_="f32")
    content = tensors()
    content["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(8, np.float32)
    content["lm_head.weight"] = content["model.embed_tokens.weight"].copy()
    save(folder, content)
    convert(folder, folder.parent / "b.gguf", type_="f32")
    assert (folder.parent / "a.gguf").read_bytes() == (folder.parent / "b.gguf").read_bytes()


def test_files(folder: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-7])
    refused(folder, "model.safetensors is no sound safetensors file")
    weights.write_bytes(struct.pack("<Q", 2**60) + whole[8:])
    refused(folder, "model.safetensors is no sound safetensors file")
    weights.unlink()
    refused(folder, "there is no model.safetensors and no model.safetensors.index.json")
    (folder / "pytorch_model.bin").touch()
    refused(folder, "pickled weights only")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: f"model-{len(name) % 3}.safetensors" for name in SHAPES}}))
    refused(folder, r"3 of 3 shards are missing: model-0.safetensors, model-1.safetensors, model-2.safetensors")
    index.write_text(json.dumps({"weight_map": {"x": "../../etc/passwd"}}))
    refused(folder, "names a file elsewhere")
    index.unlink()
    weights.write_bytes(whole)
    (folder / "tokenizer.json").unlink()
    refused(folder, "there is no tokenizer.json and no tokenizer.model")
    (folder / "config.json").write_text("[" * 100_000)
    refused(folder, "config.json is not JSON")


def test_a_shard_that_contradicts_the_index(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys([*SHAPES, "lost"], "one.safetensors")}))
    refused(folder, r"the tensor lost is not in one.safetensors")


def test_the_target(folder: Path) -> None:
    target = folder.parent / "made.gguf"
    target.write_text("precious")
    with pytest.raises(QuantizeError, match="exists already"):
        convert(folder, target, type_="f16")
    with pytest.raises(QuantizeError, match="same file"):
        convert(folder, folder / "model.safetensors", type_="f16", replace=True)
    with pytest.raises(QuantizeError, match="same file"):
        convert(folder, folder / "tokenizer.json", type_="f16", replace=True)
    with pytest.raises(QuantizeError, match="no directory"):
        convert(folder, folder / "no" / "made.gguf", type_="f16")
    assert target.read_text() == "precious"
    convert(folder, target, type_="f16", replace=True)
    assert target.read_bytes()[:4] == b"GGUF"


def test_a_killed_conversion_leaves_no_file_of_that_name(folder: Path) -> None:
    target = folder.parent / "made.gguf"
    code = (
        "import sys, time; from pathlib import Path; from leafwise.quant.convert import convert\n"
        "def slow(done, total): print(done, flush=True); time.sleep(0.2)\n"
        "convert(Path(sys.argv[1]), Path(sys.argv[2]), type_='f32', progress=slow)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, folder, target], stdout=subprocess.PIPE)
    with child:
        assert child.stdout
        child.stdout.readline()
        child.kill()
    assert not target.exists()
    convert(folder, target, type_="f32")
    assert sorted(p.name for p in folder.parent.iterdir()) == ["hf", "made.gguf"]  # what was left is gone


def test_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder.parent / "made.gguf"
    assert main([str(folder), str(target), "--type", "bf16"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{target}\n"
    assert "MB" in shown.err
    with pytest.raises(LeafwiseError, match="exists already"):
        main([str(folder), str(target)])
    with pytest.raises(LeafwiseError, match="there is no type 'q4'"):
        main([str(folder), str(target), "--type", "q4"])
    assert main([str(folder), str(target), "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["architecture"] == "llama"


def test_every_bf16_and_f16_number_survives_and_rounding_is_to_even() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    finite = bits[np.isfinite(to_f32(bits, "bf16"))]
    assert (from_f32(to_f32(finite, "bf16"), "bf16") == finite).all()
    ties = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0xBF808000], np.uint32).view(np.float32)
    assert [hex(b) for b in from_f32(ties, "bf16")] == ["0x3f80", "0x3f82", "0x3f81", "0xbf80"]
    with pytest.raises(QuantizeError, match="too large for BF16"):
        convert_floats(np.array([3.4e38], np.float32), "f32", "bf16", "x")


def test_rows_of_a_head_are_paired() -> None:
    rows = np.arange(8)[:, None] * np.ones((1, 3))
    assert list(pair_neighbours(rows, 4)[:, 0]) == [0, 2, 1, 3, 4, 6, 5, 7]
