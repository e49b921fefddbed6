/* The native handshake against somebody who owns the network.

   fantom_trio/wire/native.py          Initiator, Responder, stays_initiator
   fantom_trio/wire/noise.py           the tokens of XX: e · e ee s es · s se
   fantom_trio/wire/link.py            the lines: who becomes initiator, responder, classic
   fantom_trio/nursery/connection.py   _greet: who says hello first; a link is up with the peer's

   Alice and Bob each have a dial and a listener, all four at once, and every connection is the
   attacker's: he keeps all that was sent, gives each of the four whatever he can make or has kept,
   in any order, and is a peer too, with an identity of his own (M), whom either may want to dial.
   Terms are symbols: a sealed field opens if somebody honest sealed it with the same keys after the
   same transcript, or if he knows the keys. What would not open changes nothing, so it is not sent.

   A transcript is what goes into h: the line, the line that met it, both ephemeral keys, both
   statics, the ML-KEM key and its ciphertext.

   Proved of a link that is up:
     its peer is not ourselves; it is who was expected; message 3 goes to nobody else;
     if its peer is Alice or Bob, they are at the other end, with the same h, in the other role;
     what he can read is on links whose peer is M, and ML-KEM's secret alone keeps him out of the
     others (whoever breaks X25519 later and has only listened);
     a dial that expects somebody does not become classic.
   Weakened: NO_ES, NO_SE (tokens left out), NO_SECOND_LINE (not in the prologue), NO_EXPECTED, LATE
             (who was expected is looked at never, or when message 3 is out), NO_MIRROR, NO_KEM,
             FALLBACK.
   REACHED and CROSSED find that an honest link comes up at all, and over two dials that met. */

#define A 1
#define B 2
#define M 3

/* The ephemeral keys: his two, whose hashes are below and above of all others, those of the two
   dials' lines, and one for each of the four to answer with. */
#define LOW         1
#define HIGH        2
#define DIALED(x)   (3 + (x))
#define ANSWERED(x) (5 + (x))
#define HIS(e)      ((e) <= HIGH)

/* ML-KEM: each answer has a key of its own, each message 3 a ciphertext of its own. */
#define HIS_KEM 5
#define KEM(x)  (1 + (x))

/* Alice's dial, Bob's dial, Alice's listener, Bob's listener. */
#define IS_DIAL(x) ((x) < 2)
#define OWN(x)     (1 + ((x) & 1))

/* How far each is. */
#define WAITS    0  /* a dial's line is out; a listener has nothing yet */
#define ANSWERS  1  /* message 2 is out */
#define THIRD    2  /* message 3, the header and the hello are out */
#define HEARD    3  /* message 3 was read, the header is out */
#define UP       4  /* the peer's hello opened, ours is out */
#define CLASSIC  5

byte at[4];
bit responds[4];
byte met[4];     /* the line that met the initiator's; 0: none did */
byte first[4];   /* the initiator's ephemeral key, which is its line */
byte second[4];  /* the responder's */
byte server[4];  /* the responder's static key */
byte kem[4];
byte client[4];  /* the initiator's static key */
byte sealed[4];  /* ML-KEM's ciphertext */

byte expected[2];  /* by the two dials: a static key; 0: nobody */
bit bob_smaller;   /* of the two dials' keys, by SHA-256 */

hidden byte e, s, k;

#define PEER(x) (responds[x] -> client[x] : server[x])

/* What he knows of the keys in between two transcripts' ends. */
#define KNOWS_EE(i, r) (HIS(i) || HIS(r))
#ifdef NO_ES
#define KNOWS_ES(i, s) true
#else
#define KNOWS_ES(i, s) (HIS(i) || (s) == M)
#endif
#ifdef NO_SE
#define KNOWS_SE(s, r) true
#else
#define KNOWS_SE(s, r) (HIS(r) || (s) == M)
#endif
#ifdef NO_KEM
#define KNOWS_KEM(k, c) true
#else
#define KNOWS_KEM(k, c) ((k) == HIS_KEM || (c) == HIS_KEM)
#endif
#define KNOWS_ALL(x) \
	(KNOWS_EE(first[x], second[x]) && KNOWS_ES(first[x], server[x]) && \
	KNOWS_SE(client[x], second[x]) && KNOWS_KEM(kem[x], sealed[x]))

