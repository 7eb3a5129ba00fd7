"""Context for real work: what a task may call of the user's own files, told to models within a budget of tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from leafwise.agents.context_documents import Document, documents_of, import_lines, render
from leafwise.agents.context_files import load_context, parse_context
from leafwise.agents.context_ranking import scores
from leafwise.agents.contracts import Answer, ContextRoot, Task
from leafwise.agents.errors import TaskError
from leafwise.agents.given import imported_modules
from leafwise.runtime.contracts import Message, Request
from leafwise.runtime.engine import Engine
from leafwise.runtime.errors import EngineError
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Program, Status
from leafwise.runtime.sandbox_modules import staged
from leafwise.runtime.syntax import parse

_MOST_TRIED = 40
_MOST_NAMED = 6
_BYTES_PER_TOKEN = 3
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Packed:
    """What of the context fits into the prompts."""

    documents: tuple[Document, ...]
    """Best first."""
    left_out: tuple[str, ...]
    """Names of the others, best first."""
    text: str
    """What prompts show."""
    tokens: int
    """Its length."""

    @property
    def note(self) -> str:
        """One line for people."""
        shown = ", ".join(document.label for document in self.documents) or "nothing"
        rest = len(self.left_out) - _MOST_NAMED
        others = ", ".join(self.left_out[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
        left = f"; left out: {others}" if self.left_out else ""
        return f"context: {shown} ({self.tokens} tokens){left}"


def with_context(task: Task, budget: int, count: Callable[[str], int]) -> tuple[Task, Packed]:
    """The task with what prompts say of its context files, and the imports that an answer may have forgotten.

    Args:
        task: its `context_roots` are read again.
        budget: most tokens of the text.
        count: tokens of a text.

    Raises:
        RunError: a file has changed or is gone.
    """
    trees = parse_context(task.context_roots, load_context(task.context_roots))
    # what is to be written is not there to be called
    found = [document for document in documents_of(trees) if document.importable != task.entry_point]
    best = relevant(found, f"{task.statement} {task.entry_point or ''}")
    others = tuple(document.label for document in found if document not in best)
    packed = pack(best, budget, count)
    packed = replace(packed, left_out=(*packed.left_out, *others))
    given = "\n".join(part for part in (import_lines(packed.documents), task.given) if part)
    return task.model_copy(update={"context": packed.text, "given": given}), packed


def relevant(documents: Sequence[Document], query: str) -> list[Document]:
    """What fits a query, best first: documents that it names, then by BM25. If none has a word in common, all of them.

    A model that is told of what it does not need writes that instead of what it was asked for.
    """
    named = {word for word in _IDENTIFIER.findall(query) if "_" in word or not word.islower()}
    fit = scores(query, [document.words for document in documents])
    order = sorted(range(len(documents)), key=lambda i: (documents[i].name not in named, -fit[i]))
    return [documents[i] for i in order if fit[i] > 0] or [*documents]


def pack(documents: Sequence[Document], budget: int, count: Callable[[str], int]) -> Packed:
    """Take documents, best first, while they fit: whole, or with the first paragraph of their docstring, or not at all.

    Args:
        documents: best first.
        budget: most tokens of the whole text.
        count: tokens of a text.
    """
    taken: list[Document] = []
    left_out: list[str] = []
    tokens = 0
    for number, document in enumerate(documents):
        for form in dict.fromkeys((document, document.shortened())) if number < _MOST_TRIED else ():
            length = count(render([*taken, form]))
            if length <= budget:
                taken.append(form)
                tokens = length
                break
        else:
            left_out.append(document.label)
    return Packed(tuple(taken), tuple(left_out), render(taken), tokens)


def token_counter(engine: Engine) -> Callable[[str], int]:
    """How many tokens a text adds to a prompt of the engine; estimated from its length where a server can't tell."""

    def asked(text: str) -> int:
        return engine.count_tokens(Request(messages=(Message(role="user", content=text),)))

    try:
        empty = asked("-")
    except EngineError:
        return lambda text: -(-len(text.encode()) // _BYTES_PER_TOKEN)
    return lambda text: asked(text) - empty if text else 0


# --- in the sandbox --------------------------------------------------------------------------------------------------


@contextmanager
def context_modules(roots: Sequence[ContextRoot]) -> Iterator[list[Path]]:
    """Copies of the context's Python files, for `open_sandbox`: programs see what was read, and nothing beside it.

    Raises:
        RunError: a file has changed or is gone.
    """
    if not roots:
        yield []
        return
    with staged(load_context(roots)) as paths:
        yield paths


def check_imports(documents: Sequence[Document], sandbox: Sandbox) -> None:
    """Find out before the work whether the sandbox can import what models are told of.

    Raises:
        TaskError: it can't; the hint says what may be missing.
    """
    for module in dict.fromkeys(document.module for document in documents):
        verdict = sandbox.run(Program(source=f"import {module}\n"))
        if verdict.status is not Status.PASSED:
            missing = re.search(r"No module named '(\w+)", verdict.detail)
            hint = "it has to work without files, network and other programs"
            if missing:
                hint = f"add --allow-import {missing[1]} if it is installed, or --context with its file if it is yours"
            raise TaskError(f"the context module {module} does not load in the sandbox: {verdict.detail}", hint)


# --- in answers ------------------------------------------------------------------------------------------------------


def context_names(context: str) -> list[str]:
    """Names of the functions and classes that a context text says can be imported (see `Spec.context`)."""
    return re.findall(r"\w+", " ".join(re.findall(r"^from \S+ import (.+)$", context, re.MULTILINE)))


def with_needs(answer: Answer, roots: Sequence[ContextRoot]) -> Answer:
    """The answer, which says what context files its code imports."""
    if not (needs := needs_of(answer.code, roots)):
        return answer
    statement = f"{answer.statement} The code imports {' and '.join(needs)}: it needs them to run."
    return answer.model_copy(update={"needs": needs, "statement": statement})


def needs_of(code: str, roots: Sequence[ContextRoot]) -> tuple[str, ...]:
    """Paths of the context modules that a module imports.

    Args:
        code: a module that parses, or nothing.
        roots: the context.
    """
    imported = imported_modules(parse(code))
    return tuple(root.path for root in roots if root.module in imported)
