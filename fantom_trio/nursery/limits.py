"""Every bound of the nursery, each with its reason."""

from msgspec import Struct
from msgspec.structs import replace

__all__ = ["DEAD_SECONDS", "DEFAULT_SERVICE", "LISTENER_PORTS", "Limits"]

#: The ports a listener may have: the original takes no others.
LISTENER_PORTS = range(30000, 65536)

#: Who tells us our public address: it stands here for the options, which ask nobody.
DEFAULT_SERVICE = "https://api64.ipify.org"

#: A peer that is gone without a word is noticed after about this long: three missed answers.
DEAD_SECONDS = 45


class Limits(Struct, frozen=True):
    """Times are seconds of Trio's clock, sizes bytes of UTF-8, or of memory where that is more.

    What one frame, line, record or word may hold stands in ``wire``, beside what reads it.
    """

    #: Incomplete handshakes that peers began, at once; beyond it an old one makes room. Most take
    #: two packets, so that more of them wait only where somebody lets them wait.
    handshakes: int = 64
    #: Of these, from one /64: one person has 2^64 addresses. Link-local ones count by address.
    handshakes_network: int = 8
    #: Of these, from one address: a person and the programs beside theirs.
    handshakes_address: int = 4
    #: So many wait for no turn of strangers: together they take some three milliseconds.
    handshakes_unhindered: int = 8
    #: Of all, for addresses of verified peers alone: strangers cannot keep them out.
    handshakes_kept: int = 8
    #: Connections taken from one /64: so many at once, then so many a second. A script that sends a
    #: line each time is slowed down, not stopped, for who was refused tries again.
    knocks_burst: int = 20
    knocks_per_second: float = 2
    #: The /64s whose knocks are counted; one that was quiet for long enough needs no counting.
    networks: int = 1024
    #: Loopback counts as any other address: else only ``handshakes`` bounds this machine itself.
    loopback_counts: bool = False
    #: Links that peers dialed, at once, and of one peer; each costs a descriptor and some 30 KiB.
    links: int = 256
    links_of_peer: int = 8
    #: Descriptors that no incoming connection gets: about 16 for the listener, the terminal and
    #: Python's own, the rest for files and for what we dial.
    descriptors_kept: int = 32
    #: How long until the user hears again that descriptors ran out.
    descriptors_pause: float = 60
    #: Conversations with strangers whom the user has not answered, and what all of them together
    #: remember, shared out evenly: the share of each has room for any one message.
    strangers: int = 64
    strangers_messages: int = 16 * 1024
    strangers_bytes: int = 16 * 1024 * 1024
    #: Of these, whom we dial because their links broke.
    stranger_dials: int = 8
    #: Unverified identities that have no conversation any more: where their messages stopped.
    identities: int = 1024
    #: Networks of strangers in the log; the one that was quiet longest is dropped.
    stranger_log: int = 64
    #: Of each, the addresses that are told apart.
    stranger_hosts: int = 64
    #: The addresses that a verified identity came from last.
    addresses: int = 4
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
    #: processor's cache.
    native_batch_bytes: int = 288 * 1024
    #: Events on their way to the screen; beyond it sockets are not read.
    events: int = 64
    #: With so many on their way, nothing is said of strangers who come and go: the screen takes one
    #: after the other, and what a known peer says would wait behind all of theirs.
    stranger_events: int = 8
    #: Read of one stranger at once: a millisecond's work, whatever it says. Every stranger's buffer
    #: may be as large, and hold a frame besides.
    stranger_read_bytes: int = 16 * 1024
    #: How long a classic link may wait for the screen: its dialer crashes when it stalls for long.
    stall_seconds: float = 1

    def within(self, descriptors: float) -> "Limits":
        """The same, with no more incoming connections than so many descriptors permit."""
        room = max(2, descriptors - self.descriptors_kept)
        handshakes = int(min(self.handshakes, room // 2))
        return replace(
            self,
            handshakes=handshakes,
            handshakes_kept=min(self.handshakes_kept, handshakes // 8),
            links=int(min(self.links, room - handshakes)),
        )
