"""The integer program against exhaustive search, at real size, and what it says where nothing fits."""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cost_tables import KINDS, llama_8b, table, tensor

from leafwise.quant.allocate import Allocation, Objective, allocate, totals_of
from leafwise.quant.contracts import Choice, CostTable, TensorCosts
from leafwise.quant.errors import QuantizeError
from leafwise.quant.limits import Limits, memory_beside_weights
from leafwise.quant.tensor_groups import ties_by_block
from leafwise.runtime.gguf_header import read_header

AMOUNTS = ("bytes", "error", "prefill_seconds", "decode_seconds", "batch_seconds")


def small_table(rng: random.Random) -> CostTable:
    """Two to six tensors with two to four types of any cost."""
    tensors = []
    for i in range(rng.randint(2, 6)):
        choices = tuple(
            Choice(
                type=type_,
                bytes=rng.randint(1, 1000),
                error=rng.choice([0.0, rng.random(), rng.random() * 1e-4]),
                prefill_seconds=rng.random(),
                decode_seconds=rng.random(),
                batch_seconds=rng.random(),
            )
            for type_ in rng.sample(["a", "b", "c", "d", "e"], rng.randint(2, 4))
        )
        tensors.append(TensorCosts(name=f"t{i}", kind="t", block=i, shape=(32, 2), energy=1, choices=choices))
    return table(tensors, other_bytes=rng.randint(0, 500), other_parameters=7)


def every_assignment(costs: CostTable, ties: list[tuple[str, ...]], fixed: dict[str, str]) -> Iterator[dict[str, str]]:
    for types in itertools.product(*([choice.type for choice in t.choices] for t in costs.tensors)):
        made = {t.name: type_ for t, type_ in zip(costs.tensors, types, strict=True)}
        tied = all(len({made[name] for name in tie}) == 1 for tie in ties)
        if tied and all(made[name] == type_ for name, type_ in fixed.items()):
            yield made


def random_instance(seed: int) -> tuple[CostTable, Limits, dict[str, Any], Objective, list[dict[str, float]]]:
    """A table, limits near what a random assignment takes, and the totals of every assignment that ties allow."""
    rng = random.Random(seed)
    costs = small_table(rng)
    names = [t.name for t in costs.tensors]
    ties = [tuple(rng.sample(names, 2)) for _ in range(rng.choice([0, 0, 1, 2]))]
    fixed = {names[0]: rng.choice(costs.tensors[0].choices).type} if rng.random() < 0.3 else {}
    weights = {name: rng.choice([0.0, 1.0, rng.random()]) for name in names if rng.random() < 0.5}
    objective: Objective = rng.choice(["error", "error", "prefill_seconds", "bytes"])
    totals = [totals_of(costs, types, weights) for types in every_assignment(costs, ties, fixed)]
    some = rng.choice(totals) if totals else totals_of(costs, {t.name: t.choices[0].type for t in costs.tensors}, {})
    limits: dict[str, Any] = {}
    for name in rng.sample(
        ["total_bytes", "bits_per_weight", *AMOUNTS[2:], "memory_bytes", "error"], rng.randint(1, 4)
    ):
        amount = "bytes" if name in ("total_bytes", "memory_bytes") else name
        value = some[amount] * rng.choice([1.0, 1.1, 0.9])
        limits[name] = value if amount != "bytes" else max(1, int(value))
        if name in ("bits_per_weight", *AMOUNTS[2:]):
            limits[name] = max(value, 1e-9)
    options = {"ties": ties, "fixed": fixed, "sensitivities": weights}
    return costs, Limits(**limits), options, objective, totals


def within(totals: dict[str, float], limits: Limits) -> bool:
    """Whether totals keep limits; a float that was computed in two ways may differ in its last digits."""
    for name, value in limits.model_dump(exclude={"beside_weights"}, exclude_none=True).items():
        amount = "bytes" if name in ("total_bytes", "memory_bytes") else name
        if totals[amount] > value * (1 + 1e-12):
            return False
    return True


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_it_finds_what_exhaustive_search_finds(start: int) -> None:
    found = infeasible = 0
    for seed in range(start, start + 20):
        costs, limits, options, objective, totals = random_instance(seed)
        feasible = [entry[objective] for entry in totals if within(entry, limits)]
        if not feasible:
            with pytest.raises(QuantizeError, match=r"cannot be met|no type is left"):
                allocate(costs, limits, objective=objective, **options)
            infeasible += 1
            continue
        made = allocate(costs, limits, objective=objective, **options)
        assert made.value == pytest.approx(min(feasible), rel=1e-6, abs=1e-9), seed
        assert within(made.totals, limits), seed
        assert made.types in list(every_assignment(costs, options["ties"], options["fixed"]))
        assert all(slack >= -1e-9 for slack in made.slack.values())
        found += 1
    assert found >= 5, "instances that show something"
    assert found + infeasible == 20


