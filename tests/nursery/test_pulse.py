"""The signs of life of many links, on one task: who is asked when, and who is given up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.pulse import Patience, Pulse

LIMITS = Limits(ping_seconds=10, silences=3)


class Quiet:
    """A link that says nothing by itself: when it was asked, and when it was given up."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.given_up: list[float] = []
        self.patience = Patience(
            LIMITS,
            lambda: self.asked.append(trio.current_time()),
            lambda: self.given_up.append(trio.current_time()),
        )


@asynccontextmanager
async def running() -> AsyncIterator[Pulse]:
    pulse = Pulse(LIMITS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.run)
        await wait_all_tasks_blocked()
        yield pulse
        nursery.cancel_scope.cancel()


def watched(pulse: Pulse) -> Quiet:
    """A link whose reader waits from now on."""
    link = Quiet()
    link.patience.begin()
    pulse.watch(link.patience)
    return link


async def test_a_silent_link_is_asked_twice_and_given_up_once(autojump_clock: MockClock) -> None:
    async with running() as pulse:
        start, link = trio.current_time(), watched(pulse)
        await trio.sleep(100)
        assert [at - start for at in link.asked] == [10, 20]
        assert [at - start for at in link.given_up] == [30]


async def test_whoever_is_heard_begins_anew(autojump_clock: MockClock) -> None:
    async with running() as pulse:
        start, link = trio.current_time(), watched(pulse)
        for _ in range(20):
            await trio.sleep(9)
            link.patience.heard()
            link.patience.begin()
        assert not link.asked
        await trio.sleep(100)
        assert [at - start for at in link.asked] == [190, 200]
        assert [at - start for at in link.given_up] == [210]


async def test_where_nobody_reads_there_is_no_silence(autojump_clock: MockClock) -> None:
    """The reader waits for a slow screen: that is not the peer's fault."""
    async with running() as pulse:
        link = watched(pulse)
        await trio.sleep(5)
        link.patience.heard()
        await trio.sleep(1000)
        assert not link.asked
        assert not link.given_up


async def test_a_doubted_link_has_its_own_shorter_time(autojump_clock: MockClock) -> None:
    async with running() as pulse:
        start, link, other = trio.current_time(), watched(pulse), watched(pulse)
        await trio.sleep(1)
        pulse.doubt(link.patience, 3)
        await trio.sleep(100)
        assert [at - start for at in link.given_up] == [4]
        assert [at - start for at in other.given_up] == [30]


async def test_a_doubt_ends_with_the_first_sign_of_life(autojump_clock: MockClock) -> None:
    async with running() as pulse:
        start, link = trio.current_time(), watched(pulse)
        pulse.doubt(link.patience, 3)
        await trio.sleep(2)
        link.patience.heard()
        link.patience.begin()
        await trio.sleep(100)
        assert [at - start for at in link.given_up] == [32]


async def test_nothing_is_kept_of_links_that_are_gone(autojump_clock: MockClock) -> None:
    async with running() as pulse:
        for _ in range(1000):
            link = watched(pulse)
            pulse.forget(link.patience)
            pulse.forget(link.patience)
        assert not pulse._by_number
        await trio.sleep(11)
        assert not pulse._looks
        assert not link.asked


async def test_a_thousand_quiet_links_wake_the_task_when_they_are_due_and_not_at_each_read(
    autojump_clock: MockClock,
) -> None:
    async with running() as pulse:
        links = [watched(pulse) for _ in range(1000)]
        await wait_all_tasks_blocked()
        wakes = 0

        class Counting(trio.abc.Instrument):
            def before_task_step(self, task: trio.lowlevel.Task) -> None:
                nonlocal wakes
                wakes += "Pulse.run" in task.name

        instrument = Counting()
        trio.lowlevel.add_instrument(instrument)
        for _ in range(7):
            for link in links:
                link.patience.heard()
                link.patience.begin()
            await trio.sleep(1)
        trio.lowlevel.remove_instrument(instrument)
        assert wakes == 0
        await trio.sleep(100)
        assert all(len(link.given_up) == 1 for link in links)
