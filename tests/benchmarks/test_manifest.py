"""The manifest: what changes a fingerprint, what may be added to a run, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leafwise.agents import Settings
from leafwise.benchmarks import manifest as module
from leafwise.benchmarks.contracts import Manifest, ModelFile, Problem, ProblemSet, Suite
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.manifest import make_manifest, merged, read_manifest, without_tasks, write_manifest
from leafwise.runtime.engine_options import EngineOptions

SUITE = Suite(name="base", setup="", checks=(), cpu_seconds=1)
PROBLEMS = ProblemSet(
    name="tiny",
    source="a test",
    sha256="d1",
    problems=(Problem(id="T/0", prompt="p", entry_point="f", reference="r", suites=(SUITE,)),),
)


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    hashes = {"a": "1", "b": "2", "/x/c.gguf": "3"}
    monkeypatch.setattr(
        module, "read_model", lambda name: ModelFile(name=name, sha256=hashes[name], quantization="Q4_1", bytes=1)
    )
    return hashes


def make(**changes: Any) -> Manifest:
    said: dict[str, Any] = {
        "problems": PROBLEMS,
        "tasks": ["T/0"],
        "models": ["a"],
        "strategies": ["direct", "resample", "guided"],
        "settings": Settings(),
        "options": EngineOptions(),
        "samples": 1,
    }
    return make_manifest(**said | changes)


def prints(manifest: Manifest) -> dict[str, str]:
    return {arm.name: arm.fingerprint for arm in manifest.arms}


def test_arms_are_models_times_strategies() -> None:
    assert [arm.name for arm in make().arms] == ["direct", "resample", "guided"]
    grid = make(models=["a", "/x/c.gguf"], strategies=["resample", "guided"])
    assert [arm.name for arm in grid.arms] == ["a/resample", "a/guided", "c/resample", "c/guided"]
    assert [arm.matches for arm in grid.arms] == ["a/guided", None, "c/guided", None]
    parts = make(strategies=["guided-no-gate", "resample", "guided", "paper"])
    assert [arm.matches for arm in parts.arms] == [None, "guided", None, None]
    assert (parts.arms[0].strategy, parts.arms[0].settings.without) == ("guided", ("gate",))
    assert len(set(prints(parts).values())) == 4
    alone = make(strategies=["guided-no-gate", "resample"])
    assert alone.arms[1].matches is None, "its tokens are those of the whole team, or its own budget"
    assert make(strategies=["resample"]).arms[0].matches is None, "there is nothing to match"


def test_the_same_is_the_same() -> None:
    assert prints(make()) == prints(make(tasks=["T/0", "T/1"], samples=3, strategies=["resample", "guided", "direct"]))
    assert len(set(prints(make()).values())) == 3


DIFFERENT: dict[str, dict[str, Any]] = {
    "seed": {"settings": Settings(seed=1)},
    "budget": {"settings": Settings(max_tokens=99)},
    "kv": {"options": EngineOptions(kv_type="q8_0")},
    "deterministic": {"options": EngineOptions(deterministic=True)},
    "data": {"problems": PROBLEMS.model_copy(update={"sha256": "d2"})},
    "model": {"models": ["b"]},
}


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT)
def test_what_a_sample_depends_on_is_in_its_fingerprint(change: dict[str, Any]) -> None:
    assert prints(make()).items().isdisjoint(prints(make(**change)).items())


def test_what_does_not_matter_is_not() -> None:
    assert prints(make()) == prints(make(options=EngineOptions(threads=1, isolated=True)))


def test_another_build_of_the_same_model_is_another_model(models: dict[str, str]) -> None:
    before = make()
    models["a"] = "9"
    with pytest.raises(BenchmarkError, match=r"arm direct: another model"):
        merged(before, make())


def test_code_and_prompts_are_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make()
    for name, words in (("code_sha256", "leafwise's code changed"), ("prompts_sha256", "the prompts changed")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, lambda: "other")
            with pytest.raises(BenchmarkError, match=words):
                merged(before, make())


def test_arms_tasks_and_samples_may_be_added() -> None:
    old = make(strategies=["direct"], tasks=["T/0"])
    new = merged(old, make(strategies=["guided"], tasks=["T/1"], samples=2))
    assert [arm.name for arm in new.arms] == ["direct", "guided"]
    assert new.tasks == ("T/0", "T/1")
    assert new.samples == 2
    assert new.created == old.created


def test_another_seed_or_data_set_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="seed 0 is now 7"):
        merged(make(), make(settings=Settings(seed=7)))
    with pytest.raises(BenchmarkError, match="data set"):
        merged(make(), make(problems=PROBLEMS.model_copy(update={"sha256": "d2"})))


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_manifest(path, make())
    assert read_manifest(path) == make().model_copy(update={"created": read_manifest(path).created})
    path.write_text("{}")
    with pytest.raises(BenchmarkError, match="no manifest"):
        read_manifest(path)
    with pytest.raises(BenchmarkError, match="cannot read"):
        read_manifest(tmp_path / "none")


def test_what_was_left_out_stays_out_until_it_is_asked_and_fine() -> None:
    old = without_tasks(make(tasks=["T/0", "T/1"]), {"T/1": "fails", "line 3": "no JSON"})
    assert old.tasks == ("T/0",)
    assert merged(old, make(tasks=["T/0"])).left_out == old.left_out
    mended = merged(old, make(tasks=["T/0", "T/1"]))
    assert (mended.tasks, mended.left_out) == (("T/0", "T/1"), {"line 3": "no JSON"})
    assert merged(mended, without_tasks(make(tasks=["T/0", "T/1"]), {"T/0": "fails"})).tasks == ("T/1",)
