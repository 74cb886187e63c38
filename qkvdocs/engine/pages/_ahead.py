"""Pages run ahead: their processes work while the builder converts the pages before."""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue

from qkvdocs.engine.pages._page import Reply
from qkvdocs.engine.pages._recall import Asked


class Ahead:
    """The replies to pages that the builder has still to convert."""

    def __init__(self, pages: Iterable[Asked], run: Callable[[Asked], Sequence[Reply]]) -> None:
        self.run = run
        self.futures = {asked: Future[Sequence[Reply]]() for asked in pages}
        self.waiting = SimpleQueue[Asked]()
        for asked in sorted(self.futures, key=lambda asked: -len(asked.text)):  # lessons, which train
            self.waiting.put(asked)
        # Daemons: a build that fails, or is interrupted, waits for no page.
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(os.cpu_count() or 1)]
        for thread in self.threads:
            thread.start()

    def replies(self, asked: Asked) -> Sequence[Reply]:
        """Give the replies to a page: run it now, unless that was begun."""
        future = self.futures.get(asked)
        return self.run(asked) if future is None or future.cancel() else future.result()

    def stop(self) -> None:
        """Begin no other page."""
        for future in self.futures.values():
            future.cancel()

    def _work(self) -> None:
        with suppress(Empty):
            while True:
                asked = self.waiting.get_nowait()
                future = self.futures[asked]
                if future.set_running_or_notify_cancel():
                    try:
                        future.set_result(self.run(asked))
                    except BaseException as error:  # whoever asks for the page gets it
                        future.set_exception(error)
