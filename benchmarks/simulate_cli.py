"""`leafwise bench simulate`: what each strategy yields with a model of a given skill. No model runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.data_sets_cli import DATASET_HELP, open_problem_set
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.errors import UsageError
from leafwise.runtime.progress_cli import counter

if TYPE_CHECKING:
    from rich.table import Table

    from leafwise.benchmarks.contracts import ProblemSet
    from leafwise.benchmarks.simulate import Cell, SimulationFile, Study
    from leafwise.benchmarks.simulate_reference import SimulatedTask
    from leafwise.benchmarks.simulated_engine import Skill
    from leafwise.runtime.sandbox import Sandbox

_COMPARED = "direct,resample,resample-matched,paper,guided"
_MAPPED = "resample,guided"


def simulate(
    further: Annotated[str | None, typer.Argument(hidden=True, metavar="--dataset mbpp:FILE")] = None,
    skill: Annotated[float, typer.Option(min=0.0, max=1.0, help="p: chance that a function is right.")] = 0.63,
    checks: Annotated[float, typer.Option(min=0.0, max=1.0, help="q: chance that a check is right.")] = 0.67,
    decompose: Annotated[float, typer.Option(min=0.0, max=1.0, help="d: chance that a plan is a good split.")] = 0.5,
    concentration: Annotated[float, typer.Option(min=0.01, help="Of p over functions; large: all are alike.")] = 0.5,
    budget: Annotated[
        list[float] | None,
        typer.Option(min=1.0, max=200.0, help="Tokens per task, in right answers: 20 by default; repeatable."),
    ] = None,
    strategies: Annotated[
        str, typer.Option(help="Separated by commas; knobs behind a colon, as in guided:drafts=4+plans=1.")
    ] = "",
    dataset: Annotated[
        list[str] | None,
        typer.Option(help=f"{DATASET_HELP} Repeatable; humaneval and compositional by default."),
    ] = None,
    tasks: Annotated[str, typer.Option(help="even, odd, numbers, ranges (0-9), ids; all by default.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many of these, spread evenly.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers per task and strategy.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of everything.")] = 0,
    map_: Annotated[bool, typer.Option("--map", help="Sweep p and q, and draw the gain over resample.")] = False,
    out: Annotated[Path | None, typer.Option(help="Directory of simulate.json, map.svg and map.html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print simulate.json.")] = False,
) -> int:
    """Simulate what each strategy yields as a function of a model's skill and the budget. No model runs.

    The team is the real one; a simulated model answers from the canonical solutions: right with chance p per function,
    checks right with chance q, plans good with chance d. Cells that --out has already are kept.
    """
    from leafwise.benchmarks.simulate import SimulationFile, Study, arm_settings
    from leafwise.benchmarks.simulated_engine import Skill

    if further is not None:  # other commands take MBPP's file there; here it may be one data set of several
        raise UsageError(
            f"unexpected argument {further}", "a data set's file stands behind a colon: --dataset mbpp:FILE"
        )
    names = strategies or (_MAPPED if map_ else _COMPARED)
    arms = list(dict.fromkeys(name.strip() for name in names.split(",")))
    study = Study(tasks=(), seed=seed, samples=samples)
    for arm in arms:
        arm_settings(arm, study.settings)
    budgets = list(dict.fromkeys(budget or [20.0]))
    if map_ and len(budgets) > 1:
        raise UsageError("a map is of one budget", "draw one map for each --budget, with an --out of its own")
    if map_ and out is None:
        raise UsageError("--map needs --out", "say where map.svg, map.html and simulate.json shall be")
    problems = _problems(dataset)
    study = study.model_copy(update={"tasks": _chosen(problems, tasks, limit)})
    file = SimulationFile(out / "simulate.json" if out else None, study)
    model = Skill(p=skill, q=checks, d=decompose, concentration=concentration)
    if map_ and out is not None:
        _map(file, study, problems, arms, model, budgets[0], out)
    else:
        for cell in _run(file, study, problems, [(model, one, arms) for one in budgets]):
            _tell(cell, arms, study, quiet=as_json)
    if as_json:
        print(file.content.model_dump_json(indent=2))
    return 0


def _problems(datasets: Sequence[str] | None) -> ProblemSet:
    """The data sets, as one."""
    from leafwise.benchmarks.contracts import ProblemSet

    sets = [open_problem_set(name) for name in datasets or ("humaneval", "compositional")]
    found = tuple(problem for one in sets for problem in one.problems)
    if len({problem.id for problem in found}) < len(found):
        raise BenchmarkError("two data sets have tasks of the same id", "give each data set once")
    return ProblemSet(
        name="+".join(one.name for one in sets),
        source=", ".join(one.source for one in sets),
        sha256="+".join(one.sha256 for one in sets),
        problems=found,
    )


def _chosen(problems: ProblemSet, chosen: str, limit: int | None) -> tuple[str, ...]:
    from leafwise.benchmarks.evaluation_run import choose_tasks

    found = choose_tasks(problems, chosen)
    if limit is None or limit >= len(found):
        return found
    return tuple(found[i * len(found) // limit] for i in range(limit))


def _run(
    file: SimulationFile, study: Study, problems: ProblemSet, wanted: Sequence[tuple[Skill, float, Sequence[str]]]
) -> list[Cell]:
    """Run cells; what is done is kept, whatever ends it."""
    from leafwise.benchmarks.simulate import MATCHED, run_cell, with_known
    from leafwise.benchmarks.simulate_sandbox import RememberingSandbox

    missing = sum(file.cell(model, budget).arm(arm) is None for model, budget, arms in wanted for arm in arms)
    if not missing:
        return [file.cell(model, budget) for model, budget, _ in wanted]
    with _opened(study, problems) as (tasks, box):
        sandbox = RememberingSandbox(box)
        with counter("simulating", missing * len(tasks) * study.samples) as advance:
            for model, budget, arms in wanted:
                for arm in sorted(arms, key=lambda name: name == MATCHED):  # which brings guided along
                    cell = with_known(file.cell(model, budget), file.content.cells)
                    file.add(run_cell(cell, [arm], tasks, study, sandbox, advance))
    return [file.cell(model, budget) for model, budget, _ in wanted]


@contextmanager
def _opened(study: Study, problems: ProblemSet) -> Iterator[tuple[tuple[SimulatedTask, ...], Sandbox]]:
    from leafwise.benchmarks.simulate_tasks import prepare_tasks
    from leafwise.runtime.paths import cache_dir
    from leafwise.runtime.sandbox import open_sandbox

    chosen = [problem for problem in problems.problems if problem.id in set(study.tasks)]
    store = cache_dir() / "simulation"
    store.mkdir(exist_ok=True)
    with closing(open_sandbox()) as box:
        with counter("finding mistakes", len(chosen)) as advance:
            tasks = prepare_tasks(chosen, box, store, advance)
        yield tasks, box


# --- one cell --------------------------------------------------------------------------------------------------------


def _tell(cell: Cell, arms: Sequence[str], study: Study, *, quiet: bool) -> None:
    from rich.console import Console

    from leafwise.agents.statement import count
    from leafwise.benchmarks.simulate import LABEL

    if quiet:
        return
    skill = cell.skill
    print(
        f"{LABEL}; p {skill.p:g}, q {skill.q:g}, d {skill.d:g}, concentration {skill.concentration:g}, "
        f"budget {cell.budget:g} answers, {count(len(study.tasks), 'task')}, {count(study.samples, 'answer')}"
        f" each, seed {study.seed}"
    )
    Console(width=None if sys.stdout.isatty() else 140).print(_table(cell, arms))


def _table(cell: Cell, arms: Sequence[str]) -> Table:
    from rich.table import Table

    from leafwise.benchmarks.simulate_results import ALL, RIVAL, rows_of

    rows = rows_of(cell, arms)
    groups = [rate.group for rate in rows[0].rates]
    table = Table("strategy", *groups, "spent", f"gain over {RIVAL}", "won", "lost", "p", box=None)
    for row in rows:
        rates = [f"{100 * r.rate:.1f} % ({100 * r.interval.low:.0f}-{100 * r.interval.high:.0f})" for r in row.rates]
        gain = row.gains.get(ALL)
        told = ["", "", "", ""]
        if gain is not None:
            points = f"{gain.difference:+.1f} ({gain.interval.low:+.1f} to {gain.interval.high:+.1f})"
            told = [points, str(len(gain.won)), str(len(gain.lost)), "" if gain.p is None else f"{gain.p:.3f}"]
        table.add_row(row.arm, *rates, f"{row.answers:.1f}", *told)
    return table


# --- the map ---------------------------------------------------------------------------------------------------------


def _map(
    file: SimulationFile,
    study: Study,
    problems: ProblemSet,
    arms: Sequence[str],
    model: Skill,
    budget: float,
    out: Path,
) -> None:
    from leafwise.benchmarks.simulate_map import grid_of, write_map
    from leafwise.benchmarks.simulate_results import RIVAL

    wanted = list(dict.fromkeys([RIVAL, *arms]))
    cells = _run(file, study, problems, [(skill, budget, wanted) for skill in grid_of(model)])
    for line in write_map(cells, wanted[1:], study, out):
        print(line)
    print(out / "map.html")
