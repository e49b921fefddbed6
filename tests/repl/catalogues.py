"""The message catalogues: what the source says, and the ``.po`` and ``.mo`` files made from it.

``make translations`` runs this file: it adds new texts to every catalogue, drops those that are no
longer said, and compiles. What is left to translate is listed.
"""

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from string import Formatter

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import fantom_trio
from fantom_trio.repl.slash import COMMANDS

PACKAGE = Path(fantom_trio.__file__).parent
LOCALE = PACKAGE / "locale"
#: The languages there is a catalogue for.
PLURALS = {
    "ru": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 :"
    " n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);",
    "sindarin": "nplurals=2; plural=(n != 1);",
}

#: What people type is the same in every language.
TYPED = re.compile(r"(?<![\w/])(?:/[a-z]+|--[a-z-]+|//)(?![\w/])|\b(?:Ctrl|Alt)-\w+")
#: What stands for something they choose: PEER, ADDRESS.
CHOSEN = re.compile(r"\b[A-Z]{4,}\b")

Forms = tuple[str, ...]
Texts = Mapping[Forms, Forms]


def source() -> Catalog:
    """Every text that the program can say, in English."""
    catalogue = Catalog(project="fantom-trio", charset="utf-8")
    keywords = {"_": None, "n_": (1, 2)}
    for file, _line, message, comments, _context in extract_from_dir(PACKAGE, keywords=keywords):
        catalogue.add(message, locations=[(file, 0)], auto_comments=comments)
    for command in COMMANDS:
        module = Path(inspect.getfile(command.handler)).relative_to(PACKAGE)
        for text in filter(None, (command.summary, command.detail)):
            catalogue.add(text, locations=[(str(module), 0)])
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


def texts(catalogue: Catalog) -> dict[Forms, Forms]:
    """Each text and its translation; both have several forms where there is a plural."""
    return {_forms(m.id): _forms(m.string) for m in catalogue if m.id}


def faults(language: str, said: Iterable[Forms], ours: Texts) -> Iterator[tuple[str, str]]:
    """What is wrong with a catalogue of translations, ``ours``: the kind of fault, and where."""
    said = set(said)
    for text in said:
        if not all(ours.get(text, ("",))):
            yield "untranslated", text[0]
    wanted = int(PLURALS[language][len("nplurals=")])
    for text, forms in ours.items():
        if text not in said:
            yield "stale", text[0]
        if len(forms) != (1 if len(text) == 1 else wanted):
            yield "plural", text[0]
        for form in filter(None, forms):
            for kind in _differences(text[-1], form):
                yield kind, form


def _differences(text: str, form: str) -> Iterator[str]:
    try:
        if _fields(form) != _fields(text):
            yield "fields"
    except ValueError:  # an unclosed brace
        yield "fields"
    if Counter(TYPED.findall(form)) != Counter(TYPED.findall(text)):
        yield "typed"
    if set(CHOSEN.findall(form)) != set(CHOSEN.findall(text)):
        yield "chosen"
    # It stands in the same place of the screen.
    if form.count("\n") != text.count("\n") or form.strip("\n") != form:
        yield "lines"
    if not form.replace("\n", "").isprintable():
        yield "unprintable"
    if text[-1] in ".?:" and form[-1] != text[-1]:
        yield "end"


def _fields(text: str) -> Counter[tuple[str | None, ...]]:
    """Each field with its format and conversion."""
    return Counter(each[1:] for each in Formatter().parse(text) if each[1] is not None)


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
