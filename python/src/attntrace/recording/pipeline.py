"""Writes behind the model's back: what is given is encoded by threads and written in order, within bounded memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Job = Callable[[], None]
T = TypeVar("T")


class Pipeline:
    """Runs jobs in the order in which they were given, on a thread of its own.

    A job may have parts that other threads compute beforehand (`compute`). At most `budget` bytes wait; who gives more
    waits. The first error of a job ends the pipeline: everything after it is dropped, and it is raised where the next
    job is given.
    """

    def __init__(self, budget: int, threads: int) -> None:
        self._budget = budget
        self._waiting = 0
        self._room = threading.Condition()
        self._jobs: queue.SimpleQueue[tuple[Job, int] | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(threads, "attntrace encode")
        self._error: BaseException | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="attntrace write", daemon=True)
        self._thread.start()

    def compute(self, work: Callable[[], T]) -> Future[T]:
        """Starts a part of a job that is given afterwards."""
        return self._pool.submit(work)

    def give(self, job: Job, size: int = 0) -> None:
        """Queues a job that holds so many bytes."""
        with self._room:
            # One job may be larger than the budget; it then waits alone.
            self._room.wait_for(lambda: self._error or not self._waiting or self._waiting + size <= self._budget)
            self._raise()
            self._waiting += size
        self._jobs.put((job, size))

    def drain(self) -> None:
        """Waits until every job is done."""
        done = threading.Event()
        self._jobs.put((done.set, 0))
        # After an error jobs are dropped, this one too.
        while not done.wait(0.05):
            if self._error is not None:
                break
        self._raise()

    def close(self) -> None:
        """Ends the threads; jobs that wait are done first. Raises nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
            self._thread.join()
            self._pool.shutdown()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, size = item
            try:
                if self._error is None:
                    job()
            except BaseException as error:  # Whatever it is, it is raised again on the thread that gave the job.
                self._error = error
            # Whoever waits must not keep the job's values alive.
            del job, item
            with self._room:
                self._waiting -= size
                self._room.notify_all()
