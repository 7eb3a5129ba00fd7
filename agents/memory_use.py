"""What a run does with a memory file: it tries known functions on its own examples, and keeps what it has verified."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from leafwise.agents.candidates import examine_all, tell
from leafwise.agents.context_ranking import scores
from leafwise.agents.contracts import Answer, Candidate, EventKind, Evidence, Spec, Task
from leafwise.agents.errors import MemoryFileError
from leafwise.agents.given import imported_modules
from leafwise.agents.memory import KnownFunction, Memory
from leafwise.agents.place import Place
from leafwise.agents.reading import signature_of
from leafwise.agents.team import Team
from leafwise.agents.written import Written
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_MOST_TRIED = 4
_FEWEST_CHECKS = 2
_LARGEST_SOURCE = 16 << 10


@dataclass(frozen=True)
class Library:
    """A memory file, and what a run writes into it about itself."""

    memory: Memory
    """The file."""
    task: Task
    """The run's task."""
    model: str
    """The run's model."""
    run: str
    """The run's id; empty if it is not stored."""


# --- trying what is known --------------------------------------------------------------------------------------------


def remembered(team: Team, place: Place, spec: Spec, checks: tuple[Check, ...] = ()) -> list[Candidate]:
    """Known functions that fit a spec, as candidates: each is run on the spec's examples like any other.

    Args:
        team: without a library there are none.
        place: for the listener, which is told of them.
        spec: what is to be written. Only functions with as many parameters are tried.
        checks: generated checks for it.
    """
    wanted = parameters_of(spec)
    if team.library is None or spec.entry_point is None or wanted is None:
        return []
    try:
        known = fitting(team.library.memory.functions(wanted), spec)
    except MemoryFileError as error:
        team.emit(EventKind.NOTE, place, f"memory not used: {error.message}")
        return []
    sources = {function.id: renamed(function.source, function.name, spec.entry_point) for function in known}
    tried = [function for function in known if sources[function.id]]
    if not tried:
        return []
    names = ", ".join(f"{function.name} ({function.id})" for function in tried)
    team.emit(EventKind.NOTE, place, f"memory: trying {names}", functions=[f.model_dump(mode="json") for f in tried])
    written = [Written(code=sources[function.id], rule="memory") for function in tried]
    candidates = examine_all(team, place, spec, "memory", written, checks)
    tell(team, place, written, candidates)
    return candidates


def fitting(known: Sequence[KnownFunction], spec: Spec) -> list[KnownFunction]:
    """Functions with words in common with a spec, best first; of equals, those that passed examples first.

    One that imports what the spec does not allow is none of them.
    """
    allowed = [function for function in known if {*function.imports} <= {*spec.allow_imports}]
    documents = [f"{function.name} {function.name} {function.docstring}" for function in allowed]
    fit = scores(f"{spec.entry_point or ''} {spec.statement}", documents)
    order = sorted(range(len(allowed)), key=lambda i: (-fit[i], allowed[i].verified_by != "examples"))
    return [allowed[i] for i in order if fit[i] > 0][:_MOST_TRIED]


def parameters_of(spec: Spec) -> int | None:
    """How many parameters the function has, by its signature or else by its first example; None if neither tells."""
    try:
        if spec.signature:
            function = parse(f"{spec.signature} ...").body[0]
            return count_parameters(function.args) if isinstance(function, ast.FunctionDef) else None
        nodes = [node for example in spec.examples for node in ast.walk(parse(example.code))]
    except (SyntaxError, ValueError):
        return None
    for node in nodes:
        match node:
            case ast.Call(func=ast.Name(id=name)) if name == spec.entry_point:
                return len(node.args) + len(node.keywords)
    return None


def count_parameters(arguments: ast.arguments) -> int:
    """All parameters; `*args` counts as one, and so does `**kwargs`."""
    named = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
    return named + (arguments.vararg is not None) + (arguments.kwarg is not None)


def renamed(source: str, old: str, new: str) -> str:
    """A module with its function under another name; empty if that could change what it does."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ""
    if old == new:
        return source
    defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == old]
    if len(defined) != 1 or defined[0] not in tree.body:
        return ""
    bound = [name for node in ast.walk(tree) if node is not defined[0] for name in _bound_names(node)]
    if new in bound or old in bound:
        return ""
    defined[0].name = new
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if node.id == new:
                return ""
            node.id = new if node.id == old else node.id
    return ast.unparse(tree) + "\n"


def _bound_names(node: ast.AST) -> list[str]:
    """Names that a node gives to something."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
            return [name]
        case ast.alias(name=name, asname=asname):
            return [asname or name.split(".")[0]]
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            return names
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case _:
            return []


# --- keeping what was verified ---------------------------------------------------------------------------------------


def verified_by(evidence: Evidence) -> Literal["examples", "checks"] | None:
    """What vouches for a function: its visible examples; without any, two checks that the model wrote, all passed."""
    if not evidence.passes:
        return None
    if evidence.examples_total:
        return "examples"
    all_passed = evidence.checks_passed == evidence.checks_total >= _FEWEST_CHECKS
    return "checks" if all_passed else None


def keep(team: Team, place: Place, spec: Spec, winner: Candidate | None, checks: tuple[Check, ...] = ()) -> None:
    """Store a function that was verified; what was not, or came from the file, is left out.

    Args:
        team: without a library nothing happens.
        place: for the listener.
        spec: what it was written for.
        winner: the function.
        checks: generated checks that it was run on.
    """
    if team.library is None or winner is None or winner.origin == "memory" or spec.entry_point is None:
        return
    function = known_function(team.library, spec, winner, checks)
    if function is None:
        return
    try:
        if team.library.memory.store(function):
            text = f"memory: kept {function.name}, verified by {function.verified_by}"
            team.emit(EventKind.NOTE, place, text, function=function.model_dump(mode="json"))
    except MemoryFileError as error:  # the run's own work is done: it must not be lost for this
        team.emit(EventKind.NOTE, place, f"memory: {spec.entry_point} not kept: {error.message}")


def known_function(
    library: Library, spec: Spec, winner: Candidate, checks: tuple[Check, ...] = ()
) -> KnownFunction | None:
    """A winning candidate as it is stored; None if it must not be: unverified, too large, or not whole by itself."""
    verified = verified_by(winner.evidence)
    tree = parse(winner.source)
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == spec.entry_point]
    imports = imported_modules(tree) - sys.stdlib_module_names - {"__future__"}
    own = {root.module for root in library.task.context_roots}
    if verified is None or not found or imports & own or len(winner.source) > _LARGEST_SOURCE:
        return None
    lines = library.task.statement.strip().splitlines()
    return KnownFunction(
        name=found[-1].name,
        signature=signature_of(found[-1]),
        parameters=count_parameters(found[-1].args),
        docstring=ast.get_docstring(found[-1]) or spec.statement,
        source=winner.source,
        imports=tuple(sorted(imports)),
        checks=spec.examples if verified == "examples" else checks,
        verified_by=verified,
        task=lines[0][:200] if lines else "",
        task_sha256=hashlib.sha256(library.task.statement.encode()).hexdigest(),
        model=library.model,
        run=library.run,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def with_origin(answer: Answer, library: Library | None) -> Answer:
    """The answer, which says so if its code was not written in this run."""
    if library is None or answer.origin != "memory":
        return answer
    return answer.model_copy(
        update={"statement": f"{answer.statement} The code comes from the memory file {library.memory.path}."}
    )
