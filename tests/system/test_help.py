"""What a call may say, what ``--help`` shows, and how a wrong call is told."""

import argparse
import os
import re
import subprocess
from collections.abc import Iterator

import pytest
from wcwidth import wcswidth

from fantom_trio import __version__
from fantom_trio.nursery import DEFAULT_SERVICE
from fantom_trio.options import NO_PEER, WrongCall, help_text, read_options, table
from fantom_trio.repl import languages
from fantom_trio.repl.languages import LANGUAGES
from tests.system.program import PATIENCE, PROGRAM, environment

TRANSLATED = sorted(set(LANGUAGES) & {"ru", "sindarin"})
WHERE_TO_LOOK = " --help shows what there is."


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    yield
    languages.use("en")


def run(*arguments: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    """The program with these arguments; ``shell`` says where its output goes."""
    return subprocess.run(
        ["sh", "-c", f'"$@" {shell}', "sh", *PROGRAM, *arguments],
        capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=False,
    )  # fmt: skip


def wrong(*arguments: str) -> str:
    """What is said of a wrong call."""
    with pytest.raises(WrongCall) as caught:
        read_options(arguments)
    return str(caught.value)


# Help.


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_fits_a_screen_with_a_row_left_for_the_prompt(language: str) -> None:
    languages.use(language)
    rows = help_text().splitlines()
    assert len(rows) <= 23
    assert max(map(wcswidth, rows)) <= 80


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_shows_every_option_in_columns_and_then_examples(language: str) -> None:
    languages.use(language)
    rows = help_text().splitlines()
    column = rows[1].index("--local")
    beside = rows[1].index(table()[0].help)
    for option in table():
        (row,) = (row for row in rows if row[column:].startswith(f"{option.usage} "))
        assert row[beside - 2 : beside] == "  "
        assert row[beside:] == option.help
    assert sum(row[column:].startswith("fantom-trio") for row in rows) >= 2


@pytest.mark.parametrize("language", TRANSLATED)
def test_help_is_in_the_language_in_use(language: str) -> None:
    english = table()
    rows = set(help_text().splitlines())
    languages.use(language)
    assert [a.name for a, b in zip(english, table(), strict=True) if a.help == b.help] == []
    assert rows.isdisjoint(help_text().splitlines())


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_goes_to_stdout_and_exits_0_whatever_stands_beside_it(option: str) -> None:
    for beside in ([], ["--port", "80"], ["--nonsense"], ["--once", "--follow"], ["--port"]):
        done = run(*beside, option)
        assert (done.returncode, done.stdout, done.stderr) == (0, help_text() + "\n", "")


def test_the_version_goes_to_stdout() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"fantom-trio {__version__}\n")


def test_help_into_a_closed_pipe_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*PROGRAM, "--help"], stdout=writing, stderr=subprocess.PIPE, env=environment(),
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_help_that_cannot_be_written_exits_1_and_says_why() -> None:
    done = run("--help", shell=">/dev/full")
    assert done.returncode == 1
    assert done.stderr == ("fantom-trio: Standard output takes no more: No space left on device.\n")


