"""A run's summary against numbers worked out by hand."""

from __future__ import annotations

import pytest
from measured_run import ARMS, arm, judged, manifest, sample

from leafwise.agents.contracts import AnswerStatus
from leafwise.benchmarks.comparisons import pairs_to_compare
from leafwise.benchmarks.contracts import Arm
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.summary import summarize
from leafwise.benchmarks.summary_arms import busy_seconds, in_half, times_direct
from leafwise.benchmarks.summary_contracts import Multiple
from leafwise.runtime.sandbox_contracts import Status


def test_scores_halves_costs_and_claims() -> None:
    arms = ARMS[:1]
    answers = [
        sample("direct", 0, status=AnswerStatus.PASSED, joules=2.0),
        sample("direct", 1, status=AnswerStatus.PASSED, joules=3.0, started=15.0, finished=25.0),
        sample("direct", 2, solution="", rule="none", joules=1.0, started=100.0, finished=101.0),
        sample("direct", 3, cut=True, joules=1.0, started=101.0, finished=102.5),
    ]
    endings: tuple[Status | bool, ...] = (True, Status.TIMEOUT, Status.LOAD_ERROR, False)
    summary = summarize(manifest(arms), answers, [judged(a, e) for a, e in zip(answers, endings, strict=True)])
    found = summary.arms[0]
    scores = {score.half: (score.passed, score.total) for score in found.scores}
    assert scores == {"all": (1, 4), "even": (1, 2), "odd": (0, 2)}
    assert (found.complete, summary.complete, summary.warnings) == (True, True, ())
    cost = found.cost
    assert (cost.prefilled_tokens, cost.completion_tokens, cost.calls, cost.programs) == (240, 200, 8, 12)
    assert (cost.seconds, cost.joules) == (10 + 10 + 2.5, 7.0)
    assert (found.claims, found.false_claims, found.unconfirmed_timeouts) == (2, 1, 1)
    extraction = found.extraction
    assert extraction.rules == {"fence": 3, "none": 1}
    assert (extraction.without_code, extraction.cut) == (1, 1)
    assert (extraction.failed_extraction, extraction.failed_code) == (2, 1)
    assert found.statuses == {"passed": 1, "timeout": 1, "load_error": 1, "failed": 1}
    assert summary.verdicts == ("direct solves 1 of 4.",)


def test_what_is_missing_is_said_and_not_counted_as_failed() -> None:
    answers = [sample("direct", 0), sample("direct", 1), sample("guided", 0)]
    verdicts = [judged(answers[0], True), judged(answers[2], True), judged(sample("guided", 3), True)]
    summary = summarize(manifest((ARMS[0], ARMS[2])), answers, verdicts)
    direct, guided = summary.arms
    assert (direct.complete, direct.generated, direct.judged) == (False, 2, 1)
    score = guided.score()
    assert score is not None
    assert (score.passed, score.total) == (1, 1)
    assert "direct: 2 of 4 samples are missing, 1 are not judged" in summary.warnings[0]
    assert summary.comparisons[0].paired.tasks == 1
    assert guided.cost.joules is None


def test_pass_at_k_is_refused_with_a_reason() -> None:
    arms = (arm("greedy", "resample", temperature=0.0), arm("sampled", "resample"))
    answers = [sample(a.name, task, number) for a in arms for task in range(2) for number in range(10)]
    verdicts = [judged(a, a.sample == 0) for a in answers]
    summary = summarize(manifest(arms, tasks=2, samples=10), answers, verdicts)
    greedy, sampled = (found.score() for found in summary.arms)
    assert greedy is not None
    assert sampled is not None
    assert [p.value for p in greedy.pass_at] == [pytest.approx(0.1), None, None]
    assert "greedy" in greedy.pass_at[1].reason
    assert [p.value for p in sampled.pass_at] == [pytest.approx(0.1), pytest.approx(1.0), None]
    assert "needs 100 samples" in sampled.pass_at[2].reason
    paired = summary.comparisons[0].paired
    assert (paired.p, paired.difference) == (None, 0.0)
    assert any("greedy" in warning for warning in summary.warnings)


def test_plus_includes_base_and_leaves_out_what_was_not_run() -> None:
    answers = [sample("direct", task) for task in range(4)]
    verdicts = [
        judged(a, a.task_id[-1] != "0", plus) for a, plus in zip(answers, (None, True, False, None), strict=True)
    ]
    summary = summarize(manifest(ARMS[:1], suites=("base", "plus")), answers, verdicts)
    found = summary.arms[0].score("plus")
    assert found is not None
    assert (found.passed, found.total) == (1, 3)
    assert [cell.outcomes[0].plus for cell in summary.cells] == [False, True, False, None]


def test_every_pair_of_a_grid_is_compared_once() -> None:
    arms = [arm(f"{m}/{s}", s, m) for m in ("a", "b") for s in ("direct", "resample", "guided")]
    answers = [sample(a.name, task) for a in arms for task in range(2)]
    summary = summarize(manifest(arms, tasks=2), answers, [judged(a, True) for a in answers])
    pairs = [(one.arm, one.other) for one in summary.comparisons if one.half == "all"]
    assert len(pairs) == len({frozenset(pair) for pair in pairs})
    wanted = {
        ("a/guided", "a/direct"),
        ("a/guided", "a/resample"),
        ("b/guided", "b/resample"),
        ("b/guided", "a/guided"),
    }
    assert wanted | {("b/direct", "a/direct"), ("b/guided", "a/direct")} <= set(pairs)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([sample("nobody", 0)], "not of this run"),
        ([sample("direct", 9)], "not of this run"),
        ([sample("direct", 0, 1)], "not of this run"),
        ([sample("direct", 0, fingerprint="other")], "other settings"),
        ([sample("direct", 0), sample("direct", 0)], "twice"),
    ],
)
def test_samples_of_other_runs_are_refused(wrong: list[object], says: str) -> None:
    with pytest.raises(BenchmarkError, match=says):
        summarize(manifest(), wrong, [])  # type: ignore[arg-type]


