"""How an engine is opened: context, KV cache, determinism, process."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from leafwise.runtime.contracts import Contract
from leafwise.runtime.gguf_header import KVType

KVLayout = Literal["auto", "separate", "unified"]
"""How sequences share the KV cache."""


class EngineOptions(Contract):
    """What `open_engine` can be told. The defaults suit most uses."""

    context: int | None = Field(default=None, ge=1)
    """Tokens that one sequence may have, prompt and completion together; by default what the model was trained for, at
    most 4,096 with separate cells and 8,192 in a unified cache.
    """
    running: int | None = Field(default=None, ge=1, le=64)
    """Samples that generate at once; 16 by default, fewer where memory is short."""
    threads: int | None = Field(default=None, ge=1)
    """Threads that compute; one per physical core by default."""
    kv_type: KVType = "f16"
    """`q8_0` and `q4_0` take about a half and a quarter of the memory; both switch flash attention on."""
    kv_layout: KVLayout = "auto"
    """`unified`: one pool of cells that all sequences draw from; a shared beginning is stored once. `separate`: each
    sequence has cells of its own, so that it never computes over the others' (quicker on a CPU, takes more memory).
    `auto`: separate where memory allows.
    """
    memory_bytes: int | None = Field(default=None, ge=1)
    """Memory to plan with; by default what is free. Several engines get a share each (see `runtime.sharing`)."""
    flash_attention: bool | None = None
    """On, batches of long sequences are computed quicker. Off, greedy tokens of a request that runs alone are those of
    `llama_cpp.Llama`'s default; on, those of its `flash_attn=True`. None: on for a quantized or a unified cache, else
    off. The commands switch it on.
    """
    deterministic: bool = False
    """A request's tokens do not depend on what else runs: requests are computed one after the other from an empty cache
    (the n samples of one request still together). Slower.
    """
    isolated: bool = False
    """Run llama.cpp in a process of its own: a native crash or a hang becomes an error, and the engine restarts."""
    hang_seconds: float = Field(default=300.0, gt=0)
    """With `isolated`: a step that takes longer counts as a hang."""
    chat: bool = True
    """Refuse a model without a chat template, which can't be instructed."""
    api_key: SecretStr | None = None
    """For a model behind a URL: the server's key; not sent where the URL has a login. Never logged or stored."""
    request_seconds: float = Field(default=600.0, gt=0)
    """For a model behind a URL: most seconds that one request may take without a deadline of its own."""
