"""Look at stored runs: what was asked, how it went, what came out; and remove old ones."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from leafwise.agents.runs import RunSummary, StoredRun

_DAY = 24 * 3600.0
_TASK_WIDTH = 60

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP, no_args_is_help=True)


def main(arguments: list[str]) -> int:
    """Run `leafwise runs`.

    Returns:
        0; 1 if a run that was to be removed by its id stays.

    Raises:
        LeafwiseError: wrong usage, or a run is unusable; whoever called says so, with status 2.
    """
    return run_typer(app, "runs", arguments)


@app.command("list")
def list_runs(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per run.")] = False,
) -> int:
    """List the runs, the oldest first: id, how it ended, size on disk, and the task's first line."""
    from leafwise.agents.runs import stored_runs

    total = 0
    for run in stored_runs():
        summary = run.summary()
        total += summary.bytes
        print(summary.model_dump_json() if as_json else _line(summary))
    if not as_json:
        print(f"{_mb(total)} in all; leafwise runs show ID, solve --resume ID, runs remove ID", file=sys.stderr)
    return 0


@app.command()
def show(run: Annotated[str, typer.Argument(metavar="ID", help="The run's id, a unique beginning, or last.")]) -> int:
    """Print a run's answer on standard output; its task and how it went on standard error."""
    from rich.console import Console

    from leafwise.agents.answer_cli import tell_of_more
    from leafwise.agents.runs import load_run
    from leafwise.agents.strategies import strategy_name
    from leafwise.agents.view import PlainView

    stored = load_run(run)
    record = stored.record
    print(
        f"{record.id}: {record.model}, {strategy_name(record.settings)}, seed {record.settings.seed}", file=sys.stderr
    )
    print(f"\n{record.task.statement.strip()}\n", file=sys.stderr)
    with PlainView(Console(stderr=True)) as view:
        for event in stored.events():
            view.feed(event)
    answer = stored.answer()
    if answer is None:
        print(f"no answer yet; go on with: leafwise solve --resume {record.id}", file=sys.stderr)
    else:
        print(answer.statement, file=sys.stderr)
        print(answer.code, end="")
        tell_of_more(answer)
    return 0


@app.command()
def remove(
    runs: Annotated[list[str] | None, typer.Argument(metavar="ID", help="The runs' ids, or beginnings.")] = None,
    older: Annotated[
        float | None, typer.Option(min=0.0, metavar="DAYS", help="Those that were last worked on so long ago.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> int:
    """Remove runs, for good. One that is being worked on stays."""
    from leafwise.agents.runs import find_run, stored_runs

    if sum([bool(runs), older is not None, everything]) != 1:
        raise UsageError("say which runs: their ids, --older DAYS, or --all", "leafwise runs list shows them")
    if runs:
        chosen = list({found.id: found for found in map(find_run, runs)}.values())
    else:
        limit = time.time() - _DAY * (older or 0.0)
        chosen = [stored for stored in stored_runs() if everything or stored.summary().worked_on < limit]
    stayed = [run for run in chosen if not _removed(run)]
    return 1 if runs and stayed else 0


def _removed(run: StoredRun) -> bool:
    """Remove a run, unless somebody works on it."""
    from leafwise.agents.errors import RunError

    size = run.summary().bytes
    try:
        with run.locked():
            run.discard()
    except RunError as error:
        print(f"{run.id} stays: {error.message}", file=sys.stderr)
        return False
    gone = not run.folder.exists()
    print(f"removed {run.id}, {_mb(size)}" if gone else f"cannot remove all of {run.folder}", file=sys.stderr)
    return gone


def _line(run: RunSummary) -> str:
    task = run.task if len(run.task) <= _TASK_WIDTH else run.task[: _TASK_WIDTH - 3] + "..."
    return f"{run.id}  {run.state:10}  {_mb(run.bytes):>8}  {task}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
