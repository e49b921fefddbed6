"""The languages, chosen, remembered, complete; and Sindarin in its own letters."""

import gettext
import os
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from fantom_trio.repl import languages
from fantom_trio.repl.languages import LANGUAGES, _, current, n_, preferred, remember, use
from fantom_trio.repl.slash import COMMANDS
from fantom_trio.repl.tengwar import write
from tests.repl import catalogues
from tests.repl.catalogues import Forms, Texts, faults

#: Tengwar has no texts of its own.
TRANSLATED = sorted(set(LANGUAGES) - {"en", "tengwar"})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user of their own who has not chosen yet."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    for variable in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    yield tmp_path / "home"
    use("en")


def chosen(home: Path) -> Path:
    return home / "config" / "fantom-trio" / "language"


# In use.


def test_a_language_counts_from_the_moment_it_is_used() -> None:
    assert current() == "en"
    english, said = _("(nobody)"), {_("(nobody)")}
    for language in LANGUAGES:
        use(language)
        assert current() == language
        said.add(_("(nobody)"))
    assert len(said) == 4
    use("en")
    assert (current(), _("(nobody)")) == ("en", english)


def test_lang_takes_what_there_is() -> None:
    (parameter,) = COMMANDS.find("lang").parameters
    (kind,) = parameter.kinds
    assert typing.get_args(kind) == tuple(LANGUAGES)


@pytest.mark.parametrize("language", ["", "de", "EN", "../ru", "Tengwar"])
def test_a_language_there_is_not_changes_nothing(language: str) -> None:
    use("ru")
    with pytest.raises(KeyError):
        use(language)
    assert current() == "ru"
    assert _("(nobody)") != "(nobody)"


def test_fields_are_filled_in_and_what_they_hold_is_not_looked_at() -> None:
    for language in LANGUAGES:
        use(language)
        sentence = _("“{word}” is no number.", word="{word} {0} %s")
        assert "{word} {0} %s" in sentence


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_nobody_translated_is_shown_in_english(language: str) -> None:
    use(language)
    assert _("no such text {n}", n=3) == "no such text 3"
    assert n_("{n} such text", "{n} such texts", 1) == "1 such text"
    assert n_("{n} such text", "{n} such texts", 2) == "2 such texts"


# The plural.

WAITING = (
    "{n} message waits: write another to try again, or /connect ADDRESS.",
    "{n} messages wait: write another to try again, or /connect ADDRESS.",
)
ONE, FEW, MANY = (1, 21, 101, 1001), (2, 3, 4, 22, 34, 102), (0, 5, 11, 12, 14, 19, 20, 111, 114)


def forms(*numbers: int) -> set[str]:
    return {n_(*WAITING, n).replace(str(n), "N", 1) for n in numbers}


def test_russian_has_three_forms_for_numbers() -> None:
    use("ru")
    assert {n: n_(*WAITING, n).split()[:2] for n in (1, 2, 5, 11, 21, 111)} == {
        1: ["1", "сообщение"],
        2: ["2", "сообщения"],
        5: ["5", "сообщений"],
        11: ["11", "сообщений"],
        21: ["21", "сообщение"],
        111: ["111", "сообщений"],
    }
    assert [len(forms(*numbers)) for numbers in (ONE, FEW, MANY)] == [1, 1, 1]
    assert len(forms(*ONE, *FEW, *MANY)) == 3


@pytest.mark.parametrize("language", ["en", "sindarin", "tengwar"])
def test_english_and_sindarin_have_two_forms_for_numbers(language: str) -> None:
    use(language)
    assert len(forms(1)) == len(forms(0, 2, 5, 11, 21, 111)) == 1
    assert len(forms(1, 2)) == 2


# Tengwar.


def test_tengwar_is_the_sindarin_text_in_other_letters_before_its_fields_are_filled_in() -> None:
    use("sindarin")
    sindarin = _("Asking {service} for your public address …", service="{service}")
    use("tengwar")
    told = _("Asking {service} for your public address …", service="mellon")
    assert told == write(sindarin).format(service="mellon")
    assert "mellon" in told
    assert n_(*WAITING, 2).split()[0] == "2"


