"""Two ways for two people to find out that nobody sits between them, on a link that is up.

*Code*: the initiator commits to a nonce before it sees the listener's, so nobody can choose either
to make two codes meet; people compare the code (as in ZRTP: RFC 6189, section 4.4.1.1). *Word*:
SPAKE2 over a word both know gives a man in the middle one guess a run; it is that of the ``spake2``
library, whose constants and key are not those of RFC 9382. ``h`` is the link's handshake hash.

=========== =========== ================================================== ========
step        from        data                                               bytes
=========== =========== ================================================== ========
``commit``  initiator   BLAKE2b-256("fantom/2 commit" ‖ h ‖ n_I)           32
``nonce``   listener    n_R                                                32
``open``    initiator   n_I                                                32
``a``       initiator   X, the message of SPAKE2_A                         33
``b``       listener    Y, the message of SPAKE2_B, and conf_B             33 + 32
``confirm`` initiator   conf_A, or 32 zeros where conf_B was wrong         32
=========== =========== ================================================== ========
"""

import enum
import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from fantom_trio.wire.secret import Secret

if TYPE_CHECKING:
    from spake2 import SPAKE2_A, SPAKE2_B  # type: ignore[import-untyped]

__all__ = [
    "MAX_WORD",
    "CodeRun",
    "Flaw",
    "Move",
    "VerificationFailed",
    "WordRun",
    "code",
    "prepare_word",
]

NONCE_BYTES = 32
#: A side's letter and a point of 32 bytes; the library itself takes longer and shorter ones.
MESSAGE_BYTES = 33
CONFIRMATION_BYTES = 32
#: The longest shared word, bytes of UTF-8.
MAX_WORD = 256

_REFUSAL = bytes(CONFIRMATION_BYTES)


class Flaw(enum.Enum):
    """Why a run failed; the value is a short clause for logs."""

    OUT_OF_TURN = "took a step that was not due"
    MALFORMED = "sent what the step does not carry"
    COMMITMENT_BROKEN = "opened another nonce than it committed to"
    WORD_DIFFERS = "has another word, or somebody is in between"


class Move(NamedTuple):
    """One step of ours, to be sent."""

    step: str
    data: bytes


class VerificationFailed(Exception):
    """The run is over and proved nothing. ``answer`` is still to be sent: the peer cannot know."""

    def __init__(self, flaw: Flaw, answer: Sequence[Move] = ()) -> None:
        super().__init__(f"the peer {flaw.value}")
        self.flaw = flaw
        self.answer = answer


def code(
    handshake_hash: bytes, initiator_nonce: bytes, listener_nonce: bytes, digits: int = 8
) -> str:
    """What people compare: decimal digits of BLAKE2b-512("fantom/2 code" ‖ h ‖ n_I ‖ n_R).

    Its first 8 bytes, big-endian, modulo 10^digits, so fewer digits are the last ones of more.
    """
    hashed = hashlib.blake2b(
        b"fantom/2 code" + handshake_hash + initiator_nonce + listener_nonce
    ).digest()
    return f"{int.from_bytes(hashed[:8], 'big') % 10**digits:0{digits}}"


class CodeRun:
    """One side's part in one exchange for a code."""

    def __init__(self, handshake_hash: bytes, *, initiator: bool) -> None:
        #: What to compare, once known. The initiator knows it before the listener does.
        self.code: str | None = None
        #: Something of ours went out: the peer may have had its guess.
        self.tried = False
        self._hash = handshake_hash
        self._initiator = initiator
        self._due = None if initiator else "commit"
        # Not a Secret: hashlib needs it in Python's memory, and the peer gets it a moment later.
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._commitment = b""

    def start(self) -> list[Move]:
        """What to send first: the initiator's commitment, the listener nothing."""
        if not self._initiator:
            return []
        self._due = "nonce"
        self.tried = True
        return [Move("commit", _commitment(self._hash, self._nonce))]

    def receive(self, step: str, data: bytes) -> list[Move]:
        """Take the peer's step and answer it; raises ``VerificationFailed``."""
        due, self._due = self._due, None
        if step != due:
            raise VerificationFailed(Flaw.OUT_OF_TURN)
        if len(data) != NONCE_BYTES:  # a commitment is as long
            raise VerificationFailed(Flaw.MALFORMED)
        if step == "commit":
            self._commitment = data
            self._due = "open"
            self.tried = True
            return [Move("nonce", self._nonce)]
        if step == "nonce":
            self.code = code(self._hash, self._nonce, data)
            return [Move("open", self._nonce)]
        if not hmac.compare_digest(_commitment(self._hash, data), self._commitment):
            raise VerificationFailed(Flaw.COMMITMENT_BROKEN)
        self.code = code(self._hash, data, self._nonce)
        return []


def _commitment(handshake_hash: bytes, nonce: bytes) -> bytes:
    return hashlib.blake2b(
        b"fantom/2 commit" + handshake_hash + nonce, digest_size=NONCE_BYTES
    ).digest()


