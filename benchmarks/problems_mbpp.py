"""MBPP as problems: a sentence, a first assert that the model is shown, and further asserts that stay hidden.

All asserts together are the suite `base`, as in MBPP's own scoring. That runs code and asserts in one namespace, so an
assert may name a module that only the reference imports; here such an import becomes part of the asserts' setup. Both
published forms are read: the full one (the statement is `text`, with `test_setup_code`) and the sanitized one
(`prompt`, with `test_imports`).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leafwise.benchmarks.contracts import Problem, Suite
from leafwise.benchmarks.problem_lines import Faults, Line, kind_of, read_lines
from leafwise.benchmarks.problems_humaneval import BASE_CPU_SECONDS
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_HINT = "lines have task_id (a number), text or prompt, code, test_list; also read: test_setup_code, test_imports"


def read_mbpp(path: Path) -> tuple[Problem, ...]:
    """The problems of an MBPP file, named `Mbpp/1` and so on.

    Raises:
        BenchmarkError: the file is missing or broken; says where.
    """
    faults, seen, problems = Faults(path), set[str](), list[Problem]()
    for line in read_lines(path, faults):
        problem = _problem(line, faults)
        if problem is None:
            continue
        if problem.id in seen:
            faults.add(line.number, f"task_id {line.data['task_id']} is there a second time")
        seen.add(problem.id)
        problems.append(problem)
    faults.raise_any(_HINT)
    return tuple(problems)


def _problem(line: Line, faults: Faults) -> Problem | None:
    number = line.data.get("task_id")
    if type(number) is not int:
        faults.add(line.number, "no 'task_id'" if number is None else f"'task_id' is {kind_of(number)}, not an integer")
    statement = faults.text(line, "text" if "text" in line.data or "prompt" not in line.data else "prompt")
    code = faults.text(line, "code")
    asserts = _texts(line, "test_list", faults, needed=True)
    imports = _texts(line, "test_imports", faults, needed=False)
    setup = faults.text(line, "test_setup_code", filled=False) if "test_setup_code" in line.data else ""
    if type(number) is not int or not (statement and code and asserts) or imports is None or setup is None:
        return None
    code = code.replace("\r\n", "\n")
    first = "\n".join([*imports, setup.replace("\r\n", "\n")]).strip()
    try:
        name = _entry_point(code, asserts)
        first = "\n".join(part for part in (*_borrowed_imports(code, asserts), first) if part)
        parse(first)
    except (SyntaxError, ValueError, RecursionError) as error:
        faults.add(line.number, f"code or tests are no Python: {error}")
        return None
    if name is None:
        faults.add(line.number, "the asserts call no function that 'code' defines")
        return None
    checks = tuple(Check(code=text.strip()) for text in asserts)
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
    if field not in line.data and not needed:
        return []
    found: Any = line.data.get(field)
    if isinstance(found, list) and all(isinstance(text, str) for text in found) and (found or not needed):
        return found
    faults.add(line.number, f"no {field!r}" if found is None else f"{field!r} is not a list of texts")
    return None


def _entry_point(code: str, asserts: Sequence[str]) -> str | None:
    """The function that the asserts are about: of those that the reference defines, the first that each assert calls.

    An assert may wrap its call (`assert set(f(x)) == ...`), and may call helpers of the reference too.
    """
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    defined = {node.name for node in parse(code).body if isinstance(node, kinds)}
    for text in asserts:
        for node in ast.walk(parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined:
                return node.func.id
    return None
