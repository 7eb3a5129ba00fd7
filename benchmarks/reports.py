"""The reports of a run's directory: read what was measured, write summary.json, report.md and report.html."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leafwise.benchmarks.contracts import Judgement, Manifest, Sample
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.evaluation import MANIFEST, SAMPLES, VERDICTS
from leafwise.benchmarks.journal import read_journal
from leafwise.benchmarks.manifest import read_manifest
from leafwise.benchmarks.report_html import Key, render_html
from leafwise.benchmarks.report_md import render_md
from leafwise.benchmarks.summary import summarize
from leafwise.benchmarks.summary_contracts import Summary
from leafwise.benchmarks.traces import Trace, read_trace, trace_path
from leafwise.runtime.paths import write_whole


def report_run(directory: Path) -> Summary:
    """Make a run's reports from its files.

    Raises:
        BenchmarkError: a file is missing or damaged, or a report cannot be written.
    """
    manifest = read_manifest(directory / MANIFEST)
    samples = read_journal(directory / SAMPLES, Sample)
    verdicts = directory / VERDICTS  # a run that was never judged has none
    summary = summarize(manifest, samples, read_journal(verdicts, Judgement) if verdicts.exists() else ())
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
