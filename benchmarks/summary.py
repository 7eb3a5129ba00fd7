"""From samples and judgements to a summary: every number of the reports is computed here, and nothing is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from leafwise.benchmarks.comparisons import pairs_to_compare
from leafwise.benchmarks.contracts import Arm, Judgement, Manifest, Sample, SuiteName
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.pairing import compare_tasks
from leafwise.benchmarks.summary_arms import HALVES, outcomes_of, summarize_arm
from leafwise.benchmarks.summary_contracts import ArmSummary, Cell, Comparison, Cost, Outcome, Summary
from leafwise.runtime.verify_report import printable

Key = tuple[str, str, int]


def summarize(manifest: Manifest, samples: Iterable[Sample], judgements: Iterable[Judgement]) -> Summary:
    """What a run comes to.

    Args:
        manifest: of the run.
        samples: what was generated so far.
        judgements: on them; one without its sample does not count, and of several on one sample the last does.

    Raises:
        BenchmarkError: a sample is not of this run, or is there twice.
    """
    mine = _of_the_run(manifest, samples)
    verdicts = {(j.arm, j.task_id, j.sample): j for j in judgements}
    arms, pairs = [], {}
    for arm in manifest.arms:
        own = [sample for key, sample in mine.items() if key[0] == arm.name]
        judged = {i: verdicts[sample.key] for i, sample in enumerate(own) if sample.key in verdicts}
        direct = [sample for key, sample in mine.items() if key[0] == _direct_of(manifest.arms, arm.model)]
        arms.append(summarize_arm(arm, manifest, own, judged, direct))
        pairs[arm.name] = [(own[i], judgement) for i, judgement in judged.items()]
    comparisons = tuple(_comparisons(manifest, pairs))
    return Summary(
        dataset=manifest.dataset,
        suites=manifest.suites,
        tasks=manifest.tasks,
        samples=manifest.samples,
        complete=all(arm.complete for arm in arms),
        verdicts=_verdicts(arms, comparisons),
        warnings=tuple(_warnings(manifest, arms)),
        arms=tuple(arms),
        comparisons=comparisons,
        cells=tuple(_cells(manifest, mine, verdicts)),
    )


def _of_the_run(manifest: Manifest, samples: Iterable[Sample]) -> dict[Key, Sample]:
    """The samples by their keys, in the order of the tasks."""
    arms = {arm.name: arm for arm in manifest.arms}
    places = {task: place for place, task in enumerate(manifest.tasks)}
    found: dict[Key, Sample] = {}
    for sample in samples:
        if sample.task_id in manifest.left_out:
            continue
        name = f"sample {sample.sample} of {sample.task_id} by {sample.arm}"
        if sample.arm not in arms or sample.task_id not in places or not 0 <= sample.sample < manifest.samples:
            raise BenchmarkError(f"{name} is not of this run", "the manifest does not ask for it")
        if sample.fingerprint != arms[sample.arm].fingerprint:
            raise BenchmarkError(f"{name} was made with other settings", "runs that differ are never mixed")
        if sample.key in found:
            raise BenchmarkError(f"{name} is there twice", "delete one of the lines of samples.jsonl")
        found[sample.key] = sample
    return dict(sorted(found.items(), key=lambda item: (places[item[1].task_id], item[1].sample)))


def _direct_of(arms: Sequence[Arm], model: str) -> str | None:
    return next((arm.name for arm in arms if (arm.strategy, arm.model) == ("direct", model)), None)


def _comparisons(manifest: Manifest, pairs: dict[str, list[tuple[Sample, Judgement]]]) -> Iterator[Comparison]:
    for suite in manifest.suites:
        for half in HALVES:
            outcomes = {name: outcomes_of(found, suite, half) for name, found in pairs.items()}
            for arm, other, why in pairs_to_compare(manifest.arms):
                paired = compare_tasks(outcomes[arm], outcomes[other])
                if paired is not None:
                    yield Comparison(arm=arm, other=other, why=why, suite=suite, half=half, paired=paired)


def _verdicts(arms: Sequence[ArmSummary], comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """The sentences that open the reports: base tests, all tasks."""
    guided = {arm.name for arm in arms if arm.strategy == "guided"}
    asked = [one for one in comparisons if (one.suite, one.half) == ("base", "all")]
    whole = [one for one in asked if one.why != "part"]
    found = [verdict(one) for one in sorted(whole, key=lambda one: one.arm not in guided)]
    found += _parts_verdicts(arms, [one for one in asked if one.why == "part"])
    if not found:
        scores = ((arm.name, arm.score()) for arm in arms)
        found = [f"{name} solves {score.passed} of {score.total}." for name, score in scores if score and score.total]
    return tuple(found) or ("Nothing is judged yet.",)


def verdict(one: Comparison) -> str:
    """A comparison in a sentence that claims no more than was found."""
    paired = one.paired
    if paired.p is not None:
        solved = (round(paired.rate * paired.tasks), round(paired.other_rate * paired.tasks))
        counts = f"{one.arm} solves {solved[0]} of {paired.tasks}, {one.other} {solved[1]}"
        p = f"McNemar p {p_text(paired.p)}"
    else:
        counts = f"{one.arm} solves {100 * paired.rate:.1f} % of samples over {paired.tasks} tasks, "
        counts += f"{one.other} {100 * paired.other_rate:.1f} %"
        p = f"no McNemar: {paired.p_reason}"
    low, high = paired.interval.low, paired.interval.high
    figures = f"{paired.difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}; {p})"
    if paired.certain:
        return f"{counts}: {figures}."
    return (
        f"{counts}: {figures}. {'Chance alone could explain it' if paired.difference else 'No difference was found'}."
    )


def _parts_verdicts(arms: Sequence[ArmSummary], parts: Sequence[Comparison]) -> Iterator[str]:
    """What becomes of `guided` without each of its parts, in one sentence for each `guided`."""
    known = {arm.name: arm for arm in arms}
    for name in dict.fromkeys(one.other for one in parts):
        mine = [(" and ".join(known[one.arm].without), one) for one in parts if one.other == name]
        figures = [
            f"without {part} {one.paired.difference:+.1f} points{_at_tokens(known[one.arm].cost, known[name].cost)}"
            for part, one in mine
        ]
        certain = ", ".join(part for part, one in mine if one.paired.certain)
        rest = f"More than chance explains: {certain}" if certain else "Chance alone could explain each difference"
        yield f"{name} {'; '.join(figures)}. {rest}."


def _at_tokens(ours: Cost, theirs: Cost) -> str:
    if not (ours.samples and theirs.completion_tokens):
        return ""
    return f" at {ours.completion_tokens / ours.samples * theirs.samples / theirs.completion_tokens:.2f}x its tokens"


def p_text(p: float) -> str:
    """A p value as it is printed: `= 0.031`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _warnings(manifest: Manifest, arms: Sequence[ArmSummary]) -> Iterator[str]:
    if manifest.left_out:
        told = "; ".join(printable(f"{task} ({why})") for task, why in manifest.left_out.items())
        yield f"Left out of every score, because they could not be scored here: {len(manifest.left_out)} tasks: {told}."
    for arm in arms:
        if not arm.complete:
            missing, unjudged = arm.expected - arm.generated, arm.generated - arm.judged
            parts = [f"{missing} of {arm.expected} samples are missing"] if missing else []
            parts += [f"{unjudged} are not judged"] if unjudged else []
            yield f"Not complete: {arm.name}: {', '.join(parts)}. Its scores are over what is there."
    if manifest.samples > 1 and any(arm.greedy for arm in manifest.arms):
        greedy = ", ".join(arm.name for arm in manifest.arms if arm.greedy)
        yield f"Sampling was greedy in {greedy}: its further samples say nothing new."


def _cells(manifest: Manifest, samples: dict[Key, Sample], verdicts: dict[Key, Judgement]) -> Iterator[Cell]:
    for task in manifest.tasks:
        for arm in manifest.arms:
            keys = [(arm.name, task, number) for number in range(manifest.samples)]
            outcomes = tuple(
                _outcome(samples[key], verdicts.get(key), manifest.suites) for key in keys if key in samples
            )
            yield Cell(task=task, arm=arm.name, outcomes=outcomes)


def _outcome(sample: Sample, judgement: Judgement | None, suites: Sequence[SuiteName]) -> Outcome:
    known = judgement is not None and (judgement.plus is not None or not judgement.passed("base"))
    return Outcome(
        sample=sample.sample,
        base=judgement.passed("base") if judgement else None,
        plus=judgement.passed("plus") if judgement and known and "plus" in suites else None,
        status=judgement.base.status.value if judgement else "",
        detail=judgement.base.detail if judgement else "",
        claim=sample.status.value,
        rule=sample.rule,
        cut=sample.cut,
        tokens=sample.completion_tokens,
    )
