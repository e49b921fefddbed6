"""Every link of the node, from its first packet to its wiped keys: a task each."""

import contextlib
import random
from collections.abc import Collection
from dataclasses import replace

import trio

from fantom_trio.nursery.admission import Admission
from fantom_trio.nursery.approach import Approach, Arrivals, Overtaken
from fantom_trio.nursery.book import Book
from fantom_trio.nursery.classic import carry_texts, take_texts
from fantom_trio.nursery.connection import Connection, Ending, Why, tick
from fantom_trio.nursery.conversation import Conversation, Outgoing
from fantom_trio.nursery.crowd import Crowd
from fantom_trio.nursery.dial import dial
from fantom_trio.nursery.dial_backs import DialBacks
from fantom_trio.nursery.dials import Dials
from fantom_trio.nursery.errors import DialError, DialProblem
from fantom_trio.nursery.events import (
    AlreadyUp,
    Delivered,
    DialFailed,
    Dialing,
    LinkEnded,
    LinkUp,
    Merged,
    Redialing,
    Unanswered,
    Verifying,
)
from fantom_trio.nursery.greeter import Greeter
from fantom_trio.nursery.limits import Limits
from fantom_trio.nursery.native import converse
from fantom_trio.nursery.network import Network, Stream
from fantom_trio.nursery.pulse import Pulse
from fantom_trio.nursery.session import Session
from fantom_trio.nursery.strangers import Strangers
from fantom_trio.nursery.tcp import look_up
from fantom_trio.nursery.teller import Teller
from fantom_trio.nursery.verification import Outcome
from fantom_trio.wire import Endpoint, Invite, Link, LinkKind, Role, Violation, fingerprint

__all__ = ["Links"]


