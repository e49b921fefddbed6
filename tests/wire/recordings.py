"""The sessions recorded from the original program, as Python objects."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fantom_trio.wire import Role
from fantom_trio.wire.secret import KeyPair, Secret

_FILE = Path(__file__).with_name("classic_transcripts.json")


@dataclass(frozen=True)
class Frame:
    """One recorded frame: its bytes where they are recorded whole, else its hash and its head."""

    what: str
    data: bytes | None
    head: bytes
    sha256: str

    def equals(self, data: bytes) -> bool:
        return hashlib.sha256(data).hexdigest() == self.sha256

    def nonce(self, client_id: bytes) -> bytes:
        start = 4 + len(client_id) + 1
        return self.head[start : start + 24]


@dataclass(frozen=True)
class Message:
    plaintext: bytes
    client_id: bytes
    note: str


@dataclass(frozen=True)
class Session:
    id: int
    name: str
    our_role: Role
    kx_client: bool
    private_key: bytes
    peer_public_key: bytes
    receive_key: bytes
    send_key: bytes
    client_id: bytes
    our_line: bytes
    peer_line: bytes
    frames: tuple[Frame, ...]
    messages: tuple[Message, ...]

    def keys(self) -> KeyPair:
        return KeyPair(Secret.copy_of(self.private_key))


def _plaintext(recorded: dict[str, Any]) -> bytes:
    if "hex" in recorded:
        return bytes.fromhex(recorded["hex"])
    assert recorded["python"] == "(b'0123456789abcdef' * 4063)[:65000]"
    data = (b"0123456789abcdef" * 4063)[:65000]
    assert hashlib.sha256(data).hexdigest() == recorded["sha256"]
    return data


def _frame(recorded: dict[str, Any]) -> Frame:
    if "hex" in recorded:
        data = bytes.fromhex(recorded["hex"])
        return Frame(recorded["what"], data, data, hashlib.sha256(data).hexdigest())
    head = bytes.fromhex(recorded["head_hex"])
    return Frame(recorded["what"], None, head, recorded["sha256"])


def _session(recorded: dict[str, Any]) -> Session:
    first, second, *frames = recorded["wire"]
    lines = {line["dir"]: bytes.fromhex(line["hex"]) for line in (first, second)}
    return Session(
        id=recorded["id"],
        name=recorded["name"],
        our_role=Role.DIALER if recorded["original_is"] == "tcp server" else Role.LISTENER,
        kx_client=recorded["our_role"] == "kx_client",
        private_key=bytes.fromhex(recorded["our_private_key"]),
        peer_public_key=bytes.fromhex(recorded["original_public_key"]),
        receive_key=bytes.fromhex(recorded["our_rx"]),
        send_key=bytes.fromhex(recorded["our_tx"]),
        client_id=recorded["clientID"].encode(),
        our_line=lines["us->orig"],
        peer_line=lines["orig->us"],
        frames=tuple(map(_frame, frames)),
        messages=tuple(
            Message(
                _plaintext(message["plaintext"]), message["clientID_sent"].encode(),
                message.get("note", ""),
            )
            for message in recorded["messages"]
        ),
    )  # fmt: skip


SESSIONS = tuple(map(_session, json.loads(_FILE.read_text())["sessions"]))