def test_without_a_stdout_help_exits_0() -> None:
    done = run("--help", shell=">&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_narrow_encoding_lacks_does_no_harm() -> None:
    done = subprocess.run(
        [*PROGRAM, "--help"], capture_output=True, timeout=PATIENCE, check=False,
        env=environment({"LC_ALL": "", "LANG": "ru_RU.UTF-8", "PYTHONIOENCODING": "ascii"}),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--once" in done.stdout


# Wrong calls.

WRONG = [
    (["--folow"], "There is no option --folow. Did you mean --follow?"),
    (["-once", "::1"], "There is no option -once. Did you mean --once?"),
    (["--peer", "f"], "There is no option --peer. Did you mean --peer-file?"),
    (["--lo"], "There is no option --lo. Did you mean --local?"),
    (["--prt=30001"], "There is no option --prt. Did you mean --port?"),
    (["-help"], "There is no option -help. Did you mean --help?"),
    (["-x"], "There is no option -x."),
    (["--open-port", "--local"], "--open-port does nothing beside --local."),
    (["--once", "::1", "-x"],
     "There is no option -x; a TEXT that begins with a hyphen stands after --."),
    (["--port"], "--port needs a value: --port N."),
    (["--peer-file", "--once"], "--peer-file needs a value: --peer-file FILE."),
    (["--local=yes"], "--local takes no value."),
    (["--help=me"], "--help takes no value."),
    (["--port", "29999"], "--port: the port must be between 30000 and 65535."),
    (["--port", "9" * 5000], "--port: the port must be between 30000 and 65535."),
    (["--port", "٣١٤٨٨"], "--port: the port must be between 30000 and 65535."),
    (["--once", "--timeout", "nan"],
     "--timeout: the time must be over 0 and at most 86400 seconds."),
    (["--once", "--timeout", "soon"],
     "--timeout: the time must be over 0 and at most 86400 seconds."),
    (["--follow", "--count", "0"], "--count: the number must be 1 or more."),
    (["--follow", "--count", "9" * 5000], "--count: the number must be 1 or more."),
    (["--completion", "csh"], "--completion: the shell must be one of bash, zsh, fish."),
    (["--completion", "bash", "--follow"], "--completion stands alone."),
    (["::1"], "“::1” belongs to no option: --once PEER TEXT sends a message."),
    (["two", "words"], "“two” belongs to no option: --once PEER TEXT sends a message."),
    (["--once", "::1", "two", "words"],
     "“words” is too much: a TEXT of several words stands in quotes."),
    (["--once", "::1", "--", "-two", "-words"],
     "“-words” is too much: a TEXT of several words stands in quotes."),
    (["--once", "::1", "--once=::2"],
     "--once stands twice in the call: one message goes to one peer."),
    (["--once", "--peer-file", "a", "--peer-file", "b"],
     "--peer-file stands twice in the call: one message goes to one peer."),
    (["--once", "::1", "--follow"], "--once, --follow and --demo do not go together."),
    (["--local", "--loopback"],
     "--local, --loopback, --address and --demo do not go together."),
    (["--demo", "--address", "::1"],
     "--local, --loopback, --address and --demo do not go together."),
    (["--demo", "--port", "30000"], "--port does nothing beside --demo."),
    (["--demo", "--ip-service", "https://x"], "--ip-service does nothing beside --demo."),
    (["--local", "--ip-service", ""], "--ip-service does nothing beside --local."),
    (["--address", "::1", "--ip-service", "https://x"],
     "--ip-service does nothing beside --address."),
    (["--demo", "--lines"], "--lines needs --once beside it."),
    (["--follow", "--lines"], "--lines needs --once beside it."),
    (["--json"], "--json needs --once or --follow beside it."),
    (["--once", "::1", "--count", "1"], "--count needs --follow beside it."),
    *[(["--once", "::1", option], f"{option} is for who listens, and --once does not.")
      for option in ("--local", "--loopback", "--invited-only")],
    (["--once", "::1", "--ip-service", "https://x"],
     "--ip-service is for who listens, and --once does not."),
    (["--once", "::1", "hi", "--lines"],
     "--lines sends standard input: TEXT has no place beside it."),
    (["--once", "hi", "--peer-file", "f", "--lines"],
     "--lines sends standard input: TEXT has no place beside it."),
    (["--once", "--peer-file", "f", "hi", "--lines"],
     "--lines sends standard input: TEXT has no place beside it."),
    (["--once", "::1", "h\udcff"], "TEXT is not UTF-8 text."),
    (["--once", "h\udcff", "--peer-file", "f"], "TEXT is not UTF-8 text."),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), WRONG, ids=lambda each: repr(each)[:40])
def test_a_wrong_call_is_told_with_where_to_look(arguments: list[str], sentence: str) -> None:
    assert wrong(*arguments) == sentence + WHERE_TO_LOOK


@pytest.mark.parametrize("language", TRANSLATED)
@pytest.mark.parametrize("arguments", [each[0] for each in WRONG], ids=lambda each: repr(each)[:40])
def test_no_wrong_call_is_told_in_english_to_who_reads_another_language(
    arguments: list[str], language: str
) -> None:
    english = wrong(*arguments)
    languages.use(language)
    said = wrong(*arguments)
    # Each sentence of it: none has stayed.
    assert set(re.split(r"(?<=[.?]) ", english)).isdisjoint(re.split(r"(?<=[.?]) ", said))
    if language == "ru":
        typed = r"-+[a-z-]+|\b(bash|zsh|fish|TEXT|PEER|FILE|UTF-8|N)\b"
        rest = re.sub(typed, "", said)
        for word in re.findall("[A-Za-z]+", " ".join(arguments)):
            rest = re.sub(rf"\b{word}\b", "", rest)
        assert not re.search("[A-Za-z]", rest), said


def test_a_wrong_call_exits_2_and_only_its_sentence_is_printed() -> None:
    done = run("--folow\x1b[2J\u202e")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "fantom-trio: There is no option --folow‹U+001B›[2J‹U+202E›. Did you mean --follow?"
        f"{WHERE_TO_LOOK}\n"
    )


