"""Every bound of what others can make appear on the screen, each with its reason."""

__all__ = [
    "ALARM_SECONDS",
    "HISTORY_ROWS",
    "MESSAGE_CHARACTERS",
    "MESSAGE_ROWS",
    "NAME_CHARACTERS",
    "PIECE_CHARACTERS",
    "PRINTED_ROWS",
    "RING_SECONDS",
    "STRANGER_NOTICES",
    "STRANGER_SECONDS",
    "TURNED_AWAY_NOTICES",
    "TURNED_AWAY_SECONDS",
]

#: Rows of one message, where it is not asked for as a whole: a log of a hundred lines that are
#: wrapped once fits, and a screen or two of scrolling back finds what was there before.
MESSAGE_ROWS = 200
#: Characters of its text, as many as so many rows have: where no screen wraps it they alone count,
#: and some take long to measure.
MESSAGE_CHARACTERS = 16 * 1024
#: What the user calls a peer. Nobody else gives names.
NAME_CHARACTERS = 32
#: Rows, about, that come at once when the user did not ask for them: those of one read from the
#: active peer, and what was unread at a switch. Many terminals keep no more than so many.
PRINTED_ROWS = 2000
#: Rows of one ``/history``: a history of ordinary messages fits, and takes a second or two.
HISTORY_ROWS = 20_000
#: What is rendered and written without a checkpoint, about: a few milliseconds. One message of a
#: peer, at most 64 KiB, may be more where it is wanted as a whole.
PIECE_CHARACTERS = 16 * 1024
#: Notices about conversations with strangers: so many at once, a few people who come together, then
#: one in so many seconds. The bar and ``/peers`` show the others.
STRANGER_NOTICES = 8
STRANGER_SECONDS = 5
#: The same of strangers who got no conversation: whoever scans the port does nothing else.
TURNED_AWAY_NOTICES = 3
TURNED_AWAY_SECONDS = 10
#: Between two alarms of one kind that strangers can raise: each kind has a pace of its own, so that
#: none is hidden by the others.
ALARM_SECONDS = 10
#: Between two rings for strangers, all of them together.
RING_SECONDS = 60
