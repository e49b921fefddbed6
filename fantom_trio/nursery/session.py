"""One native link that is up: what its writer has to send, besides messages."""

import enum
from collections.abc import Awaitable, Callable, Iterable, Sequence

import trio

from fantom_trio.nursery.connection import Connection, Ending, Why
from fantom_trio.nursery.identity import PeerIdentity
from fantom_trio.nursery.pulse import Patience, Pulse
from fantom_trio.nursery.verification import Outcome, Verification
from fantom_trio.wire import Cursor, Record

__all__ = ["Knocked", "Session"]


class Knocked(enum.Enum):
    """What came of asking a peer to dial us back; the value is a short clause for logs."""

    DIALED_BACK = "it dialed back"
    NOTHING_CAME = "nothing came in time"
    TOO_SOON = "it was asked a moment ago"
    LINK_ENDED = "the link ended before anything came"


class Session:
    """A link between two identities, from both ``hello`` to its end."""

    __slots__ = (
        "_bye_seconds", "_verification", "_work", "acknowledged", "began", "connection", "cursor",
        "dial_back", "identity", "knock", "leaving", "outcomes", "patience", "peer_left", "ping",
        "pong", "pulse", "steps",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        identity: PeerIdentity,
        cursor: Cursor,
        bye_seconds: float,
        dial_back: Callable[[int], Awaitable[None]],
        pulse: Pulse,
    ) -> None:
        self.connection = connection
        #: Connects to that port of the peer's end, once; raises nothing.
        self.dial_back = dial_back
        self.identity = identity
        #: On Trio's clock.
        self.began = trio.current_time()
        #: Which message this link carries next.
        self.cursor = cursor
        self._verification: Verification | None = None
        #: The highest id that we acknowledged on this link.
        self.acknowledged = connection.hello_sent.shown
        #: Pending values, not queues: the newest counts, and whoever reads never waits for us.
        self.ping = False
        self.pong = False
        self.pulse = pulse
        #: How long the reader waits for a sign of life.
        self.patience = Patience(pulse.limits, self.ask, self._give_up)
        #: The port of ours that the peer is to dial.
        self.knock: int | None = None
        #: Steps of a verification, which answer the user's and are as many.
        self.steps: list[Record] = []
        #: What came of a verification and was not told yet.
        self.outcomes: list[Outcome] = []
        self._bye_seconds = bye_seconds
        #: The word that our ``bye`` says, or said; None while we stay.
        self.leaving: str | None = None
        #: The peer's ``bye`` came.
        self.peer_left = False
        self._work = trio.Event()

    @property
    def verification(self) -> Verification:
        """Where verifying the peer stands on this link; most links never come to that."""
        if self._verification is None:
            link = self.connection.link
            self._verification = Verification(
                link.hash, initiator=link.initiator, trials=self.identity.trials
            )
        return self._verification

    def end_verification(self) -> Sequence[Outcome]:
        """The link is gone: what the user must be told of it."""
        return [] if self._verification is None else self._verification.end()

    def wake(self) -> None:
        """There is something for the writer."""
        self._work.set()

    async def work(self) -> None:
        """Wait until ``wake`` was called since the last time."""
        await self._work.wait()
        self._work = trio.Event()

    def ask(self) -> None:
        """Ask for a sign of life."""
        self.ping = True
        self.wake()

    def doubt(self, seconds: float) -> None:
        """The peer has a newer link with us: this one is dead after so long a silence."""
        self.pulse.doubt(self.patience, seconds)
        self.ask()

    def _give_up(self) -> None:
        self.connection.end(Ending(Why.SILENT))

    def verify(self, steps: Iterable[Record]) -> None:
        """Send these steps of a verification."""
        self.steps.extend(steps)
        self.wake()

    def leave(self, reason: str, ending: Ending) -> None:
        """Say ``bye`` after what is pending, then end with ``ending``; the first call counts."""
        if self.leaving is None:
            self.leaving = reason
            self.connection.ending = self.connection.ending or ending
            # A peer that does not read must not keep the link.
            self.connection.scope.deadline = trio.current_time() + self._bye_seconds
            self.wake()
