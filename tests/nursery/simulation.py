"""Two whole nodes over a network that fails as networks do, all of it drawn from a seed.

Both sides write, dial, cross, hang up, die and come back, while connections and the road between
are cut. Then the network heals, and all that must be true is checked; ``Fault`` says what is not.
"""

import enum
import itertools
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import trio
from trio.testing import MockClock

from fantom_trio.nursery import (
    Conversation,
    DialFailed,
    DialProblem,
    LinkEnded,
    Message,
    NodeEvent,
    NotShown,
    NoWayBack,
    Received,
    Redialing,
    State,
    Why,
)
from fantom_trio.wire import Violation
from fantom_trio.wire.frames import split_text
from fantom_trio.wire.records import MAX_TEXT
from tests.nursery.ends import slots_in_use
from tests.nursery.lives import Life, Screen, Side, deterministic, linked, told
from tests.nursery.memory_network import MemoryNetwork, MemoryStream

#: One way, at most, seconds: a handshake of four ways stays within its ten.
DELAYS = (0.0, 0.02, 0.3, 1.5)
#: A prompt one and, rarer, a slow one.
SCREENS = (*[Screen(events=64, pause=0)] * 4, Screen(events=1, pause=3))
#: Until a dead link is found out, then the longest pause before a dial, then that dial.
RECOVERY_SECONDS = 45 + 60 + 20
#: A dial by hand ends.
DIAL_SECONDS = 30
#: What is written on a link that works arrives after a few ways; a dead one is found out later.
PROMPT_SECONDS = 15
#: Longer than a dead link goes unnoticed.
CALM_SECONDS = 50


class What(enum.Enum):
    """What went wrong."""

    NO_LINK = "no common link"
    DOUBLE_LINK = "more than one link, or more than one dial"
    LATE = "a link works, and what is written does not arrive"
    LOST = "a message is lost"
    DOUBLE = "a message arrives twice"
    ORDER = "messages arrive in another order"
    UNACKNOWLEDGED = "the writer does not know that all arrived"
    BROKEN = "of two links that work, none is left"
    VIOLATION = "one of ours breaks the protocol"
    BUG = "a bug"
    RESTLESS = "more dials than there are reasons"
    LEAK = "a secret outlives its node"


class Fault(AssertionError):
    """``what`` must not be, and is."""

    def __init__(self, what: What, detail: str = "") -> None:
        super().__init__(f"{what.value}: {detail}")
        self.what = what


@dataclass
class Story:
    """One run: what happened, and what was wrong with it."""

    seed: int
    fault: Fault | None = None
    lines: list[str] = field(default_factory=list)
    #: From the heal of the network to a common link, seconds.
    recovery: float = 0.0

    def add(self, line: str) -> None:
        """Something happened now."""
        self.lines.append(f"{trio.current_time():9.3f} {line}")


def simulate(seed: int) -> Story:
    """One run; its ``Story`` follows from ``seed``."""
    story, before = Story(seed), slots_in_use()
    with deterministic(seed):
        trio.run(Simulation(story).run, clock=MockClock(autojump_threshold=0))
    if slots_in_use() != before and story.fault is None:
        story.fault = Fault(What.LEAK, f"{slots_in_use() - before} slots")
    return story


