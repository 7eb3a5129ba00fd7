"""The reports of a run's directory: read what was measured, write summary.json, report.md and report.html."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from leafwise.benchmarks.contracts import Judgement, Manifest, Sample
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report_html import Key, render_html
from leafwise.benchmarks.report_md import render_md
from leafwise.benchmarks.summary import summarize
from leafwise.benchmarks.summary_contracts import Summary
from leafwise.benchmarks.traces import Trace, read_trace, trace_path
from leafwise.runtime.contracts import Contract
from leafwise.runtime.paths import write_whole

_C = TypeVar("_C", bound=Contract)


def report_run(directory: Path) -> Summary:
    """Make a run's reports from its files.

    Raises:
        BenchmarkError: a file is missing or damaged, or a report cannot be written.
    """
    manifest = _manifest(directory / "manifest.json")
    samples = _lines(directory / "samples.jsonl", Sample)
    summary = summarize(manifest, samples, _lines(directory / "verdicts.jsonl", Judgement))
    write_reports(directory, manifest, summary, samples)
    return summary


def write_reports(directory: Path, manifest: Manifest, summary: Summary, samples: Sequence[Sample]) -> None:
    """Write summary.json, report.md and report.html, each as a whole or not at all.

    Args:
        directory: of the run; its traces are read.
        manifest: of the run.
        summary: its results.
        samples: the answers.

    Raises:
        BenchmarkError: a report cannot be written.
    """
    page = render_html(manifest, summary, samples, read_traces(directory, samples))
    texts = {"summary.json": summary.model_dump_json(indent=2) + "\n", "report.md": render_md(manifest, summary)}
    for name, text in {**texts, "report.html": page}.items():
        try:
            write_whole(directory / name, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise BenchmarkError(
                f"cannot write {directory / name}: {error.strerror}", "free some disk space, or check who owns it"
            ) from error


def read_traces(directory: Path, samples: Sequence[Sample]) -> dict[Key, Trace]:
    """The traces that are there; a damaged one counts as missing, which the page says."""
    found: dict[Key, Trace] = {}
    for sample in samples:
        try:
            trace = read_trace(trace_path(directory, *sample.key))
        except BenchmarkError:
            continue
        if trace is not None:
            found[sample.key] = trace
    return found


def _manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise BenchmarkError(
            f"{path} is not a manifest: {'.'.join(map(str, first['loc']))}: {first['msg']}", "run the benchmark again"
        ) from error


def _lines(path: Path, kind: type[_C]) -> list[_C]:
    """A file's lines; a run that was never judged has no verdicts yet."""
    if kind is Judgement and not path.exists():
        return []
    found = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "JSON"
            raise BenchmarkError(f"{path}, line {number}: {where}: {first['msg']}", "repair or delete it") from error
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(
            f"cannot read {path}: {error.strerror}", "name the directory that `leafwise bench humaneval --out` wrote"
        ) from error
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{path} is not UTF-8 text", "it is damaged, or another program's") from error
