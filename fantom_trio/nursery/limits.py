"""Every bound of the nursery, each with its reason."""

from dataclasses import dataclass

__all__ = ["DEAD_SECONDS", "LISTENER_PORTS", "Limits"]

#: The ports a listener may have: the original takes no others.
LISTENER_PORTS = range(30000, 65536)

#: A peer that is gone without a word is noticed after about this long: three missed answers.
DEAD_SECONDS = 45


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are seconds of Trio's clock, sizes are bytes of UTF-8."""

    #: Incomplete handshakes at once; beyond it the oldest makes room for the newcomer.
    handshakes: int = 64
    #: From accept or connect to session keys, in all: an honest peer needs two packets.
    handshake_seconds: float = 10
    #: For a name and a TCP connection: four tries of the kernel's own.
    connect_seconds: float = 10
    #: For a dial from the listening port, which is begun again while nobody answers: two people who
    #: dial each other within a minute meet, and routers forget a packet after half of that or more.
    punch_seconds: float = 90
    #: When the user hears that nobody answered yet, and then hears it again.
    unanswered_seconds: float = 3
    unanswered_pause: float = 20
    #: Pauses before each new try when a classic listener resets a handshake; just after a close
    #: it may refuse the next link for a moment.
    retry_pauses: tuple[float, ...] = (0.1, 0.3, 0.6)
    #: A classic link that ended with lines unsent is dialed again, if it lasted so long.
    redial_seconds: float = 1
    #: Pauses before a native link that broke is dialed again: the first, doubled after each
    #: failure up to the longest; less by a random part, so that two sides do not keep meeting.
    first_pause: float = 1
    longest_pause: float = 60
    #: A link that lasted so long was a good one: after it the pauses begin anew.
    steady_seconds: float = 10
    #: A native link asks for a sign of life after so long, and is dead after so many silences.
    ping_seconds: float = DEAD_SECONDS / 3
    silences: int = 3
    #: An identity's ``knock`` is answered once in so long, and may take so long.
    knock_seconds: float = 60
    dial_back_seconds: float = 5
    #: How long the answer to a ``bye`` may take.
    bye_seconds: float = 2
    #: What a conversation remembers; the oldest is dropped first.
    history_messages: int = 10_000
    history_bytes: int = 16 * 1024 * 1024
    #: What waits for a link; beyond it the user keeps the line.
    outbox_messages: int = 1024
    outbox_bytes: int = 1024 * 1024
    #: Encrypted and written at once; also what a link that breaks meanwhile may say twice, because
    #: a classic peer does not tell how much of it arrived.
    batch_bytes: int = 32 * 1024
    #: The same on a native link, where nothing is said twice: more at once would not stay in the
    #: processor's cache, and memory for it would come from the system each time.
    native_batch_bytes: int = 96 * 1024
    #: Events on their way to the screen; beyond it sockets are not read.
    events: int = 64
    #: How long a classic link may wait for the screen: its dialer crashes when it stalls for long.
    stall_seconds: float = 1
