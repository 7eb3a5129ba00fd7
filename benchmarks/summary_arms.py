"""One arm's numbers: scores by suite and half, costs, losses between answer and code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from leafwise.agents.contracts import AnswerStatus
from leafwise.benchmarks.contracts import Arm, Judgement, Manifest, Sample, SuiteName
from leafwise.benchmarks.pairing import bootstrap_mean
from leafwise.benchmarks.scoring import Interval, pass_at_k, wilson
from leafwise.benchmarks.summary_contracts import ArmSummary, Cost, Extraction, Half, Multiple, PassAtK, Score

HALVES: tuple[Half, ...] = ("all", "even", "odd")
KS = (1, 10, 100)

Outcomes = Mapping[str, Sequence[bool]]
"""For each task, whether each of its judged samples passes."""


def in_half(task_id: str, half: Half) -> bool:
    """Whether a task belongs to a half: by the number at the end of its id; one without belongs to `all` only."""
    number = re.search(r"\d+$", task_id)
    return half == "all" or (number is not None and (int(number[0]) % 2 == 0) == (half == "even"))


def outcomes_of(pairs: Iterable[tuple[Sample, Judgement]], suite: SuiteName, half: Half) -> Outcomes:
    """What passes, task by task. A sample that passed `base` and was never run on `plus` is left out of `plus`."""
    found: dict[str, list[bool]] = {}
    for sample, judgement in pairs:
        unknown = suite == "plus" and judgement.plus is None and judgement.passed("base")
        if in_half(sample.task_id, half) and not unknown:
            found.setdefault(sample.task_id, []).append(judgement.passed(suite))
    return found


def summarize_arm(
    arm: Arm,
    manifest: Manifest,
    samples: Sequence[Sample],
    judged: Mapping[int, Judgement],
    direct: Sequence[Sample] = (),
) -> ArmSummary:
    """One arm's results.

    Args:
        arm: which.
        manifest: of the run.
        samples: the arm's.
        judged: the judgement of the sample at this place in `samples`; those without are not judged.
        direct: those of the arm `direct` of the same model, if there is one.
    """
    pairs = [(samples[i], judgement) for i, judgement in judged.items()]
    expected = len(manifest.tasks) * manifest.samples
    claims = [judgement for sample, judgement in pairs if sample.status is AnswerStatus.PASSED]
    return ArmSummary(
        name=arm.name,
        model=arm.model,
        strategy=arm.strategy,
        without=arm.settings.without,
        complete=len(samples) == len(pairs) == expected,
        expected=expected,
        generated=len(samples),
        judged=len(pairs),
        scores=tuple(_score(arm, pairs, suite, half) for suite in manifest.suites for half in HALVES),
        cost=_cost(samples),
        times_direct=times_direct(samples, direct),
        extraction=_extraction(samples, pairs),
        claims=len(claims),
        false_claims=sum(not judgement.passed("base") for judgement in claims),
        statuses=dict(Counter(judgement.base.status.value for _, judgement in pairs)),
        unconfirmed_timeouts=sum(j.base.status.value == "timeout" and not j.base.confirmed for _, j in pairs),
    )


def busy_seconds(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals: concurrent samples count once, and pauses of a resumed run not at all."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def times_direct(samples: Sequence[Sample], direct: Sequence[Sample]) -> Multiple | None:
    """What an arm's answers cost beside `direct`'s, over the tasks and sample numbers that both have.

    Args:
        samples: the arm's.
        direct: those of `direct` with the same model.

    Returns:
        None if they have none in common.
    """
    both = {one.key[1:] for one in samples} & {one.key[1:] for one in direct}
    if not both:
        return None
    ours, theirs = ([one for one in arm if one.key[1:] in both] for arm in (samples, direct))
    tokens, base_tokens = (sum(one.completion_tokens for one in arm) for arm in (ours, theirs))
    seconds, base_seconds = (busy_seconds((one.started, one.finished) for one in arm) for arm in (ours, theirs))
    return Multiple(
        samples=len(both),
        tokens=tokens / base_tokens if base_tokens else None,
        seconds=seconds / base_seconds if base_seconds else None,
    )


def _score(arm: Arm, pairs: Sequence[tuple[Sample, Judgement]], suite: SuiteName, half: Half) -> Score:
    found = outcomes_of(pairs, suite, half)
    rates = [sum(task) / len(task) for task in found.values()]
    return Score(
        suite=suite,
        half=half,
        tasks=len(found),
        passed=sum(map(sum, found.values())),
        total=sum(map(len, found.values())),
        rate=sum(rates) / len(rates) if rates else None,
        interval=_interval(found, rates),
        pass_at=tuple(_pass_at(found, k, arm.greedy) for k in KS),
    )


def _interval(found: Outcomes, rates: Sequence[float]) -> Interval | None:
    if not rates:
        return None
    if all(len(task) == 1 for task in found.values()):
        return wilson(sum(map(sum, found.values())), len(rates))
    return bootstrap_mean(rates)  # samples of one task are not independent trials: Wilson would be too sure


def _pass_at(found: Outcomes, k: int, greedy: bool) -> PassAtK:
    fewest = min(map(len, found.values()), default=0)
    if not found:
        return PassAtK(k=k, value=None, reason="no task is judged")
    if greedy and k > 1:
        return PassAtK(k=k, value=None, reason="sampling was greedy: further samples say nothing new")
    if fewest < k:
        return PassAtK(k=k, value=None, reason=f"needs {k} samples of every task, there are {fewest}")
    values = [pass_at_k(len(task), sum(task), k) for task in found.values()]
    return PassAtK(k=k, value=sum(values) / len(values))


def _cost(samples: Sequence[Sample]) -> Cost:
    joules = [sample.joules for sample in samples]
    prompt, cached = (sum(getattr(s, name) for s in samples) for name in ("prompt_tokens", "cached_tokens"))
    return Cost(
        samples=len(samples),
        calls=sum(sample.calls for sample in samples),
        prompt_tokens=prompt,
        cached_tokens=cached,
        prefilled_tokens=prompt - cached,
        completion_tokens=sum(sample.completion_tokens for sample in samples),
        programs=sum(sample.programs for sample in samples),
        seconds=busy_seconds((sample.started, sample.finished) for sample in samples),
        # a sum over some of the samples would look like the cost of all
        joules=sum(j for j in joules if j is not None) if joules and None not in joules else None,
    )


def _extraction(samples: Sequence[Sample], pairs: Sequence[tuple[Sample, Judgement]]) -> Extraction:
    failures = [sample for sample, judgement in pairs if not judgement.passed("base")]
    lost = sum(not sample.solution or sample.rule == "prefix" or sample.cut for sample in failures)
    return Extraction(
        rules=dict(Counter(sample.rule for sample in samples).most_common()),
        without_code=sum(not sample.solution for sample in samples),
        cut=sum(sample.cut for sample in samples),
        failed_extraction=lost,
        failed_code=len(failures) - lost,
    )
