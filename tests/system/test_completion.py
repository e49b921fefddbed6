"""Completion: in a real bash; zsh and fish read theirs where they are installed.

Where they are not, what they would read is compared with the table word by word.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from msgspec.structs import replace

from fantom_trio import completion
from fantom_trio.completion import script
from fantom_trio.options import SHELLS, Option, read_options, table
from fantom_trio.repl import languages
from fantom_trio.repl.languages import LANGUAGES
from tests.system.program import PATIENCE, PROGRAM, environment

#: All that a shell could take for something else.
NASTY = "it's [a] \\ “b”: \"$(c)\" `d` 100% {e} <f> ;#g \\' :"


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    yield
    languages.use("en")


@pytest.fixture
def nasty(monkeypatch: pytest.MonkeyPatch) -> tuple[Option, ...]:
    """A table whose every text wants to be quoted."""
    options = tuple(replace(each, help=NASTY) for each in table())
    monkeypatch.setattr(completion, "table", lambda: options)
    return options


def run(*command: str, source: str = "") -> str:
    done = subprocess.run(
        command, input=source, capture_output=True, text=True, env=environment(),
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def names() -> list[str]:
    return [name for each in table() for name in (each.short, each.name) if name]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_program_prints_it_and_exits_0(shell: str) -> None:
    assert run(*PROGRAM, "--completion", shell) == script(shell) + "\n"


def test_a_call_that_wants_it_runs_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_options(["--completion", "fish"])
    assert caught.value.code == 0
    assert capfd.readouterr() == (script("fish") + "\n", "")


# bash.


def bash(*words: str) -> list[str]:
    """What bash offers for the last of ``words``, as it splits them."""
    ask = (
        f"COMP_WORDS=({shlex.join(['fantom-trio', *words])}); COMP_CWORD={len(words)};"
        ' _fantom_trio; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return run("bash", "--norc", "-c", f"{script('bash')}\n{ask}").split()


def test_bash_offers_every_option() -> None:
    assert bash("-") == names()
    assert bash("--") == [name for name in names() if name.startswith("--")]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["--lo"], ["--local", "--loopback"]),
        (["--follow", "--fo"], []),
        (["--once", "--pe"], ["--peer-file"]),
        (["--once", "::1", "--ti"], ["--timeout"]),
        (["--completion", ""], ["bash", "zsh", "fish"]),
        (["--completion", "z"], ["zsh"]),
        (["--completion", "="], ["bash", "zsh", "fish"]),
        (["--completion", "=", "f"], ["fish"]),
        (["--port", ""], []),
        (["--port", "--lo"], []),
        (["--port", "=", ""], []),
        (["--once", ""], []),
        ([""], []),
        (["--once", "::1", "--", "--"], []),
    ],
)
def test_bash_offers_what_may_stand_there(words: list[str], offered: list[str]) -> None:
    assert bash(*words) == offered


@pytest.mark.parametrize("typed", ["--peer-file bo", "--once --peer-file=bo"])
def test_bash_completes_a_file_at_the_keyboard(tmp_path: Path, typed: str) -> None:
    (tmp_path / "bob s invite").touch()
    (tmp_path / "completion").write_text(script("bash"))
    # A function in place of the program: it prints its last argument.
    child = pexpect.spawn(
        "bash", ["--norc", "--noprofile", "-i"], cwd=str(tmp_path), encoding="utf-8",
        env=environment({"TERM": "dumb", "PS1": "$ "}), timeout=PATIENCE,
    )  # fmt: skip
    try:
        child.sendline("fantom-trio() { echo \"<${@: -1}>\"; }; source ./completion; echo rea''dy")
        child.expect("ready\r")
        child.send(f"fantom-trio {typed}\t\r")
        child.expect("<(--peer-file=)?bob s invite>")
    finally:
        child.close(force=True)


# zsh and fish.


def zsh_specs() -> dict[str, str]:
    """The specification of each option, as zsh reads it out of the quotes."""
    rows = script("zsh").partition("_arguments -S : \\\n")[2].partition("\n}\n")[0]
    specs = shlex.split(rows.replace("\\\n", " "))
    assert specs.pop() == "::TEXT: "
    return {re.sub(r"\(.*?\)", "", spec, count=1).partition("[")[0]: spec for spec in specs}


def test_zsh_is_told_every_option_and_what_its_value_is() -> None:
    specs = zsh_specs()
    assert [name.removesuffix("=") for name in specs] == names()
    assert specs["--peer-file="].endswith(":FILE:_files")
    assert specs["--completion="].endswith(":SHELL:(bash zsh fish)")
    assert specs["--port="].endswith("]:N: ")
    assert specs["--once"].endswith("]::PEER: ")
    assert specs["--local"].endswith("[listen on the local network only]")


def test_zsh_is_told_what_does_not_go_together() -> None:
    specs = zsh_specs()
    for one, other in (("--local", "--loopback"), ("--port=", "--demo"), ("--once", "--local")):
        for name, apart in ((one, other), (other, one)):
            before = specs[name].partition(")")[0]
            assert apart.removesuffix("=") in before.removeprefix("(").split()


def test_zsh_gets_a_text_as_it_is(nasty: tuple[Option, ...]) -> None:
    for name, spec in zsh_specs().items():
        text = spec.partition("[")[2]
        if name == "--local":
            text = text.removesuffix("]")
            assert re.sub(r"\\([][\\:])", r"\1", text) == NASTY


def fish_lines() -> list[list[str]]:
    """The words of each line after the first, as fish reads them."""
    lines = [line for line in script("fish").splitlines() if not line.startswith("#")]
    assert lines[0] == "complete -c fantom-trio -f"
    # In fish only \' and \\ mean something within single quotes.
    word = re.compile(r"'((?:[^'\\]|\\.)*)'|(\S+)")
    return [
        [re.sub(r"\\(['\\])", r"\1", quoted) or bare for quoted, bare in word.findall(line)]
        for line in lines[1:]
    ]


def test_fish_is_told_every_option_and_what_its_value_is(nasty: tuple[Option, ...]) -> None:
    lines = fish_lines()
    assert [f"--{line[4]}" for line in lines] == [each.name for each in nasty]
    assert all(line[:4] == ["complete", "-c", "fantom-trio", "-l"] for line in lines)
    assert all(line[-2:] == ["-d", NASTY] for line in lines)
    middle = {line[4]: line[5:-2] for line in lines}
    assert middle["peer-file"] == ["-r", "-F"]
    assert middle["completion"] == ["-x", "-a", "bash zsh fish"]
    assert middle["port"] == ["-x"]
    assert middle["once"] == []  # PEER may stand in a file
    assert middle["help"] == ["-s", "h"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_installed_shell_reads_it_without_complaint(shell: str, language: str) -> None:
    if shutil.which(shell):
        languages.use(language)
        run(shell, "-n", source=script(shell))


@pytest.mark.parametrize("shell", SHELLS)
def test_an_installed_shell_reads_any_text(shell: str, nasty: tuple[Option, ...]) -> None:
    if shutil.which(shell):
        run(shell, "-n", source=script(shell))


def test_an_installed_fish_offers_what_may_stand_there(tmp_path: Path) -> None:
    if not shutil.which("fish"):
        return

    def offered(line: str) -> list[str]:
        ask = f"complete -C {shlex.quote(line)}"
        found = run("fish", "--no-config", "-c", f"{script('fish')}\n{ask}")
        return [row.partition("\t")[0] for row in found.splitlines()]

    assert sorted(offered("fantom-trio --")) == sorted(each.name for each in table())
    assert sorted(offered("fantom-trio --completion ")) == sorted(SHELLS)
    assert offered("fantom-trio --port ") == offered("fantom-trio ") == []
    (tmp_path / "bob.invite").touch()
    assert offered(f"fantom-trio --peer-file {tmp_path}/b") == [f"{tmp_path}/bob.invite"]
