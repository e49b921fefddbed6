"""Three languages: chosen, remembered, complete."""

import gettext
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fantom_trio.repl import languages
from fantom_trio.repl.languages import LANGUAGES, _, current, n_, preferred, remember, use
from tests.repl import catalogues

TRANSLATED = sorted(set(LANGUAGES) - {"en"})


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
    for language in TRANSLATED:
        use(language)
        assert current() == language
        said.add(_("(nobody)"))
    assert len(said) == 3
    use("en")
    assert (current(), _("(nobody)")) == ("en", english)


@pytest.mark.parametrize("language", ["", "de", "EN", "../ru", "tengwar"])
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


def test_a_text_nobody_translated_is_shown_in_english() -> None:
    use("ru")
    assert _("no such text {n}", n=3) == "no such text 3"


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


@pytest.mark.parametrize("language", ["en", "sindarin"])
def test_english_and_sindarin_have_two_forms_for_numbers(language: str) -> None:
    use(language)
    assert len(forms(1)) == len(forms(0, 2, 5, 11, 21, 111)) == 1
    assert len(forms(1, 2)) == 2


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
    assert chosen(home).read_text() == "sindarin\n"
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
FIELD = re.compile(r"\{(\w*)\}")
#: What people type is the same in every language.
TYPED = re.compile(r"(?<![\w/])(?:/[a-z]+|--[a-z]+|//)(?![\w/])")


def translated(language: str) -> dict[tuple[str, ...], tuple[str, ...]]:
    return catalogues.texts(catalogues.load(language))


def test_the_source_s_texts_are_found() -> None:
    assert len(SAID) > 100
    assert ("(nobody)",) in SAID
    assert WAITING in SAID


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_no_stale_one_stands_there(language: str) -> None:
    ours = translated(language)
    assert [text for text in SAID if not all(ours.get(text, ("",)))] == []
    assert [text for text in ours if text not in SAID] == []
    assert not any(message.fuzzy for message in catalogues.load(language))
    plurals = {len(forms) for text, forms in ours.items() if len(text) == 2}
    assert plurals == {3 if language == "ru" else 2}


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_has_the_same_fields_and_names_the_same_commands(language: str) -> None:
    for text, forms in translated(language).items():
        for form in forms:
            for pattern in (FIELD, TYPED):
                assert sorted(pattern.findall(form)) == sorted(pattern.findall(text[-1])), form


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_begins_and_ends_as_the_text_does(language: str) -> None:
    """It stands in the same place of the screen."""
    for text, forms in translated(language).items():
        for form in forms:
            assert form.strip("\n") == form
            assert form.count("\n") == text[-1].count("\n")
            assert form.isprintable() or "\n" in form
            if text[-1][-1] in ".?":
                assert form[-1] == text[-1][-1], form


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
            assert n_(text[0], text[1], 1, name="bob") == forms[0].format(n=1, name="bob")


def test_the_catalogues_are_where_the_program_looks() -> None:
    found = gettext.find("fantom_trio", languages._LOCALE, TRANSLATED, all=True)
    assert len(found) == len(TRANSLATED)
    assert {path.name for path in languages._LOCALE.iterdir()} == set(TRANSLATED)


def test_without_a_home_nothing_is_remembered_and_the_system_s_language_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless(_name: str) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_config_path", homeless)
    for variable in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")
    assert languages.preferred() == "ru"
    with pytest.raises(OSError, match="home"):
        languages.remember("en")