def test_in_tengwar_a_text_is_written_once_however_often_it_is_shown() -> None:
    use("tengwar")
    catalogue = languages._catalogue
    assert isinstance(catalogue, languages._Tengwar)
    for _each in range(3):
        _("(nobody)")
        n_(*WAITING, 2)
    assert catalogue._written.cache_info().misses == 2


def test_going_back_and_forth_leaves_nothing_of_the_other_language() -> None:
    shown: dict[str, set[str]] = {}
    for language in (*LANGUAGES, *reversed(LANGUAGES), *LANGUAGES):
        use(language)
        shown.setdefault(language, set()).add(_("(nobody)") + n_(*WAITING, 2))
    assert [len(texts) for texts in shown.values()] == [1, 1, 1, 1]
    assert len(set.union(*shown.values())) == 4


# Chosen.


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "ru"}, "ru"),
        ({"LANG": "ru.UTF-8"}, "ru"),
        ({"LANG": "run_BI"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "ru_UA.UTF-8"}, "ru"),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": ""}, "ru"),
    ],
)
def test_who_has_not_chosen_gets_the_system_s_language(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], language: str
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert preferred() == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_chosen_last_counts_in_the_next_run(
    monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")
    remember("ru")
    remember(language)
    assert preferred() == language


def test_one_file_is_written_and_nothing_else(home: Path) -> None:
    for language in LANGUAGES:
        remember(language)
    files = [path for path in home.rglob("*") if not path.is_dir()]
    assert files == [chosen(home)]
    assert chosen(home).read_text() == "tengwar\n"
    assert chosen(home).parent.stat().st_mode & 0o077 == 0
    assert chosen(home).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"de\n",
        b"ru en\n",
        b"\xff\xfe\x00",
        b"../ru",
        b"ru\0",
        "рус".encode(),
        b"r" * 10**6,
    ],
    ids=lambda content: repr(content[:8]),
)
def test_odd_content_counts_for_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    remember("sindarin")
    chosen(home).write_bytes(content)
    assert preferred() == "en"
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")
    assert preferred() == "ru"


def test_white_space_around_the_language_does_no_harm(home: Path) -> None:
    remember("ru")
    chosen(home).write_bytes(b" sindarin\r\n")
    assert preferred() == "sindarin"


def test_a_file_that_cannot_be_read_counts_for_nothing(home: Path) -> None:
    chosen(home).mkdir(parents=True)
    assert preferred() == "en"


