"""Where the commands are put together."""

from fantom_trio.repl.commands import Commands

__all__ = ["COMMANDS"]

#: Every slash command; filled by the modules beside this one.
COMMANDS = Commands()