# Calls that mean something.


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ([], {}),
        (["--local", "--port", "30001"], {"local": True, "port": 30001}),
        (["--port=30001", "--port", "30002"], {"port": 30002}),
        (["--follow", "--loopback", "--json", "--count", "3"],
         {"follow": True, "loopback": True, "json": True, "count": 3}),
        (["--follow", "--ip-service", "https://x", "--invited-only"],
         {"follow": True, "ip_service": "https://x", "invited_only": True}),
        (["--ip-service", ""], {"ip_service": ""}),
        (["--demo", "--invited-only"], {"demo": True, "invited_only": True}),
        (["--once", "::1", "hi"], {"once": "::1", "text": "hi"}),
        (["--once=::1", "hi", "--timeout", "2.5"], {"once": "::1", "text": "hi", "timeout": 2.5}),
        (["--once", "::1", ""], {"once": "::1", "text": ""}),
        (["--once", "::1", "--", "--help"], {"once": "::1", "text": "--help"}),
        (["--once", "--", "hi"], {"once": NO_PEER, "text": "hi"}),
        (["--once", "::1", "--dashed text"], {"once": "::1", "text": "--dashed text"}),
        (["--once", "::1", "-5"], {"once": "::1", "text": "-5"}),
        (["--once", "--peer-file", "f", "hi"],
         {"once": NO_PEER, "peer_file": "f", "text": "hi"}),
        (["--once", "--peer-file", "f", "--lines", "--json"],
         {"once": NO_PEER, "peer_file": "f", "lines": True, "json": True}),
        (["--once", "::1", "--address", "::1", "--port", "30001"],
         {"once": "::1", "address": "::1", "port": 30001}),
    ],
)  # fmt: skip
def test_what_goes_together_is_read_and_nothing_else_is_set(
    arguments: list[str], meant: dict[str, object]
) -> None:
    unset = dict.fromkeys(("address", "port", "once", "text", "peer_file", "timeout", "count"))
    switches = ("local", "loopback", "open_port", "demo", "invited_only", "lines", "json", "follow")
    found = vars(read_options(arguments))
    for more in ("help", "version", "completion"):
        assert not found.pop(more)
    expected = {**unset, **dict.fromkeys(switches, False), "ip_service": DEFAULT_SERVICE}
    assert found == {**expected, **meant}


def test_the_arguments_are_those_of_the_process_where_none_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["fantom-trio", "--follow"])
    assert isinstance(read_options(None), argparse.Namespace)
    assert read_options(None).follow


def test_a_text_of_several_words_may_begin_with_a_hyphen() -> None:
    options = read_options(["--once", "::1", "-hi there"])
    assert (options.once, options.text) == ("::1", "-hi there")
