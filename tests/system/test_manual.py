"""The man page: made from the source, as it stands in docs, and as a person reads it."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fantom_trio import manual
from fantom_trio.manual import EXIT_STATUS, MORE, escape, page
from fantom_trio.options import PEER_VARIABLE, examples, read_options, table
from fantom_trio.repl import languages
from fantom_trio.repl.slash import COMMANDS
from fantom_trio.tell import Exit
from tests.system.program import PATIENCE, environment

FILE = Path(__file__).parents[2] / "docs" / "fantom-trio.1"
SECTIONS = [
    "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "IN THE CHAT", "KEYS", "EXIT STATUS",
    "ENVIRONMENT", "FILES", "EXAMPLES", "SHELL COMPLETION", "SECURITY", "SEE ALSO",
]  # fmt: skip


@pytest.fixture(autouse=True)
def english() -> None:
    languages.use("en")


def read(file: Path) -> list[str]:
    """The lines that man shows; it has nothing to complain about."""
    done = subprocess.run(
        ["man", "--warnings", "-l", str(file)], capture_output=True, text=True, check=False,
        env=environment({"MANWIDTH": "80", "MANOPT": "", "MANPAGER": "cat"}), timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def told() -> list[str]:
    """What a reader must find: options, commands, exit codes, variables."""
    return [
        *(each.usage for each in table()),
        *(each.usage for each in COMMANDS),
        *(f"{int(code)} {text}" for code, text in EXIT_STATUS.items()),
        PEER_VARIABLE, "NO_COLOR", "TERM", "LC_ALL, LC_MESSAGES, LANG", "XDG_CONFIG_HOME",
        "~/.config/fantom-trio/language",
    ]  # fmt: skip


def test_the_page_in_docs_is_what_the_source_makes() -> None:
    assert FILE.read_text() == page(), "“make docs” writes it anew"


def test_the_module_writes_it_to_stdout() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fantom_trio.manual"], capture_output=True, check=True,
        env=environment({"LC_ALL": "", "LANG": "ru_RU.UTF-8"}), timeout=PATIENCE,
    )  # fmt: skip
    assert done.stdout.decode("ascii") == page()


def test_it_has_its_sections_in_order() -> None:
    assert re.findall(r"(?m)^\.SH (.*)$", page()) == SECTIONS


def test_it_tells_of_every_option_command_exit_code_and_variable() -> None:
    for text in told():
        assert escape(text.partition(" ")[0]) in page()
    assert set(EXIT_STATUS) == set(Exit)
    assert set(MORE) <= {each.name for each in table()}
    for each in COMMANDS:
        assert f".TP\n.B {escape(each.usage)}\n" in page()


def test_man_shows_all_of_it_without_a_warning() -> None:
    """Where there is no man, the tests beside this one hold what it would read."""
    if not shutil.which("man"):
        return
    lines = read(FILE)
    text = " ".join(" ".join(lines).split())
    for each in told():
        assert each in text
    assert [line for line in lines if line in SECTIONS] == SECTIONS
    calls = re.findall(r"\n\.nf\n(.*)\n\.fi\n", page())
    assert len(calls) > 8
    for call in calls:  # not folded, so that they can be copied
        assert any(escape(line.strip()) == call for line in lines)


@pytest.mark.parametrize(
    ("text", "roff"),
    [
        ("--peer-file", "\\-\\-peer\\-file"),
        (".profile", "\\&.profile"),
        ("a .b\n.c", "a .b\n\\&.c"),
        ("'quoted'", "\\(aqquoted\\(aq"),
        ('"quoted"', "\\(dqquoted\\(dq"),
        ("C:\\new", "C:\\enew"),
        ("~/x `y` ^z", "\\(ti/x \\(gay\\(ga \\(haz"),
        ("a → b…", "a \\[u2192] b\\[u2026]"),
    ],
)
def test_what_roff_would_take_for_its_own_is_escaped(text: str, roff: str) -> None:
    assert escape(text) == roff


def test_man_shows_an_escaped_text_as_it_is(tmp_path: Path) -> None:
    if not shutil.which("man"):
        return
    text = [
        ".SH no section", "'br no request", "\\fBno bold\\fR \\n(.x \\", '"quoted" \'too\' `so`',
        "--long-option -- - ~ ^", "→ … “ ” ✓ ▸", ".", "..", "\\&.",
    ]  # fmt: skip
    file = tmp_path / "odd.1"
    rows = "".join(f".PP\n{escape(line)}\n" for line in text)
    file.write_text(f'.TH ODD 1 "" "" ""\n.SH NAME\nodd \\- odd\n.SH TEXT\n{rows}')
    shown = [line.strip() for line in read(file)]
    assert [line for line in shown[shown.index("TEXT") + 1 : -2] if line] == text


def test_a_command_that_is_added_comes_into_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from fantom_trio.repl.app import App
    from fantom_trio.repl.commands import Commands

    more = Commands(dict(COMMANDS.by_name))

    @more.add
    async def wave(app: App, hand: str = "") -> None:
        """waves a hand"""

    monkeypatch.setattr(manual, "COMMANDS", more)
    assert ".TP\n.B /wave [HAND]\nWaves a hand.\n" in page()


def test_every_call_in_the_page_and_in_the_help_is_a_right_one() -> None:
    shown = re.sub(r"\\f[A-Z]", "", page().replace(r"\-", "-").replace(r"\(aq", "'"))
    shown += "\n".join(call for call, _does in examples())
    calls = re.findall(r"fantom-trio (--[^.\n|>]*[^.\n|> ])", shown)
    assert len(calls) >= 8
    for call in calls:
        words = shlex.split(call.replace("PEER", "[::1]:31488"))
        if "--completion" not in words:
            read_options(words)
