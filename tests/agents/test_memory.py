"""The file of verified functions: what goes in, what comes out, and what is refused and left as it is."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leafwise.agents import memory_cli
from leafwise.agents.errors import MemoryFileError
from leafwise.agents.memory import KnownFunction, Memory, fingerprint, open_memory
from leafwise.runtime.errors import UsageError
from leafwise.runtime.sandbox_contracts import Check

DOUBLE = 'def double(x):\n    """Two times x."""\n    return x + x\n'


def known(source: str = DOUBLE, **changes: Any) -> KnownFunction:
    function = KnownFunction(
        name="double",
        signature="def double(x):",
        parameters=1,
        docstring="Two times x.",
        source=source,
        checks=(Check(code="double(2)", expected="4"), Check(code="double('')", raises="TypeError")),
        verified_by="examples",
        task="Write double.",
        task_sha256="0" * 64,
        model="small",
        run="20261124-101530-3fa2",
        created="2026-11-24T10:15:30+00:00",
    )
    return function.model_copy(update=changes)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return open_memory(tmp_path / "known.db")


def test_what_is_stored_comes_back_whole(memory: Memory) -> None:
    function = known(imports=("numpy",))
    assert memory.store(function)
    (found,) = open_memory(memory.path).functions()
    assert found == function.model_copy(update={"id": found.id})
    assert memory.functions(parameters=2) == []
    assert memory.functions(parameters=1) == [found]
    assert memory.remove(found.id)
    assert not memory.remove(found.id)
    assert memory.functions() == []


def test_equal_code_is_kept_once(memory: Memory) -> None:
    assert memory.store(known())
    assert not memory.store(known("def double( x ):  # twice\n    return (x + x)\n"))
    assert not memory.store(known("def twice(x):\n    return x + x\n", name="twice"))
    assert memory.store(known("def double(x):\n    return 2 * x\n"))
    assert len(memory.functions()) == 2


def test_examples_take_the_place_of_a_model_s_checks_and_not_the_other_way_round(memory: Memory) -> None:
    assert memory.store(known(verified_by="checks", task="first"))
    assert not memory.store(known(verified_by="checks", task="second"))
    assert memory.store(known(verified_by="examples", task="third"))
    assert not memory.store(known(verified_by="checks", task="fourth"))
    assert [f.task for f in memory.functions()] == ["third"]


def test_a_recursive_function_has_one_fingerprint_under_any_name() -> None:
    first = fingerprint("def f(n):\n    return n and f(n - 1)\n", "f")
    assert first == fingerprint("def g(n):\n    '''Doc.'''\n    return n and g(n - 1)\n", "g")
    assert first == fingerprint("def f(count):\n    return count and f(count - 1)\n", "f")
    assert first != fingerprint("def g(n):\n    return n and h(n - 1)\n", "g")
    assert first != fingerprint("def g(n):\n    return n and g(n - 2)\n", "g")
    assert fingerprint("def f(a, b):\n    return a - b\n", "f") != fingerprint("def f(a, b):\n    return b - a\n", "f")


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0" + b"x" * 5000, b"SQLite format 3\0"])
def test_a_foreign_or_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(MemoryFileError) as caught:
        open_memory(path)
    assert caught.value.hint
    assert str(path) in caught.value.message
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE functions (id INTEGER)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(MemoryFileError, match="another program"):
        open_memory(path)
    assert path.read_bytes() == before


def test_a_newer_form_is_refused(memory: Memory) -> None:
    connection = sqlite3.connect(memory.path)
    connection.execute("PRAGMA user_version = 2")
    connection.commit()
    connection.close()
    with pytest.raises(MemoryFileError, match="another version of leafwise"):
        open_memory(memory.path)


def test_a_damaged_page_is_noticed_at_the_start(memory: Memory) -> None:
    for number in range(200):
        memory.store(known(f"def double(x):\n    return x + {number}\n"))
    content = bytearray(memory.path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    memory.path.write_bytes(content)
    with pytest.raises(MemoryFileError, match="damaged"):
        open_memory(memory.path)
    assert memory.path.read_bytes() == bytes(content)


def test_unreadable_rows_are_an_error_with_a_hint(memory: Memory) -> None:
    memory.store(known())
    connection = sqlite3.connect(memory.path)
    connection.execute("UPDATE functions SET checks = '[{]'")
    connection.commit()
    connection.close()
    with pytest.raises(MemoryFileError, match="damaged"):
        memory.functions()


def test_places_where_no_file_can_be(tmp_path: Path) -> None:
    with pytest.raises(MemoryFileError, match="is no file"):
        open_memory(tmp_path)
    with pytest.raises(MemoryFileError, match="cannot make"):
        open_memory(tmp_path / "no" / "folder.db")
    with pytest.raises(MemoryFileError, match="there is no memory file"):
        open_memory(tmp_path / "new.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_becomes_one(tmp_path: Path) -> None:
    (tmp_path / "new.db").touch()
    assert open_memory(tmp_path / "new.db").functions() == []


WRITER = """
import sys
from leafwise.agents.memory import KnownFunction, open_memory
from leafwise.runtime.sandbox_contracts import Check
for number in range(25):
    source = f"def f(x):\\n    return x * {number if number < 5 else int(sys.argv[2]) * 100 + number}\\n"
    open_memory(sys.argv[1]).store(KnownFunction(
        name="f", signature="def f(x):", parameters=1, docstring="", source=source, checks=(Check(code="f(1)"),),
        verified_by="examples", task="", task_sha256="", model="", run="", created=""))
"""


def test_processes_that_start_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, str(i)], stderr=subprocess.PIPE, text=True) for i in range(3)]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    assert len(open_memory(path).functions()) == 5 + 3 * 20


# --- leafwise memory -------------------------------------------------------------------------------------------------


def test_the_command_lists_shows_and_removes(memory: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    memory.store(known())
    assert memory_cli.main(["list", str(memory.path)]) == 0
    assert capsys.readouterr().out == "   1  def double(x):  # passed 2 examples; for: Write double.\n"
    assert memory_cli.main(["show", str(memory.path), "1"]) == 0
    shown = capsys.readouterr()
    assert shown.out == DOUBLE
    assert "written by small in run 20261124-101530-3fa2" in shown.err
    assert "double(2) == 4" in shown.err
    assert memory_cli.main(["remove", str(memory.path), "1"]) == 0
    assert memory.functions() == []


@pytest.mark.parametrize("command", ["show", "remove"])
def test_a_number_that_is_not_there(memory: Memory, command: str) -> None:
    with pytest.raises(UsageError, match="has no function 7"):
        memory_cli.main([command, str(memory.path), "7"])


def test_the_command_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(MemoryFileError, match="there is no memory file"):
        memory_cli.main(["list", str(tmp_path / "new.db")])
    assert list(tmp_path.iterdir()) == []
