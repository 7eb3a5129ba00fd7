"""Train the test fixture `data/llama-py`: a small real Llama on the Python standard library's source.

    python tests/quant/train_fixture.py --scratch SCRATCH --out tests/quant/data/llama-py

Needs torch, transformers and tokenizers, which are development dependencies, and about 35 minutes of two idle cores.
It can be killed at any moment: the same command goes on from its last checkpoint in SCRATCH. `--export-only DIR` writes
what is there so far. Every dimension is a multiple of 256, so that every K-quant can have every matrix.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import math
import platform
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SEED = 7
VOCABULARY = 4096
_USED = ("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
SPECIAL = (*_USED, *(f"<|reserved_{i}|>" for i in range(8 - len(_USED))))
# Llama 3's: llama.cpp knows it as `llama-bpe`.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>"
    "\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STEPS, TOKENS = 1500, 2048
PHASES = ((0.7, 256), (0.9, 512), (1.0, 1024))
"""Until which part of the steps sequences have which length; short ones first because they are cheaper."""
PEAK, WARMUP = 3e-3, 60
LEFT_OUT = {"test", "tests", "idle_test", "encodings", "pydoc_data", "site-packages", "turtledemo", "lib2to3"}
HELD_OUT_BYTES = 200_000


def corpus() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(path, text) of the files to train on and of those held out, chosen by the hash of the path."""
    root = Path(sysconfig.get_paths()["stdlib"])
    texts = []
    for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        name = path.relative_to(root).as_posix()
        if LEFT_OUT & set(name.split("/")) or name.startswith("_sysconfigdata"):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        if 500 < len(text) < 300_000:
            texts.append((name, text))
    by_hash = sorted(texts, key=lambda t: hashlib.sha256(t[0].encode()).digest())
    held, size = [], 0
    for name, text in by_hash:
        if size < HELD_OUT_BYTES and len(text) < 40_000:
            held.append((name, text))
            size += len(text)
    names = {name for name, _ in held}
    return [t for t in by_hash if t[0] not in names], held


