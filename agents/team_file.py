"""The team in a TOML file: its knobs, and what each role differs by. Read once, when a run starts.

[team]                      # fields of Settings, and what holds for all roles: model, prompts
strategy = "guided"
model = "smollm2-135m"

[roles.generalist]          # or coder, tester, critic: fields of RoleSettings
model = "models/strong.gguf"
temperature = 0.4
prompts = "my-prompts/"     # files that replace some of leafwise's own, such as plan.md

`agents.team_text` has all of them, explained.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from leafwise.agents.errors import PromptError, TeamFileError
from leafwise.agents.prompting import PromptSet, prompt_names
from leafwise.agents.role_settings import Role, RoleSettings
from leafwise.agents.settings import Settings
from leafwise.agents.strategies import STRATEGIES, with_strategy
from leafwise.runtime.contracts import Contract
from leafwise.runtime.models import MODELS
from leafwise.runtime.opening import is_remote
from leafwise.runtime.paths import expanded

_FOR_ALL = ("model", "prompts")
_EXPLAINED = "leafwise solve --print-config explains them"
C = TypeVar("C", bound=Contract)


class TeamFile(Contract):
    """What a file says."""

    settings: Settings
    """The knobs, and the roles'; what the file does not say has its default."""
    model: str | None
    """The model of roles that name none."""


def read_team_file(path: str | Path) -> TeamFile:
    """Read a team's file. Relative paths in it start at its folder; prompt files are read into the settings.

    Raises:
        TeamFileError: it cannot be read, is no TOML, or says something that is unknown or of a wrong type.
        PromptError: a prompt file replaces nothing, is no template, or uses other variables.
    """
    return _Reader(expanded(path)).read()


class _Reader:
    """Reads one file, and says where in it something is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> TeamFile:
        tables = self._load()
        self._refuse_unknown("", tables, ("team", "roles"))
        team, roles = self._table("team", tables.get("team", {})), self._table("roles", tables.get("roles", {}))
        self._refuse_unknown("roles", roles, list(Role))
        common = {name: team.pop(name) for name in _FOR_ALL if name in team}
        self._refuse_unknown("team", team, [*(Settings.model_fields.keys() - {"roles"}), *_FOR_ALL])
        shared = self._role("team", common)
        found = {Role(name): self._role(f"roles.{name}", self._table(f"roles.{name}", t)) for name, t in roles.items()}
        if shared.prompts:
            found = {role: _with_prompts(found.get(role, RoleSettings()), shared.prompts) for role in Role}
        return TeamFile(settings=self._settings(team).model_copy(update={"roles": found}), model=shared.model)

    def _load(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise TeamFileError(f"cannot read the team's file: {error}", "give a TOML file in UTF-8") from error
        except tomllib.TOMLDecodeError as error:
            raise TeamFileError(
                f"{self._path} is not TOML: {error}", "write, for example: temperature = 0.6"
            ) from error

    def _table(self, name: str, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._error(f"{name} is not a table", f"write [{name}], and its keys on lines of their own")
        return dict(value)

    def _refuse_unknown(self, table: str, found: Mapping[str, Any], known: Collection[str]) -> None:
        for name in found:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                where, what = (f"[{table}] has", "key") if table and table != "roles" else ("there is", "table")
                meant = f"did you mean {close[0]}? " if close else ""
                raise self._error(
                    f"{where} no {what} {name!r}", f"{meant}there are {', '.join(sorted(known))}; {_EXPLAINED}"
                )

    def _settings(self, team: dict[str, Any]) -> Settings:
        strategy = team.pop("strategy", None)
        settings = self._valid("team", Settings, team)
        if strategy is None:
            return settings
        if strategy not in STRATEGIES:
            raise self._error(f"[team] strategy: there is none {strategy!r}", f"there are {', '.join(STRATEGIES)}")
        named = with_strategy(settings, strategy)
        return named.model_copy(update={"without": settings.without or named.without})

    def _role(self, table: str, values: dict[str, Any]) -> RoleSettings:
        self._refuse_unknown(table, values, RoleSettings.model_fields)
        if isinstance(values.get("prompts"), str):
            values["prompts"] = self._prompts(table, self._beside(values["prompts"]))
        elif "prompts" in values:
            raise self._error(f"[{table}] prompts: not the name of a folder", 'write, for example: prompts = "mine/"')
        role = self._valid(table, RoleSettings, values)
        return role.model_copy(update={"model": self._model(role.model)}) if role.model else role

    def _valid(self, table: str, kind: type[C], values: Mapping[str, Any]) -> C:
        try:
            # through JSON, so that no number is read from a text, but names become members of enumerations
            return kind.model_validate_json(json.dumps(values, default=str), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            usual = getattr(kind(), str(first["loc"][0]), None)
            hint = "leave it out, and the team's holds" if usual is None else f"leave it out, and it is {usual!r}"
            raise self._error(f"[{table}] {key}: {first['input']!r}: {first['msg']}", hint) from error

    def _model(self, model: str) -> str:
        """A name as it is, a path from the file's folder."""
        if model in MODELS or is_remote(model):
            return model
        path = self._beside(model)
        return str(path) if path.exists() or "/" in model or model.lower().endswith(".gguf") else model

    def _beside(self, name: str) -> Path:
        return self._path.parent.absolute() / expanded(name)

    def _prompts(self, table: str, folder: Path) -> dict[str, str]:
        if not folder.is_dir():
            raise self._error(
                f"[{table}] prompts: there is no folder {folder}", "give a folder with files such as plan.md"
            )
        try:
            files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
            texts = {file.name: file.read_text(encoding="utf-8") for file in files}
        except (OSError, UnicodeDecodeError) as error:
            raise self._error(
                f"[{table}] prompts: cannot read {folder}: {error}", "give text files in UTF-8"
            ) from error
        return {self._prompt(table, folder / name, text): text for name, text in texts.items()}

    def _prompt(self, table: str, file: Path, text: str) -> str:
        known = [f"{name}.md" for name in prompt_names()]
        if file.name not in known:
            raise self._error(f"[{table}] prompts: {file} replaces no prompt", f"there are {', '.join(known)}")
        try:
            PromptSet({file.stem: text})
        except PromptError as error:
            raise PromptError(f"{file}: {error.message}", error.hint) from error
        return file.stem

    def _error(self, problem: str, hint: str) -> TeamFileError:
        return TeamFileError(f"{self._path}: {problem}", hint)


def _with_prompts(role: RoleSettings, shared: Mapping[str, str]) -> RoleSettings:
    return role.model_copy(update={"prompts": {**shared, **role.prompts}})
