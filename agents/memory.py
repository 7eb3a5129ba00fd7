"""A library of verified functions: one SQLite file, opened for each access, so that threads and processes can share it.

A file that is not ours, is damaged, or comes from a newer version is refused and left as it is.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from leafwise.agents.errors import MemoryFileError
from leafwise.runtime.contracts import Contract
from leafwise.runtime.paths import expanded
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_MAGIC = b"SQLite format 3\0"
_APPLICATION = 0x6C656166
"""The letters `leaf`: marks the file as ours."""
_VERSION = 1
_BUSY_SECONDS = 30.0
_CHECKS = TypeAdapter(tuple[Check, ...])
_SCHEMA = """
CREATE TABLE functions (
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    signature TEXT NOT NULL,
    parameters INTEGER NOT NULL,
    docstring TEXT NOT NULL,
    source TEXT NOT NULL,
    imports TEXT NOT NULL,
    checks TEXT NOT NULL,
    verified_by TEXT NOT NULL,
    task TEXT NOT NULL,
    task_sha256 TEXT NOT NULL,
    model TEXT NOT NULL,
    run TEXT NOT NULL,
    created TEXT NOT NULL
)
"""
_BETTER = "functions.verified_by = 'checks' AND excluded.verified_by = 'examples'"


class KnownFunction(Contract):
    """A function that some run wrote and verified."""

    id: int = 0
    """Its number in the file; 0 before it is stored."""
    name: str
    """What it is called."""
    signature: str
    """Its `def` line."""
    parameters: int
    """How many it has."""
    docstring: str
    """What it does: its docstring, or else what was asked for."""
    source: str
    """The module: the function, and what it needs of its own."""
    imports: tuple[str, ...] = ()
    """Packages that it imports beside the standard library."""
    checks: tuple[Check, ...]
    """What it passed."""
    verified_by: Literal["examples", "checks"]
    """Visible examples of its task (one or more, all passed), or else checks that the model wrote (two or more)."""
    task: str
    """First line of the task it was written for."""
    task_sha256: str
    """Of that task's whole statement."""
    model: str
    """Who wrote it."""
    run: str
    """In which run; empty if that was not stored."""
    created: str
    """When: date and time, UTC."""