def test_time_is_the_union_and_halves_go_by_the_last_number() -> None:
    assert busy_seconds([(5, 8), (0, 4), (1, 2), (3, 6), (20, 21)]) == 9
    assert busy_seconds([]) == 0
    assert [in_half("x/12", half) for half in ("all", "even", "odd")] == [True, True, False]
    assert [in_half("no number", half) for half in ("all", "even", "odd")] == [True, False, False]


def compared(*arms: Arm) -> list[tuple[str, str, str]]:
    return [(pair.arm, pair.other, pair.why) for pair in pairs_to_compare(arms)]


def test_parts_are_compared_with_the_whole_and_the_paper_with_its_rivals() -> None:
    names = ("direct", "guided-no-gate", "paper", "resample", "guided", "guided-no-critic")
    assert compared(*map(arm, names)) == [
        ("paper", "direct", "first"),
        ("resample", "direct", "first"),
        ("guided", "direct", "first"),
        ("paper", "resample", "paper"),
        ("guided", "paper", "paper"),
        ("guided", "resample", "resample"),
        ("guided-no-gate", "guided", "part"),
        ("guided-no-critic", "guided", "part"),
    ]


def test_who_comes_first_changes_no_question() -> None:
    assert compared(arm("guided-no-gate"), arm("resample"), arm("guided"), arm("paper")) == [
        ("guided", "resample", "resample"),
        ("paper", "resample", "paper"),
        ("guided", "paper", "paper"),
        ("guided-no-gate", "guided", "part"),
    ]
    assert compared(arm("guided-no-gate"), arm("guided-no-critic"), arm("resample")) == [
        ("guided-no-critic", "guided-no-gate", "first"),
        ("guided-no-gate", "resample", "resample"),
        ("guided-no-critic", "resample", "resample"),
    ], "without the whole they are arms like others"


def test_models_are_compared_by_what_does_the_same() -> None:
    arms = [arm(f"{m}/{s}", s, m) for m in ("a", "b") for s in ("guided", "guided-no-gate")]
    assert compared(*arms) == [
        ("a/guided-no-gate", "a/guided", "part"),
        ("b/guided-no-gate", "b/guided", "part"),
        ("b/guided", "a/guided", "model"),
        ("b/guided-no-gate", "a/guided-no-gate", "model"),
    ]


def test_parts_have_one_sentence_together() -> None:
    arms = [arm(name) for name in ("guided", "guided-no-gate", "guided-no-critic", "direct")]
    passing = {"guided": 8, "guided-no-gate": 0, "guided-no-critic": 9, "direct": 3}
    tokens = {"guided-no-gate": 100}
    answers = [sample(a.name, i, completion_tokens=tokens.get(a.name, 50)) for a in arms for i in range(10)]
    verdicts = [judged(a, int(a.task_id.rpartition("/")[2]) < passing[a.arm]) for a in answers]
    summary = summarize(manifest(arms, tasks=10), answers, verdicts)
    assert len(summary.verdicts) == 2
    assert summary.verdicts[1] == (
        "guided without gate -80.0 points at 2.00x its tokens; without critic +10.0 points at 1.00x its tokens."
        " More than chance explains: gate."
    )
    assert [(one.name, one.without) for one in summary.arms][:2] == [("guided", ()), ("guided-no-gate", ("gate",))]
    rest = [a for a in answers if a.arm != "guided-no-gate"]
    assert (
        summarize(manifest(arms, tasks=10), rest, verdicts)
        .verdicts[1]
        .endswith("without critic +10.0 points at 1.00x its tokens. Chance alone could explain each difference.")
    )


def test_costs_stand_beside_those_of_direct_on_the_same_answers() -> None:
    arms = [arm(f"{m}/{s}", s, m) for m, s in (("a", "direct"), ("a", "guided"), ("b", "guided"))]
    answers = [sample("a/direct", i, completion_tokens=10) for i in range(4)]
    # the fourth task is not there yet; two at once, three seconds altogether
    times = ((0.0, 2.0), (1.0, 3.0), (1.0, 2.0))
    answers += [
        sample("a/guided", i, completion_tokens=70 + i, started=100 + start, finished=100 + end)
        for i, (start, end) in enumerate(times)
    ]
    answers += [sample("b/guided", 0)]
    direct, guided, other = summarize(manifest(arms), answers, []).arms
    assert direct.times_direct == Multiple(samples=4, tokens=1.0, seconds=1.0)
    assert guided.times_direct == Multiple(samples=3, tokens=213 / 30, seconds=3 / 30)
    assert other.times_direct is None
    assert times_direct([sample("x", 0)], [sample("direct", 0, completion_tokens=0, finished=0.0)]) == Multiple(
        samples=1, tokens=None, seconds=None
    )


def test_samples_of_a_task_that_is_left_out_count_nowhere() -> None:
    run = manifest(ARMS[:1]).model_copy(update={"tasks": ("HumanEval/0",), "left_out": {"HumanEval/1": "no\x1b[2J"}})
    answers = [sample("direct", 0), sample("direct", 1)]
    summary = summarize(run, answers, [judged(answer, True) for answer in answers])
    assert summary.verdicts == ("direct solves 1 of 1.",)
    (warning,) = summary.warnings
    assert warning.endswith("1 tasks: HumanEval/1 (no\N{REPLACEMENT CHARACTER}[2J).")