class Simulation:
    """What happens to the two sides, and what must be true in the end."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.rng = rng = random.Random(story.seed)
        self.network = MemoryNetwork(random.Random(rng.random()), (0.0, rng.choice(DELAYS)))
        self.screen = rng.choice(SCREENS)
        #: Nothing is ever cut, and nobody leaves.
        self.calm = rng.random() < 0.25
        #: Somebody hung up: nobody need dial again by himself.
        self.hung_up = False
        #: The reasons there were to dial.
        self.reasons = 0
        self.sides = self._side("alice", "2001:db8::a"), self._side("bob", "2001:db8::b")
        self._numbers = itertools.count()
        self._changed = trio.Event()
        self._away = 0

    def _side(self, name: str, address: str) -> Side:
        rng = random.Random(self.rng.random())
        return Side(name, address, self.network, self.screen, rng, self._hear)

    async def run(self) -> None:
        """All of it; a fault goes into the story."""
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            try:
                for side in self.sides:
                    await nursery.start(side.live)
                await self._act()
                await self._settle()
            except Fault as fault:
                self.story.fault = fault
            for side in self.sides:
                await side.quit()

    def _hear(self, side: Side, event: NodeEvent) -> None:
        self.story.add(f"{side.name}: {told(event)}")
        self.reasons += isinstance(event, LinkEnded | Redialing)
        self._notify()

    # What happens.

    async def _act(self) -> None:
        rng = self.rng
        chances: dict[Callable[[], Awaitable[None]], int] = {
            self._write: 12, self._connect: 4, self._cross: 3,
        }  # fmt: skip
        if not self.calm:
            chances |= {
                self._cut: 4, self._heal: 4, self._cut_one: 3, self._reset_one: 2,
                self._break_one_end: 3, self._restart: 2, self._hang_up: 1,
            }  # fmt: skip
        for _ in range(rng.randint(4, 14)):
            (action,) = rng.choices(list(chances), list(chances.values()))
            await action()
            await trio.sleep(rng.uniform(0, rng.choice((0.0, 0.1, 2.0, 2.0, 20.0, 70.0, 300.0))))

    async def _write(self) -> None:
        side = self.rng.choice(self.sides)
        if side.life is None or not (conversations := side.life.node.conversations):
            return
        conversation = self.rng.choice([*conversations, *[conversations[-1]] * 3])
        for _ in range(self.rng.randint(1, 3)):
            self._say(side, side.life, conversation)

    def _say(self, side: Side, life: Life, conversation: Conversation) -> Message | None:
        text = f"{side.name} {next(self._numbers)}"
        if self.rng.random() < 0.02:
            text = " ".join([text] * 8000)  # more than one record, and than the network holds
        with suppress(NoWayBack):
            message = life.node.say(conversation, text)
            life.written.append((conversation, message))
            self.reasons += 1
            self.story.add(f"{side.name} writes {text[:20]!r}")
            return message
        return None

    async def _connect(self) -> None:
        self._dial(self.rng.choice(self.sides))

    async def _cross(self) -> None:
        for side in self.sides:
            self._dial(side)

    def _dial(self, side: Side) -> None:
        (peer,) = (each for each in self.sides if each is not side)
        if side.life is not None:
            side.life.node.connect(peer.home)
            self.reasons += 1
            self.story.add(f"{side.name} dials")

    async def _cut(self) -> None:
        self.network.cut(*(side.home.host for side in self.sides))
        self.story.add("cut")

    async def _heal(self) -> None:
        self.network.heal(*(side.home.host for side in self.sides))
        self.story.add("healed")

    async def _cut_one(self) -> None:
        if streams := self.rng.choice(self.sides).streams:
            self.rng.choice(streams[-3:]).cut()
            self.story.add("one connection cut")

    async def _reset_one(self) -> None:
        if streams := self.rng.choice(self.sides).streams:
            self.rng.choice(streams[-3:]).reset()
            self.story.add("one connection reset")

    async def _break_one_end(self) -> None:
        """The other end is not told, and its link seems to be up beside the next one."""
        if streams := self.rng.choice(self.sides).streams:
            stream = self.rng.choice(streams[-3:])
            stream.cut()
            stream.reset()
            self.story.add("one connection broken at one end")

    async def _hang_up(self) -> None:
        side = self.rng.choice(self.sides)
        if side.life is not None:
            for conversation in side.life.node.conversations:
                self.hung_up |= side.life.node.disconnect(conversation)
            self.story.add(f"{side.name} hangs up")

    async def _restart(self) -> None:
        side = self.rng.choice(self.sides)
        if side.life is not None:
            self._away += 1
            await self.nursery.start(self._be_away, side)

    async def _be_away(self, side: Side, task_status: trio.TaskStatus[None]) -> None:
        """In order, by ``kill -9``, or because the current failed."""
        rng = self.rng
        farewell = rng.choice((None, MemoryStream.reset, MemoryStream.cut))
        longest = rng.choice((0.0, 2.0, 60.0))
        self.story.add(f"{side.name} leaves: {farewell.__name__ if farewell else 'bye'}")
        task_status.started()
        await (side.quit() if farewell is None else side.die(farewell))
        await trio.sleep(rng.uniform(0, longest))
        await self.nursery.start(side.live)
        self.story.add(f"{side.name} is back")
        self._away -= 1
        self._notify()

    # What must be true in the end.

    async def _settle(self) -> None:
        await self._wait(lambda: not self._away, 600)
        await self._heal()
        one, other = lives = [side.life for side in self.sides if side.life is not None]
        met = one.with_peer(other) is not None or other.with_peer(one) is not None
        if self.hung_up or not met:
            await self._dial_by_hand(one, other)
        healed = trio.current_time()
        await self._until(lambda: linked(one, other), RECOVERY_SECONDS, What.NO_LINK)
        self.story.recovery = trio.current_time() - healed
        self.story.add(f"a common link after {self.story.recovery:.1f} s")

        probes = []
        for side, life, peer in zip(self.sides, lives, reversed(lives), strict=True):
            conversation = life.with_peer(peer)
            assert conversation is not None
            probes.append(self._say(side, life, conversation))
        await self._until(
            lambda: all(each and each.state is State.DELIVERED for each in probes),
            PROMPT_SECONDS * (1 + self.screen.pause), What.LATE,
        )  # fmt: skip
        await self._until(lambda: _clear(one, other), RECOVERY_SECONDS, What.DOUBLE_LINK)
        await trio.sleep(10)  # until it is told
        self.story.add("clear")
        before = one.links_told, other.links_told
        await trio.sleep(CALM_SECONDS)
        if before != (one.links_told, other.links_told):
            raise Fault(What.DOUBLE_LINK, "it does not last")
        for life, peer in ((one, other), (other, one)):
            self._check_messages(life, peer)
            self._check_events(life)
        dials = sum(side.dials for side in self.sides)
        # Each reason gives a dial and perhaps a retry; long cuts, a few dials a minute.
        if dials > 10 + 2 * self.reasons + trio.current_time() / 15:
            raise Fault(What.RESTLESS, f"{dials} dials for {self.reasons} reasons")

    async def _dial_by_hand(self, one: Life, other: Life) -> None:
        """Until it helps: a dial may be under way that will fail, or a link not known as dead."""
        for _ in range(5):
            for side in self.rng.choice((self.sides, self.sides[:1], self.sides[1:])):
                self._dial(side)
            await self._wait(lambda: linked(one, other), DIAL_SECONDS)
            if linked(one, other):
                break

    async def _until(self, true: Callable[[], bool], seconds: float, what: What) -> None:
        await self._wait(true, seconds)
        if not true():
            raise Fault(what, f"for {seconds} s")

    async def _wait(self, true: Callable[[], bool], seconds: float) -> None:
        """Nodes tell of all that makes it true."""
        with trio.move_on_after(seconds):
            while not true():
                await self._changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    def _check_messages(self, writer: Life, reader: Life) -> None:
        """All that was written for that reader stands in its history, once and in order."""
        ours, theirs = writer.with_peer(reader), reader.with_peer(writer)
        assert ours is not None
        assert theirs is not None
        written = [message for where, message in writer.written if where is ours]
        texts = [
            piece.decode() for message in written for piece in split_text(message.text, MAX_TEXT)
        ]
        arrived = [message.text for message in theirs.history if not message.mine]
        shown = [
            message.text
            for event in reader.events
            if isinstance(event, Received) and event.conversation is theirs
            for message in event.messages
        ]
        if len(set(arrived)) != len(arrived):
            raise Fault(What.DOUBLE, f"{len(arrived) - len(set(arrived))} times")
        if missing := [text[:20] for text in texts if text not in arrived]:
            raise Fault(What.LOST, f"{missing}")
        if arrived != texts:
            raise Fault(What.ORDER, f"{[text[:20] for text in arrived]}")
        missed = sum(
            event.count
            for event in reader.events
            if isinstance(event, NotShown) and event.conversation is theirs
        )
        if [text for text in arrived if text in shown] != shown:
            raise Fault(What.ORDER, f"on the screen: {[text[:20] for text in shown]}")
        if len(shown) + missed != len(arrived):
            raise Fault(What.LOST, f"{len(shown)} shown and {missed} not, of {len(arrived)}")
        states = {message.state for message in written}
        if states != {State.DELIVERED} or ours.undelivered:
            raise Fault(What.UNACKNOWLEDGED, f"{states}, {ours.undelivered}")

    def _check_events(self, life: Life) -> None:
        for event in life.events:
            match event:
                case LinkEnded(ending=ending) if ending.why is Why.BUG:
                    raise Fault(What.BUG, ending.place)
                case LinkEnded(ending=ending):
                    # Whoever dies or gives up closes in a handshake.
                    if ending.violation not in (None, Violation.CLOSED_IN_HANDSHAKE):
                        raise Fault(What.VIOLATION, str(ending.violation))
                case DialFailed(error=error):
                    if error.problem in (DialProblem.FAILED, DialProblem.VIOLATION):
                        raise Fault(What.BUG, str(error))
                case Redialing() if self.calm:
                    raise Fault(What.BROKEN)
                case NotShown() if not self.screen.pause:
                    raise Fault(What.BUG, "an event was dropped")


def _clear(one: Life, other: Life) -> bool:
    """One link, and nobody looks for another."""
    quiet = not (one.dialing or other.dialing)
    return quiet and linked(one, other) and len(one.sessions) == len(other.sessions) == 1
