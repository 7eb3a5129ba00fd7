"""The wheel holds what the four folders hold, and nothing else; entry points lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("runtime", "quant", "agents", "benchmarks")
SHIPPED = ("**/*.py", "prompts/*", "*.bpf", "*.jsonl", "report.html.j2", "report.css", "report.js", "py.typed")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def on_disk(folder: str) -> set[str]:
    found = {path for pattern in SHIPPED for path in (ROOT / folder).glob(pattern) if path.is_file()}
    return {f"leafwise/{path.relative_to(ROOT).as_posix()}" for path in found if "__pycache__" not in path.parts}


def build_wheel(folder: Path) -> Path:
    """Builds from a copy: setuptools leaves `build/` behind, and what lies there later ends up in a wheel."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, source)
    (source / "README.md").touch()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder / "dist"), str(source)]
    if _has_build_backend():
        command.append("--no-isolation")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def _has_build_backend() -> bool:
    # With the build backend installed, no registry is needed.
    command = [sys.executable, "-c", "import setuptools; print(setuptools.__version__)"]
    version = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return int(version.partition(".")[0] or 0) >= 77


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    with zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("wheel"))) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.mark.parametrize("folder", FOLDERS)
def test_wheel_holds_the_folder(wheel_files: set[str], folder: str) -> None:
    in_wheel = {name for name in wheel_files if name.startswith(f"leafwise/{folder}/")}
    assert in_wheel == on_disk(folder)


def test_wheel_holds_nothing_else(wheel_files: set[str]) -> None:
    expected = set().union(*(on_disk(folder) for folder in FOLDERS))
    others = {name for name in wheel_files - expected if ".dist-info/" not in name}
    assert others == set()
    assert "leafwise/__init__.py" not in wheel_files, "leafwise is a namespace: other distributions may extend it"


def test_folders_are_flat() -> None:
    """A subpackage works in an editable installation and is missing from the wheel."""
    for folder in FOLDERS:
        packages = {path.parent.name for path in (ROOT / folder).glob("*/*.py")}
        assert packages == set(), f"{folder}/ must stay flat, or pyproject.toml must list the subpackage"


def entry_points() -> list[tuple[str, str]]:
    project = PYPROJECT["project"]
    return [*project["scripts"].items(), *project["entry-points"]["leafwise.commands"].items()]


@pytest.mark.parametrize(("name", "target"), entry_points(), ids=lambda value: str(value))
def test_entry_points_resolve(name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    assert importlib.util.find_spec(module) is not None, f"{name}: no module {module}"
    assert callable(getattr(importlib.import_module(module), attribute))


def test_constraints_name_no_place() -> None:
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.\-]+==[A-Za-z0-9_.+!\-]+", line), line
