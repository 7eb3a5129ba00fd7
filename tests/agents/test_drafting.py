"""How drafts are asked for: tables over the pure plan of requests."""

from __future__ import annotations

from leafwise.agents.drafting import Batch, draft_batches, next_cap
from leafwise.agents.settings import Settings, Strategy

GUIDED = Settings(drafts=6, temperature=0.8, first_answer_tokens=96, answer_tokens=384)


def of(strategy: Strategy, **changes: object) -> Settings:
    return GUIDED.model_copy(update={"strategy": strategy, **changes})


def test_one_answer_is_greedy_and_whole() -> None:
    for strategy in ("direct", "paper"):
        assert draft_batches(of(strategy), 0, 0, 1000) == (Batch("signature", 1, 384, greedy=True),)  # type: ignore[arg-type]
        assert draft_batches(of(strategy, greedy_draft=False), 0, 0, 1000)[0].greedy is False  # type: ignore[arg-type]


def test_resample_asks_for_as_many_as_cannot_outrun_the_budget() -> None:
    for left, expected in ((384, 1), (1000, 2), (384 * 5, 5), (10**6, 16)):
        batches = draft_batches(of("resample"), 0, 0, left)
        assert sum(b.n for b in batches) == expected
        assert {b.max_tokens for b in batches} == {384}
    assert [b.greedy for b in draft_batches(of("resample"), 0, 0, 10**4)] == [True, False, False]
    assert not any(b.greedy for b in draft_batches(of("resample"), 1, 0, 10**4))


def test_guided_begins_short_and_has_one_greedy_answer_in_the_first_round_only() -> None:
    first, later = draft_batches(GUIDED, 0, 96, 1000), draft_batches(GUIDED, 1, 192, 1000)
    assert sum(b.n for b in first) == sum(b.n for b in later) == 6
    assert [b.max_tokens for b in first] == [384, 96, 96], "the greedy answer is whole"
    assert {b.max_tokens for b in later} == {192}
    assert [b.n for b in first if b.greedy] == [1]
    assert not [b for b in later if b.greedy]
    assert {b.form for b in first} == {"signature", "fence"}


def test_the_limit_doubles_only_where_it_cut_most_answers() -> None:
    assert next_cap(GUIDED, 96, 6, 0) == 96
    assert next_cap(GUIDED, 96, 6, 3) == 96
    assert next_cap(GUIDED, 96, 6, 4) == 192
    assert next_cap(GUIDED, 192, 6, 6) == 384
    assert next_cap(GUIDED, 384, 6, 6) == 384
    assert next_cap(GUIDED, 96, 0, 0) == 192, "nothing came, not even a beginning"
