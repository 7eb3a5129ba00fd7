"""Several engines on one machine: what each gets, what is refused before anything is loaded, and that they run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_memory_plan import LLAMA_8B, SMALL

from leafwise.runtime import sharing
from leafwise.runtime.contracts import Request
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import EngineError, ModelFileError, ModelNotFoundError
from leafwise.runtime.gguf_header import GGUFHeader
from leafwise.runtime.memory_plan import MAY_TAKE, least_plan, plan_memory
from leafwise.runtime.opening import open_engine
from leafwise.runtime.sharing import Local, identity, open_engines, share

GIB = 2**30
BIG, TINY = Local("big", LLAMA_8B), Local("tiny", SMALL)


def shares(models: list[Local], free: float, cores: int = 8, **options: Any) -> list[EngineOptions]:
    return share(models, EngineOptions(**options), int(free * GIB), cores)


@pytest.mark.parametrize("free", [7, 8, 12, 16, 64])
def test_what_each_plans_fits_together(free: float) -> None:
    models = [BIG, TINY]
    plans = [
        plan_memory(model.header, given, given.memory_bytes or 0, name=model.name)
        for model, given in zip(models, shares(models, free), strict=True)
    ]
    assert sum(plan.total_bytes for plan in plans) <= MAY_TAKE * free * GIB


@given(
    headers=st.lists(st.sampled_from([LLAMA_8B, SMALL]), min_size=2, max_size=4),
    free=st.integers(GIB // 4, 64 * GIB),
    cores=st.integers(1, 64),
    kv_type=st.sampled_from(["f16", "q8_0"]),
)
def test_shares_are_enough_and_no_more_than_there_is(
    headers: list[GGUFHeader], free: int, cores: int, kv_type: Any
) -> None:
    models = [Local(str(i), header) for i, header in enumerate(headers)]
    options = EngineOptions(kv_type=kv_type)
    needed = sum(least_plan(header, options, name="m").total_bytes for header in headers)
    try:
        given_options = share(models, options, free, cores)
    except EngineError:
        assert needed > MAY_TAKE * free - len(models)
        return
    assert sum(o.memory_bytes or 0 for o in given_options) <= free
    for header, each in zip(headers, given_options, strict=True):
        plan_memory(header, each, each.memory_bytes or 0, name="m")  # raises if its share is too small
        assert each.threads is not None
        assert 1 <= each.threads <= cores


def test_a_larger_model_gets_more_cores_and_more_cache() -> None:
    big, tiny = shares([BIG, TINY], 32)
    assert (big.threads, tiny.threads) == (8, 1)
    assert [o.threads for o in shares([TINY, TINY], 32, cores=2)] == [1, 1]
    assert [o.threads for o in shares([BIG, TINY], 32, threads=3)] == [3, 3], "what is asked for is kept"
    assert (big.memory_bytes or 0) - LLAMA_8B.weight_bytes > 2 * ((tiny.memory_bytes or 0) - SMALL.weight_bytes)


def test_models_that_do_not_fit_together_are_refused_with_what_each_needs() -> None:
    with pytest.raises(
        EngineError, match=r"2 models do not fit together: they need big 5\.. GiB, tiny .* of memory"
    ) as e:
        shares([BIG, TINY], 5.5)
    assert "let roles share a model" in e.value.hint
    assert "of the 5.5 GiB free they may use 4.9 GiB" in e.value.message


def test_what_a_model_cannot_do_is_said_before_anything_is_loaded() -> None:
    with pytest.raises(EngineError, match="tiny has a context of 8192 tokens, not 9000"):
        shares([BIG, TINY], 64, context=9000)


# --- with files ------------------------------------------------------------------------------------------------------


def test_links_and_names_of_one_file_are_one_model(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.gguf").symlink_to(model_path)
    assert identity(str(tmp_path / "link.gguf")) == identity("smollm2-135m") == str(model_path.resolve())
    assert identity("http://127.0.0.1:1/v1#a") != identity("http://127.0.0.1:1/v1#b")


def test_a_model_that_is_not_there_is_refused_before_another_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        pytest.fail("nothing may be loaded")

    monkeypatch.setattr(sharing, "open_engine", load)
    with pytest.raises(ModelNotFoundError):
        open_engines(["smollm2-135m", str(tmp_path / "no.gguf")], EngineOptions())
    (tmp_path / "text.gguf").write_text("this is no model")
    with pytest.raises(ModelFileError):
        open_engines(["smollm2-135m", str(tmp_path / "text.gguf")], EngineOptions())


def test_too_little_memory_is_refused_before_anything_is_loaded(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        pytest.fail("nothing may be loaded")

    free = psutil.virtual_memory()._replace(available=300 * 2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(sharing, "open_engine", load)
    shutil.copyfile(model_path, tmp_path / "copy.gguf")
    with pytest.raises(EngineError, match=r"do not fit together: they need smollm2-135m .* copy"):
        open_engines(["smollm2-135m", str(tmp_path / "copy.gguf")], EngineOptions())


@pytest.mark.model
def test_one_model_under_two_names_is_opened_once_and_two_run_side_by_side(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.gguf").symlink_to(model_path)
    shutil.copyfile(model_path, tmp_path / "copy.gguf")
    names = ["smollm2-135m", str(tmp_path / "link.gguf"), str(tmp_path / "copy.gguf")]
    engines = open_engines(names, EngineOptions(context=512))
    one, same, other = (engines[name] for name in names)
    with one, other:
        assert one is same
        assert one is not other
        assert other.info.name == "copy"
        ask = Request(prompt="def add(a, b):", max_tokens=12)
        texts = [generation.result(timeout=60).samples[0].text for generation in (one.submit(ask), other.submit(ask))]
        assert texts[0] == texts[1] != ""


@pytest.mark.model
def test_what_was_opened_is_closed_if_another_fails(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def load(model: str, options: EngineOptions) -> Any:
        if "copy" in model:
            raise EngineError("no", "none")
        opened.append(open_engine(model, options))
        return opened[-1]

    monkeypatch.setattr(sharing, "open_engine", load)
    shutil.copyfile(model_path, tmp_path / "copy.gguf")
    with pytest.raises(EngineError, match="no"):
        open_engines(["smollm2-135m", str(tmp_path / "copy.gguf")], EngineOptions(context=512))
    with pytest.raises(EngineError, match="closed"):
        opened[0].submit(Request(prompt="x", max_tokens=1))
