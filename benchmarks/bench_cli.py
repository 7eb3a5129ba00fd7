"""Measure models and strategies on data sets, the engine, the sandbox and GGUF files; judge samples; simulate."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.engine_bench_cli import engine
from leafwise.benchmarks.evaluation_cli import chosen_strategies, humaneval
from leafwise.benchmarks.humaneval_report_cli import report
from leafwise.benchmarks.judge_cli import judge
from leafwise.benchmarks.judges_bench_cli import judges
from leafwise.benchmarks.quant_bench_cli import quant, quant_speed
from leafwise.benchmarks.sandbox_bench_cli import sandbox
from leafwise.benchmarks.select_bench_cli import select
from leafwise.benchmarks.simulate_cli import simulate
from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.engine_cli import ModelName, engine_options
from leafwise.runtime.progress_cli import counter

if TYPE_CHECKING:
    from leafwise.benchmarks.smoke import SmokeResult

app = typer.Typer(
    help=__doc__, add_completion=False, no_args_is_help=True, rich_markup_mode=None, context_settings=HELP
)

app.command()(humaneval)
app.command()(judge)
app.command()(engine)
app.command()(sandbox)
app.command()(report)
app.command()(judges)
app.command()(simulate)
app.command()(select)
app.command()(quant)
app.command()(quant_speed)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main(arguments: list[str]) -> int:
    """Run `leafwise bench`; 0 when the measurement was taken, whatever it says.

    Raises:
        LeafwiseError: it could not be taken; whoever called says so, with status 2.
    """
    return run_typer(app, "bench", arguments)


@app.command()
def smoke(
    model: ModelName = "smollm2-135m",
    strategies: Annotated[str, typer.Option(help="Which to run, separated by commas.")] = "direct,guided",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="All sampling derives from it.")] = 0,
    as_json: _Json = False,
) -> int:
    """Run ten small tasks and count how many answers pass their examples."""
    from leafwise.benchmarks.smoke import run_smoke, smoke_tasks
    from leafwise.runtime.opening import open_engine
    from leafwise.runtime.sandbox import open_sandbox

    wanted = chosen_strategies(strategies)
    with (
        closing(open_engine(model, engine_options())) as engine,
        closing(open_sandbox()) as box,
        counter("smoke", len(wanted) * len(smoke_tasks())) as advance,
    ):
        results = run_smoke(engine, box, wanted, seed=seed, done=lambda _: advance())
    if as_json:
        print(json.dumps([result.model_dump(mode="json") for result in results], indent=2))
    else:
        _print_smoke(results)
    return 0


@app.command()
def startup(
    model: ModelName = "smollm2-135m",
    runs: Annotated[int, typer.Option(min=1, help="Measurements of each figure.")] = 5,
    as_json: _Json = False,
) -> int:
    """Measure `leafwise --help`, and `leafwise solve` up to the model's first token."""
    from leafwise.benchmarks.startup import measure_startup

    times = measure_startup(model, runs)
    if as_json:
        print(json.dumps([t.model_dump() | {"median": t.median} for t in times], indent=2))
        return 0
    for t in times:
        print(f"{t.name}: median {t.median:.2f} s, {min(t.seconds):.2f}-{max(t.seconds):.2f}, load {t.load:.1f}")
    return 0


def _print_smoke(results: list[SmokeResult]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("strategy", "task", "status", "from", "tokens", "calls", "seconds", box=None)
    for r in results:
        table.add_row(r.strategy, r.task, r.status, r.origin, str(r.tokens), str(r.calls), f"{r.seconds:.1f}")
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    for strategy in dict.fromkeys(r.strategy for r in results):
        mine = [r for r in results if r.strategy == strategy]
        passed = sum(r.status == "passed" for r in mine)
        print(f"{strategy}: {passed} of {len(mine)} pass their examples, {sum(r.tokens for r in mine)} tokens")