def test_a_choice_that_cannot_be_written_is_an_error_and_leaves_nothing(home: Path) -> None:
    (chosen(home) / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        remember("ru")
    assert list(chosen(home).parent.iterdir()) == [chosen(home)]


def test_a_write_that_breaks_keeps_the_old_choice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember("sindarin")

    def full(_new: object, _old: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        remember("ru")
    assert preferred() == "sindarin"
    assert list(chosen(home).parent.iterdir()) == [chosen(home)]


# Complete.

SAID = catalogues.texts(catalogues.source())


def translated(language: str) -> dict[Forms, Forms]:
    return catalogues.texts(catalogues.load(language))


def test_the_source_s_texts_are_found() -> None:
    assert len(SAID) > 100
    assert ("(nobody)",) in SAID
    assert WAITING in SAID
    for command in COMMANDS:
        assert (command.summary,) in SAID
        assert not command.detail or (command.detail,) in SAID


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_is_complete_and_says_what_the_source_says(language: str) -> None:
    assert list(faults(language, SAID, translated(language))) == []
    assert not any(message.fuzzy for message in catalogues.load(language))


TEXT = "{name} types /verify PEER --word, or Ctrl-D, in {n:g} s."
GOOD: Texts = {(TEXT,): (TEXT,), WAITING: WAITING, ("(nobody)",): ("(x)",)}


@pytest.mark.parametrize(
    ("kind", "translation"),
    [
        ("untranslated", ""),
        ("fields", TEXT.replace("name", "nom")),
        ("fields", TEXT.replace("{name} ", "")),
        ("fields", TEXT.replace("{name}", "{name} {name}")),
        ("fields", TEXT.replace("{n:g}", "{n}")),
        ("fields", TEXT.replace("{name}", "{name!r}")),
        ("fields", TEXT.replace("{name}", "{name")),
        ("typed", TEXT.replace("/verify", "/check")),
        ("typed", TEXT.replace("/verify ", "")),
        ("typed", TEXT.replace("/verify", "/verify /verify")),
        ("typed", TEXT.replace("--word", "--mot")),
        ("typed", TEXT.replace("Ctrl-D", "Ctrl-C")),
        ("chosen", TEXT.replace("PEER", "АДРЕС")),
        ("lines", TEXT.replace(" or", "\nor")),
        ("lines", TEXT + "\n"),
        ("unprintable", TEXT.replace("or", "\x1b[2J")),
        ("unprintable", TEXT.replace("or", "\u202e")),
        ("end", TEXT.rstrip(".")),
    ],
)
@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_that_differs_is_found(language: str, kind: str, translation: str) -> None:
    good = {**GOOD, WAITING: (WAITING * 2)[: 3 if language == "ru" else 2]}
    assert list(faults(language, GOOD, good)) == []
    broken = {**good, (TEXT,): (translation,)}
    assert kind in {found for found, _where in faults(language, GOOD, broken)}


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_text_that_is_missing_or_stale_or_lacks_a_form_is_found(language: str) -> None:
    ours = translated(language)
    sound = set(faults(language, ours, ours))
    some, plural = ("(nobody)",), ours[WAITING]
    for kind, broken in (
        ("untranslated", {text: ours[text] for text in ours if text != some}),
        ("untranslated", {**ours, WAITING: (*plural[:-1], "")}),
        ("stale", {**ours, ("Nobody says this.",): ("x.",)}),
        ("plural", {**ours, WAITING: plural[:-1]}),
        ("plural", {**ours, WAITING: (*plural, plural[0])}),
        ("plural", {**ours, some: ("x", "y")}),
    ):
        assert {found for found, _where in {*faults(language, ours, broken)} - sound} == {kind}


def test_russian_is_quoted_as_russians_do() -> None:
    for forms in translated("ru").values():
        for form in forms:
            assert not set('“”"') & set(form), form
            assert form.count("«") == form.count("»"), form


@pytest.mark.parametrize("language", TRANSLATED)
def test_what_the_program_reads_is_compiled_from_what_people_write(language: str) -> None:
    compiled = catalogues.compiled(language)
    assert catalogues.po_file(language).with_suffix(".mo").read_bytes() == compiled
    assert compiled == catalogues.compiled(language)


@pytest.mark.parametrize("language", TRANSLATED)
def test_what_the_program_says_is_what_people_wrote(language: str) -> None:
    use(language)
    for text, forms in translated(language).items():
        if len(text) == 1:
            assert _(text[0]) == forms[0]
        else:
            fields = {field: field for field in re.findall(r"{(\w+)}", text[1]) if field != "n"}
            assert n_(text[0], text[1], 1, **fields) == forms[0].format(n=1, **fields)


def test_the_catalogues_are_where_the_program_looks() -> None:
    assert sorted(catalogues.PLURALS) == TRANSLATED
    found = gettext.find("fantom_trio", languages._LOCALE, TRANSLATED, all=True)
    assert len(found) == len(TRANSLATED)
    assert {path.name for path in languages._LOCALE.iterdir()} == set(TRANSLATED)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"XDG_CONFIG_HOME": "/config"},
        {"HOME": "/home/me"},
        {"HOME": "/home/me/", "XDG_CONFIG_HOME": "/config/"},
        {"HOME": "/home/me", "XDG_CONFIG_HOME": "~/config"},
        {"HOME": "/home/me", "XDG_CONFIG_HOME": ""},
        {"HOME": "me"},
    ],
)
def test_the_choice_stands_where_platformdirs_would_have_it(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert languages._file() == platformdirs.user_config_path("fantom-trio") / "language"


def test_without_a_home_nothing_is_remembered_and_the_system_s_language_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless(_name: str) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_config_path", homeless)
    for variable in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable)
    for variable in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")
    assert languages.preferred() == "ru"
    with pytest.raises(OSError, match="home"):
        languages.remember("en")
