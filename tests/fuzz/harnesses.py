"""Every harness by its name."""

from tests.fuzz import links, records, runs, sessions, system, texts, whole_node
from tests.fuzz.harness import Harness

__all__ = ["HARNESSES"]

HARNESSES: dict[str, Harness] = {
    each.name: each
    for each in (
        links.LISTENER, links.DIALER, sessions.CLASSIC, sessions.NATIVE,
        records.RECORDS, records.DELIVERY, runs.VERIFY,
        texts.ADDRESSES, texts.INVITES, texts.SANITIZE, texts.JSON, texts.COMMAND_LINES,
        system.PCP, system.TABLES, system.SERVICE, system.LINES,
        whole_node.NODE,
    )
}  # fmt: skip
