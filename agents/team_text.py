"""The team's TOML file explained: every key with its meaning and its default, from where they are declared."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterator, Mapping

from leafwise.agents.prompting import prompt_names
from leafwise.agents.role_settings import Role, RoleSettings
from leafwise.agents.settings import Part, Settings
from leafwise.runtime.contracts import Contract, Sampling
from leafwise.runtime.syntax import parse

_WIDTH = 100


def team_text() -> str:
    """A file for `agents.team_file.read_team_file` that changes nothing, and says what could be changed."""
    folder = f"A folder, from this file, of texts that replace some of leafwise's: {', '.join(prompt_names())} (.md)."
    team = _meanings(Settings)
    team["without"] += f" They are {', '.join(Part)}."
    own = {name: text for name, text in _meanings(RoleSettings).items() if not text.startswith("See ")}
    roles = {**_meanings(Sampling), **own, "prompts": folder}
    lines = [
        *_comment("A team for `leafwise solve --config FILE`. What the file does not say is as it stands here."),
        "",
        "[team]",
        *_key("model", None, roles["model"]),
        *_key("prompts", None, folder),
        *_keys(Settings(), team),
        *_comment(f"How one role differs: {', '.join(Role)}. What it does not say is as the team has it."),
        f"# [roles.{Role.CODER}]",
        *_keys(RoleSettings(), roles),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _keys(defaults: Contract, meanings: Mapping[str, str]) -> Iterator[str]:
    for name, value in defaults.model_dump(mode="json").items():
        if name != "roles":
            yield from _key(name, value or None if name == "prompts" else value, meanings[name])


def _key(name: str, value: object, meaning: str) -> Iterator[str]:
    yield from _comment(meaning)
    yield f"# {name} =" if value is None else f"{name} = {json.dumps(value)}"  # for these values TOML is as JSON
    yield ""


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _meanings(kind: type[Contract]) -> dict[str, str]:
    """The text below each field of a class."""
    (tree,) = parse(inspect.getsource(kind)).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    found: dict[str, str] = {}
    for field, below in itertools.pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found
