"""Recipes come from allocations with reasons, go through files unchanged, and are checked against a file's tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
from cost_tables import llama_8b

from leafwise.quant.allocate import allocate
from leafwise.quant.contracts import CostTable, Recipe
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_layout import TensorPlace
from leafwise.quant.limits import Limits
from leafwise.quant.recipes import check_recipe, read_recipe, recipe_of, write_recipe
from leafwise.quant.tensor_groups import ties_by_block


@pytest.fixture(scope="module")
def costs() -> CostTable:
    return llama_8b(blocks=2)


@pytest.fixture(scope="module")
def recipe(costs: CostTable) -> Recipe:
    made = allocate(
        costs,
        Limits(bits_per_weight=4.5),
        ties=ties_by_block(costs, "attn_q", "attn_k"),
        fixed={"token_embd.weight": "q4_k"},
    )
    return recipe_of(made, costs, asked={"bpw": "4.5"})


def places(costs: CostTable) -> list[TensorPlace]:
    norms = [TensorPlace("output_norm.weight", (4096,), "f32"), TensorPlace("blk.0.attn_norm.weight", (4096,), "f32")]
    return [*(TensorPlace(tensor.name, tensor.shape, "f16") for tensor in costs.tensors), *norms]


def test_a_recipe_says_what_and_why(costs: CostTable, recipe: Recipe) -> None:
    assert recipe.source_sha256 == costs.source_sha256
    assert recipe.asked == {"bpw": "4.5"}
    assert list(recipe.types) == list(recipe.why) == [tensor.name for tensor in costs.tensors]
    assert recipe.why["token_embd.weight"] == "fixed"
    assert recipe.why["blk.1.attn_k.weight"] == "tied: blk.1.attn_q.weight, blk.1.attn_k.weight"
    assert "% of the loss" in recipe.why["blk.1.ffn_up.weight"]
    assert recipe.predicted["bits_per_weight"] <= 4.5
    shares = [float(why.split(" %")[0]) for why in recipe.why.values() if "of the loss" in why]
    assert 0 < sum(shares) <= 101


def test_the_reason_is_true(costs: CostTable, recipe: Recipe) -> None:
    tensor = next(t for t in costs.tensors if t.name == "blk.0.ffn_down.weight")
    chosen = tensor.choice(recipe.types[tensor.name])
    assert chosen is not None
    smaller = min((c for c in tensor.choices if c.bytes < chosen.bytes), key=lambda c: c.error)
    added = 100 * (smaller.error - chosen.error) / recipe.predicted["error"]
    saved = (chosen.bytes - smaller.bytes) / 1e6
    assert f"{smaller.type} would save {saved:.3g} MB and add {added:.2g} %" in recipe.why[tensor.name]


def test_files_hold_recipes(recipe: Recipe, tmp_path: Path) -> None:
    write_recipe(recipe, tmp_path / "r.json")
    assert read_recipe(tmp_path / "r.json") == recipe
    with pytest.raises(QuantizeError, match="cannot write"):
        write_recipe(recipe, tmp_path / "no" / "r.json")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a recipe"),
        (b"{}", "source_sha256: Field required"),
        (b'{"source_sha256": "0", "types": {"a": 3}}', r"types\.a"),
        (b'{"source_sha256": "0", "types": {}, "more": 1}', "more"),
        (b"\xff\xfe", "not a recipe"),
        (None, "cannot read"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(QuantizeError, match=problem):
        read_recipe(tmp_path / "r.json")


def test_a_recipe_fits_its_file_only(costs: CostTable, recipe: Recipe) -> None:
    check_recipe(recipe, places(costs))
    with pytest.raises(QuantizeError, match=r"1 tensor that the recipe has not: blk\.9\.ffn_up\.weight$"):
        check_recipe(recipe, [*places(costs), TensorPlace("blk.9.ffn_up.weight", (256, 256), "f16")])
    with pytest.raises(QuantizeError, match=r"14 tensors that the file has not: blk\.0\.attn_q\.weight, .* and 9 more"):
        check_recipe(recipe, places(costs)[:1])
    narrow = [TensorPlace("token_embd.weight", (576, 100), "f16"), *places(costs)[1:]]
    with pytest.raises(QuantizeError, match=r"token_embd\.weight \(q4_k, rows of 576\)"):
        check_recipe(recipe, narrow)
    strange = recipe.model_copy(update={"types": recipe.types | {"token_embd.weight": "Q4_K"}})
    with pytest.raises(QuantizeError, match="unknown type 'Q4_K'"):
        check_recipe(strange, places(costs))
