"""Jobs done by the machines of a Ray cluster, each with an engine and a sandbox of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from leafwise.benchmarks.code_hash import code_identity
from leafwise.benchmarks.contracts import Job
from leafwise.benchmarks.dispatch import Lost, dispatch
from leafwise.benchmarks.executor_ray_crew import PATIENCE, Cluster, RayCrew
from leafwise.benchmarks.executor_station import GenerationSetup, lasting_model, outcome_of
from leafwise.benchmarks.executors import Outcome
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.models import resolve
from leafwise.runtime.paths import file_sha256
from leafwise.runtime.sandbox_contracts import SandboxLevel


class RayExecutor:
    """Does jobs on a Ray cluster. See `Executor`. The jobs of a node that dies are done again elsewhere.

    Every node needs the same leafwise and the same model file, under the same name or path: both are checked.

    Args:
        address: of the cluster, `HOST:PORT` or `auto`.
        model: a model's name or path.
        options: how it is opened on each node.
        sandbox: the sandboxes' level; None for the best that works there.
        parallel: jobs that each worker does at once.
        workers: actors; None is one per node.
        identity: says, here and on each node, what code runs.
        patience: seconds without a single worker after which a run gives up.

    Raises:
        BenchmarkError: the package `ray` is missing, or there is no such cluster.
        UsageError: the model is a server.
        ModelError: there is no such model here.
    """

    def __init__(
        self,
        address: str,
        model: str,
        options: EngineOptions | None = None,
        sandbox: SandboxLevel | None = None,
        parallel: int = 4,
        workers: int | None = None,
        identity: Callable[[], str] = code_identity,
        patience: float = PATIENCE,
    ) -> None:
        model = lasting_model(model, "--ray")
        cluster = Cluster(address, workers)
        options = options or EngineOptions()
        # in a process of its own, so that a native crash is not the actor's end
        update = {"isolated": True, "api_key": None, "threads": options.threads or cluster.threads}
        setup = GenerationSetup(
            model=model,
            engine=options.model_copy(update=update),
            sandbox=sandbox,
            sandbox_workers=cluster.threads,
            parallel=parallel,
            model_sha256=file_sha256(resolve(model).path),
            measures_energy=cluster.threads is None,
        )
        self._crew = RayCrew(cluster, setup.model_dump_json(), parallel, identity, patience)

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """See `Executor.run`. A job whose worker was lost is tried again, twice at most.

        Raises:
            BenchmarkError: a node has another model or other code, or there is no worker left.
        """
        for number, result in dispatch([job.model_dump_json() for job in jobs], self._crew):
            job = jobs[number]
            yield Outcome(job, None, result.why) if isinstance(result, Lost) else outcome_of(job, result)

    def close(self) -> None:
        """See `Executor.close`."""
        self._crew.close()

    @property
    def in_flight(self) -> dict[str, int]:
        """Jobs that are being done on each node that is ready, by the node's id."""
        return self._crew.in_flight
