"""Whether the peers of quiet links live: one task asks for all of them."""

from collections.abc import Callable
from heapq import heappop, heappush

import trio

from fantom_trio.nursery.limits import Limits

__all__ = ["Patience", "Pulse"]


class Patience:
    """How long one link has been silent, and what is done about it.

    ``ask`` asks for a sign of life after each ``ping_seconds``, ``give_up`` ends the link after as
    many silences as the limits say. Only while somebody reads can there be a silence.
    """

    __slots__ = (
        "_ask", "_doubted_at", "_doubted_for", "_give_up", "_limits", "_silences", "_since",
        "number",
    )  # fmt: skip

    def __init__(
        self, limits: Limits, ask: Callable[[], None], give_up: Callable[[], None]
    ) -> None:
        self._limits = limits
        self._ask = ask
        self._give_up = give_up
        #: On Trio's clock: since when somebody waits for the next read; None while nobody does.
        self._since: float | None = None
        self._silences = 0
        #: Since when the link is doubted, if it is, and how long a silence it has left.
        self._doubted_at: float | None = None
        self._doubted_for = 0.0
        #: Under which it is watched; 0 while it is not.
        self.number = 0

    def begin(self) -> None:
        """Somebody waits for the next read."""
        self._since = trio.current_time()
        self._silences = 0

    def heard(self) -> None:
        """Something came."""
        self._since = self._doubted_at = None

    def doubt(self, seconds: float) -> None:
        """It is given up after so long a silence."""
        self._doubted_at, self._doubted_for = trio.current_time(), seconds

    def next_look(self, now: float) -> float | None:
        """Do what is to be done now; when to look again, None where it was given up."""
        limits = self._limits
        if self._since is None:
            return now + limits.ping_seconds
        if self._doubted_at is not None:
            due = max(self._since, self._doubted_at) + self._doubted_for
            if now < due:
                return due
            self._give_up()
            return None
        due = self._since + (self._silences + 1) * limits.ping_seconds
        if now >= due:
            self._silences += 1
            if self._silences >= limits.silences:
                self._give_up()
                return None
            self._ask()
            due += limits.ping_seconds
        return due


class Pulse:
    """Looks at each ``Patience`` when it may be at its end; a read only notes its time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._by_number: dict[int, Patience] = {}
        #: When to look, and at whom: by number, so that nothing of a link that is gone stays here.
        self._looks: list[tuple[float, int]] = []
        self._last_number = 0
        self._sooner = trio.Event()

    def watch(self, patience: Patience) -> None:
        """Look at it until ``forget``."""
        self._look(patience, trio.current_time() + self.limits.ping_seconds)

    def forget(self, patience: Patience) -> None:
        """Its link is gone; idempotent."""
        self._by_number.pop(patience.number, None)
        patience.number = 0

    def doubt(self, patience: Patience, seconds: float) -> None:
        """Its link is given up after so long a silence."""
        patience.doubt(seconds)
        if patience.number:
            self._look(patience, trio.current_time() + seconds)

    def _look(self, patience: Patience, at: float) -> None:
        self.forget(patience)
        self._last_number += 1
        patience.number = self._last_number
        self._by_number[self._last_number] = patience
        if not self._looks or at < self._looks[0][0]:
            self._sooner.set()
        heappush(self._looks, (at, self._last_number))

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            now = trio.current_time()
            while self._looks and self._looks[0][0] <= now:
                _, number = heappop(self._looks)
                patience = self._by_number.get(number)
                if patience is None:
                    continue
                again = patience.next_look(now)
                if again is None:
                    self.forget(patience)
                else:
                    heappush(self._looks, (again, number))
            self._sooner = trio.Event()
            with trio.CancelScope() as scope:
                if self._looks:
                    scope.deadline = self._looks[0][0]
                await self._sooner.wait()
