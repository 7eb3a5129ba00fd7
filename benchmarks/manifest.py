"""What a run is, written down before it begins, and the fingerprints by which a resumed run knows its own samples."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from leafwise.agents.settings import Settings
from leafwise.agents.strategies import with_strategy
from leafwise.benchmarks.code_hash import code_sha256, prompts_sha256
from leafwise.benchmarks.contracts import Arm, Manifest, ModelFile, ProblemSet
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report import read_machine
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.models import resolve
from leafwise.runtime.opening import is_remote
from leafwise.runtime.paths import file_sha256, write_whole

_FINGERPRINT_CHARS = 16
_NUMERIC = ("context", "kv_type", "kv_layout", "flash_attention", "deterministic")
"""Engine options on which a model's tokens depend."""


def read_model(name: str) -> ModelFile:
    """What is known of a model that is named; its file is hashed, which takes seconds for a large one.

    Raises:
        ModelNotFoundError, ModelFileError: there is no such model here, or its file is none.
    """
    if is_remote(name):
        return ModelFile(name=name, sha256=None, quantization="unknown", bytes=None)
    path = resolve(name).path
    return ModelFile(
        name=name, sha256=file_sha256(path), quantization=read_header(path).quantization, bytes=path.stat().st_size
    )


def make_manifest(
    problems: ProblemSet,
    tasks: Sequence[str],
    models: Sequence[str],
    strategies: Sequence[str],
    settings: Settings,
    options: EngineOptions,
    samples: int,
) -> Manifest:
    """Describe a run: an arm for each strategy of each model, those that match another's tokens after it.

    Args:
        problems: the data set.
        tasks: ids of the tasks to ask.
        models: as the user named them.
        strategies: names of `agents.strategies`, in the order of the report.
        settings: of every arm; its strategy is replaced.
        options: how engines are opened.
        samples: per task and arm.

    Raises:
        ModelNotFoundError, ModelFileError: a model is not here.
    """
    files = {model: read_model(model) for model in models}
    code, prompts, llama_cpp = code_sha256(), prompts_sha256(), version("llama-cpp-python")
    shared = {
        "dataset": problems.sha256,
        "engine": {name: getattr(options, name) for name in _NUMERIC},
        "code": code,
        "prompts": prompts,
        "llama.cpp": llama_cpp,
    }
    names = _short_names(models)
    arms = [
        _arm(f"{names[model]}/" if len(models) > 1 else "", strategy, strategies, files[model], settings, shared)
        for model in models
        for strategy in strategies
    ]
    return Manifest(
        dataset=problems.name,
        dataset_source=problems.source,
        dataset_sha256=problems.sha256,
        suites=tuple(suite.name for suite in problems.problems[0].suites),
        tasks=tuple(tasks),
        samples=samples,
        arms=tuple(arms),
        models=tuple(files.values()),
        engine=options.model_dump(mode="json", exclude={"api_key", "chat", "request_seconds", "hang_seconds"}),
        leafwise=version("leafwise"),
        commit=_commit(),
        code_sha256=code,
        prompts_sha256=prompts,
        llama_cpp=llama_cpp,
        machine=read_machine(),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def _arm(
    prefix: str,
    strategy: str,
    strategies: Sequence[str],
    model: ModelFile,
    settings: Settings,
    shared: Mapping[str, object],
) -> Arm:
    matches = f"{prefix}guided" if strategy == "resample" and "guided" in strategies else None
    own = with_strategy(settings, strategy)
    facts = {
        **shared,
        "model": model.sha256 or model.name,
        "settings": own.model_dump(mode="json"),
        "matches": matches is not None,
    }
    return Arm(
        name=prefix + strategy,
        model=model.name,
        strategy=own.strategy,
        settings=own,
        matches=matches,
        fingerprint=_hash(json.dumps(facts, sort_keys=True).encode())[:_FINGERPRINT_CHARS],
    )


def read_manifest(path: Path) -> Manifest:
    """Read a run's manifest.

    Raises:
        BenchmarkError: it is not there, or of another form.
    """
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}", "is this the directory of a run?") from error
    except ValidationError as error:
        raise BenchmarkError(f"{path} is no manifest of this version", "start in a new directory") from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a run's manifest.

    Raises:
        BenchmarkError: it can't be written.
    """
    try:
        write_whole(path, manifest.model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror}", "choose another place") from error


def merged(old: Manifest, new: Manifest) -> Manifest:
    """The manifest of a run that goes on: arms and tasks may be added, and what was there must be what it was.

    Raises:
        BenchmarkError: the two would mix different things; the message says which.
    """
    if differing := [name for name in ("dataset", "dataset_sha256") if getattr(old, name) != getattr(new, name)]:
        raise _other(f"the data set ({', '.join(differing)})")
    known = {arm.name: arm for arm in old.arms}
    for arm in new.arms:
        if arm.name in known and known[arm.name].fingerprint != arm.fingerprint:
            raise _other(f"arm {arm.name}: {', '.join(_differences(old, new, known[arm.name], arm))}")
    arms = {arm.name: arm for arm in (*old.arms, *new.arms)}
    models = {model.name: model for model in (*old.models, *new.models)}
    kept = {"arms": tuple(arms.values()), "models": tuple(models.values()), "created": old.created}
    samples = max(old.samples, new.samples)
    whole = new.model_copy(update=kept | {"tasks": _in_order(old.tasks, new.tasks), "samples": samples})
    before = {task: why for task, why in old.left_out.items() if task not in new.tasks}
    return without_tasks(whole, before | new.left_out)


def without_tasks(manifest: Manifest, left_out: Mapping[str, str]) -> Manifest:
    """The manifest without tasks that cannot be scored; it tells of them.

    Args:
        manifest: of a run.
        left_out: why, by task.
    """
    tasks = tuple(task for task in manifest.tasks if task not in left_out)
    return manifest.model_copy(update={"tasks": tasks, "left_out": {**left_out}})


def _differences(old: Manifest, new: Manifest, before: Arm, now: Arm) -> list[str]:
    """In which of what a fingerprint is made of two arms differ, in words."""
    found = [
        f"{name} {getattr(before.settings, name)} is now {getattr(now.settings, name)}"
        for name in Settings.model_fields
        if getattr(before.settings, name) != getattr(now.settings, name)
    ]
    found += [
        f"{name} {old.engine.get(name)} is now {new.engine.get(name)}"
        for name in _NUMERIC
        if old.engine.get(name) != new.engine.get(name)
    ]
    models = [{m.name: m.sha256 for m in manifest.models} for manifest in (old, new)]
    found += ["another model"] if models[0].get(before.model) != models[1].get(now.model) else []
    found += ["other tokens to match"] if (before.matches is None) != (now.matches is None) else []
    words = {"code_sha256": "leafwise's code", "prompts_sha256": "the prompts", "llama_cpp": "llama.cpp's version"}
    return found + [f"{word} changed" for name, word in words.items() if getattr(old, name) != getattr(new, name)]


def _other(what: str) -> BenchmarkError:
    return BenchmarkError(f"this directory holds a different run: {what}", "choose a new directory with --out")


def _in_order(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*old, *new)))


def _short_names(models: Sequence[str]) -> dict[str, str]:
    """A path's stem, where no two models have the same; otherwise the names as they are."""
    stems = {model: Path(model).stem if model.endswith(".gguf") else model for model in models}
    return stems if len(set(stems.values())) == len(models) else {model: model for model in models}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _commit() -> str | None:
    """The checkout's commit, with `+` where something is changed; None where this is no checkout."""
    root = Path(str(resources.files("leafwise.benchmarks"))).parent
    if not (root / ".git").exists():
        return None
    said = [
        subprocess.run(["git", "-C", str(root), *ask], capture_output=True, text=True, check=False)
        for ask in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    ]
    if any(answer.returncode for answer in said):
        return None
    return said[0].stdout.strip() + ("+" if said[1].stdout.strip() else "")
