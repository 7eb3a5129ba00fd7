"""Run by test_executor_ray: two Ray nodes here judge, then generate until one of them is killed. Prints JSON.

RAY_TMPDIR=FOLDER python ray_scenario.py
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psutil
from ray.cluster_utils import Cluster
from tiny_answers import PROBLEMS, tiny_answers, verdicts
from tiny_jobs import MODEL, OPTIONS, essence, tiny_jobs

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.executor_local import LocalExecutor
from leafwise.benchmarks.executor_ray import RayExecutor
from leafwise.benchmarks.executors import Outcome
from leafwise.benchmarks.judge import Answer, judge_samples
from leafwise.benchmarks.judge_ray import RayJudge
from leafwise.runtime.errors import LeafwiseError
from leafwise.runtime.sandbox import open_sandbox

JOBS = tiny_jobs(8)
HEALTH = {  # a node that is gone is found within seconds
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 4,
}


@contextmanager
def two_nodes() -> Iterator[tuple[str, Any]]:
    """The cluster's address and its second node; each has one processor."""
    common = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster()
    try:
        cluster.add_node(include_dashboard=False, _system_config=HEALTH, **common)
        second = cluster.add_node(**common)
        yield cluster.address, second
    finally:
        cluster.shutdown()


def refusal(executor: RayExecutor) -> str:
    """The error that one job gives."""
    with closing(executor):
        try:
            return str(list(executor.run(JOBS[:1])))
        except LeafwiseError as error:
            return f"{type(error).__name__}: {error.message}"


def judge(address: str) -> tuple[list[object], str]:
    """Verdicts on the answers, half from each node, and what becomes of an answer to no task."""
    answers = tiny_answers()
    with closing(RayJudge(address, PROBLEMS)) as cluster:
        while len(cluster.in_flight) < 2:  # until both have opened their sandboxes
            list(cluster.judge(answers[-1:]))
        judgements = list(cluster.judge(answers))
        try:
            stranger = str(list(cluster.judge([Answer(task_id="T/9", module="")])))
        except BenchmarkError as error:
            stranger = error.message
    return verdicts(judgements), stranger


def pull_the_plug(node: Any) -> None:
    """Kill a node at once, with all that runs on it: its workers would go on for a moment without it."""
    daemons = [psutil.Process(p.process.pid) for kind in node.all_processes.values() for p in kind]
    for process in [*daemons, *(child for daemon in daemons for child in daemon.children(recursive=True))]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def generate(address: str, second: Any) -> tuple[list[Outcome], list[str]]:
    """Outcomes of the jobs, with the second node killed while it does one; and what becomes of runs without room."""
    with closing(RayExecutor(address, MODEL, OPTIONS, parallel=1)) as executor:
        while len(executor.in_flight) < 2:  # until both have loaded the model
            list(executor.run(JOBS[:1]))
        without_room = refusal(RayExecutor(address, MODEL, OPTIONS, patience=1.0))
        outcomes, alive = [], True
        for outcome in executor.run(JOBS):
            outcomes.append(outcome)
            if alive and executor.in_flight.get(second.node_id):
                alive = False
                pull_the_plug(second)
        assert not alive, "the second node had nothing to do"
        while second.node_id in executor.in_flight:
            # its last reply was under way already: it is found dead by a later job, and until then it seems ready
            assert len(list(executor.run(JOBS[:2]))) == 2
        assert len(executor.in_flight) == 1, executor.in_flight
        return outcomes, [without_room]


def main() -> None:
    with closing(LocalExecutor(MODEL, OPTIONS)) as local:
        expected = essence(local.run(JOBS))
    with closing(open_sandbox()) as sandbox:
        verdicts_here = verdicts(judge_samples(PROBLEMS, tiny_answers(), sandbox))
    with two_nodes() as (address, second):
        verdicts_there, stranger = judge(address)
        other_code = refusal(RayExecutor(address, MODEL, OPTIONS, workers=1, identity=secrets.token_hex))
        outcomes, refusals = generate(address, second)
    found = essence(outcomes)
    json.dump(
        {
            "equal": found == expected,
            "jobs": [line[:3] for line in found],
            "other_code": other_code,
            "without_room": refusals[0],
            "verdicts": verdicts_there,
            "verdicts_equal": verdicts_there == verdicts_here,
            "stranger": stranger,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
