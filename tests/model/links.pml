/* Two sides that dial, cross and break: which link stays, and what becomes of the messages.

   fantom_trio/nursery/links.py          _run_outgoing, _reach, _converse, _ended: dial, judge, redial
   fantom_trio/nursery/conversation.py   session: the newest that nobody leaves; Outgoing: one dial
   fantom_trio/nursery/approach.py       overtake: a dial that another link made needless
   fantom_trio/nursery/native.py         the reader and the writer: say, ack, bye
   fantom_trio/nursery/session.py        leave
   fantom_trio/wire/delivery.py          Delivery: in delivery.inc
   fantom_trio/wire/native.py            stays_initiator, where two dials are one connection

   Side 0 has the smaller static key. One side has MESSAGES to write, and takes its time.
   BREAKS connections break, at any time: each end reads what it likes of what was under way, and
   notices when it likes. HANDS times a user dials by hand, for another invite, so that a link that
   is up does not end that dial. Time is not modelled: whatever may happen once a deadline is over
   may happen at once, and a peer that is given up because it is slow (Session.doubt, the silences)
   is a break.

   Proved: every run ends, whatever the order (there is no cycle in the graph of states); at its end
           there is exactly one link, the same on both sides, and nobody dials; every message arrived
           once, in order, and its writer knows; and neither side ever takes the other's count for a
           lie (RemoteProtocolError), so that no link ends for that.
   Weakened: NO_JUDGE, BOTH_JUDGE, BOTH_JUDGE with NO_REDIAL, NO_TIE, NO_RESUMES, NO_RESEND,
             NO_IDS, NO_STALE. */

#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef BREAKS
#define BREAKS 1
#endif
#ifndef HANDS
#define HANDS 1
#endif
#ifndef CONNECTIONS
#define CONNECTIONS 3  /* at once, those among them that one end has left already; 2 or 3 */
#endif
#define NONE 3

mtype = { HELLO, SAY, ACK, BYE };

/* One end of a connection. */
#define NO      0  /* there is none */
#define BEGUN   1  /* initiator: has not said hello */
#define GREETED 2  /* initiator: has, and waits for the peer's */
#define TOOK    3  /* responder: waits for the peer's hello */
#define HEARD   4  /* responder: has it, and its own is out */
#define LINKED  5  /* a session */
#define LEAVING 6  /* a session whose bye is out */
#define STUCK   7  /* both are initiators */

#define END(c, s) (2 * (c) + (s))
byte at[6];
chan road[6] = [2 * MESSAGES + 3] of { mtype, byte };  /* what the end reads */
bit broken[3];

/* The dial of a side: Conversation.outgoing. */
#define IDLE    0
#define DIALING 1  /* no connection yet: pausing, or connecting */
#define SHAKING 2  /* the handshake is under way on `dialed` */
byte out[2];
byte dialed[2];
bit by_hand[2];
bit resumes[2];
bit overtaken[2];
bit can_dial[2];

/* The sessions of a side, oldest first: Conversation.sessions. */
byte list[6];
byte sessions[2];
#define SESSION(s, i) list[3 * (s) + (i)]

#include "delivery.inc"

byte breaks = BREAKS;
byte hands = HANDS;

hidden byte i, j, newest;

#ifndef TABLE

inline honest() {
	assert(!lie)  /* one of ours ends a link for what the other said */
}

inline note_acknowledgement() {  /* identity.acknowledged_at = tick() */
	for (j : 0 .. CONNECTIONS - 1) {
		if
		:: at[END(j, writer)] != NO && at[END(j, writer)] < LINKED -> stale[j] = 1
		:: else
		fi
	}
	j = 0
}

/* Conversation.session, and what hangs on it. */

#define STAYS_UP(s, n) (sessions[s] > (n) && at[END(SESSION(s, n), s)] == LINKED)
#define NEWEST(s) \
	(STAYS_UP(s, 2) -> SESSION(s, 2) : (STAYS_UP(s, 1) -> SESSION(s, 1) : \
	(STAYS_UP(s, 0) -> SESSION(s, 0) : NONE)))

inline dial_again(s) {  /* Links.dial(again=True) */
	if
	:: !can_dial[s]
	:: else ->
		if
		:: out[s] == IDLE -> out[s] = DIALING
		:: else -> resumes[s] = 1
		fi
	fi
}

inline end_dial(s) {  /* Links._clear */
	out[s] = IDLE; dialed[s] = 0; by_hand[s] = 0; overtaken[s] = 0; resumes[s] = 0
}

inline end_dial_or_resume(s) {
#ifndef NO_RESUMES
	if
	:: resumes[s] ->
		end_dial(s);
		if :: NEWEST(s) == NONE -> dial_again(s) :: else fi
	:: else -> end_dial(s)
	fi
#else
	end_dial(s)
#endif
}

inline drop_end(c, s) {
	at[END(c, s)] = NO;
	do :: road[END(c, s)] ? _, _ :: empty(road[END(c, s)]) -> break od;
	if
	:: s == writer -> cursor[c] = 0; stale[c] = 0; heard[c] = 0
	:: else -> told[c] = 0
	fi;
	if
	:: at[END(c, 1 - s)] == NO -> broken[c] = 0
	:: else -> skip
	fi
}

