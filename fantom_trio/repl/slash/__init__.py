"""The commands themselves. A handler's docstring is its help, in English, translated when shown.

``talking`` is about conversations, ``reaching`` about being reached, ``knowing`` about who a peer
is, ``program`` has the rest. Each puts its commands into the one registry.
"""

from fantom_trio.repl.slash import knowing, program, reaching, talking
from fantom_trio.repl.slash.registry import COMMANDS

__all__ = ["COMMANDS", "knowing", "program", "reaching", "talking"]
