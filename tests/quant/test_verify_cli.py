from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from damaged_gguf import write_model

from leafwise.quant import verify_cli
from leafwise.runtime.cli import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.gguf")


def test_a_sound_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_cli.main([str(path)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "sound: model.gguf (21 tensors, 0.9 MB)",
        f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}",
    ]
    assert said.err == ""


def test_an_unsound_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(path.read_bytes().replace(b"blk.1.ffn_up", b"blk.1.ffn_\x1b["))
    assert verify_cli.main([str(path), "--quick"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "error: tensor blk.1.ffn_up.weight: is missing"
    assert lines[-1] == "not sound: model.gguf (21 tensors, 0.9 MB, header only)"
    assert any(re.match(r"warning: tensor blk\.1\.ffn_.*is no tensor of a Llama", line) for line in lines)
    assert "\x1b" not in "".join(lines)


def test_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(path.read_bytes())
    data[-4:] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert verify_cli.main([str(path), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert not said["sound"]
    assert said["path"] == str(path)
    assert said["findings"] == [
        {
            "severity": "error",
            "where": "tensor output_norm.weight",
            "what": "1 value not finite in F32, the first at 255",
        }
    ]


def test_a_file_that_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    assert verify_cli.main([str(tmp_path / "text.gguf")]) == 1
    assert "error: file: " in capsys.readouterr().out


def test_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", "verify", str(tmp_path / "none.gguf")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["quantize", "verify"]) == 2
    assert main(["quantize", "verify", str(tmp_path)]) == 2
