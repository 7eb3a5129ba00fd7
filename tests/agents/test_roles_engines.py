"""Roles with models, sampling, limits and prompts of their own: who is asked what, in new and in resumed runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from team_script import TASK, judge_by, role_of, scripted_team

from leafwise.agents import Event, EventKind, RunInterrupted, Settings, resume, start
from leafwise.agents.role_settings import Role, RoleSettings
from leafwise.agents.runs import load_run
from leafwise.runtime.contracts import Request
from leafwise.runtime.scripted import ScriptedEngine

BAD = "\n    return 0\n"
GOOD = "\n    return sum(x * x for x in xs)\n"
REPLIES: dict[str, str | Callable[[Request, int], str]] = {
    "draft": BAD,
    "tester": "[1]) == 1",
    "generalist": "no plan",
    "critic": "It is wrong.",
    "repair": f"def total(xs):{GOOD}",
}
LEAFWISE = (sys.executable, "-m", "leafwise.runtime.cli")


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def engine(name: str) -> ScriptedEngine:
    made = scripted_team(REPLIES)
    made.info = made.info.model_copy(update={"name": name})
    return made


def test_each_role_asks_its_own_engine_and_the_budget_is_one() -> None:
    small, strong, judge = engine("small"), engine("strong"), engine("judge")
    models = {Role.GENERALIST: strong, Role.CRITIC: judge}
    paper = Settings(strategy="paper")  # asks everybody
    run = start(TASK, model=small, models=models, sandbox=judge_by(lambda s: "x * x" in s), settings=paper)
    events = list(run)
    answer = run.result()
    assert {role_of(r) for r in strong.requests} == {"generalist"}
    assert {role_of(r) for r in judge.requests} == {"critic"}
    assert {role_of(r) for r in small.requests} == {"draft", "tester", "repair"}
    assert answer.model == "small (generalist strong, critic judge)"
    calls = [e.data["usage"]["completion_tokens"] for e in events if e.kind is EventKind.CALL]
    assert answer.spent.completion_tokens == sum(calls)
    assert answer.spent.calls == len(small.requests) + len(strong.requests) + len(judge.requests)
    begun = next(e for e in events if e.kind is EventKind.RUN_STARTED)
    assert {role: info["name"] for role, info in begun.data["models"].items()} == {
        "generalist": "strong",
        "coder": "small",
        "tester": "small",
        "critic": "judge",
    }


def test_the_budget_counts_all_engines() -> None:
    long = {**REPLIES, "draft": "    x = 1\n" * 400, "generalist": "word " * 400}
    small, strong = scripted_team(long), scripted_team(long)
    run = start(
        TASK,
        model=small,
        models={Role.GENERALIST: strong, Role.TESTER: strong},
        sandbox=judge_by(lambda s: False),
        settings=Settings(max_tokens=900),
    )
    assert run.result().spent.completion_tokens <= 900


def asked(settings: Settings) -> dict[str, Request]:
    made = engine("m")
    settings = settings.model_copy(update={"strategy": "paper", "greedy_draft": False})
    start(TASK, model=made, sandbox=judge_by(lambda s: "x * x" in s), settings=settings).result()
    return {role_of(r): r for r in made.requests}


def test_sampling_and_limits_are_the_role_s() -> None:
    roles = {
        Role.CODER: RoleSettings(temperature=0.6, top_k=20, max_tokens=50),
        Role.TESTER: RoleSettings(max_tokens=33),
        Role.CRITIC: RoleSettings(temperature=0.3),
    }
    usual, own = asked(Settings()), asked(Settings(roles=roles))
    assert (own["draft"].sampling.temperature, own["draft"].sampling.top_k, own["draft"].max_tokens) == (0.6, 20, 50)
    assert own["tester"].max_tokens == 33
    assert own["tester"].sampling == usual["tester"].sampling
    assert usual["critic"].sampling.temperature == 0, "the critic is greedy unless it is told otherwise"
    assert own["critic"].sampling.temperature == 0.3
    assert own["generalist"] == usual["generalist"]


def test_prompts_are_the_role_s() -> None:
    roles = {
        Role.CODER: RoleSettings(
            prompts={"task": "{% set _ = is_code or imports or examples or context %}T: {{ statement }}"}
        )
    }
    own, usual = asked(Settings(roles=roles)), asked(Settings())
    assert own["draft"].messages[0].content.startswith("T: Write a function")
    assert own["tester"].messages == usual["tester"].messages


def test_roles_that_there_are_not_are_refused() -> None:
    with pytest.raises(TypeError, match="no role magician"):
        start(TASK, models={"magician": engine("m")})  # type: ignore[dict-item]


def test_a_resumed_run_has_the_prompts_it_began_with(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    prompt = tmp_path / "mine" / "repair.md"
    prompt.write_text("OLD {{ task }} {{ code }} {{ failure }} {{ critique }} This code is wrong")
    (tmp_path / "team.toml").write_text("[team]\nrepair_rounds = 1\n[roles.coder]\nprompts = 'mine'\ntemperature = 0.7")

    def stop_at_plan(_request: Request, _index: int) -> str:
        run.cancel()
        return "?"

    sandbox = judge_by(lambda s: "x * x" in s)
    first = scripted_team({**REPLIES, "generalist": stop_at_plan})
    run = start(TASK, model=first, config=tmp_path / "team.toml", sandbox=sandbox, store=True)
    with pytest.raises(RunInterrupted):
        run.result(timeout=30)
    prompt.write_text("NEW")
    (tmp_path / "team.toml").unlink()
    second = engine("m")
    events: list[Event] = []
    resumed = resume(run.id, model=second, sandbox=sandbox)
    events += resumed
    repair = next(r for r in second.requests if role_of(r) == "repair" and r.sampling.temperature)
    assert repair.messages[0].content.startswith("OLD")
    assert repair.sampling.temperature == 0.7
    begun = next(e for e in events if e.kind is EventKind.RUN_STARTED)
    assert begun.data["settings"]["roles"]["coder"]["prompts"]["repair"].startswith("OLD")


def test_config_has_the_settings(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="give one of the two"):
        start(TASK, config=tmp_path / "team.toml", settings=Settings())


# --- the command line, with the real model ---------------------------------------------------------------------------


def solve(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    command = [*LEAFWISE, "solve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


ADD = "Write a function add(a, b) that returns the sum of two numbers. add(2, 3) == 5"


@pytest.mark.model
@pytest.mark.sandbox
def test_two_roles_with_two_real_engines(tmp_path: Path, model_path: Path) -> None:
    (tmp_path / "strong.gguf").symlink_to(model_path)
    shutil.copyfile(model_path, tmp_path / "other.gguf")
    (tmp_path / "team.toml").write_text(
        '[team]\nseed = 7\nstrategy = "paper"\nmax_depth = 1\nmax_tokens = 5000\n'
        '[roles.tester]\nmodel = "other.gguf"\nmax_tokens = 40\n'
        '[roles.critic]\nmodel = "strong.gguf"\n'
    )
    done = solve(tmp_path, ADD, "--config", "team.toml", "--max-tokens", "2000", "--trace", "trace.jsonl")
    assert done.returncode == 0, done.stderr
    assert "started: smollm2-135m (tester other)," in done.stderr, "a link is the same model"
    events = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    begun, ended = events[0]["data"], events[-1]["data"]
    assert (begun["settings"]["seed"], begun["settings"]["max_tokens"]) == (7, 2000), "options that are given win"
    assert begun["settings"]["roles"]["tester"]["model"] == str(tmp_path / "other.gguf")
    tokens = {role: meter["decoded_tokens"] for role, meter in ended["engines"].items()}
    assert tokens["coder"] == tokens["critic"] > 0 < tokens["tester"]
    tests = [e["data"]["usage"] for e in events if e["kind"] == "call" and e["data"]["role"] == "tester"]
    assert all(usage["completion_tokens"] <= 40 for usage in tests)
    assert ended["engine"]["decoded_tokens"] == tokens["coder"]
    spent = ended["answer"]["spent"]["completion_tokens"]
    assert spent == sum(e["data"]["usage"]["completion_tokens"] for e in events if e["kind"] == "call")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        assert load_run("last").record.settings.of(Role.TESTER).max_tokens == 40


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[team]\ndraft = 3", "team.toml: [team] has no key 'draft'"),
        ("[roles.coder]\nmodel = 'no.gguf'", "no.gguf"),
        ("[roles.coder]\nmodel = 'no-such-name'", "no model is called 'no-such-name'"),
    ],
)
def test_a_file_that_is_not_usable_is_one_line_with_a_hint(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "team.toml").write_text(text)
    done = solve(tmp_path, ADD, "--config", "team.toml")
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_resumed_run_takes_no_other_file(tmp_path: Path) -> None:
    done = solve(tmp_path, "--resume", "last", "--config", "team.toml")
    assert done.returncode == 2
    assert "--config cannot be given" in done.stderr