def corpus_hash(files: list[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for name, text in files:
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()


def conversations(text: str) -> Iterator[tuple[str, str]]:
    """Each short documented function: its docstring's first line, and its source."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    lines = text.splitlines()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and (doc := ast.get_docstring(node)) and node.end_lineno:
            body = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            if len(body) < 1500:
                yield f"Write a function `{node.name}`. {doc.splitlines()[0]}", body


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE as Llama 3 has it, special tokens at the end."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    bos = SPECIAL[0]
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
            ),
        ]
    )
    return tokenizer


def encode(tokenizer: Tokenizer, files: list[tuple[str, str]], *, chats: bool) -> np.ndarray:
    """One stream of tokens: every file between its begin and end tokens, then what it gives as conversations."""
    bos, eos, im_start, im_end = (VOCABULARY - len(SPECIAL) + i for i in range(4))

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    stream: list[int] = []
    for _, text in files:
        stream += [bos, *ids(text), eos]
        for asked, answer in conversations(text) if chats else ():
            stream += [bos, im_start, *ids(f"user\n{asked}"), im_end, *ids("\n")]
            stream += [im_start, *ids(f"assistant\n```python\n{answer}\n```"), im_end, *ids("\n"), eos]
    return np.array(stream, dtype=np.uint16)


def configuration() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=VOCABULARY - 8,
        eos_token_id=VOCABULARY - 7,
        pad_token_id=VOCABULARY - 4,
    )


def batch(stream: np.ndarray, step: int, length: int) -> torch.Tensor:
    """Windows of the stream without replacement, the same for a step whenever it is run."""
    count, rows = len(stream) // length, TOKENS // length
    epoch, first = divmod(step * rows, count)
    order = np.random.default_rng([SEED, epoch, length]).permutation(count)
    picked = [int(order[(first + i) % count]) for i in range(rows)]
    return torch.from_numpy(np.stack([stream[p * length : (p + 1) * length] for p in picked]).astype(np.int64))


def loss_of(model: Any, tokens: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    logits = model(tokens).logits[:, :-1].reshape(-1, VOCABULARY)
    return torch.nn.functional.cross_entropy(logits.float(), tokens[:, 1:].reshape(-1), reduction=reduction)


def perplexity(model: Any, stream: np.ndarray, length: int = 512) -> tuple[float, int]:
    """exp of the mean loss per token over windows of 512, and how many tokens that are."""
    total, count = 0.0, 0
    model.eval()
    with torch.no_grad():
        for start in range(0, len(stream) - length + 1, length):
            tokens = torch.from_numpy(stream[start : start + length].astype(np.int64))[None]
            total += float(loss_of(model, tokens, "sum"))
            count += length - 1
    return math.exp(total / count), count


def rate(step: int) -> float:
    if step < WARMUP:
        return PEAK * (step + 1) / WARMUP
    return PEAK * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))))


def export(model: Any, tokenizer: Tokenizer, out: Path, facts: dict[str, Any]) -> None:
    """Write the Hugging Face directory, weights in BF16."""
    out.mkdir(parents=True, exist_ok=True)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=SPECIAL[0],
        eos_token=SPECIAL[1],
        pad_token=SPECIAL[4],
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = TEMPLATE
    wrapped.save_pretrained(out, save_jinja_files=False)
    stored = LlamaForCausalLM(configuration())
    stored.load_state_dict(model.state_dict())
    stored.to(torch.bfloat16).save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    (out / "MODEL.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def facts(files: list[tuple[str, str]], held: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "what": "a Llama trained on the Python standard library's source by tests/quant/train_fixture.py: test data",
        "command": "python tests/quant/train_fixture.py --scratch SCRATCH --out tests/quant/data/llama-py",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "corpus_files": len(files),
        "corpus_bytes": sum(len(text.encode()) for _, text in files),
        "corpus_sha256": corpus_hash(files),
        "held_out_files": [name for name, _ in held],
        "held_out_sha256": corpus_hash(held),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="checkpoints; the same folder to go on")
    parser.add_argument("--out", type=Path, required=True, help="the Hugging Face directory to write")
    parser.add_argument("--export-only", action="store_true", help="write --out from the last checkpoint and stop")
    parser.add_argument("--valid", type=Path, help="also write the held-out text here")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(SEED)
    asked.scratch.mkdir(parents=True, exist_ok=True)
    files, held = corpus()
    if asked.valid:
        asked.valid.write_text("".join(text for _, text in held), encoding="utf-8")
    vocabulary = asked.scratch / "tokenizer.json"
    if not vocabulary.exists():
        train_tokenizer([text for _, text in files]).save(str(vocabulary))
    tokenizer = Tokenizer.from_file(str(vocabulary))
    stream, valid = encode(tokenizer, files, chats=True), encode(tokenizer, held, chats=False)
    model = LlamaForCausalLM(configuration())
    known = facts(files, held)
    print(f"{len(stream):,} tokens to train on, {len(valid):,} held out", flush=True)
    known |= train(model, stream, asked.scratch, stop=asked.export_only)
    model.to(torch.bfloat16).to(torch.float32)  # as the file has them
    value, count = perplexity(model, valid)
    known |= {"validation_perplexity": round(value, 3), "validation_tokens": count, "validation_window": 512}
    known["validation_characters"] = sum(len(text) for _, text in held)
    print(f"validation perplexity {value:.3f} over {count:,} tokens", flush=True)
    export(model, tokenizer, asked.out, known)


def train(model: Any, stream: np.ndarray, scratch: Path, *, stop: bool) -> dict[str, Any]:
    """Train from the last checkpoint on; with `stop` only load it. Gives what is worth recording."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95))
    kept, first, seconds, average = scratch / "checkpoint.pt", 0, 0.0, 0.0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first, seconds, average = state["step"], state["seconds"], state["average"]
    model.train()
    began = time.monotonic()
    for step in () if stop else range(first, STEPS):
        length = next(length for part, length in PHASES if step < part * STEPS)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        loss = loss_of(model, batch(stream, step, length))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average = loss.item() if step == 0 else 0.95 * average + 0.05 * loss.item()
        done, took = step + 1, seconds + time.monotonic() - began
        if done % 10 == 0:
            print(f"step {done}/{STEPS} loss {average:.3f} {took:.0f} s", flush=True)
        if done % 50 == 0 or done == STEPS:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            part = kept.with_suffix(".part")
            torch.save(state | {"step": done, "seconds": took, "average": average}, part)
            part.replace(kept)
            first, seconds, began = done, took, time.monotonic()
    return {"steps": first, "tokens_seen": first * TOKENS, "train_seconds": round(seconds), "train_loss": average}


if __name__ == "__main__":
    main()
