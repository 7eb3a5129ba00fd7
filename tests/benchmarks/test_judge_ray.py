"""Judging for another machine: a station judges a chunk as it is judged here. The cluster: test_executor_ray."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from tiny_answers import PROBLEMS, statuses, tiny_answers, tiny_statuses, verdicts

from leafwise.benchmarks.executor_judging import Chunk, Judged, JudgeSetup, JudgingStation, as_json
from leafwise.benchmarks.executor_station import Work, open_station, report_on
from leafwise.benchmarks.judge import Answer, judge_samples
from leafwise.benchmarks.judge_ray import CHUNK, chunks_of
from leafwise.runtime.sandbox import open_sandbox


@pytest.mark.sandbox
def test_a_station_judges_as_it_is_done_here() -> None:
    answers = tiny_answers()
    with closing(open_sandbox(workers=2)) as sandbox:
        here = verdicts(judge_samples(PROBLEMS, answers, sandbox))
    setup = as_json(JudgeSetup(problems=PROBLEMS, sandbox=None, sandbox_workers=2))
    with closing(open_station(setup)) as station:
        assert isinstance(station, JudgingStation)
        report = report_on(station, Work(unit=7, text=as_json(Chunk(answers=tuple(answers)))))
    assert report.unit == 7
    assert report.result is not None, report
    there = Judged.model_validate(json.loads(report.result)).judgements
    assert verdicts(there) == here
    assert statuses(there) == tiny_statuses()
    assert [j.task_id for j in there if j.base.confirmed] == ["T/0"]
    assert there[-1].base.confirmed, "the quiet re-run comes last"


@pytest.mark.sandbox
def test_a_task_that_the_station_lacks_is_a_failure_and_no_verdict() -> None:
    setup = as_json(JudgeSetup(problems=PROBLEMS[:1], sandbox=None, sandbox_workers=1))
    chunk = as_json(Chunk(answers=(Answer(task_id="T/1", module="1"),)))
    with closing(open_station(setup)) as station:
        report = report_on(station, Work(unit=0, text=chunk))
    assert report.result is None
    assert report.failure is not None
    assert report.failure.message == "there is no task T/1"


def test_chunks_hold_every_answer_once_and_few_tasks() -> None:
    answers = [Answer(task_id=f"T/{i % 10}", sample=i // 10, module="") for i in range(200)]
    chunks = chunks_of(answers, workers=2)
    assert sorted(a.model_dump_json() for c in chunks for a in c.answers) == sorted(
        a.model_dump_json() for a in answers
    )
    assert max(len(chunk.answers) for chunk in chunks) == CHUNK
    assert max(len({answer.task_id for answer in chunk.answers}) for chunk in chunks) <= 3
    assert [len(chunk.answers) for chunk in chunks_of(answers[:12], workers=2)] == [6, 6]
    assert [len(chunk.answers) for chunk in chunks_of(answers[:3], workers=8)] == [1, 1, 1]
    assert chunks_of([], workers=2) == []
