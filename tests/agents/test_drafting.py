"""How drafts are asked for: tables over the pure plan of requests."""

from __future__ import annotations

from leafwise.agents.drafting import Batch, Pace, draft_batches, next_pace
from leafwise.agents.role_settings import Role, RoleSettings
from leafwise.agents.settings import Settings, Strategy

GUIDED = Settings(drafts=6, temperature=0.8, first_answer_tokens=96, answer_tokens=384)
PACE = Pace(96)


def of(strategy: Strategy, **changes: object) -> Settings:
    return GUIDED.model_copy(update={"strategy": strategy, **changes})


def test_one_answer_is_greedy_and_whole() -> None:
    for strategy in ("direct", "paper"):
        assert draft_batches(of(strategy), 0, PACE, 1000) == (Batch("signature", 1, 384, greedy=True),)
        assert draft_batches(of(strategy, greedy_draft=False), 0, PACE, 1000)[0].greedy is False


def test_resample_asks_for_as_many_as_cannot_outrun_the_budget() -> None:
    for left, expected in ((384, 1), (1000, 2), (384 * 5, 5), (10**6, 16)):
        batches = draft_batches(of("resample"), 0, PACE, left)
        assert sum(b.n for b in batches) == expected
        assert {b.max_tokens for b in batches} == {384}
    assert [b.greedy for b in draft_batches(of("resample"), 0, PACE, 10**4)] == [True, False, False]
    assert not any(b.greedy for b in draft_batches(of("resample"), 1, PACE, 10**4))


def test_guided_begins_short_and_has_one_greedy_answer_in_the_first_round_only() -> None:
    assert draft_batches(GUIDED, 0, Pace(96), 12_000) == (
        Batch("signature", 1, 384, greedy=True),
        Batch("signature", 4, 96, bare=True),
        Batch("fence", 1, 192),
    )
    assert draft_batches(GUIDED, 1, Pace(384, bare=False), 12_000) == (
        Batch("signature", 5, 384),
        Batch("fence", 1, 384),
    )
    assert draft_batches(of("guided", drafts=1), 0, PACE, 1000) == (Batch("signature", 1, 384, greedy=True),)
    assert draft_batches(of("guided", drafts=1), 1, PACE, 1000) == (Batch("signature", 1, 96, bare=True),)


def test_a_small_budget_has_fewer_answers_and_not_shorter_ones() -> None:
    assert draft_batches(GUIDED, 0, Pace(64), 500) == (
        Batch("signature", 1, 500 - 3 * 64, greedy=True),
        Batch("signature", 3, 64, bare=True),
    )
    assert draft_batches(GUIDED, 1, Pace(64), 150) == (Batch("signature", 2, 64, bare=True),)
    assert draft_batches(GUIDED, 1, Pace(64), 20) == (Batch("signature", 1, 64, bare=True),), "cut by the budget itself"
    assert draft_batches(GUIDED, 0, Pace(64), 40) == (Batch("signature", 1, 40, greedy=True),)


def test_with_temperature_0_there_is_one_answer_of_each_kind() -> None:
    both = (Batch("signature", 1, 384, greedy=True), Batch("fence", 1, 384, greedy=True))
    for strategy in ("resample", "guided"):
        for greedy_draft in (True, False):
            cold = of(strategy, temperature=0.0, greedy_draft=greedy_draft)
            assert draft_batches(cold, 0, PACE, 12_000) == both
            assert draft_batches(cold, 0, PACE, 700) == both[:1], "two would outrun the budget"
    assert draft_batches(of("guided", temperature=0.0, drafts=1), 0, PACE, 12_000) == both[:1]
    assert draft_batches(of("guided", roles={Role.CODER: RoleSettings(top_k=1)}), 0, PACE, 12_000) == both


def test_a_coder_with_a_temperature_of_its_own_draws_as_ever() -> None:
    warm = of("guided", temperature=0.0, roles={Role.CODER: RoleSettings(temperature=0.5)})
    assert draft_batches(warm, 0, PACE, 12_000) == draft_batches(GUIDED, 0, PACE, 12_000)


def test_the_limit_doubles_only_where_it_cut_most_answers() -> None:
    def cap(before: int, answers: int, cut: int) -> int:
        return next_pace(GUIDED, Pace(before), answers, cut, 0).cap

    assert cap(96, 6, 0) == 96
    assert cap(96, 6, 3) == 96
    assert cap(96, 6, 4) == 192
    assert cap(192, 6, 6) == 384
    assert cap(384, 6, 6) == 384


def test_docstrings_are_let_where_most_answers_begin_with_one() -> None:
    assert next_pace(GUIDED, PACE, 6, 0, 3).bare
    assert not next_pace(GUIDED, PACE, 6, 0, 4).bare
    assert not next_pace(GUIDED, Pace(96, bare=False), 6, 0, 0).bare, "a model does not change its ways"
