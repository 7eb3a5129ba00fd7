"""Calibration text: the same every time, apart from held-out text, and of use to a model."""

from __future__ import annotations

import hashlib
import re
import sysconfig
from pathlib import Path

import pytest

from leafwise.quant import calibration
from leafwise.quant.calibration import calibration_text, kind_of, text_from_files
from leafwise.runtime.errors import UsageError

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def test_it_is_the_same_every_time_and_a_shorter_one_begins_a_longer_one() -> None:
    one = calibration_text("calibration", 60_000)
    assert one == calibration_text("calibration", 60_000)
    assert one.sha256 == hashlib.sha256(one.text.encode("utf-8", "replace")).hexdigest()
    assert len(one.text) == 60_000
    assert one.text.startswith(calibration_text("calibration", 10_000).text)
    assert "calibration files" in one.description


def test_no_file_is_in_both_kinds() -> None:
    root = Path(sysconfig.get_path("stdlib"))
    names = [path.relative_to(root).as_posix() for path in root.glob("*.py")]
    kinds = [kind_of(name) for name in names]
    assert 0.1 < kinds.count("heldout") / len(kinds) < 0.4
    ours = {name for _, name in calibration._files("calibration")}
    theirs = {name for _, name in calibration._files("heldout")}
    assert len(ours) > 2 * len(theirs) > 100
    assert not ours & theirs
    assert {kind_of(name) for name in ours} == {"calibration"}


def test_the_texts_have_next_to_no_line_in_common() -> None:
    """Files are apart; that their content is too is what figures on held-out text rest on."""

    def telling(kind: calibration.Kind) -> set[str]:
        text = calibration_text(kind, 300_000).text
        # not the docstring's task line nor single words: lines that two files have by chance
        return {line.strip() for line in text.splitlines() if len(line.strip()) > 50}

    ours, theirs = telling("calibration"), telling("heldout")
    assert len(theirs) > 500
    assert len(ours & theirs) / len(theirs) < 0.01


def test_it_holds_code_and_chats() -> None:
    chats = calibration_text("calibration", 60_000, CHATML)
    assert chats.special_tokens
    assert "model's chat template" in chats.description
    asked = re.findall(r"<\|im_start\|>user\nWrite the Python function `(\w+)\(", chats.text)
    answered = re.findall(r"<\|im_start\|>assistant\n```python\n(?:@.*\n)*def (\w+)\(", chats.text)
    assert len(asked) >= 10
    assert set(answered) <= set(asked)
    assert sum(len(part) for part in re.findall(r"<\|im_start\|>.*?```\n", chats.text, re.DOTALL)) < 0.6 * 60_000
    plain = calibration_text("calibration", 60_000)
    assert not plain.special_tokens
    assert "### Instruction:\nWrite the Python function" in plain.text
    assert "<|im_start|>" not in plain.text


@pytest.mark.parametrize("template", ["{{ raise_exception('never') }}", "{% if %}", "{{ messages[0].nothing.at.all }}"])
def test_a_template_that_does_not_render_is_done_without(template: str) -> None:
    assert calibration_text("calibration", 5_000, template) == calibration_text("calibration", 5_000)


def test_files_of_the_user(tmp_path: Path) -> None:
    one, other = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("eins <|im_start|>", encoding="utf-8")
    other.write_text("zwei 数\n", encoding="utf-8")
    text = text_from_files([one, other])
    assert text.text == "eins <|im_start|>\nzwei 数\n"
    assert text.description == "a.txt, b.txt"
    assert not text.special_tokens  # what a file says is text
    other.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        text_from_files([one, other])
    with pytest.raises(UsageError, match="cannot read"):
        text_from_files([tmp_path / "c.txt"])
    other.write_text(" \n")
    with pytest.raises(UsageError, match="empty"):
        text_from_files([other])
    with pytest.raises(UsageError, match="0 characters"):
        calibration_text("heldout", 0)
