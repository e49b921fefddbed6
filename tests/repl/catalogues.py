"""The message catalogues: what the source says, and the ``.po`` and ``.mo`` files made from it.

``make translations`` runs this file: it adds new texts to every catalogue, drops those that are no
longer said, and compiles. What is left to translate is listed.
"""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import fantom_trio
from fantom_trio.repl.slash import COMMANDS

PACKAGE = Path(fantom_trio.__file__).parent
LOCALE = PACKAGE / "locale"
PLURALS = {
    "ru": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 :"
    " n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);",
    "sindarin": "nplurals=2; plural=(n != 1);",
}


def source() -> Catalog:
    """Every text that the program can say, in English."""
    catalogue = Catalog(project="fantom-trio", charset="utf-8")
    keywords = {"_": None, "n_": (1, 2)}
    for file, _line, message, comments, _context in extract_from_dir(PACKAGE, keywords=keywords):
        catalogue.add(message, locations=[(file, 0)], auto_comments=comments)
    for command in COMMANDS:
        catalogue.add(command.summary, locations=[("repl/slash.py", 0)])
    return catalogue


def po_file(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "fantom_trio.po"


def load(language: str) -> Catalog:
    with po_file(language).open("rb") as file:
        return read_po(file, charset="utf-8")


class _Bare(Catalog):
    """Without dates and versions, so that the same texts make the same bytes."""

    plurals = ""
    mime_headers = property(
        lambda self: [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Plural-Forms", self.plurals),
        ]
    )


def compiled(language: str) -> bytes:
    """The ``.mo`` file of a catalogue, as its ``.po`` file stands."""
    bare = _Bare(charset="utf-8")
    bare.plurals = PLURALS[language]
    for message in load(language):
        if message.id:
            bare.add(message.id, message.string)
    out = BytesIO()
    write_mo(out, bare)
    return out.getvalue()


def texts(catalogue: Catalog) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Each text and its translation; both have several forms where there is a plural."""
    return {_forms(m.id): _forms(m.string) for m in catalogue if m.id}


def main() -> None:
    said = texts(source())
    for language, plurals in PLURALS.items():
        file = po_file(language)
        file.parent.mkdir(parents=True, exist_ok=True)
        old = texts(load(language)) if file.exists() else {}
        new = Catalog(project="fantom-trio", charset="utf-8", fuzzy=False)
        new.mime_headers = [("Plural-Forms", plurals)]  # else it keeps two forms only
        header = f"Language: {language}\nPlural-Forms: {plurals}\n"
        lines = [
            'msgid ""', 'msgstr ""', '"MIME-Version: 1.0\\n"',
            '"Content-Type: text/plain; charset=utf-8\\n"',
            *(f'"{line}\\n"' for line in header.splitlines()), "",
        ]  # fmt: skip
        for message in source():
            if message.id:
                forms = old.get(_forms(message.id), ("",))
                translation = forms if message.pluralizable else forms[0]
                new.add(message.id, translation, locations=message.locations)
        out = BytesIO()
        write_po(out, new, width=100, omit_header=True, include_lineno=False)
        file.write_bytes("\n".join(lines).encode() + b"\n" + out.getvalue().lstrip(b"\n"))
        file.with_suffix(".mo").write_bytes(compiled(language))
        translated = texts(load(language))
        missing = [text for text in said if not all(translated[text])]
        print(f"{language}: {len(said)} texts, {len(missing)} to translate")


def _forms(text: str | Iterable[str] | None) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or ("",))


if __name__ == "__main__":
    main()
