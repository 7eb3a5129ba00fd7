"""MBPP as problems: a sentence, a first assert that the model is shown, and further asserts that stay hidden.

All asserts together are the suite `base`, as in MBPP's own scoring. That runs code and asserts in one namespace, so an
assert may name a module that only the reference imports; here such an import becomes part of the asserts' setup. Both
published forms are read: the full one (the statement is `text`, with `test_setup_code`) and the sanitized one (one JSON
array; `prompt`, with `test_imports`). Numbers may be texts, and what is null is absent, as other tools write them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leafwise.benchmarks.contracts import Problem, Suite
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problem_lines import HALF_CHARACTER, Faults, Line, is_whole, kind_of, read_lines
from leafwise.benchmarks.problems_humaneval import BASE_CPU_SECONDS, UNPARSED, unparsed
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_HINT = "lines have task_id (a number), text or prompt, code, test_list; also read: test_setup_code, test_imports"
_NUMBER = re.compile(r"[0-9]{1,18}")
_EVALPLUS = ("canonical_solution", "assertion")
"""Fields of MbppPlus.jsonl alone."""


def read_mbpp(path: Path, *, leave_out: bool = False) -> tuple[tuple[Problem, ...], dict[str, str]]:
    """The problems of an MBPP file, named `Mbpp/1` and so on, and the lines that were left out, with the reasons.

    Args:
        path: the file.
        leave_out: go on without lines that hold no usable problem.

    Raises:
        BenchmarkError: the file is missing or broken, or of another form; says where.
    """
    faults, read, ids = Faults(path), dict[str, Problem](), dict[int, str]()
    lines = read_lines(path, faults)
    if any(all(field in line.data for field in _EVALPLUS) for line in lines):
        hint = "give MBPP as it was published (mbpp.jsonl, sanitized-mbpp.json): its own asserts are what is judged by"
        raise BenchmarkError(f"{path} has EvalPlus's form (MbppPlus), which is not read", hint)
    for line in lines:
        problem = _problem(line, faults)
        if problem is None:
            ids |= {line.number: f"Mbpp/{line.data['task_id']}"} if line.has("task_id") else {}
        elif problem.id in read:
            faults.add(line.number, f"task_id {line.data['task_id']} is there a second time")
        else:
            read[problem.id] = problem
    return tuple(read.values()), faults.unread(_HINT, ids, read, leave_out=leave_out)


def _problem(line: Line, faults: Faults) -> Problem | None:
    number = _number(line, faults)
    statement = faults.text(line, "text" if line.has("text") or not line.has("prompt") else "prompt")
    code = faults.text(line, "code")
    asserts = _texts(line, "test_list", faults, needed=True)
    imports = _texts(line, "test_imports", faults, needed=False)
    setup = faults.text(line, "test_setup_code", filled=False) if line.has("test_setup_code") else ""
    if number is None or not (statement and code and asserts) or imports is None or setup is None:
        return None
    code, asserts = code.replace("\r\n", "\n"), [text.replace("\r\n", "\n").strip() for text in asserts]
    first = "\n".join([*imports, setup.replace("\r\n", "\n")]).strip()
    try:
        name = _entry_point(code, [*asserts, first])
        first = "\n".join(part for part in (*_borrowed_imports(code, asserts), first) if part)
        parse(first)
    except UNPARSED as error:
        faults.add(line.number, f"code or tests are no Python: {unparsed(error)}")
        return None
    if name is None:
        faults.add(line.number, "neither asserts nor setup call a function that 'code' defines")
        return None
    checks = tuple(Check(code=text) for text in asserts)
    return Problem(
        id=f"Mbpp/{number}",
        prompt=statement,
        entry_point=name,
        visible=checks[:1],
        visible_setup=first,
        reference=code,
        suites=(Suite(name="base", setup=first, checks=checks, cpu_seconds=BASE_CPU_SECONDS),),
        completes=False,
    )


def _number(line: Line, faults: Faults) -> int | None:
    given = line.data.get("task_id")
    if type(given) is int:
        return given
    if isinstance(given, str) and _NUMBER.fullmatch(given):
        return int(given)
    what = "no 'task_id'" if given is None else f"'task_id' is {kind_of(given)}, not an integer"
    faults.add(line.number, what)
    return None


def _borrowed_imports(code: str, asserts: Sequence[str]) -> list[str]:
    """The reference's imports of names that the asserts use: MBPP runs them among the names of the reference."""
    used = {node.id for text in asserts for node in ast.walk(parse(text)) if isinstance(node, ast.Name)}
    borrowed = []
    for node in parse(code).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [alias for alias in node.names if (alias.asname or alias.name).partition(".")[0] in used]
            borrowed += [ast.unparse(node)] if node.names else []
    return borrowed


def _texts(line: Line, field: str, faults: Faults, *, needed: bool) -> list[str] | None:
    if not line.has(field) and not needed:
        return []
    found: Any = line.data.get(field)
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found) or (needed and not found):
        faults.add(line.number, f"no {field!r}" if found is None else f"{field!r} is not a list of texts")
    elif not all(map(is_whole, found)):
        faults.add(line.number, f"{field!r} has {HALF_CHARACTER}")
    else:
        return found
    return None


def _entry_point(code: str, tests: Sequence[str]) -> str | None:
    """The function that the tests are about: of those that the reference defines, the first that one of them calls.

    An assert may wrap its call (`assert set(f(x)) == ...`), may call helpers of the reference too, and may reach the
    function only by a helper of the setup, which is why that comes last. A class is meant where no function is called:
    elsewhere its objects are arguments.
    """
    body = parse(code).body
    classes = {node.name for node in body if isinstance(node, ast.ClassDef)}
    functions = {name for node in body for name in _functions(node)}
    called = [
        node.func.id
        for text in tests
        for node in ast.walk(parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return next((name for known in (functions, classes) for name in called if name in known), None)


def _functions(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [node.name]
        case ast.Assign(value=ast.Lambda()):
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(value=ast.Lambda(), target=ast.Name(id=name)):
            return [name]
        case _:
            return []
