"""The languages of the screen: gettext, changed while the program runs.

A text is looked up when it is shown, so ``use`` changes what is shown from then on. Tengwar is the
Sindarin texts in other letters. The one file the program ever writes is the user's choice of
language.
"""

import errno
import gettext
import os
import sys
from functools import lru_cache
from pathlib import Path

__all__ = ["LANGUAGES", "current", "n_", "preferred", "remember", "use", "_"]

#: What ``/lang`` takes, and what each language calls itself.
LANGUAGES = {"en": "English", "ru": "русский", "sindarin": "edhellen", "tengwar": "tîw"}

_LOCALE = Path(__file__).parents[1] / "locale"
_DOMAIN = "fantom_trio"


class _Tengwar(gettext.NullTranslations):
    """The Sindarin catalogue in Tengwar; what it lacks stays English, and in Latin letters."""

    def __init__(self) -> None:
        from fantom_trio.repl.tengwar import write

        super().__init__()
        #: More than there are texts: the prompt and the toolbar are made anew at every event.
        self._written = lru_cache(maxsize=1024)(write)
        self._sindarin = gettext.translation(_DOMAIN, _LOCALE, ["sindarin"])

    def gettext(self, message: str) -> str:
        translated = self._sindarin.gettext(message)
        return message if translated == message else self._written(translated)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        translated = self._sindarin.ngettext(msgid1, msgid2, n)
        return translated if translated in (msgid1, msgid2) else self._written(translated)


_language = "en"
_catalogue: gettext.NullTranslations = gettext.NullTranslations()


def use(language: str) -> None:
    """Show everything in ``language`` from here on; raises ``KeyError`` for one there is not."""
    global _language, _catalogue
    LANGUAGES[language]
    if language == "en":  # the texts in the source
        _catalogue = gettext.NullTranslations()
    elif language == "tengwar":
        _catalogue = _Tengwar()
    else:
        _catalogue = gettext.translation(_DOMAIN, _LOCALE, [language])
    _language = language


def current() -> str:
    """The language in use."""
    return _language


def _(text: str, /, **fields: object) -> str:
    """``text`` in the language in use, its ``{fields}`` filled in."""
    translated = _catalogue.gettext(text)
    return translated.format(**fields) if fields else translated


def n_(one: str, many: str, n: int, /, **fields: object) -> str:
    """The form that ``n`` takes in the language in use; ``{n}`` is filled in as well."""
    return _catalogue.ngettext(one, many, n).format(n=n, **fields)


def _file() -> Path:
    """Raises ``OSError``."""
    if sys.platform == "linux":  # as platformdirs has it, which no start then waits for
        if os.path.isabs(base := os.environ.get("XDG_CONFIG_HOME", "")):
            return Path(base, "fantom-trio", "language")
        if os.path.isabs(home := os.environ.get("HOME", "")):
            return Path(home, ".config", "fantom-trio", "language")
    import platformdirs

    try:
        return platformdirs.user_config_path("fantom-trio") / "language"
    except RuntimeError as error:  # no HOME, and no entry for this user
        raise OSError(errno.ENOENT, str(error)) from error


def preferred() -> str:
    """The language remembered from an earlier run, else the system's, else English."""
    try:
        remembered = _file().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        remembered = ""
    if remembered in LANGUAGES:
        return remembered
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return "ru" if value.partition("_")[0].partition(".")[0] == "ru" else "en"
    return "en"


def remember(language: str) -> None:
    """Write the choice down for the next run, whole or not at all; raises ``OSError``."""
    import tempfile

    file = _file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="utf-8", delete=False) as new:
        try:
            new.write(language + "\n")
            new.close()
            os.replace(new.name, file)
        except OSError:
            Path(new.name).unlink(missing_ok=True)
            raise
