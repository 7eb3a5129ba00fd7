from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.judge import Answer
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.sample_files import read_samples

PROBLEMS = read_problem_set("humaneval").problems[:2]
FIRST, SECOND = PROBLEMS
GOOD = {"task_id": FIRST.id, "completion": "    return 1\n"}


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines))
    return path


def read(path: Path, *lines: dict[str, Any] | str) -> list[Answer]:
    return read_samples(write(path / "samples.jsonl", *lines), PROBLEMS)


def test_texts_are_taken_literally(tmp_path: Path) -> None:
    odd = "    return 1\n\n```\n\t "
    lines = [
        {"task_id": FIRST.id, "completion": odd},
        {"task_id": FIRST.id, "solution": odd},
        {"task_id": FIRST.id, "solution": "x = 1", "completion": odd},
        {"task_id": FIRST.id, "completion": ""},
    ]
    found = read(tmp_path, *lines)
    assert [answer.module for answer in found] == [FIRST.prompt + odd, odd, "x = 1", FIRST.prompt]


def test_a_completion_of_a_sentence_is_the_module(tmp_path: Path) -> None:
    sentence = FIRST.model_copy(update={"completes": False})
    found = read_samples(write(tmp_path / "s.jsonl", GOOD), [sentence])
    assert found[0].module == GOOD["completion"]


def test_samples_without_numbers_are_counted_around_those_that_have_one(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD, {**GOOD, "sample": 1}, GOOD, {**GOOD, "arm": "a"}, {**GOOD, "task_id": SECOND.id})
    assert [(a.arm, a.task_id, a.sample) for a in found] == [
        ("", FIRST.id, 0),
        ("", FIRST.id, 1),
        ("", FIRST.id, 2),
        ("a", FIRST.id, 0),
        ("", SECOND.id, 0),
    ]


@pytest.mark.parametrize("given", [2, "2", "Mbpp/2"])
def test_a_problem_of_mbpp_may_be_named_by_its_number(tmp_path: Path, given: object) -> None:
    mbpp = [FIRST.model_copy(update={"id": task_id}) for task_id in ("Mbpp/2", "Mbpp/22")]
    (found,) = read_samples(write(tmp_path / "s.jsonl", {**GOOD, "task_id": given}), mbpp)
    assert found.task_id == "Mbpp/2"


def test_a_number_that_mbpp_does_not_have_is_no_task(tmp_path: Path) -> None:
    mbpp = [FIRST.model_copy(update={"id": "Mbpp/2"})]
    with pytest.raises(BenchmarkError, match="line 1: there is no task Mbpp/3 in the data set") as caught:
        read_samples(write(tmp_path / "s.jsonl", {**GOOD, "task_id": 3}), mbpp)
    assert "has the task Mbpp/2" in (caught.value.hint or "")


def test_an_id_that_the_data_set_has_is_meant_literally(tmp_path: Path) -> None:
    both = [FIRST.model_copy(update={"id": task_id}) for task_id in ("Mbpp/2", "2")]
    (found,) = read_samples(write(tmp_path / "s.jsonl", {**GOOD, "task_id": "2"}), both)
    assert found.task_id == "2"


def test_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    assert len(read_samples(path, PROBLEMS)) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"completion": "x"}, "no 'task_id'"),
        ({"task_id": FIRST.id}, "no 'completion' and no 'solution'"),
        ({"task_id": 3, "completion": "x"}, "'task_id' is a number, not text"),
        ({"task_id": FIRST.id, "completion": None}, "'completion' is null, not text"),
        ({"task_id": FIRST.id, "solution": ["x"], "completion": "x"}, "'solution' is a list, not text"),
        ({"task_id": "HumanEval/999", "completion": "x"}, "no task 'HumanEval/999'"),
        ({**GOOD, "sample": True}, "'sample' is true or false"),
        ({**GOOD, "sample": -1}, "'sample' is -1"),
        ({**GOOD, "sample": 7}, f"sample 7 of {FIRST.id} is on line 1 already"),
        ({**GOOD, "arm": 1}, "'arm' is a number, not text"),
        ('{"task_id": "HumanEval/0", "completion": "\\ud800"}', "half a character"),
        ('{"task_id": "HumanEval/0", "compl', "not JSON"),
        ("[]", "a list, not an object"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: dict[str, Any] | str, said: str) -> None:
    with pytest.raises(BenchmarkError) as caught:
        read(tmp_path, {**GOOD, "sample": 7}, GOOD, line)
    assert f"line 3: {said}" in caught.value.message or said in caught.value.message.split("line 3: ")[1]
    assert "line 1:" not in caught.value.message
    assert "line 2:" not in caught.value.message
    assert caught.value.hint


def test_all_bad_lines_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError) as caught:
        read(tmp_path, "{", GOOD, {"task_id": FIRST.id}, {"task_id": "Else/1", "solution": ""})
    for number in (1, 3, 4):
        assert f"line {number}: " in caught.value.message
    assert "--dataset names has the tasks HumanEval/0 to HumanEval/1" in (caught.value.hint or "")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match="is empty"):
        read_samples(path, PROBLEMS)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(GOOD).encode() * 100)[:-20])
    for path in (tmp_path / "none.jsonl", tmp_path, cut):
        with pytest.raises(BenchmarkError, match="cannot read"):
            read_samples(path, PROBLEMS)
