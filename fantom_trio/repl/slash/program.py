"""Commands for the program itself: language, bell, screen, help, the end."""

from typing import Literal

from fantom_trio.repl import languages, sanitize
from fantom_trio.repl.app import App
from fantom_trio.repl.commands import CommandError
from fantom_trio.repl.languages import _
from fantom_trio.repl.slash.registry import COMMANDS

#: Columns that a summary has at least beside the usage; else it stands below.
LEAST_SUMMARY = 40


@COMMANDS.add
async def lang(app: App, language: Literal["en", "ru", "sindarin", "tengwar"]) -> None:
    """changes the language, also for the next run

    tengwar is Sindarin in its own letters, for terminals with a font that has them at
    U+E000.
    """
    languages.use(language)
    app.refresh()
    try:
        languages.remember(language)
    except OSError as error:
        detail = sanitize.line(error.strerror or "")
        raise CommandError(
            _("The language is changed, but not remembered: {detail}.", detail=detail)
        ) from None
    await app.print(_("The language is English now."))


@COMMANDS.add
async def bell(app: App, state: Literal["on", "off"] | None = None) -> None:
    """rings when somebody else writes

    Once for each peer with something unread, for strangers once a minute at most; without
    on or off it says what is set.
    """
    if state is not None:
        app.bell = state == "on"
    if app.bell:
        await app.print(
            _(
                "The bell rings once for each peer with something unread, for strangers once a"
                " minute at most."
            )
        )
    else:
        await app.print(_("The bell is off."))


@COMMANDS.add
async def clear(app: App) -> None:
    """wipes the screen and its scrollback

    The conversations stay: /history shows them again.
    """
    app.terminal.clear()


@COMMANDS.add
async def burn(app: App) -> None:
    """wipes everything and ends at once

    Keys, conversations, the screen and its scrollback, without a question and without a
    goodbye to anybody.
    """
    app.burn()


@COMMANDS.add
async def help_(app: App, command: str = "") -> None:
    """what each command does

    /help COMMAND tells more about one.
    """
    if command:
        found = COMMANDS.find(command)
        await app.print("\n".join([found.usage, _(found.summary), _(found.detail)]))
        return
    width = max(len(each.usage) for each in COMMANDS)
    columns = app.terminal.columns
    if columns is not None and columns < width + LEAST_SUMMARY:
        rows = [f"{each.usage}\n    {_(each.summary)}" for each in COMMANDS]
    else:
        rows = [f"{each.usage:<{width}}  {_(each.summary)}" for each in COMMANDS]
    await app.write("\n".join(rows) + "\n", 4)
    rows = [
        _("Enter sends; Alt-Enter breaks the line; // begins a message with a slash."),
        _("Tab completes; Ctrl-R searches; Ctrl-C clears the line; Ctrl-D leaves."),
        _("Alt-1 to Alt-9 switch to a peer; Alt-A goes to the next unread one."),
    ]
    await app.write("\n".join(rows) + "\n", 0)


@COMMANDS.add
async def quit_(app: App) -> None:
    """ends every link and leaves

    The keys and every message are gone then, as at every other end of the program.
    """
    app.stop()
