"""A process that works for its parent: opens a station, does the units it is sent, and ends with the parent.

    python -P -m leafwise.benchmarks.executor_child DESCRIPTOR

The descriptor is the connection to the parent. Standard output is not used: native code may print there.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from multiprocessing.connection import Connection

from leafwise.benchmarks.executor_station import Failure, Report, Station, Work, open_station, report_on


class Child:
    """Serves one parent.

    Args:
        connection: to the parent.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._station: Station | None = None

    def serve(self) -> None:
        """Read orders until the parent is gone; then this process ends, whatever it is doing."""
        try:
            threading.Thread(target=self._open, args=(self._connection.recv_bytes().decode(),), daemon=True).start()
            while True:
                work = Work.model_validate_json(self._connection.recv_bytes())
                threading.Thread(target=self._do, args=(work,), daemon=True).start()
        except (EOFError, OSError):
            os._exit(0)

    def _open(self, setup: str) -> None:
        try:
            self._station = open_station(setup)
            self._send(Report())
        # the process's boundary: the parent raises it
        except Exception as error:
            self._send(Report(failure=Failure.of(error)))

    def _do(self, work: Work) -> None:
        assert self._station is not None  # the parent waits for the first report
        self._send(report_on(self._station, work))

    def _send(self, report: Report) -> None:
        # without a parent this process is ending
        with self._sending, contextlib.suppress(OSError):
            self._connection.send_bytes(report.model_dump_json().encode())


if __name__ == "__main__":
    Child(Connection(int(sys.argv[1]))).serve()