@pytest.fixture(scope="module")
def big() -> CostTable:
    return llama_8b()


@pytest.mark.parametrize(
    "limits",
    [
        Limits(bits_per_weight=4.5),
        Limits(total_bytes=3_700_000_000),
        Limits(bits_per_weight=4.6, prefill_seconds=14.0),
        Limits(total_bytes=4_600_000_000, decode_seconds=0.36, batch_seconds=1.3),
    ],
)
def test_a_model_of_eight_billion_takes_seconds(big: CostTable, limits: Limits) -> None:
    assert len(big.tensors) == 225
    assert {len(t.choices) for t in big.tensors} == {12}
    allocate(big, Limits(bits_per_weight=8))  # scipy's import is not what is timed
    began = time.process_time()
    made = allocate(big, limits)
    assert time.process_time() - began < 5
    assert made.gap <= 1e-4
    assert within(made.totals, limits)
    assert len(set(made.types.values())) > 3


def test_more_bits_go_where_they_matter(big: CostTable) -> None:
    made = allocate(big, Limits(bits_per_weight=4.5))
    mean = {
        kind: sum(KINDS[type_][0] for name, type_ in made.types.items() if kind in name) / 32
        for kind in ("attn_v", "ffn_up")
    }
    assert mean["attn_v"] > mean["ffn_up"] + 0.5
    sharper = allocate(big, Limits(bits_per_weight=4.5), sensitivities={"blk.5.ffn_up.weight": 1000.0})
    assert sharper.types["blk.5.ffn_up.weight"] in ("q6_k", "q8_0")
    assert sharper.types["blk.5.ffn_up.weight"] != made.types["blk.5.ffn_up.weight"]


def test_the_solver_writes_nothing_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """HiGHS does, for this very table, whatever it is told; `--json` would be broken by it."""
    costs = llama_8b(blocks=4)
    for size in (2.75, 3.25, 4.75, 6.75):
        allocate(costs, Limits(bits_per_weight=size))
    print("mine")
    assert capfd.readouterr() == ("mine\n", "")


def test_no_limits_give_the_least_error(big: CostTable) -> None:
    made = allocate(big, Limits())
    assert set(made.types.values()) == {"q8_0"}
    assert made.slack == {}


def test_ties_fixed_and_allowed_types_are_kept(big: CostTable) -> None:
    ties = ties_by_block(big, "attn_q", "attn_k", "attn_v")
    assert len(ties) == 32
    allowed = {"q4_0", "iq4_nl", "q8_0"}
    made = allocate(big, Limits(bits_per_weight=5), ties=ties, fixed={"token_embd.weight": "q6_k"}, allowed=allowed)
    assert all(len({made.types[name] for name in tie}) == 1 for tie in ties)
    assert made.types.pop("token_embd.weight") == "q6_k"
    assert set(made.types.values()) <= allowed
    assert made.reasons["token_embd.weight"] == "fixed"
    assert made.reasons["blk.3.attn_k.weight"].startswith("tied: blk.3.attn_q.weight")
    one = allocate(big, Limits(bits_per_weight=5), allowed={"blk.0.attn_q.weight": ["q2_k"]})
    assert one.types["blk.0.attn_q.weight"] == "q2_k"


def test_time_can_be_made_least_at_a_given_loss(big: CostTable) -> None:
    best = allocate(big, Limits(bits_per_weight=5))
    limits = Limits(error=1.2 * best.totals["error"])
    quick = allocate(big, limits, objective="prefill_seconds")
    assert quick.objective == "prefill_seconds"
    assert quick.value == quick.totals["prefill_seconds"] < 0.8 * best.totals["prefill_seconds"]
    assert quick.totals["error"] <= 1.2 * best.totals["error"]
    assert quick.slack["error"] == pytest.approx(limits.error - quick.totals["error"])  # type: ignore[operator]