inline say(c, s, what, count) {  /* to the other end, if there is one */
	if
	:: at[END(c, 1 - s)] != NO && !broken[c] -> road[END(c, 1 - s)] ! what, count
	:: at[END(c, 1 - s)] != NO && broken[c]
	:: at[END(c, 1 - s)] == NO
	fi
}

inline say_ack(c, s) {  /* _say_pending, whenever the session was woken */
	if
	:: s != writer && received > told[c] -> told[c] = received; say(c, s, ACK, received)
	:: else
	fi
}

inline leave(c, s) {  /* Session.leave, and _Writer.run */
	say_ack(c, s); say(c, s, BYE, 0); at[END(c, s)] = LEAVING
}

inline ended(c, s, wanted) {  /* Links._ended; `wanted`: a peer's goodbye, which no dial follows */
	for (j : 1 .. sessions[s]) {
		if
		:: SESSION(s, j - 1) == c -> i = j - 1
		:: else
		fi
	}
	j = 0;
	do
	:: i + 1 < sessions[s] -> SESSION(s, i) = SESSION(s, i + 1); i++
	:: else -> break
	od;
	i = 0;
	sessions[s]--; SESSION(s, sessions[s]) = 0;
	drop_end(c, s);
	if
	:: NEWEST(s) == NONE && !(wanted) -> dial_again(s)
	:: NEWEST(s) == NONE && wanted
	:: else -> newest = NEWEST(s); say_ack(newest, s); newest = 0  /* end_session wakes it */
	fi
}

#ifdef BOTH_JUDGE
#define JUDGES(s) true
#elif defined(NO_JUDGE)
#define JUDGES(s) false
#else
#define JUDGES(s) ((s) == 0)  /* own.public < identity.key */
#endif

#ifdef NO_STALE
#define STALE(c) false
#else
#define STALE(c) stale[c]
#endif

#ifdef NO_REDIAL
#define REPLACED 1
#else
#define REPLACED 0
#endif

inline up(c, s, count) {  /* Links._converse */
	if
	:: s == writer -> start(c, count, STALE(c)); honest(); stale[c] = 0; note_acknowledgement()
	:: else
	fi;
	SESSION(s, sessions[s]) = c; sessions[s]++; at[END(c, s)] = LINKED;
	say_ack(c, s);
	if
	:: JUDGES(s) ->
		for (i : 2 .. sessions[s]) {
			if
			:: at[END(SESSION(s, i - 2), s)] == LINKED -> leave(SESSION(s, i - 2), s)
			:: else
			fi
		}
		i = 0
	:: else
	fi;
	if
	:: by_hand[s] || out[s] == IDLE
	:: !by_hand[s] && out[s] == DIALING -> end_dial(s)
	:: !by_hand[s] && out[s] == SHAKING -> overtaken[s] = 1
	fi
}

inline connect(c, s) {
	out[s] = SHAKING; dialed[s] = c; at[END(c, s)] = BEGUN; at[END(c, 1 - s)] = TOOK
}

inline cross(c) {  /* the tie falls as the two keys of this connection have it */
	out[0] = SHAKING; out[1] = SHAKING; dialed[0] = c; dialed[1] = c;
#ifdef NO_TIE
	at[END(c, 0)] = STUCK; at[END(c, 1)] = STUCK
#else
	if
	:: at[END(c, 0)] = BEGUN; at[END(c, 1)] = TOOK
	:: at[END(c, 1)] = BEGUN; at[END(c, 0)] = TOOK
	fi
#endif
}

inline lost(c, s) {  /* ConnectionLost, or a deadline */
	if
	:: at[END(c, s)] >= LINKED && at[END(c, s)] != STUCK -> ended(c, s, 0)
	:: else ->
		drop_end(c, s);
		if
		:: out[s] == SHAKING && dialed[s] == c ->
			if
			:: overtaken[s] -> end_dial_or_resume(s)
			:: else -> out[s] = DIALING; dialed[s] = 0
			fi
		:: else
		fi
	fi
}

#define FREE(c) (at[END(c, 0)] == NO && at[END(c, 1)] == NO)
#define FIRST_FREE(c) (FREE(c) && ((c) < 1 || !FREE(0)) && ((c) < 2 || !FREE(1)))

inline handshake(c, s) {  /* Connection._greet */
	if
	:: at[END(c, s)] == BEGUN ->
		if
		:: s != writer -> told[c] = received; say(c, s, HELLO, received)
		:: else -> say(c, s, HELLO, 0)
		fi;
		at[END(c, s)] = GREETED
	:: at[END(c, s)] == TOOK && road[END(c, s)] ? [HELLO, _] ->
		road[END(c, s)] ? HELLO, number;
		if
		:: s == writer -> heard[c] = number; say(c, s, HELLO, 0)
		:: else -> told[c] = received; say(c, s, HELLO, received)
		fi;
		at[END(c, s)] = HEARD; number = 0
	:: at[END(c, s)] == HEARD ->
		if :: out[s] == SHAKING && dialed[s] == c -> end_dial(s) :: else fi;
		number = heard[c]; heard[c] = 0; up(c, s, number); number = 0
	:: at[END(c, s)] == GREETED && road[END(c, s)] ? [HELLO, _] ->
		road[END(c, s)] ? HELLO, number;
		end_dial(s); up(c, s, number); number = 0
	fi
}