class Memory:
    """The file.

    Args:
        path: where it is; see `open_memory`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def store(self, function: KnownFunction) -> bool:
        """Keep a function, unless one with the same code (own names, docstrings, comments aside) is there already.

        One that passed examples takes the place of one that only passed a model's checks.

        Returns:
            Whether the file has changed.

        Raises:
            MemoryFileError: it cannot be written.
        """
        row = {**_columns(function), "fingerprint": fingerprint(function.source, function.name)}
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        changes = ", ".join(f"{name} = excluded.{name}" for name in row)
        with self._connection() as connection:
            done = connection.execute(
                f"INSERT INTO functions ({names}) VALUES ({marks})"
                f" ON CONFLICT (fingerprint) DO UPDATE SET {changes} WHERE {_BETTER}",
                row,
            )
            return done.rowcount > 0

    def functions(self, parameters: int | None = None) -> list[KnownFunction]:
        """All functions, oldest first.

        Args:
            parameters: only those that have so many.

        Raises:
            MemoryFileError: the file is unreadable.
        """
        where, values = ("WHERE parameters = ?", (parameters,)) if parameters is not None else ("", ())
        with self._connection() as connection:
            return [
                _function(row) for row in connection.execute(f"SELECT * FROM functions {where} ORDER BY id", values)
            ]

    def remove(self, identity: int) -> bool:
        """Forget a function; whether it was there.

        Raises:
            MemoryFileError: it cannot be written.
        """
        with self._connection() as connection:
            return connection.execute("DELETE FROM functions WHERE id = ?", (identity,)).rowcount > 0

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            # without isolation_level every statement is a transaction of its own, whole or not at all
            with closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                yield connection
        except (sqlite3.Error, ValidationError, ValueError) as error:
            raise _file_error(self.path, error) from error


def open_memory(path: str | Path, *, create: bool = True) -> Memory:
    """Open a memory file.

    Args:
        path: the file.
        create: make it if it is not there, or empty.

    Raises:
        MemoryFileError: it is no memory file, is damaged, comes from a newer version, or cannot be made.
    """
    path = expanded(path).absolute()
    _look_at(path, create=create)
    memory = Memory(path)
    with memory._connection() as connection:
        if create and _is_empty(connection):
            connection.execute("BEGIN IMMEDIATE")
            if _is_empty(connection):  # nobody else was quicker
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")
        _refuse_others(connection, path)
    return memory


def fingerprint(source: str, name: str) -> str:
    """A hash of what a module does: its syntax tree without docstrings, the names that it gives itself left open.

    Args:
        source: a module that parses.
        name: of the function that the others are there for.
    """
    tree = parse(source)
    given = {name: "0"}
    for node in ast.walk(tree):
        match node:
            case (
                ast.arg(arg=own)
                | ast.Name(id=own, ctx=ast.Store())
                | ast.FunctionDef(name=own)
                | ast.ClassDef(name=own)
            ):
                given.setdefault(own, str(len(given)))
            case _:
                pass
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=own):
                node.id = given.get(own, own)
            case ast.arg(arg=own):
                node.arg = given[own]
            case ast.FunctionDef(name=own) | ast.ClassDef(name=own):
                node.name = given[own]
            case _:
                pass
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.body = node.body[ast.get_docstring(node) is not None :]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


# --- the file --------------------------------------------------------------------------------------------------------


def _look_at(path: Path, *, create: bool) -> None:
    """Before SQLite touches it, see whether the file can be ours."""
    try:
        if not path.exists():
            if not create:
                raise MemoryFileError(f"there is no memory file {path}", "leafwise solve --memory FILE makes one")
            if not path.parent.is_dir():
                raise MemoryFileError(f"cannot make the memory file {path}", "its folder has to exist")
            return
        if not path.is_file():
            raise MemoryFileError(f"the memory {path} is no file", "give another name")
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise MemoryFileError(f"cannot read the memory file {path}: {error.strerror}", "give another name") from error
    if start not in ((b"", _MAGIC) if create else (_MAGIC,)):
        raise MemoryFileError(f"{path} is no memory file; it was left as it is", "give another name")


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0 and _marks(connection) == (0, 0)


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    return (
        connection.execute("PRAGMA application_id").fetchone()[0],
        connection.execute("PRAGMA user_version").fetchone()[0],
    )


def _refuse_others(connection: sqlite3.Connection, path: Path) -> None:
    application, version = _marks(connection)
    if application != _APPLICATION:
        raise MemoryFileError(
            f"{path} is a database of another program; it was left as it is", "give another name to --memory"
        )
    if version != _VERSION:
        raise MemoryFileError(
            f"{path} was made by another version of leafwise (its form is {version})", "update leafwise"
        )
    if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(found)


def _file_error(path: Path, error: Exception) -> MemoryFileError:
    """Operational errors are the machine's (no rights, full disk, locked); the others mean that the file is damaged."""
    if isinstance(error, sqlite3.OperationalError):
        hint = "look at its rights, the disk's space, and who else uses it"
        return MemoryFileError(f"cannot use the memory file {path}: {error}", hint)
    return MemoryFileError(f"the memory file {path} is damaged: {error}", "put back a copy, or give another name")


def _columns(function: KnownFunction) -> dict[str, Any]:
    row = function.model_dump(exclude={"id"}, mode="json")
    return {**row, "imports": json.dumps(row["imports"]), "checks": json.dumps(row["checks"])}


def _function(row: sqlite3.Row) -> KnownFunction:
    values = {name: row[name] for name in KnownFunction.model_fields}
    return KnownFunction(**{**values, "imports": json.loads(row["imports"]), "checks": _parsed(row["checks"])})


def _parsed(checks: str) -> Sequence[Check]:
    return _CHECKS.validate_json(checks)
