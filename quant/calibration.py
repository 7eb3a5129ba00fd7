"""Texts to calibrate and to measure with: code and instructions, made from what is on every machine.

The default text comes from Python's standard library: excerpts of its modules, and its documented functions as chats
(the docstring asks, the code answers). Which files a text draws from is decided by a hash of the file's name, so that
figures on held-out text are never figures on a file that was calibrated on.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import sysconfig
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from leafwise.runtime.chat import ChatTemplate
from leafwise.runtime.contracts import Contract, Message
from leafwise.runtime.errors import ChatTemplateError, UsageError
from leafwise.runtime.syntax import parse

Kind = Literal["calibration", "heldout"]
"""Which part of the files: three quarters to calibrate on, one quarter to measure on."""

CHARACTERS_PER_TOKEN = 4
"""More than code and chats have, so that a text of so many characters per token is long enough."""
DEFAULT_CHARACTERS = 1_000_000
"""About 300,000 tokens: more than a calibration wants, so that one with more chunks goes on in the same text."""

_EXCERPT = 4_000  # characters of a file: many files say more than a few long ones
_TURNS = 4  # of the chat made from a file
_ANSWER = 2_000  # most characters of a chat's answer
_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "pydoc_data", "__pycache__"}
_WIDEST = 1_000_000  # a larger file is data


class CalibrationText(Contract):
    """A text and where it came from."""

    text: str
    """What to feed the model."""
    sha256: str
    """Of the text in UTF-8."""
    description: str
    """Where it came from, one line."""
    special_tokens: bool = False
    """Whether `<|im_start|>` and the like in it are the tokens they name. Untrusted text must not have that."""


def calibration_text(
    kind: Kind, characters: int = DEFAULT_CHARACTERS, chat_template: str | None = None
) -> CalibrationText:
    """The default text: the same for the same version of Python, template and length.

    A shorter text is the beginning of a longer one.

    Args:
        kind: which files it is made of; no file is in both kinds.
        characters: its length; less where the machine has not enough files.
        chat_template: the model's Jinja template (`GGUFHeader.chat_template`); without one, or with one that does not
            render, chats are headed by plain words.

    Raises:
        UsageError: `characters` is not positive, or Python's standard library is not there as source.
    """
    if characters < 1:
        raise UsageError(f"no text of {characters} characters", "ask for a positive number")
    chat = _Chat(chat_template)
    parts, length = [], 0
    for path, name in _files(kind):
        part = _of_file(path, name, chat)
        parts.append(part)
        length += len(part)
        if length >= characters:
            break
    if not parts:
        raise UsageError("Python's standard library has no source files here", "give texts of your own with --text")
    style = "the model's chat template" if chat.template else "plain headings"
    what = f"standard library of Python {platform.python_version()}, {kind} files, chats with {style}"
    return _text("".join(parts)[:characters], what, special_tokens=chat.template is not None)


def text_from_files(paths: Sequence[Path]) -> CalibrationText:
    """The texts of files, one after the other.

    Raises:
        UsageError: one cannot be read, is not UTF-8, or all are empty.
    """
    texts = []
    for path in paths:
        try:
            texts.append(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}", "check the path") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not text in UTF-8", "convert it first") from error
    text = "\n".join(texts)
    if not text.strip():
        raise UsageError("the text is empty", "give a file with some thousand words, best of what the model is for")
    return _text(text, ", ".join(path.name for path in paths))


def _text(text: str, description: str, *, special_tokens: bool = False) -> CalibrationText:
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return CalibrationText(text=text, sha256=digest, description=description, special_tokens=special_tokens)


def kind_of(name: str) -> Kind:
    """Which text a file goes to, by its path below the standard library with `/` between folders."""
    return "heldout" if hashlib.sha256(f"split {name}".encode()).digest()[0] < 64 else "calibration"


def _files(kind: Kind) -> Iterator[tuple[Path, str]]:
    """The files of a kind in an order that looks random and is always the same."""
    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED]  # large ones: not even looked into
        for path in (Path(folder) / file for file in files if file.endswith(".py")):
            name = path.relative_to(root).as_posix()
            if not path.name.startswith("_sysconfigdata") and kind_of(name) == kind:
                found.append((hashlib.sha256(f"order {name}".encode()).digest(), path, name))
    yield from ((path, name) for _, path, name in sorted(found))


def _of_file(path: Path, name: str, chat: _Chat) -> str:
    """An excerpt of a file and its chats; empty where it cannot be read as Python."""
    try:
        if path.stat().st_size > _WIDEST:
            return ""
        source = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about bad escapes, which are this file's business
            tree = parse(source)
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError):
        return ""
    lines = source.splitlines(keepends=True)
    excerpt = _excerpt(lines, tree, name)
    turns = tuple(_turns(lines, tree))
    return "\n\n".join(filter(None, [excerpt, chat.render(turns) if turns else ""])) + "\n\n"


def _excerpt(lines: list[str], tree: ast.Module, name: str) -> str:
    """Some thousand characters from a statement at the top level, so that not every one begins with imports."""
    starts = [node.lineno - 1 for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)] or [0]
    rest = sum(len(line) for line in lines)
    possible: list[int] = []
    before, at = 0, 0
    for start in starts:
        before, at = before + sum(len(line) for line in lines[at:start]), start
        if rest - before >= _EXCERPT or not possible:
            possible.append(start)
    begin = possible[int.from_bytes(hashlib.sha256(f"start {name}".encode()).digest()[:4]) % len(possible)]
    text = ""
    for line in lines[begin:]:
        if len(text) + len(line) > _EXCERPT:
            break
        text += line
    return text


def _turns(lines: list[str], tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What a user would ask for and what the file has for an answer."""
    given = 0
    for node in ast.walk(tree):
        if given == _TURNS:
            return
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or len(node.body) < 2:
            continue
        wanted = ast.get_docstring(node) or ""
        code = textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
        if len(wanted) < 24 or len(code) > _ANSWER:
            continue
        given += 1
        signature = f"{node.name}({ast.unparse(node.args)})"
        yield f"Write the Python function `{signature}`.\n\n{wanted}", f"```python\n{code.rstrip()}\n```"


class _Chat:
    """Renders questions and their answers as the model's own chats are."""

    def __init__(self, source: str | None) -> None:
        self.template: ChatTemplate | None = None
        try:
            if source:
                self.template = ChatTemplate(source)
                self.render((("question", "answer"), ("question", "answer")))
        except ChatTemplateError:
            self.template = None

    def render(self, turns: Sequence[tuple[str, str]]) -> str:
        """One chat; it ends with the last answer."""
        if self.template is None:
            return "\n\n".join(f"### Instruction:\n{question}\n\n### Response:\n{answer}" for question, answer in turns)
        messages = []
        for question, answer in turns:
            messages += [Message(role="user", content=question), Message(role="assistant", content=answer)]
        return self.template.render(messages[:-1]) + messages[-1].content
