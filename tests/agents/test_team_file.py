"""The team's TOML file: what it sets, and that whatever is wrong in it is said with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leafwise.agents import Settings, solve_cli
from leafwise.agents.errors import AgentError, PromptError, TeamFileError
from leafwise.agents.prompting import PromptSet
from leafwise.agents.role_settings import Role, RoleSettings, role_of
from leafwise.agents.settings import Part
from leafwise.agents.team_file import TeamFile, read_team_file
from leafwise.agents.team_text import team_text
from leafwise.runtime.contracts import Sampling


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "draft.md").write_text("{{ task }}\n\nBe brief.")
    return tmp_path


def read(folder: Path, text: str) -> TeamFile:
    path = folder / "team.toml"
    path.write_text(text)
    return read_team_file(path)


def refused(folder: Path, text: str) -> AgentError:
    with pytest.raises(AgentError) as caught:
        read(folder, text)
    assert caught.value.hint
    assert str(folder) in caught.value.message
    return caught.value


def test_an_empty_file_is_the_default_team(folder: Path) -> None:
    assert read(folder, "") == TeamFile(settings=Settings(), model=None)


def test_a_file_sets_the_team_and_its_roles(folder: Path) -> None:
    team = read(
        folder,
        """
        [team]
        strategy = "guided-no-critic"
        model = "smollm2-135m"
        drafts = 3
        time_limit = 30

        [roles.generalist]
        model = "models/strong.gguf"
        max_tokens = 200

        [roles.coder]
        temperature = 0.6
        top_p = 0.9
        prompts = "mine"
        """,
    )
    settings = team.settings
    assert (team.model, settings.strategy, settings.without, settings.drafts) == (
        "smollm2-135m",
        "guided",
        (Part.CRITIC,),
        3,
    )
    assert settings.time_limit == 30
    assert settings.of(Role.GENERALIST) == RoleSettings(model=str(folder / "models" / "strong.gguf"), max_tokens=200)
    assert settings.of(Role.CODER).prompts == {"draft": "{{ task }}\n\nBe brief."}
    assert settings.of(Role.TESTER) == RoleSettings()


def test_a_role_samples_as_it_says_and_else_as_the_team_does(folder: Path) -> None:
    settings = read(folder, "[team]\ntop_p = 0.5\n[roles.coder]\ntemperature = 0.1\nmin_p = 0.2").settings
    assert settings.sampling(Role.CODER) == Sampling(temperature=0.1, top_p=0.5, min_p=0.2)
    assert settings.sampling(Role.TESTER) == Sampling(temperature=0.8, top_p=0.5)
    assert settings.sampling(Role.CODER, greedy=True) == Sampling()


def test_prompts_of_the_team_are_every_role_s_unless_it_has_its_own(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "draft.md").write_text("{{ task }}!")
    settings = read(folder, '[team]\nprompts = "mine"\n[roles.coder]\nprompts = "other"').settings
    assert settings.of(Role.CODER).prompts["draft"] == "{{ task }}!"
    assert settings.of(Role.CRITIC).prompts["draft"] == "{{ task }}\n\nBe brief."


def test_names_urls_and_paths_of_models(folder: Path) -> None:
    (folder / "here").write_text("")
    for named, meant in (
        ("smollm2-135m", "smollm2-135m"),
        ("http://127.0.0.1:8000/v1#m", "http://127.0.0.1:8000/v1#m"),
        ("here", str(folder / "here")),
        ("there.gguf", str(folder / "there.gguf")),
        ("/abs/m.gguf", "/abs/m.gguf"),
        ("no-such-name", "no-such-name"),
    ):
        assert read(folder, f'[roles.coder]\nmodel = "{named}"').settings.of(Role.CODER).model == meant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[team]\ndraft = 3", "[team] has no key 'draft'"),
        ("[team]\ndrafts = '3'", "[team] drafts: '3': Input should be a valid integer"),
        ("[team]\ndrafts = 0", "[team] drafts: 0: Input should be greater than or equal to 1"),
        ("[team]\ngreedy_draft = 1", "[team] greedy_draft: 1: Input should be a valid boolean"),
        ("[team]\ntime_limit = nan", "[team] time_limit"),
        ("[team]\nseed = 2020-01-01", "[team] seed"),
        ("[team]\nstrategy = 'gided'", "[team] strategy: there is none 'gided'"),
        ("[team]\nwithout = ['gate', 'magic']", "[team] without.1: 'magic'"),
        ("[team]\nroles = 3", "[team] has no key 'roles'"),
        ("[rolls]", "there is no table 'rolls'"),
        ("roles = 3", "roles is not a table"),
        ("[roles]\ncoder = 3", "roles.coder is not a table"),
        ("[roles.coda]", "there is no table 'coda'"),
        ("[roles.coder]\ntemprature = 1", "[roles.coder] has no key 'temprature'"),
        ("[roles.coder]\ntemperature = 9", "[roles.coder] temperature: 9"),
        ("[roles.coder]\nmodel = ''", "[roles.coder] model: ''"),
        ("[roles.coder]\nmodel = 3", "[roles.coder] model: 3"),
        ("[roles.coder]\nprompts = 3", "[roles.coder] prompts: not the name of a folder"),
        ("[roles.coder]\nprompts = 'no'", "[roles.coder] prompts: there is no folder"),
        ("x = ", "is not TOML: Invalid value (at end of document)"),
        ("[team]\n[team]", "line 2"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(folder: Path, text: str, words: str) -> None:
    assert words in refused(folder, text).message


def test_hints_name_what_was_meant_or_what_there_is(folder: Path) -> None:
    assert refused(folder, "[team]\ndraft = 3").hint.startswith(
        "did you mean drafts? there are agreement, answer_tokens, combinations, context_tokens, drafts"
    )
    assert "coder, critic, generalist, tester" in refused(folder, "[roles.zz]").hint
    assert f"it is {Settings().drafts}" in refused(folder, "[team]\ndrafts = 0").hint


def test_the_explained_file_is_the_default_team_and_names_every_key(folder: Path) -> None:
    text = team_text()
    assert read(folder, text) == TeamFile(settings=Settings(), model=None)
    keys = re.findall(r"^(?:# )?(\w+) =", text, re.MULTILINE)
    team = [name for name in Settings.model_fields if name != "roles"]
    assert keys == ["model", "prompts", *team, *RoleSettings.model_fields]
    assert f"# Direct candidates of `guided` in one round.\ndrafts = {Settings().drafts}\n" in text
    assert "--print-config" in refused(folder, "[team]\ndraft = 3").hint


def test_the_command_prints_the_explained_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert solve_cli.main(["--print-config"]) == 0
    assert capsys.readouterr().out == team_text()


@pytest.mark.parametrize("name", ["nothing.toml", "."])
def test_a_file_that_cannot_be_read(folder: Path, name: str) -> None:
    with pytest.raises(TeamFileError, match="cannot read") as caught:
        read_team_file(folder / name)
    assert caught.value.hint


# --- prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("drafts.md", "{{ task }}", "replaces no prompt"),
        ("README", "", "replaces no prompt"),
        ("draft.md", "no variable", r"missing variables \['task'\]"),
        ("draft.md", "{{ task }} {{ hint }}", r"unknown variables \['hint'\]"),
        ("draft.md", "{{ task }}\n{% if x %}", "line 2"),
        ("draft.md", "{{ task | magic }}", "magic"),
    ],
)
def test_prompts_are_checked_when_the_file_is_read(folder: Path, name: str, text: str, words: str) -> None:
    (folder / "mine" / name).write_text(text)
    with pytest.raises(AgentError, match=words) as caught:
        read(folder, "[roles.coder]\nprompts = 'mine'")
    assert str(folder / "mine" / name) in caught.value.message
    assert caught.value.hint


def test_a_prompt_that_is_no_text(folder: Path) -> None:
    (folder / "mine" / "draft.md").write_bytes(b"\xff")
    assert "cannot read" in refused(folder, "[roles.coder]\nprompts = 'mine'").message


def test_a_replaced_prompt_is_as_strict_as_leafwise_s_own() -> None:
    prompts = PromptSet({"draft": "Do: {{ task }}"})
    assert prompts.render("draft", task="{{ x }}") == "Do: {{ x }}"
    with pytest.raises(PromptError, match="unused variables"):
        prompts.render("draft", task="x", more=1)
    with pytest.raises(PromptError, match="there is no prompt"):
        PromptSet({"magic": ""})


def test_a_variable_can_be_left_out_on_purpose() -> None:
    assert PromptSet({"draft": "Hi.{% set _ = task %}"}).render("draft", task="x") == "Hi."


@pytest.mark.parametrize("text", ["{{ task.nothing }}", "{{ task + 1 }}", "{{ 1 / 0 }}{{ task }}", "{{ task[9] }}"])
def test_a_prompt_that_cannot_be_rendered_is_a_clear_error(text: str) -> None:
    with pytest.raises(PromptError, match=r"draft\.md cannot be rendered"):
        PromptSet({"draft": text}).render("draft", task="x")


def test_a_prompt_reaches_nothing_of_this_process() -> None:
    text = "{{ task }}{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(PromptError):
        PromptSet({"draft": text}).render("draft", task="x")


def test_roles_by_what_their_requests_are_called() -> None:
    assert role_of("coder-open") is Role.CODER
    with pytest.raises(ValueError, match="magician"):
        role_of("magician")