inline read(c, s) {  /* _Reader._take */
	if
	:: road[END(c, s)] ? [SAY, _] ->
		road[END(c, s)] ? SAY, j; i = j; j = 0;
		if
		:: at[END(c, s)] == LINKED ->
			take(i); honest();
			if
			:: number ->
				assert(i == on_screen + 1);  /* a message comes twice, or in another order */
				on_screen = i;
				say_ack(c, s)
			:: else
			fi
		:: else  /* not taken: it comes again on another link */
		fi;
		i = 0; number = 0
	:: road[END(c, s)] ? [ACK, _] ->
		road[END(c, s)] ? ACK, number; acknowledge(number); honest(); number = 0;
		note_acknowledgement()
	:: road[END(c, s)] ? [BYE, _] ->
		road[END(c, s)] ? BYE, _;
		if :: at[END(c, s)] == LINKED -> leave(c, s) :: else fi;
		ended(c, s, REPLACED)
	fi
}

#define SHAKES(c, s) \
	(at[END(c, s)] == BEGUN || at[END(c, s)] == HEARD || \
	((at[END(c, s)] == TOOK || at[END(c, s)] == GREETED) && len(road[END(c, s)]) > 0))
#define IS_SESSION(c, s) (at[END(c, s)] == LINKED || at[END(c, s)] == LEAVING)
#define CAN_NOTICE(c, s) \
	(at[END(c, s)] != NO && \
	(broken[c] || at[END(c, 1 - s)] == NO || at[END(c, s)] == LEAVING || at[END(c, s)] == STUCK))

proctype End(byte c; bit s) {
end:
	do
	:: atomic { SHAKES(c, s) -> handshake(c, s) }
	:: atomic { IS_SESSION(c, s) && len(road[END(c, s)]) > 0 -> read(c, s) }
	:: atomic { CAN_NOTICE(c, s) -> lost(c, s) }
	:: atomic { out[s] == DIALING && FIRST_FREE(c) -> connect(c, s) }
	:: atomic { s == 0 && out[0] == DIALING && out[1] == DIALING && FIRST_FREE(c) -> cross(c) }
	od
}

proctype Side(bit s) {
end:
	do
	:: atomic { s == writer && NEWEST(s) != NONE && cursor[NEWEST(s)] <= written ->
		newest = NEWEST(s); next_say(newest);  /* _Writer._say_messages */
		if :: number -> say(newest, s, SAY, number) :: else fi;
		newest = 0; number = 0 }
	:: atomic { hands > 0 && can_dial[s] && out[s] != SHAKING ->  /* Links.connect */
		hands--; by_hand[s] = 1;
		if :: out[s] == DIALING -> resumes[s] = 1 :: else fi;
		out[s] = DIALING }
	:: atomic { breaks > 0 && out[s] == DIALING && by_hand[s] ->  /* nobody answers there */
		breaks--; end_dial_or_resume(s) }
	od
}

#define IS_LINK(c) (at[END(c, 0)] == LINKED && at[END(c, 1)] == LINKED)

proctype World() {
end:
	do
	:: atomic { breaks > 0 && !FREE(0) && !broken[0] -> breaks--; broken[0] = 1 }
	:: atomic { breaks > 0 && !FREE(1) && !broken[1] -> breaks--; broken[1] = 1 }
	:: atomic { breaks > 0 && !FREE(2) && !broken[2] -> breaks--; broken[2] = 1 }
	:: timeout ->
		assert(IS_LINK(0) || IS_LINK(1) || IS_LINK(2));  /* no link is left */
		assert(IS_LINK(0) + IS_LINK(1) + IS_LINK(2) == 1);  /* two links stay */
		assert(FREE(0) + FREE(1) + FREE(2) == 2);  /* half a link stays */
		assert(out[0] == IDLE && out[1] == IDLE);  /* a dial is left over */
		assert(on_screen == written);  /* a message is lost */
		assert(acknowledged == written);  /* the writer does not know */
		break
	od
}

init {
	atomic {
		if :: writer = 0 :: writer = 1 fi;
		written = MESSAGES;
		if  /* one whom nobody can reach is the one who dials */
		:: can_dial[0] = 1; can_dial[1] = 1; out[0] = DIALING; out[1] = DIALING
		:: can_dial[0] = 1; out[0] = DIALING
		:: can_dial[1] = 1; out[1] = DIALING
		:: can_dial[0] = 1; can_dial[1] = 1; out[0] = DIALING
		:: can_dial[0] = 1; can_dial[1] = 1; out[1] = DIALING
		fi;
		run World(); run Side(0); run Side(1);
		run End(0, 0); run End(0, 1); run End(1, 0); run End(1, 1);
#if CONNECTIONS == 3
		run End(2, 0); run End(2, 1)
#endif
	}
}

#endif