def prepare_word(text: str) -> Secret:
    """The shared word as both sides must have it: NFC, stripped, UTF-8, 1 to 256 bytes.

    Raises ``ValueError`` for another length, and where it is no text; it never shows the word.
    """
    try:
        word = unicodedata.normalize("NFC", text).strip().encode()
    except UnicodeEncodeError:
        word = b""
    if not 0 < len(word) <= MAX_WORD:  # out here, because an error of the codec holds the text
        raise ValueError(f"a shared word is 1 to {MAX_WORD} bytes of UTF-8")
    return Secret.copy_of(word)


class WordRun:
    """One side's part in one comparison of a shared word; ``word`` is wiped when the run is over.

    What is ours is wiped: the word here, and the confirmation that is awaited. The library works in
    Python's memory, in times that depend on its numbers: its copy of the word and its exponent are
    dropped as soon as the key is known, or with the run, and nobody can promise that they are
    overwritten. The initiator's copy lives there until the peer answers.
    """

    def __init__(self, handshake_hash: bytes, word: Secret, *, initiator: bool) -> None:
        #: The peer has the same word, and has this link's handshake hash.
        self.matched = False
        #: Our SPAKE2 message went out: the peer may have had its guess.
        self.tried = False
        self._hash = handshake_hash
        self._word = word
        self._initiator = initiator
        self._due = None if initiator else "a"
        self._spake: SPAKE2_A | SPAKE2_B | None = None
        self._awaited: Secret | None = None

    def start(self) -> list[Move]:
        """What to send first: the initiator's SPAKE2 message, the listener nothing."""
        if not self._initiator:
            return []
        message = self._speak()
        self._due = "b"
        self.tried = True
        return [Move("a", message)]

    def receive(self, step: str, data: bytes) -> list[Move]:
        """Take the peer's step and answer it; raises ``VerificationFailed``."""
        if step != self._due:
            raise self._failed(Flaw.OUT_OF_TURN)
        if step == "a":
            return self._meet(data)
        if step == "b":
            return self._confirm(data)
        assert self._awaited is not None
        if len(data) != CONFIRMATION_BYTES:
            raise self._failed(Flaw.MALFORMED)
        if not hmac.compare_digest(data, self._awaited.reveal()):
            raise self._failed(Flaw.WORD_DIFFERS)
        self._match()
        return []

    def wipe(self) -> None:
        """End the run, wherever it stands; idempotent."""
        self._due = None
        self._word.wipe()
        self._spake = None
        if self._awaited is not None:
            self._awaited.wipe()

    def _meet(self, theirs: bytes) -> list[Move]:
        if len(theirs) != MESSAGE_BYTES:
            raise self._failed(Flaw.MALFORMED)
        ours = self._speak()
        confirmations = self._agree(theirs)
        if confirmations is None:
            raise self._failed(Flaw.MALFORMED)
        self._awaited = Secret.copy_of(confirmations[0])
        self._due = "confirm"
        self.tried = True
        return [Move("b", ours + confirmations[1])]

    def _confirm(self, data: bytes) -> list[Move]:
        if len(data) != MESSAGE_BYTES + CONFIRMATION_BYTES:
            raise self._failed(Flaw.MALFORMED)
        confirmations = self._agree(data[:MESSAGE_BYTES])
        if confirmations is None:
            raise self._failed(Flaw.MALFORMED)
        if not hmac.compare_digest(data[MESSAGE_BYTES:], confirmations[1]):
            raise self._failed(Flaw.WORD_DIFFERS, [Move("confirm", _REFUSAL)])
        self._match()
        return [Move("confirm", confirmations[0])]

    def _speak(self) -> bytes:
        """Our SPAKE2 message. From here on the library has the word, and we need it no more."""
        from spake2 import SPAKE2_A, SPAKE2_B  # some 20 ms, and few ever compare a word

        side = SPAKE2_A if self._initiator else SPAKE2_B
        self._spake = side(self._word.reveal(), idA=self._hash, idB=self._hash)
        self._word.wipe()
        message: bytes = self._spake.start()
        return message

    def _agree(self, theirs: bytes) -> tuple[bytes, bytes] | None:
        """``conf_A`` and ``conf_B``; None where the library refuses the peer's message.

        Whoever raises for that does it after this returned: the library's exceptions hold its
        frames, and those the word.
        """
        spake, self._spake = self._spake, None
        assert spake is not None
        try:
            key = spake.finish(theirs)
        except Exception:  # it raises assertions, ValueError, and its own, none of them documented
            return None
        return _confirmation(key, b"A"), _confirmation(key, b"B")

    def _match(self) -> None:
        self.matched = True
        self.wipe()

    def _failed(self, flaw: Flaw, answer: Sequence[Move] = ()) -> VerificationFailed:
        self.wipe()
        return VerificationFailed(flaw, answer)


def _confirmation(key: bytes, side: bytes) -> bytes:
    return hashlib.blake2b(
        b"fantom/2 word " + side, key=key, digest_size=CONFIRMATION_BYTES
    ).digest()
