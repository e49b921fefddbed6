/* Verification by code: somebody sits between Alice and Bob, with a link to each of them.

   fantom_trio/nursery/verification.py   Verification: asks, one run at a time, what is told
   fantom_trio/wire/verify.py            CodeRun: whose step is due, the commitment, the code
   fantom_trio/nursery/node.py           same_code, different_code: only the own user verifies

   The links have different handshake hashes (handshake.pml: who shares a hash shares a session). He
   sends either side whatever he likes whenever he likes, cuts links and makes new ones, in either
   role, under one identity. What a random oracle does is made explicit: a code is one of CODES
   values, and the hash, in which each nonce moves the code by as much as it counts, is a sum. A nonce
   of an honest side is drawn when it is shown to somebody, not before: until then it is behind a
   commitment, or nowhere. At that moment it hits, by luck, the code that is fixed for the other
   side, or it does not. `guesses` counts these moments.

   Proved:   without luck nobody calls two codes the same; a guess costs a run, which is one of
             MAX_TRIES and is shown to its user as a code or as a failure.
   Weakened: NO_COMMITMENT, NO_HASH, SILENT (a run that is cut is neither told nor counted),
             NO_LIMIT. NO_ATTACKER and LUCK show that a verified peer can be reached at all. */

#define CODES     4
#define MAX_TRIES 3  /* verification.MAX_TRIES */
#define NONE      CODES
#define ITS       (CODES + 1)  /* the other side's commitment, passed on: nobody knows to what */

#if defined(NO_HASH) || defined(NO_ATTACKER)
#define HASH(x) 0
#else
#define HASH(x) (x)
#endif

#define OTHER(x) (1 - (x))

mtype = { NOTHING, COMMIT, NONCE, OPEN }

/* Of each side's link: Verification's _Way for the code, and its CodeRun. */
bit initiator[2];
bit asked[2];
bit wished[2];
mtype due[2] = NOTHING;     /* NOTHING: there is no run */
bit counted[2];
byte commitment[2] = NONE;  /* to a nonce of the attacker's */
byte drawn[2] = NONE;       /* the own nonce, once it is shown */
byte code[2] = NONE;        /* on the screen: Verification._code */

/* Of each side. */
byte trials[2];             /* identity.Trials.code */
byte told[2];               /* outcomes of counted runs that the user saw */
byte target[2] = NONE;      /* the code that is fixed for this side, shown or not */
#ifdef NO_HASH
byte opened[2] = NONE;
#endif
bit over;                   /* a user saw that the codes differ, and knows */

byte guesses;
bit lucky;

hidden byte value;

#define SUM(x, own, peer) ((HASH(x) + (own) + (peer)) % CODES)

inline forget_run(x) {  /* _Way.drop_run */
	due[x] = NOTHING; counted[x] = 0; commitment[x] = NONE; drawn[x] = NONE; target[x] = code[x]
}

inline told_of_run(x) {
	if :: counted[x] -> told[x]++ :: else fi
}

inline fail(x) {  /* Verification._fail: forget(), and Failed is told */
	told_of_run(x); asked[x] = 0; wished[x] = 0; forget_run(x)
}

inline count(x) {  /* Verification._moved: something of ours went out */
	if
	:: !counted[x] -> counted[x] = 1; trials[x]++
	:: else
	fi
}

/* Nature draws the own nonce; the peer's is fixed, so that the code is. */
inline draw(x, peer) {
	select(value : 0 .. CODES - 1);
	if
	:: target[OTHER(x)] != NONE ->
		guesses++;
		if
		:: SUM(x, value, peer) != target[OTHER(x)]
		:: SUM(x, value, peer) == target[OTHER(x)] -> value = (value + 1) % CODES
#ifdef LUCK
		:: SUM(x, value, peer) == target[OTHER(x)] -> lucky = 1
#endif
		fi
	:: else
	fi;
	drawn[x] = value; target[x] = SUM(x, value, peer); value = 0
}

inline draw_blindly(x) {  /* what the peer adds to it comes later */
	select(value : 0 .. CODES - 1); drawn[x] = value; value = 0
}

inline reveal(x, peer) {  /* CodeReady */
	code[x] = SUM(x, drawn[x], peer); told_of_run(x); forget_run(x)
}

inline begin(x) {  /* Verification._begin, CodeRun.start */
	asked[x] = 0; wished[x] = 0;
	if
	:: initiator[x] ->
		due[x] = NONCE; count(x)
#ifdef NO_COMMITMENT
		; draw_blindly(x)
#endif
	:: else -> due[x] = COMMIT
	fi
}

#define USED_UP(x) (!counted[x] && trials[x] >= LIMIT)
#ifdef NO_LIMIT
#define LIMIT 5
#else
#define LIMIT MAX_TRIES
#endif

inline user_asks(x) {  /* Verification.ask_code */
	if
	:: code[x] != NONE
	:: else ->
		if
		:: due[x] == NOTHING && USED_UP(x) -> asked[x] = 0; wished[x] = 0  /* TrialsUsedUp */
		:: due[x] != NOTHING || asked[x]
		:: else ->
			asked[x] = 1;
			if :: wished[x] -> begin(x) :: else fi
		fi
	fi
}

inline hears(x) {  /* Verification.received: what comes when no try is left is passed over */
	if :: USED_UP(x) -> asked[x] = 0; wished[x] = 0; forget_run(x) :: else fi
}

inline hears_ask(x) {  /* _peer_asked */
	hears(x);
	if
	:: USED_UP(x)
	:: else ->
		if
		:: due[x] != NOTHING -> fail(x); wished[x] = 1
		:: due[x] == NOTHING && asked[x] -> begin(x)
		:: else -> wished[x] = 1
		fi
	fi
}

