"""Modules of the caller's own: importable by programs and checks, changed by none, and nothing beside them is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from leafwise.runtime.errors import SandboxUnavailableError, UsageError
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check, Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_modules import resolve_modules, staged

FILES = {
    "parsing.py": b"def parse(line):\n    return line.split('=')\n",
    "shop/__init__.py": b"",
    "shop/prices.py": b"from shop.money import cents\n\ndef price(text):\n    return cents(text) / 100\n",
    "shop/money.py": b"def cents(text):\n    return int(text)\n",
}


@pytest.fixture(scope="module", params=[SandboxLevel.FULL, SandboxLevel.LANDLOCK])
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[Sandbox, list[Path]]]:
    with staged(FILES) as paths:
        try:
            sandbox = open_sandbox(request.param, workers=1, modules=paths)
        except SandboxUnavailableError as error:
            pytest.skip(f"{error.message} ({error.hint})")
        yield sandbox, paths
        sandbox.close()


def judge(sandbox: Sandbox, source: str, *checks: Check, setup: str = "") -> Verdict:
    return sandbox.run(Program(source=source, checks=checks, setup=setup))


@pytest.mark.sandbox
def test_programs_and_checks_import_them(opened: tuple[Sandbox, list[Path]]) -> None:
    source = "from parsing import parse\nfrom shop.prices import price\ndef f(s):\n    return price(parse(s)[1])\n"
    verdict = judge(
        opened[0],
        source,
        Check(code="f('a=250')", expected="2.5"),
        Check(code="f('a=250')", expected="cents('250') / 100"),
        setup="from shop.money import cents",
    )
    assert verdict.status is Status.PASSED, verdict


@pytest.mark.sandbox
def test_trusted_checks_import_them_too(opened: tuple[Sandbox, list[Path]]) -> None:
    check = Check(code="f() == __import__('parsing').parse('a=b')")
    program = Program(source="def f():\n    return ['a', 'b']\n", checks=(check,), trusted_checks=True)
    assert opened[0].run(program).checks[0].observed == "True"


TRIES = {
    "writes": "open({path!r}, 'a').write('x')",
    "truncates": "os.truncate({path!r}, 0)",
    "removes": "os.remove({path!r})",
    "renames": "os.rename({path!r}, {path!r} + '.old')",
    "opens up": "os.chmod({path!r}, 0o777)",
    "sets the time": "os.utime({path!r}, (0, 0))",
    "adds a file": "open(os.path.dirname({path!r}) + '/more.py', 'w').close()",
    "links": "os.symlink('/', os.path.dirname({path!r}) + '/link')",
}


@pytest.mark.sandbox
@pytest.mark.parametrize("attempt", TRIES)
@pytest.mark.parametrize("file", ["parsing.py", "shop/money.py"])
def test_no_program_changes_them(opened: tuple[Sandbox, list[Path]], attempt: str, file: str) -> None:
    sandbox, paths = opened
    top = "/packages" if sandbox.level is SandboxLevel.FULL else str(paths[0].parent)
    code = TRIES[attempt].format(path=f"{top}/{file}")
    source = f"import os\ndef f():\n    {code}\ndef reads():\n    return open({top + '/' + file!r}).read()\n"
    verdict = judge(sandbox, source, Check(code="reads()"), Check(code="f()", raises="OSError"))
    assert verdict.passed, verdict
    assert (paths[0].parent / file).read_bytes() == FILES[file]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["parsing.py", "shop"]


@pytest.mark.sandbox
def test_what_a_program_does_to_a_module_ends_with_it(opened: tuple[Sandbox, list[Path]]) -> None:
    change = "import parsing\nparsing.parse = lambda line: 'changed'\n"
    assert judge(opened[0], change, Check(code="None")).passed
    source = "from parsing import parse\n"
    assert judge(opened[0], source, Check(code="parse('a=b')", expected="['a', 'b']")).passed


@pytest.mark.sandbox
def test_the_warm_process_runs_none_of_their_code(opened: tuple[Sandbox, list[Path]]) -> None:
    source = "import sys\ndef f():\n    return [n for n in sys.modules if n.partition('.')[0] in ('parsing', 'shop')]\n"
    assert judge(opened[0], source, Check(code="f()", expected="[]")).passed


@pytest.mark.sandbox
def test_only_the_modules_given_are_there() -> None:
    with staged({"one.py": b"N = 1\n"}) as paths, open_sandbox(workers=1, modules=paths) as sandbox:
        assert judge(sandbox, "from one import N", Check(code="N", expected="1")).passed
        assert judge(sandbox, "import parsing").status is Status.LOAD_ERROR


def test_copies_are_gone_in_the_end_and_nobody_else_can_read_them() -> None:
    with staged(FILES) as paths:
        assert [path.name for path in paths] == ["parsing.py", "shop"]
        assert all(path.stat().st_mode & 0o007 == 0 for path in (*paths, *paths[1].iterdir(), paths[0].parent))
    assert not paths[0].parent.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.py", "does not exist"),
        ("notes.txt", "neither a Python file nor a folder"),
        ("json.py", "standard library has a module json"),
        ("test.py", "standard library has a module test"),
        ("two-words.py", "not the name of a module"),
        ("class.py", "not the name of a module"),
        ("solution.py", "what the program itself is called"),
        ("leafwise", "a module of the sandbox's own"),
    ],
)
def test_what_cannot_be_shown(tmp_path: Path, name: str, words: str) -> None:
    path = tmp_path / name
    if "." not in name:
        path.mkdir()
    elif name != "missing.py":
        path.write_text("")
    with pytest.raises(UsageError, match=words) as caught:
        resolve_modules([path])
    assert caught.value.hint


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one.py").write_text("")
    with pytest.raises(UsageError, match="would both be the module one"):
        resolve_modules([tmp_path / "one", tmp_path / "one.py"])


def test_a_module_and_an_allowed_package_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("")
    with pytest.raises(UsageError, match="are both the module numpy"):
        open_sandbox(allow_imports=["numpy"], modules=[tmp_path / "numpy.py"])
