from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gguf_files import LLAMA, File
from hub_server import Hub, serving

from leafwise.runtime import hub as hub_module
from leafwise.runtime import models_cli
from leafwise.runtime.errors import ModelFileError, ModelNotFoundError, UsageError
from leafwise.runtime.models import MODELS

ENTRY = MODELS["llama3.2-1b"]
CONTENT = File().encode() + b"weights " * 500_000
HALF = len(CONTENT) // 2
CALL = "import sys; from leafwise.runtime.models_cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(File().encode())
    return path


@pytest.fixture
def hub() -> Iterator[Hub]:
    assert ENTRY.repo_id
    with serving(Hub(ENTRY.repo_id, ENTRY.filename, CONTENT)) as served:
        yield served


def environment(hub: Hub, home: Path) -> dict[str, str]:
    """The hub's library reads its settings when it is imported, so they go to a child process."""
    return os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", CALL, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_the_module_is_quick_to_import() -> None:
    code = (
        "import sys, leafwise.runtime.models_cli;"
        "bad = {'pydantic', 'rich', 'huggingface_hub', 'gguf', 'numpy', 'llama_cpp'} & set(sys.modules);"
        "sys.exit(repr(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert models_cli.__doc__ == "List, download and inspect models."


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert models_cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == list(MODELS)
    assert "\tready\t" in lines[0]
    assert "\tnot downloaded\t" in lines[1]
    assert models_cli.main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(MODELS)
    assert Path(rows[0]["path"]).name == rows[0]["filename"]
    assert rows[1]["path"] is None


def test_show(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models_cli.main(["show", str(tiny), "--context", "1000", "--kv-type", "q8_0"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    for part in (
        "llama",
        "4,352",
        "5.55 bits per weight: Q4_1",
        "512 tokens",
        "yes, 14 characters",
        "1,000 tokens in q8_0",
    ):
        assert part in out
    assert models_cli.main(["show", str(tiny), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["chat_template"] == "{{ messages }}"
    memory = shown["memory"]
    assert memory["context"] == 512
    assert memory["total_bytes"] == memory["weight_bytes"] + memory["kv_cache_bytes"]


def test_show_of_a_file_that_says_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "little.gguf"
    path.write_bytes(File({"general.architecture": "gpt2", "split.count": 3}, tensors=()).encode())
    assert models_cli.main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    for part in ("not given", "none: a base model", "no tensors", "one of 3 files"):
        assert part in out


def test_a_file_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.gguf"
    path.write_bytes(File(LLAMA | {"general.name": "\x1b]0;owned\x07[red]x[/red]\n"}).encode())
    models_cli.main(["show", str(path)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[red]x[/red]" in out


def test_path(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models_cli.main(["path", str(tiny)]) == 0
    assert capsys.readouterr().out == f"{tiny}\n"


def test_errors_are_left_to_the_caller(tmp_path: Path) -> None:
    for arguments, kind in {
        ("show", str(tmp_path)): ModelFileError,
        ("show", "llama9"): ModelNotFoundError,
        ("path", "llama3.1-8b"): ModelNotFoundError,
        ("pull", "llama9"): ModelNotFoundError,
        ("pull", "./file.gguf"): ModelNotFoundError,
    }.items():
        with pytest.raises(kind):
            models_cli.main(list(arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["show"],
        ["show", "x", "--context", "0"],
        ["show", "x", "--kv-type", "f9"],
        ["list", "--nope"],
        ["pull"],
    ],
)
def test_wrong_usage_has_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert models_cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error: " in captured.err
    assert "Traceback" not in captured.err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert models_cli.main(["--help"]) == 0
    assert "List, download and inspect models." in capsys.readouterr().out


def test_ctrl_c_is_status_130_and_keeps_what_has_arrived(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(hub_module, "pull", interrupted)
    assert models_cli.main(["pull", "llama3.2-1b"]) == 130
    assert "what has arrived is kept" in capsys.readouterr().err


def test_pull_list_path_from_the_shell(hub: Hub, tmp_path: Path) -> None:
    env = environment(hub, tmp_path)
    done = run("pull", ENTRY.name, env=env)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.read_bytes() == CONTENT
    assert "100 %" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert run("path", ENTRY.name, env=env).stdout.strip() == str(path)
    assert f"{ENTRY.name}\t0.8 GB\tready" in run("list", env=env).stdout
    asked = len(hub.requests)
    assert run("pull", ENTRY.name, env=env).returncode == 0
    assert len(hub.requests) == asked


def test_a_killed_pull_is_resumed(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after, hub.after_cut, hub.stall = HALF, 200, True
    env = environment(hub, tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", CALL, "pull", ENTRY.name], env=env, stderr=subprocess.PIPE, text=True
    )
    assert hub.reached_cut.wait(20)
    wait_for(lambda: partial_bytes(tmp_path) > 0)
    child.send_signal(signal.SIGINT)
    _, complaint = child.communicate(timeout=20)
    assert "interrupted: what has arrived is kept" in complaint
    kept = partial_bytes(tmp_path)
    assert 0 < kept <= HALF
    hub.release.set()
    hub.requests.clear()
    done = run("pull", ENTRY.name, env=env)
    assert Path(done.stdout.strip()).read_bytes() == CONTENT
    assert hub.ranges() == [f"bytes={kept}-"]


def test_a_bar_on_a_terminal(hub: Hub, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    env = environment(hub, tmp_path) | {"TERM": "xterm-256color", "COLUMNS": "100"}
    command = [sys.executable, "-c", CALL, "pull", ENTRY.name]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=theirs, text=True) as child:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:  # Linux's way of saying that the other side is closed
            pass
        out, _ = child.communicate()
    os.close(ours)
    assert Path(out.strip()).read_bytes() == CONTENT
    assert f"download {ENTRY.name}".encode() in shown
    assert b"4.0/4.0 MB" in shown


def partial_bytes(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*.incomplete"))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_unknown_memory_request_is_a_usage_error(tiny: Path) -> None:
    from leafwise.runtime.gguf_header import read_header

    with pytest.raises(UsageError):
        read_header(tiny).kv_cache_bytes(0)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("HF_ENDPOINT", "http://[::1"), ("HF_HUB_DOWNLOAD_TIMEOUT", "x"), ("HF_HUB_ETAG_TIMEOUT", "1s")],
)
@pytest.mark.parametrize("arguments", [("pull", "llama3.2-1b"), ("list",)])
def test_settings_of_the_hub_that_are_nonsense(arguments: tuple[str, ...], variable: str, value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "leafwise.runtime.cli", "models", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, variable: value},
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: the settings of the Hugging Face hub can not be read: ")
    assert f" {variable}" in done.stderr.splitlines()[1]