/* Who sealed what, after which transcript. */
#ifdef NO_SECOND_LINE
#define SAME_LINES(x, y) (first[y] == first[x])
#else
#define SAME_LINES(x, y) (first[y] == first[x] && met[y] == met[x])
#endif
#define ANSWERED_BY(y, x, r, s) \
	(responds[y] && at[y] >= ANSWERS && SAME_LINES(x, y) && second[y] == (r) && OWN(y) == (s))
#define OPENS_S(x, r, s) \
	(KNOWS_EE(first[x], r) || ANSWERED_BY(0, x, r, s) || ANSWERED_BY(1, x, r, s) || \
	ANSWERED_BY(2, x, r, s) || ANSWERED_BY(3, x, r, s))
#define OFFERED_BY(y, x, r, s, k) (ANSWERED_BY(y, x, r, s) && kem[y] == (k))
#define OPENS_KEM(x, r, s, k) \
	((KNOWS_EE(first[x], r) && KNOWS_ES(first[x], s)) || \
	OFFERED_BY(0, x, r, s, k) || OFFERED_BY(1, x, r, s, k) || \
	OFFERED_BY(2, x, r, s, k) || OFFERED_BY(3, x, r, s, k))

#define TWO_ALIKE(x, y) \
	(SAME_LINES(x, y) && second[y] == second[x] && server[y] == server[x] && kem[y] == kem[x])
#define CLOSED_BY(y, x, s) \
	(!responds[y] && at[y] >= THIRD && at[y] <= UP && TWO_ALIKE(x, y) && client[y] == (s))
#define OPENS_CLIENT(x, s) \
	((KNOWS_EE(first[x], second[x]) && KNOWS_ES(first[x], server[x])) || \
	CLOSED_BY(0, x, s) || CLOSED_BY(1, x, s))
#define GAVE(y, x, s, c) (CLOSED_BY(y, x, s) && sealed[y] == (c))
#define OPENS_SEALED(x, s, c) \
	((KNOWS_EE(first[x], second[x]) && KNOWS_ES(first[x], server[x]) && KNOWS_SE(s, second[x])) || \
	GAVE(0, x, s, c) || GAVE(1, x, s, c))

/* The same h on both sides, and somebody who has said hello. */
#define SAME_H(x, y) \
	(at[y] >= THIRD && at[y] <= UP && met[y] == met[x] && first[y] == first[x] && \
	TWO_ALIKE(x, y) && client[y] == client[x] && sealed[y] == sealed[x] && \
	responds[y] != responds[x])
#define HELLO_FROM(y, x) \
	(at[y] != HEARD && at[y] >= THIRD && at[y] <= UP && TWO_ALIKE(x, y) && \
	client[y] == client[x] && sealed[y] == sealed[x] && responds[y] != responds[x])
#define OPENS_HELLO(x) \
	(KNOWS_ALL(x) || HELLO_FROM(0, x) || HELLO_FROM(1, x) || HELLO_FROM(2, x) || HELLO_FROM(3, x))
#define HONEST_END(x, y) (OWN(y) == PEER(x) && SAME_H(x, y))

/* native.stays_initiator, by the order of the hashes. */
#define RANK(e) ((e) == LOW -> 0 : ((e) == HIGH -> 9 : ((e) == DIALED(bob_smaller) -> 1 : (e))))
#define STAYS(own, peer) (RANK(own) < RANK(peer))

#ifdef NO_MIRROR
#define NOT_OURSELVES(x, s) true
#else
#define NOT_OURSELVES(x, s) ((s) != OWN(x))
#endif

#define EXPECTS(x) (IS_DIAL(x) -> expected[(x) & 1] : 0)
#ifdef NO_EXPECTED
#define AS_EXPECTED(x, s) true
#else
#define AS_EXPECTED(x, s) (EXPECTS(x) == 0 || EXPECTS(x) == (s))
#endif
#ifdef LATE
#define CHECKED_2(x, s) NOT_OURSELVES(x, s)
#else
#define CHECKED_2(x, s) CHECKED(x, s)
#endif
#define CHECKED(x, s) (NOT_OURSELVES(x, s) && AS_EXPECTED(x, s))  /* _Handshake._check_peer */

inline answer(x, line, other) {  /* Link._respond: a fresh key answers */
	responds[x] = 1; first[x] = line; met[x] = other;
	second[x] = ANSWERED(x); server[x] = OWN(x); kem[x] = KEM(x);
	at[x] = ANSWERS
}

inline hear_line(x) {  /* a listener; any key that was ever seen may be in it */
	if
	:: answer(x, LOW, 0)
	:: answer(x, DIALED(0), 0)
	:: answer(x, DIALED(1), 0)
	fi
}