inline hears_out_of_turn(x) {
	if
	:: due[x] != NOTHING || asked[x] -> fail(x)
	:: else
	fi
}

inline hears_commit(x, data) {  /* CodeRun.receive: our nonce is the answer */
	hears(x);
	if
	:: !USED_UP(x) && due[x] == COMMIT ->
		commitment[x] = data; due[x] = OPEN; count(x);
#ifdef NO_COMMITMENT
		draw_blindly(x)
#else
		if
		:: data == ITS -> draw_blindly(x)
		:: else -> draw(x, data)
		fi
#endif
	:: else -> if :: USED_UP(x) :: else -> hears_out_of_turn(x) fi
	fi
}

inline hears_nonce(x, data) {  /* we open, and know the code */
	hears(x);
	if
	:: !USED_UP(x) && due[x] == NONCE ->
#ifndef NO_COMMITMENT
		draw(x, data);
#endif
#ifdef NO_HASH
		opened[x] = drawn[x];
#endif
		reveal(x, data)
	:: else -> if :: USED_UP(x) :: else -> hears_out_of_turn(x) fi
	fi
}

inline hears_open(x, data) {
	hears(x);
	if
	:: !USED_UP(x) && due[x] == OPEN ->
#ifdef NO_COMMITMENT
		reveal(x, data)
#else
		if
		:: data == commitment[x] -> reveal(x, data)
#ifdef NO_HASH
		:: commitment[x] == ITS && data == opened[OTHER(x)] -> reveal(x, data)
#endif
		:: else -> fail(x)  /* Flaw.COMMITMENT_BROKEN; ITS has the other link's hash in it */
		fi
#endif
	:: else -> if :: USED_UP(x) :: else -> hears_out_of_turn(x) fi
	fi
}

inline link_ends(x) {  /* Verification.end; the next one may have another initiator */
#ifdef SILENT
	if :: counted[x] -> trials[x]-- :: else fi;
#else
	told_of_run(x);
#endif
	asked[x] = 0; wished[x] = 0; code[x] = NONE; forget_run(x)
}

#ifdef TABLE

/* Every row of DEPTH events, in both roles, with no try and with two tries used up: what becomes of
   the side. tests/model/test_model.py does the same with the real Verification. */
#define DEPTH  5
#define EVENTS 7
#define ROWS   (EVENTS * EVENTS * EVENTS * EVENTS * EVENTS)

inline event(what) {
	if
	:: what == 0 -> user_asks(0)
	:: what == 1 -> hears_ask(0)
	:: what == 2 -> hears_commit(0, 1)
	:: what == 3 -> hears_nonce(0, 1)
	:: what == 4 -> hears_open(0, 1)
	:: what == 5 -> hears_open(0, 2)
	:: what == 6 -> link_ends(0)
	fi
}

init {
	int row, role, left, step;
	for (role : 0 .. 3) {
		for (row : 0 .. ROWS - 1) {
			d_step {
				link_ends(0); told[0] = 0; target[0] = NONE; guesses = 0;
				initiator[0] = role & 1; trials[0] = (role >> 1) * 2
			};
			left = row;
			for (step : 1 .. DEPTH) {
				event(left % EVENTS);
				left = left / EVENTS
			};
			printf("row %d %d %d %d %d %d %e %d %d\n", role, row, asked[0], wished[0],
				counted[0], code[0] != NONE, due[0], trials[0], told[0])
		}
	}
}

#else

#ifdef NO_ATTACKER

/* One link, and nobody in between: what the one says the other hears. */
init {
	atomic {
		initiator[0] = 1;
		user_asks(0); user_asks(1); hears_ask(0); hears_ask(1);
		draw_blindly(0); byte mine = drawn[0];
		hears_commit(1, mine);
		code[0] = SUM(0, mine, drawn[1]); forget_run(0);
		hears_open(1, mine);
		assert(code[0] == code[1]);
		assert(false)  /* both have one code */
	}
}

#else

inline holds() {
	assert(guesses <= told[0] + told[1] + counted[0] + counted[1]);  /* a guess that nobody saw */
	assert(guesses <= 2 * MAX_TRIES)  /* more guesses than tries */
}

inline same() {  /* both users say so: Node.same_code */
	assert(lucky);  /* two codes are one without luck */
	assert(false)  /* luck is all that it takes */
}

proctype Side(byte x) {
	byte data;
end:
	do
	/* The user. */
	:: atomic { !over && code[x] == NONE && !asked[x] && due[x] == NOTHING &&
		trials[x] < LIMIT -> user_asks(x) }
	:: atomic { !over && code[x] != NONE && code[OTHER(x)] != NONE ->
		if
		:: code[x] == code[OTHER(x)] -> same()
		:: else -> over = 1  /* different_code: distrusted, and every link ends */
		fi }
	/* Whoever is in between. */
	:: atomic { !over -> hears_ask(x); holds() }
	:: atomic { !over && (due[x] != NOTHING || asked[x]) -> select(data : 0 .. CODES - 1);
		if
		:: true -> hears_commit(x, data)
		:: due[x] == COMMIT && data == 0 -> hears_commit(x, ITS)
		:: true -> hears_nonce(x, data)
		:: true -> hears_open(x, data)
		fi; data = 0; holds() }
	:: atomic { !over -> link_ends(x);
		if :: initiator[x] = 0 :: initiator[x] = 1 fi; holds() }
	od
}

init {
	atomic {
		if :: initiator[0] = 0 :: initiator[0] = 1 fi;
		if :: initiator[1] = 0 :: initiator[1] = 1 fi;
		run Side(0); run Side(1)
	}
}

#endif
#endif
