"""From a wish to a file, on the trained fixture: limits are kept, reasons are given, nothing is measured twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cost_tables import llama_8b
from tiny_llamas import FIXTURE

from leafwise.quant import evidence as evidence_module
from leafwise.quant.contracts import Recipe
from leafwise.quant.convert import convert
from leafwise.quant.errors import QuantizeError
from leafwise.quant.evidence import Effort, Evidence, types_for
from leafwise.quant.making import choose, make
from leafwise.quant.planning import Ask, limits_of, plan
from leafwise.quant.quantize import MIXES
from leafwise.quant.quantize_cli import main
from leafwise.quant.recipes import _why
from leafwise.runtime.errors import UsageError
from leafwise.runtime.gguf_header import read_header

LITTLE = Effort(chunks=2, context=64, groups=6, reference_chunks=1, types=("q8_0", "q6_k", "q4_k", "q3_k"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("fixture") / "fixture-f16.gguf"
    convert(FIXTURE, target, type_="f16")
    return target


def test_bits_per_weight_are_kept_and_the_file_says_how_it_was_made(source: Path, tmp_path: Path) -> None:
    told: list[str] = []
    recipe, matrix = choose(source, Ask(bits_per_weight=4.5), LITTLE, tell=lambda what, *_: told.append(what))
    assert matrix is not None
    assert recipe.asked == {"bits_per_weight": "4.5"}
    assert set(recipe.types.values()) <= set(LITTLE.types)
    assert recipe.why.keys() == recipe.types.keys()
    made = make(source, tmp_path / "made.gguf", recipe, matrix=matrix)
    header = read_header(tmp_path / "made.gguf")
    assert 4.4 < header.bits_per_weight <= 4.5
    assert made.recipe is not None
    assert recipe.predicted["bytes"] == header.weight_bytes
    assert recipe.predicted["mean_kl"] > 0
    assert {"importance matrix", "errors of all types", "reference", "sensitivities"} <= set(told)


def test_what_is_known_is_not_measured_again(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = choose(source, Ask(bits_per_weight=5.0), LITTLE)[0]
    for name in ("make_reference",):
        monkeypatch.setattr(evidence_module, name, None)  # would be called
    assert choose(source, Ask(bits_per_weight=5.0), LITTLE)[0] == first


def test_a_measured_file_is_nearer_than_a_mix_that_is_no_smaller(source: Path, tmp_path: Path) -> None:
    mix = make(source, tmp_path / "mix.gguf", MIXES["q3_k_m"], measured=True)
    bits = mix.header.bits_per_weight
    recipe, matrix = choose(source, Ask(bits_per_weight=bits), LITTLE)
    ours = make(source, tmp_path / "ours.gguf", recipe, matrix=matrix, measured=True)
    assert ours.header.weight_bytes <= mix.header.weight_bytes
    assert ours.divergence is not None
    assert mix.divergence is not None
    assert ours.divergence.mean_kl < mix.divergence.mean_kl
    assert ours.recipe is not None
    assert ours.recipe.measured["mean_kl"] == ours.divergence.mean_kl


# --- planning --------------------------------------------------------------------------------------------------------


@pytest.fixture
def known(source: Path) -> Evidence:
    return Evidence(header=read_header(source), table=llama_8b(blocks=2), matrix=None, sensitivities=None)


def test_a_files_size_leaves_room_for_its_header(known: Evidence) -> None:
    limits = limits_of(Ask(file_bytes=1_000_000_000), known)
    assert limits.total_bytes is not None
    header = known.header.file_bytes - known.header.weight_bytes
    assert 1_000_000_000 - header - 100_000 < limits.total_bytes < 1_000_000_000 - header


def test_a_files_size_leaves_room_for_a_recipe_of_many_tensors(known: Evidence) -> None:
    table = llama_8b(blocks=300)
    types = {tensor.name: "q4_k" for tensor in table.tensors}
    why = {tensor.name: _why(tensor, "q4_k", 1.0, 1234.5) for tensor in table.tensors}
    recipe = Recipe(source_sha256=table.source_sha256, types=types, why=why)
    assert len(table.tensors) > 2000
    limits = limits_of(Ask(file_bytes=10**12), replace(known, table=table))
    assert limits.total_bytes is not None
    header = known.header.file_bytes - known.header.weight_bytes
    room = 10**12 - header - limits.total_bytes
    assert len(recipe.model_dump_json()) + 32 * len(table.tensors) < room < 4 * len(recipe.model_dump_json())


def test_a_file_that_is_larger_than_asked_for_is_not_kept(source: Path, tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match=r"bytes too many"):
        make(source, tmp_path / "out.gguf", MIXES["q4_0"], most_bytes=1000)
    assert list(tmp_path.iterdir()) == []


def test_memory_counts_the_cache_at_the_context(known: Evidence) -> None:
    short, long = (limits_of(Ask(memory_bytes=10**9, context=n), known).beside_weights for n in (256, 1024))
    assert 0 < short < long


def test_for_this_machine_is_within_the_slack_of_the_fastest(known: Evidence) -> None:
    fastest = plan(known, Ask(for_this_machine=True, slack=0.0)).predicted
    slower = plan(known, Ask(for_this_machine=True, slack=0.3)).predicted
    assert fastest["prefill_seconds"] < slower["prefill_seconds"] <= 1.3 * fastest["prefill_seconds"] * (1 + 1e-9)
    assert slower["error"] < fastest["error"]
    both = plan(known, Ask(for_this_machine=True, slack=0.3, bits_per_weight=4.6)).predicted
    assert both["bits_per_weight"] <= 4.6
    assert both["error"] > slower["error"]


def test_nothing_asked_for(known: Evidence) -> None:
    with pytest.raises(QuantizeError, match="nothing was asked for"):
        plan(known, Ask())


def test_types_that_are_far_below_are_not_looked_at() -> None:
    assert "iq2_xs" not in types_for(4.5)
    assert {"q3_k", "q4_0", "q8_0"} <= set(types_for(4.5)) == set(types_for(4.9)) | {"iq3_xxs"}
    assert "iq2_xs" in types_for(3.0)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bpw", "4.5", "--mix", "q4_0"], "exclude each other"),
        (["--size", "much"], "is no size"),
        (["--size", "0"], "no file has 0"),
        (["--mix", "q9"], "no mix 'q9'"),
        (["--mix", "q4_0", "--dry-run"], "nothing to choose"),
        (["--mix", "q4_0", "--save-recipe", "x.json"], "no recipe to save"),
        (["--save-recipe", "x.json"], "no recipe to save"),
        (["--bpw", "4.5", "--imatrix", "x.gguf", "--no-imatrix"], "exclude each other"),
    ],
)
def test_options_that_make_no_sense(arguments: list[str], words: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        main([str(source), str(tmp_path / "out.gguf"), *arguments])


def test_no_target(source: Path) -> None:
    with pytest.raises(UsageError, match="no file to make"):
        main([str(source)])


def test_the_commands_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main([]))
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(word in out for word in ("convert", "imatrix", "verify", "--for-this-machine"))


def test_a_dry_run_prints_the_recipe(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "recipe.json"
    status = main(
        [str(source), "--dry-run", "--bpw", "6", "--groups", "0", "--no-imatrix", "--json", "--save-recipe", str(saved)]
    )
    assert status == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(saved.read_text())
    assert told["predicted"]["bits_per_weight"] <= 6
    assert told["importance_sha256"] is None