inline meet_line(x) {  /* a dial: Link._meet, once; its own key ends the link */
	if :: e = LOW :: e = HIGH :: e = DIALED(1 - x) fi;
	if
	:: STAYS(DIALED(x), e) -> met[x] = e
	:: else -> answer(x, e, DIALED(x))
	fi; e = 0
}

inline hear_2(x) {  /* Initiator.finish */
	if
	:: e = LOW
	:: e = ANSWERED(0)
	:: e = ANSWERED(1)
	:: e = ANSWERED(2)
	:: e = ANSWERED(3)
	fi;
	select(s : A .. M); select(k : KEM(0) .. HIS_KEM);
	if
	:: OPENS_S(x, e, s) && OPENS_KEM(x, e, s, k) && CHECKED_2(x, s) ->
		second[x] = e; server[x] = s; kem[x] = k;
		client[x] = OWN(x); sealed[x] = KEM(x); at[x] = THIRD;
		assert(EXPECTS(x) == 0 || EXPECTS(x) == s)  /* message 3 goes to somebody else */
	:: else
	fi; e = 0; s = 0; k = 0
}

inline hear_3(x) {  /* Responder.finish */
	select(s : A .. M); select(k : KEM(0) .. HIS_KEM);
	if
	:: OPENS_CLIENT(x, s) && OPENS_SEALED(x, s, k) && CHECKED(x, s) ->
		client[x] = s; sealed[x] = k; at[x] = HEARD
	:: else
	fi; s = 0; k = 0
}

inline judge(x) {
	assert(PEER(x) != OWN(x));  /* it is a mirror */
	assert(EXPECTS(x) == 0 || EXPECTS(x) == PEER(x));  /* it is somebody else */
	if
	:: PEER(x) == M
	:: else ->
		assert(HONEST_END(x, 0) || HONEST_END(x, 1) ||
			HONEST_END(x, 2) || HONEST_END(x, 3));  /* nobody is there with the same h */
		assert(!KNOWS_ALL(x));  /* he reads along */
		assert(!KNOWS_KEM(kem[x], sealed[x]));  /* who breaks X25519 later reads it */
#ifdef REACHED
		assert(false)  /* a link between two that are honest */
#endif
#ifdef CROSSED
		assert(met[x] == 0)  /* a link on which two dials met */
#endif
	fi
}

inline hear_hello(x) {  /* Connection._greet */
	if
	:: OPENS_HELLO(x) -> at[x] = UP; judge(x)
	:: else
	fi
}

inline hear_classic(x) {  /* Link._become_classic */
#ifdef FALLBACK
	at[x] = CLASSIC; assert(EXPECTS(x) == 0)  /* it turned classic */
#else
	if
	:: EXPECTS(x) == 0 && met[x] == 0 -> at[x] = CLASSIC; assert(EXPECTS(x) == 0)
	:: else
	fi
#endif
}

#ifdef TABLE

/* Who stays initiator, and whom a dial of Alice's takes; tests/model/test_model.py asks the code. */
init {
	int x, y;
	for (x : LOW .. DIALED(1)) {
		for (y : LOW .. DIALED(1)) {
			printf("row stays %d %d %d\n", x, y, STAYS(x, y))
		}
	};
	for (x : 0 .. M) {
		expected[0] = x;
		for (y : A .. M) {
			printf("row checked %d %d %d\n", x, y, CHECKED(0, y))
		}
	}
}

#else

proctype End(byte x) {
end:
	do
	:: atomic { at[x] == WAITS && !IS_DIAL(x) -> hear_line(x) }
	:: atomic { at[x] == WAITS && IS_DIAL(x) && met[x] == 0 -> meet_line(x) }
	:: atomic { at[x] == WAITS && IS_DIAL(x) -> hear_2(x) }
	:: atomic { at[x] == WAITS && IS_DIAL(x) -> hear_classic(x) }
	:: atomic { at[x] == ANSWERS -> hear_3(x) }
	:: atomic { at[x] == THIRD || at[x] == HEARD -> hear_hello(x) }
	od
}

init {
	atomic {
		first[0] = DIALED(0); first[1] = DIALED(1);
		if :: expected[0] = B :: expected[0] = M :: expected[0] = 0 fi;
		if :: expected[1] = 0 :: expected[1] = A fi;
		if :: bob_smaller = 0 :: bob_smaller = 1 fi;
		run End(0); run End(1); run End(2); run End(3)
	}
}

#endif