class Links(DialBacks):
    """Makes links, brings each to its conversation, and makes those again that broke."""

    def __init__(
        self,
        nursery: trio.Nursery,
        limits: Limits,
        greeter: Greeter,
        book: Book,
        teller: Teller,
        *,
        own_port: int,
        acknowledge: bool,
        network: Network,
        rng: random.Random,
    ) -> None:
        super().__init__(limits, network)
        #: Where our listener is; None while nobody can dial us.
        self.listener: Endpoint | None = None
        #: The port that classic peers are told where there is no listener.
        self.own_port = own_port
        self.admission = Admission(limits, greeter.identities.know)
        #: Who came and is not known.
        self.strangers = Strangers(limits, teller.now)
        self._crowd = Crowd(limits, greeter.identities, book, self.strangers)
        #: Set whenever a link of a conversation ended; for whoever waits to make anew.
        self.changed = trio.Event()
        self._nursery = nursery
        self._greeter = greeter
        self._book = book
        self._teller = teller
        self._acknowledge = acknowledge
        self._rng = rng
        self._arrivals = Arrivals()
        self._dials = Dials()
        self._pulse = Pulse(limits)
        nursery.start_soon(self._pulse.run)

    # Links that a peer dialed.

    async def serve(self, stream: Stream) -> None:
        """One accepted connection."""
        greeter = self._greeter
        link = Link(Role.LISTENER, identity=greeter.own, native_only=greeter.invited_only)
        connection = Connection(stream, link)
        came = [each for host, each in self._asked if host == stream.peer.host]
        for each in came:
            each.set()
        self._crowd.knocked(connection, len(self.admission), asked=bool(came))
        ending = await connection.run(lambda: self._meet(connection))
        if not (came and ending.violation is Violation.CLOSED_IN_HANDSHAKE):
            await self._ended(connection, ending)

    async def _meet(self, connection: Connection) -> None:
        self._arrivals.begin(connection)
        try:
            self.admission.enter(connection)
            await connection.answer(self._limits.handshake_seconds, self._greeter)
        finally:
            self.admission.leave(connection)
            self._arrivals.end(connection)
        self._crowd.enter(connection)
        try:
            if connection.link.kind is LinkKind.NATIVE:
                await self._converse(connection, self._dials.to(connection))
            else:
                await take_texts(connection, self._join, self._teller)
        finally:
            self._crowd.leave(connection)

    async def _join(self, connection: Connection, listener: Endpoint) -> Conversation:
        """A classic link that a peer dialed belongs to a conversation from here on."""
        conversation = self._book.classic(listener)
        first = not conversation.online
        conversation.kind = LinkKind.CLASSIC
        conversation.incoming.append(connection)
        self._crowd.joined(connection, conversation)
        up = LinkUp(conversation, Role.LISTENER, LinkKind.CLASSIC, first)
        await self._teller.mention_of(conversation, up)
        return conversation

    def make_room(self) -> None:
        """There is no descriptor left: a stranger gives one back."""
        if not self.admission.make_room():
            self._crowd.make_room()

    # Links that we dial.

    def listens_at(self, listener: Endpoint | None) -> None:
        """Our listener is there from now on; what is being dialed goes out from there."""
        self.listener = listener
        if listener is not None:
            self.own_port = listener.port
        self._dials.go_out_from(listener)

    def lost(self, hosts: Collection[str]) -> None:
        """No interface has these addresses any more: nothing is dialed from there."""
        self._dials.lose(hosts)

    async def connect(self, peer: Endpoint | Invite, name: str) -> None:
        """Dial whoever is there, or whoever made the invite."""
        invite, endpoint = (peer, peer.endpoint) if isinstance(peer, Invite) else (None, peer)
        try:
            endpoint = await look_up(endpoint, self._limits.connect_seconds)
            own = fingerprint(self._greeter.own.public)
            if endpoint == self.listener or (invite and invite.fingerprint == own):
                raise DialError(DialProblem.OWN)
        except DialError as error:
            await self._teller.tell(DialFailed(None, endpoint, error))
            return
        except Exception as error:
            bug = DialError(DialProblem.FAILED, Ending.bug(error).place)
            await self._teller.tell(DialFailed(None, endpoint, bug))
            return
        conversation = self._book.to_dial(endpoint, invite.fingerprint if invite else None)
        link, up = conversation.outgoing, conversation.is_up(invite)
        if up or conversation.kind is not LinkKind.NATIVE:
            conversation.name = name or conversation.name
        if up:
            await self._teller.tell(AlreadyUp(conversation))
        elif link is not None and (link.endpoint, link.invite, link.again) == (
            endpoint, invite, False,
        ):  # fmt: skip
            await self._teller.tell(Dialing(conversation, endpoint))
        else:
            conversation.stop_dialing()
            conversation.want()
            if conversation.kind is not LinkKind.NATIVE:
                # Where a native peer is, and what it is called, is known when it answered.
                conversation.endpoint = endpoint
            expected = None if invite is None else invite.fingerprint
            conversation.invite = invite or conversation.invite
            resumes = link is not None and (link.again or link.resumes)
            self._start(conversation, Outgoing(endpoint, invite, expected, name, resumes=resumes))

    def dial(self, conversation: Conversation, *, again: bool = False) -> None:
        """Dial the peer of ``conversation`` and nobody else, unless that is under way."""
        if conversation.outgoing is not None:
            conversation.outgoing.resumes |= again
        elif conversation.endpoint is not None:
            identity, invite = conversation.identity, conversation.invite
            expected = conversation.expected if identity is None else identity.fingerprint
            outgoing = Outgoing(conversation.endpoint, invite, expected, again=again)
            self._start(conversation, outgoing)

    def _start(self, conversation: Conversation, outgoing: Outgoing) -> None:
        conversation.outgoing = outgoing
        self._dials.begin(outgoing, conversation)
        self._nursery.start_soon(self._run_outgoing, conversation, outgoing)

    async def _run_outgoing(self, conversation: Conversation, outgoing: Outgoing) -> None:
        connection: Connection | None = None
        failed: DialError | None = None
        try:
            with outgoing.scope:
                connection = await self._reach(conversation, outgoing)
        except DialError as error:
            failed = error
        except Exception as error:
            failed = DialError(DialProblem.FAILED, Ending.bug(error).place)
        finally:
            self._dials.end(outgoing)
        # No checkpoint from here to the connection's own scope: it must not be left behind.
        if outgoing.scope.cancel_called and failed is None:
            failed = DialError(DialProblem.GIVEN_UP)
            if connection is not None:
                connection.close()
        if failed is not None:
            self._clear(conversation, outgoing)
            self._drop_if_unused(conversation)
            stopped = outgoing.scope.cancel_called or failed.problem.final
            if outgoing.resumes and not stopped and conversation.session is None:
                self.dial(conversation, again=True)
            told = DialFailed(conversation, outgoing.endpoint, failed)
            await self._teller.tell_of(conversation, told)
        elif connection is None:
            self._clear(conversation, outgoing)
            if outgoing.resumes and conversation.session is None:  # that other link broke already
                self.dial(conversation, again=True)
        elif connection.link.kind is LinkKind.CLASSIC:
            await self._run_classic(conversation, outgoing, connection)
        else:
            self._clear(conversation, outgoing)
            ending = await connection.run(
                lambda: self._converse(connection, conversation, outgoing)
            )
            await self._ended(connection, ending)

    async def _reach(self, conversation: Conversation, outgoing: Outgoing) -> Connection | None:
        """A connection whose handshake is done; None when another link came up meanwhile."""
        if not outgoing.again:
            await self._teller.tell(Dialing(conversation, outgoing.endpoint))
            return None if outgoing.overtaken else await self._dial(conversation, outgoing)
        await self._teller.tell_of(conversation, Redialing(conversation, outgoing.endpoint))
        while True:
            pause = conversation.redial_pause or self._limits.first_pause
            # What the user hurries says nothing of how long it will take.
            if not await outgoing.pause(pause * self._rng.uniform(0.5, 1)):
                conversation.redial_pause = min(2 * pause, self._limits.longest_pause)
            if conversation.session is not None:
                return None
            try:
                return await self._dial(conversation, outgoing)
            except DialError as error:
                if error.problem.final:
                    raise

    async def _dial(self, conversation: Conversation, outgoing: Outgoing) -> Connection | None:
        """One dial; None when it was overtaken."""
        limits, token = self._limits, outgoing.invite.token if outgoing.invite is not None else None
        seconds = limits.connect_seconds if outgoing.again else limits.punch_seconds
        approach = Approach(outgoing.endpoint, self.listener, seconds, self._arrivals)
        outgoing.approach = approach
        if not outgoing.again:
            self._nursery.start_soon(self._tell_unanswered, conversation, outgoing, approach)
        with contextlib.suppress(Overtaken):
            return await dial(
                outgoing.endpoint,
                self._greeter.with_token(token),
                own=None,
                own_port=self.own_port,
                limits=limits,
                expected=outgoing.expected,
                network=self._network,
                approach=approach,
            )
        return None

    async def _tell_unanswered(
        self, conversation: Conversation, outgoing: Outgoing, approach: Approach
    ) -> None:
        """While a user's dial lasts; a busy screen has more important things to show."""
        await trio.sleep(self._limits.unanswered_seconds)
        while conversation.outgoing is outgoing and outgoing.connection is None:
            own = approach.source
            if own is not None and not approach.answered:
                where, lasted = outgoing.endpoint, approach.lasted
                self._teller.try_tell(Unanswered(conversation, where, own, lasted))
            await trio.sleep(self._limits.unanswered_pause)

    async def _run_classic(
        self, conversation: Conversation, outgoing: Outgoing, connection: Connection
    ) -> None:
        stranger_at = None
        if conversation.kind is LinkKind.NATIVE:  # it is not that peer who answered
            stranger_at = conversation
            self._clear(conversation, outgoing)
            conversation = self._book.classic(outgoing.endpoint)
            if conversation.outgoing is not None:
                connection.close()
                await self._teller.tell(AlreadyUp(conversation))
                return
            conversation.endpoint, conversation.outgoing = outgoing.endpoint, outgoing
            conversation.name = outgoing.name or conversation.name
            conversation.want()
        first = not conversation.online
        conversation.kind = LinkKind.CLASSIC
        outgoing.connection = connection
        begun = trio.current_time()

        async def carry() -> None:
            up = LinkUp(conversation, Role.DIALER, LinkKind.CLASSIC, first, stranger_at)
            await self._teller.tell(up)
            await carry_texts(conversation, connection, self._teller)

        ending = await connection.run(carry)
        self._clear(conversation, outgoing)
        last = not conversation.online
        await self._teller.tell(
            LinkEnded(conversation, outgoing.endpoint, Role.DIALER, ending, last)
        )
        lasted = trio.current_time() - begun >= self._limits.redial_seconds
        if conversation.undelivered and ending.why in (Why.CLOSED, Why.LOST) and lasted:
            # Written in the link's last moment: nobody else would dial for it.
            self.dial(conversation)

    @staticmethod
    def _clear(conversation: Conversation, outgoing: Outgoing) -> None:
        if conversation.outgoing is outgoing:
            conversation.outgoing = None

    def _drop_if_unused(self, conversation: Conversation) -> None:
        """A mistyped address leaves nothing behind."""
        unused = conversation.kind is None and not conversation.history
        if unused and conversation.outgoing is None:
            self._book.remove(conversation)

    # Native links, whoever dialed.

    async def _converse(
        self,
        connection: Connection,
        dialed: Conversation | None = None,
        outgoing: Outgoing | None = None,
    ) -> None:
        """Bring the link to the conversation of its identity, and run it there."""
        identity = self._greeter.identities.meet(connection.identity)
        cursor, delivered = identity.delivery.start(
            connection.hello, maybe_stale=identity.acknowledged_at > connection.began
        )
        identity.acknowledged_at = tick()  # a hello acknowledges, too
        if outgoing is not None and outgoing.invite is not None:
            identity.invited()
            identity.token = outgoing.invite.token
        listener = connection.peer
        if dialed is None:
            listener = replace(listener, port=connection.hello.port)
        binding = self._book.bind(identity, listener, dialed)
        conversation = binding.conversation
        conversation.delivered(delivered)
        if outgoing is not None:
            conversation.name = outgoing.name or conversation.name
        if listener.port:
            conversation.endpoint = listener
        first = not conversation.online
        conversation.invite = None
        session = Session(
            connection, identity, cursor, self._limits.bye_seconds,
            dial_back=lambda port: self._dial_back(session, port), pulse=self._pulse,
        )  # fmt: skip
        conversation.sessions.append(session)
        if outgoing is not None and not outgoing.again:
            conversation.want()
        self._crowd.joined(connection, conversation)
        judges = self._greeter.own.public < identity.key
        for older in conversation.sessions[:-1]:
            # One of the two sides judges, or they would close each other's last link. The other
            # one may have lost its end of the older link, and then nobody will say so.
            if judges:
                older.leave("replaced", Ending(Why.REPLACED))
            else:
                older.doubt(self._limits.ping_seconds)
        for each in filter(None, (conversation, dialed)):
            dial = each.outgoing if each.dialing else None
            if dial is not None and (dial.again or conversation.is_up(dial.invite)):
                dial.overtake()
        if binding.absorbed is not None:
            await self._teller.tell(Merged(binding.absorbed, conversation))
        up = LinkUp(conversation, connection.role, LinkKind.NATIVE, first, binding.stranger_at)
        if up.stranger_at is None or up.stranger_at.strange:
            await self._teller.mention_of(conversation, up)
        else:  # a stranger in a known place is not to be missed, however slow the screen is
            await self._teller.tell_of(conversation, up)
        if delivered:
            await self._teller.offer(Delivered(conversation, delivered))
        await converse(session, conversation, self._teller, acknowledge=self._acknowledge)

    async def _ended(self, connection: Connection, ending: Ending) -> None:
        """Any link but a classic one that we dialed is gone."""
        conversation = self._crowd.left(connection, ending)
        if conversation is None:
            # Strangers come as many as they like: those that a busy screen has no room for must
            # not wait here in tasks.
            self._teller.try_mention(
                LinkEnded(None, connection.peer, connection.role, ending, last=False)
            )
            return
        if connection in conversation.incoming:
            conversation.incoming.remove(connection)
            failed: list[Outcome] = []
        else:
            failed = list(conversation.end_session(connection).outcomes)
        last = not conversation.online
        broken = ending.why.broken and connection.link.kind is LinkKind.NATIVE
        broken &= not (conversation.strange and ending.why is Why.VIOLATION)
        if broken and conversation.session is None and self._book.may_redial(conversation):
            self.dial(conversation, again=True)
        self.changed.set()
        # Nor must those whom the user took no notice of.
        report, role = self._teller.report_of, connection.role
        await report(conversation, LinkEnded(conversation, connection.peer, role, ending, last))
        for outcome in failed:
            await report(conversation, Verifying(conversation, outcome))
