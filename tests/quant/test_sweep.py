"""The frontier falls, beats uniform types, and is shown as a table, as JSON and as a picture."""

from __future__ import annotations

import builtins
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cost_tables import llama_8b

from leafwise.quant import quantize_cli
from leafwise.quant.contracts import CostTable
from leafwise.quant.errors import QuantizeError
from leafwise.quant.pareto import Sweep, read_table, steps, sweep
from leafwise.quant.plots import plot_sweep


@pytest.fixture(scope="module")
def costs() -> CostTable:
    return llama_8b(blocks=4)


@pytest.fixture(scope="module")
def cost_file(costs: CostTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("costs") / "costs.json"
    path.write_text(costs.model_dump_json())
    return path


@pytest.fixture(scope="module")
def made(costs: CostTable) -> Sweep:
    return sweep(costs, steps(2.0, 7, 0.5))


def test_more_bits_mean_less_loss(made: Sweep) -> None:
    assert list(made.skipped) == ["2", "2.5"]
    assert "cannot be met: the least is 2.63" in made.skipped["2"]
    errors = [point.totals["error"] for point in made.points]
    assert errors == sorted(errors, reverse=True)
    for point in made.points:
        assert point.totals["bits_per_weight"] <= point.asked
        assert point.totals["bits_per_weight"] > point.asked - 0.1
        assert sum(point.shares.values()) == pytest.approx(1)
        assert list(point.shares.values()) == sorted(point.shares.values(), reverse=True)


def test_no_uniform_type_is_below_the_frontier(made: Sweep) -> None:
    assert {entry.type for entry in made.uniform} >= {"q4_k", "iq4_nl", "q8_0"}
    for entry in made.uniform:
        larger = [p for p in made.points if p.totals["bits_per_weight"] >= entry.totals["bits_per_weight"]]
        assert all(point.totals["error"] <= entry.totals["error"] for point in larger)


def test_steps_have_both_ends() -> None:
    assert steps(3.5, 4.5, 0.25) == [3.5, 3.75, 4.0, 4.25, 4.5]
    assert steps(3.5, 4.4, 0.25) == [3.5, 3.75, 4.0, 4.25, 4.4]
    assert steps(4, 4, 1) == [4]
    assert steps(0.1, 0.3, 0.1) == [0.1, 0.2, 0.3]
    for wrong in (
        (5, 4, 0.1),
        (1, 2, 0),
        (0, 2, 1),
        (1, 2, -1),
        (1, float("inf"), 1),
        (1, 2, float("nan")),
        (1, 9, 1e-6),
    ):
        with pytest.raises(QuantizeError):
            steps(*wrong)


def test_the_command_prints_a_table(cost_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quantize_cli.main(["sweep", str(cost_file), "--from", "2.5", "--to", "4", "--step", "0.5"]) == 0
    shown = capsys.readouterr()
    lines = [line.split("\t") for line in shown.out.splitlines()]
    assert lines[0] == ["bits/weight", "MB", "loss", "prefill ms", "decode ms", "types"]
    assert len(lines) == 4
    assert 2.9 < float(lines[1][0]) <= 3
    assert "left out: at most 2.5000 bits per weight" in shown.err


def test_the_command_gives_json_and_a_picture(
    cost_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "sweep.svg"
    arguments = ["sweep", str(cost_file), "--from", "3", "--to", "5", "--step", "1", "--json", "--plot", str(picture)]
    assert quantize_cli.main(arguments) == 0
    assert len(json.loads(capsys.readouterr().out)["points"]) == 3
    content = picture.read_bytes()
    assert b"<svg" in content
    assert quantize_cli.main(arguments) == 0
    assert picture.read_bytes() == content, "equal sweeps give equal pictures"


def test_pictures_of_any_kind(made: Sweep, tmp_path: Path) -> None:
    plot_sweep(made, tmp_path / "s.png", title="x")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    one = made.model_copy(update={"points": made.points[:1], "uniform": ()})
    plot_sweep(one, tmp_path / "one.PDF", title="one")
    assert (tmp_path / "one.PDF").read_bytes().startswith(b"%PDF")
    with pytest.raises(QuantizeError, match=r"as s\.jpg"):
        plot_sweep(made, tmp_path / "s.jpg", title="x")
    with pytest.raises(QuantizeError, match="cannot write"):
        plot_sweep(made, tmp_path / "no" / "s.svg", title="x")


def test_without_matplotlib_the_error_says_how_to_get_it(
    made: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(QuantizeError, match="needs matplotlib") as caught:
        plot_sweep(made, tmp_path / "s.png", title="x")
    assert caught.value.hint == "pip install 'leafwise[plots]'"


def test_files_that_are_no_cost_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="cannot read"):
        read_table(tmp_path / "none.json")
    (tmp_path / "wrong.json").write_text('{"tensors": []}')
    with pytest.raises(QuantizeError, match="not a cost table"):
        read_table(tmp_path / "wrong.json")
    table = llama_8b(blocks=1).model_dump_json()
    (tmp_path / "huge.json").write_text(re.sub(r'"error":[^,]+', '"error":1e400', table, count=1))
    with pytest.raises(QuantizeError, match=r"not a cost table.*finite"):
        read_table(tmp_path / "huge.json")