def test_a_limit_out_of_reach_is_named_with_the_distance(big: CostTable) -> None:
    with pytest.raises(QuantizeError) as caught:
        allocate(big, Limits(bits_per_weight=2.0))
    assert re.search(r"2\.0000 bits per weight cannot be met: the least is 2\.62", caught.value.message)
    assert re.search(r"0\.62\d+ bits per weight more", caught.value.message)
    with pytest.raises(QuantizeError) as caught:
        allocate(big, Limits(bits_per_weight=2.0, prefill_seconds=0.5, total_bytes=8_000_000_000))
    assert "bits per weight" in caught.value.message
    assert "ms (prefill)" in caught.value.message
    assert "GB" not in caught.value.message, "that one can be met"


def test_limits_that_only_exclude_each_other_say_how_much_would_do(big: CostTable) -> None:
    slow = allocate(big, Limits(bits_per_weight=3.0)).totals
    limits = Limits(bits_per_weight=3.0, error=0.8 * slow["error"])
    with pytest.raises(QuantizeError, match="cannot be met together") as caught:
        allocate(big, limits)
    share = float(re.search(r"by ([\d.]+) %", caught.value.hint)[1]) / 100  # type: ignore[index]
    enough = Limits(bits_per_weight=3.0 * (1 + 1.01 * share), error=0.8 * slow["error"] * (1 + 1.01 * share))
    assert within(allocate(big, enough).totals, enough)
    less = Limits(bits_per_weight=3.0 * (1 + 0.97 * share), error=0.8 * slow["error"] * (1 + 0.97 * share))
    with pytest.raises(QuantizeError, match="cannot be met together"):
        allocate(big, less)


def test_memory_counts_what_is_beside_the_weights(big: CostTable) -> None:
    beside = 1_000_000_000
    made = allocate(big, Limits(memory_bytes=5_000_000_000, beside_weights=beside))
    same = allocate(big, Limits(total_bytes=4_000_000_000))
    assert made.types == same.types
    assert made.totals["bytes"] + beside <= 5_000_000_000
    with pytest.raises(QuantizeError, match=r"3\.2000 GB cannot be met"):
        allocate(big, Limits(memory_bytes=3_200_000_000, beside_weights=beside))


@pytest.mark.model
def test_memory_beside_the_weights_grows_with_the_context(model_path: Any) -> None:
    header = read_header(model_path)
    small, large = (memory_beside_weights(header, context) for context in (1024, 8192))
    assert large - small >= header.kv_cache_bytes(8192) - header.kv_cache_bytes(1024)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"fixed": {"blk.0.nothing": "q4_k"}}, "no tensor blk.0.nothing"),
        ({"fixed": {"output.weight": "q4_k"}}, "no tensor output.weight"),
        ({"ties": [("token_embd.weight", "x")]}, "no tensor x"),
        ({"fixed": {"token_embd.weight": "q9"}}, "token_embd.weight is fixed to q9"),
        ({"allowed": ["f16"]}, "no type is left"),
        ({"sensitivities": {"x": 1.0}}, "sensitivity for x"),
        ({"sensitivities": {"token_embd.weight": -1.0}}, "negative"),
        ({"sensitivities": {"token_embd.weight": float("nan")}}, "not finite"),
    ],
)
def test_names_and_types_that_are_wrong_are_refused(big: CostTable, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(QuantizeError, match=problem):
        allocate(big, Limits(bits_per_weight=4.5), **options)


def test_times_that_were_not_measured_are_missed(big: CostTable) -> None:
    choices = tuple(c.model_copy(update={"prefill_seconds": None}) for c in big.tensors[0].choices)
    first = big.tensors[0].model_copy(update={"choices": choices})
    costs = big.model_copy(update={"tensors": (first, *big.tensors[1:])})
    made: Allocation = allocate(costs, Limits(bits_per_weight=4.5))
    assert "prefill_seconds" not in made.totals
    assert "decode_seconds" in made.totals
    with pytest.raises(QuantizeError, match=r"no prefill seconds of token_embd\.weight in q2_k"):
        allocate(costs, Limits(prefill_seconds=10))


def test_one_tensor_and_none() -> None:
    one = table([tensor("output.weight", (256, 256), 1.0, random.Random(0))])
    assert allocate(one, Limits(bits_per_weight=40)).types == {"output.weight": "q8_0"}
    with pytest.raises(QuantizeError, match="no tensors"):
        allocate(table([]), Limits(bits_per_weight=4))
