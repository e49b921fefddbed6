"""The terminal in a real pseudo-terminal, with a screen that is read like a person reads it."""

import base64
import contextlib
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest
import trio
import trio.testing

from fantom_trio.repl import screen as screen_module
from fantom_trio.repl import terminal as terminal_module
from fantom_trio.repl.console import open_terminal
from fantom_trio.repl.drawing import does_reflow
from fantom_trio.repl.plain import PlainTerminal
from fantom_trio.repl.screen import ScreenTerminal
from fantom_trio.repl.terminal import Line, Terminal, View
from tests.person import CTRL_C, CTRL_D, CTRL_R, DOWN, PATIENCE, ROOT, UP, Person

PROGRAM = [sys.executable, "-W", "error", "-m", "tests.repl.terminal_program"]

#: Half a minute of real screens.
pytestmark = pytest.mark.slow


class Typist(Person):
    """At the terminal of ``terminal_program``, whose prompt is ``start>``."""

    def __init__(
        self,
        home: Path,
        *,
        rows: int = 24,
        columns: int = 80,
        answers: bool = True,
        term: str = "xterm",
    ) -> None:
        super().__init__(
            home, PROGRAM, rows=rows, columns=columns, answers=answers, term=term
        )  # fmt: skip
        self.until(" up")
        self.until("start>")
        self.pid = int(re.findall(r"pid (\d+) up", self.text)[-1])

    @property
    def prompt(self) -> str:
        """From the last prompt on, toolbar included."""
        lines = self.text.split("\n")
        prompts = [number for number, line in enumerate(lines) if re.match(r"\w+>", line)]
        start = prompts[-1] if prompts else len(lines)  # in the middle of a drawing
        return "\n".join(lines[start:])

    def leave(self, *, code: int = 0) -> None:
        super().leave(code=code)
        assert "start>" not in self.text
        assert "toolbar" not in self.text

    def quit(self) -> None:
        self.type(CTRL_D)
        self.until("goodbye")
        self.leave()


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    someone = Typist(tmp_path)
    yield someone
    someone.close()


def test_enter_sends_the_line_and_an_empty_one_is_none(person: Typist) -> None:
    person.type("\r  \rhello, мир\r\r/view other\r")
    person.until("#2 start: /view other +0")
    assert "#1 start: hello, мир +0" in person.text
    person.until("other>")
    person.type("again\r")
    person.until("#3 other: again +0")
    person.quit()


def test_alt_enter_breaks_the_line(person: Typist) -> None:
    person.type("one\x1b\rtwo")
    person.until("start> one\n       two")
    person.type("\r")
    person.until("#1 start: one +1")
    person.quit()


@pytest.mark.parametrize("line_break", ["\r\n", "\r", "\n"])
def test_a_pasted_block_is_one_line_and_waits_for_enter(person: Typist, line_break: str) -> None:
    person.paste(line_break.join(f"pasted {number}" for number in range(200)))
    person.until("pasted 199")
    # The input line does not take the screen, and what is not seen of it is told.
    assert re.sub(" +", " ", person.prompt).split("\n")[9:] == [
        " pasted 199",
        "200 lines, one message: Enter sends it, Ctrl-C drops it",
        (" start |" + " toolbar" * 30)[:80].rstrip(),
    ]
    assert "#1" not in person.text
    person.type("!\r")
    person.until("#1 start: pasted 0 +199")
    person.type("next\r")
    person.until("#2 start: next +0")
    person.quit()


def test_up_to_five_lines_are_not_announced(person: Typist) -> None:
    person.paste("1\n2\n3\n4\n5")
    person.until("       5\n start | ")
    person.type("\x1b\r6")
    person.until("       6\n6 lines, one message: Enter sends it, Ctrl-C drops it\n start | ")
    person.type(CTRL_C)
    person.until(lambda: "message" not in person.text)
    person.quit()


def test_typing_goes_on_behind_a_pasted_line_of_sixty_kilobytes(person: Typist) -> None:
    text = "long " * 12004
    person.paste(text + "end")
    person.until("end")
    took = []
    for number, key in enumerate("abcdefgh", 1):
        start = time.monotonic()
        person.type(key)
        person.until("end" + "abcdefgh"[:number])
        took.append(time.monotonic() - start)
    assert sorted(took)[4] < 0.2
    person.type("\r")
    person.until("endabcdefgh +0")
    person.quit()


def test_pasted_escape_sequences_are_shown_sent_and_not_obeyed(person: Typist) -> None:
    person.paste("a\x1b[2J\x1b]0;title\x07\x9b31m\x03\x04\tz")
    person.until("start> a^[[2J^[]0;title^G<9b>31m^C^D^Iz")
    assert b"\x1b[2J" not in person.seen
    person.type("\r")
    # As it was pasted; the last guard is what shows it so.
    person.until("#1 start: a\ufffd[2J\ufffd]0;title\ufffd\ufffd31m\ufffd\ufffd ")
    person.quit()


def test_ctrl_c_clears_the_line_and_never_ends_the_program(person: Typist) -> None:
    person.type("half a line")
    person.until("start> half a line")
    person.type(CTRL_C)
    person.until(lambda: person.prompt.startswith("start>\n"))
    person.type("/flood 0\r")
    person.until("flood 9")
    for number in range(300):
        person.type(f"x{CTRL_C}" if number % 3 else CTRL_C)
        person.look()
    person.type("alive\r/quiet\r")
    person.until("goodbye")
    assert b"start: alive +0" in person.seen
    assert b"signal" not in person.seen
    person.leave()


def test_ctrl_d_ends_on_an_empty_line_only(person: Typist) -> None:
    person.type("abc\x01" + CTRL_D)
    person.until("start> bc")
    person.type(CTRL_D + CTRL_D + CTRL_D)
    person.until("goodbye")
    person.leave()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_with_the_terminal_restored(person: Typist, number: signal.Signals) -> None:
    person.type("half")
    person.until("start> half")
    os.kill(person.pid, number)
    person.until("goodbye")
    assert f"signal {number}" in person.text
    person.leave()


def test_an_exception_in_a_task_comes_out_with_the_terminal_restored(person: Typist) -> None:
    person.type("/fail\r")
    person.leave(code=1)
    assert "ZeroDivisionError: in a task" in person.text


@pytest.mark.parametrize(
    ("typed", "error"), [("boom\t", "in the completer"), ("/broken\r", "Wrong color format")]
)
def test_a_bug_behind_the_prompt_is_loud(person: Typist, typed: str, error: str) -> None:
    person.type(typed)
    person.leave(code=1)
    assert error in person.text
    assert "Press ENTER" not in person.text


def test_a_half_typed_line_survives_prints_and_other_views(person: Typist) -> None:
    person.type("/views\r/flood 2000\rhalf a line")
    person.until("last> half a line")
    person.until("flood ends")
    assert person.prompt.startswith("last> half a line\n last | toolbar")
    # Every line that was printed is on the screen in full: no prompt was left behind.
    printed = [line for line in person.text.split("\n") if line.startswith("flood")]
    assert len(printed) > 10
    assert printed[-2].startswith("flood 1999 ....")
    person.type(CTRL_C)
    person.until(lambda: "half" not in person.prompt)
    person.quit()


def test_the_prompt_fits_in_forty_columns(tmp_path: Path) -> None:
    person = Typist(tmp_path, rows=10, columns=40)
    person.type("/view " + "long" * 6 + "\r")
    person.until("longlong>")
    person.type("words " * 5 + "words")
    person.until(lambda: person.prompt.count("words") == 6)
    assert len(person.prompt.split("\n")) == 3  # the prompt above the line, the toolbar not wrapped
    person.type("\r")
    person.until("words words +0")
    person.quit()


def test_where_rows_are_not_wrapped_anew_no_line_above_is_lost(person: Typist) -> None:
    for number in range(5):
        person.enter(f"above {number}")
    person.until("#5 start: above 4 +0")
    person.type("long " * 60 + "end")
    person.until("end")
    person.screen.resize(24, 40)
    person.child.setwinsize(24, 40)
    person.type("!")
    person.until("end!\n start | toolbar toolbar toolbar toolbar")
    person.until(lambda: len(person.prompt.split("\n")) > 9)
    assert [line for line in person.text.split("\n") if line.startswith("#")] == [
        f"#{number + 1} start: above {number} +0" for number in range(5)
    ]
    assert person.text.count("start>") == 1
    person.type(CTRL_C)
    person.quit()


@pytest.mark.parametrize(
    ("environment", "reflows"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm", "XTERM_VERSION": "XTerm(379)"}, False),
        ({"TERM": "linux"}, False),
        ({"TERM": "screen", "STY": "1.pts-0"}, False),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/x,1,0", "XTERM_VERSION": "XTerm(379)"}, True),
        ({"TERM": "screen", "TMUX": "/tmp/x,1,0", "STY": "1.pts-0"}, True),
    ],
)
def test_it_is_known_which_terminals_wrap_rows_anew(
    environment: dict[str, str], reflows: bool
) -> None:
    assert does_reflow(environment) == reflows


def test_a_new_size_is_drawn_at_once(person: Typist) -> None:
    person.type("half a line")
    person.until("start> half a line")
    person.screen.resize(20, 50)
    person.child.setwinsize(20, 50)
    start = time.monotonic()
    person.until(lambda: "half a line\n start | " in person.text and len(person.seen) > 0)
    toolbar = b" start | toolbar toolbar toolbar toolbar toolbar t"
    person.until(lambda: person.seen.rstrip().rfind(toolbar) > 0)
    assert time.monotonic() - start < 5
    person.type(" more\r")
    person.until("#1 start: half a line more +0")
    person.type(CTRL_D)
    person.leave()


def test_up_goes_through_this_runs_lines_and_ctrl_r_searches_them(person: Typist) -> None:
    person.type("first\r")
    person.until("#1")
    person.paste("second\nof two")
    person.type("\r")
    person.until("#2")
    person.type("third\r")
    person.until("#3")
    person.until(lambda: person.prompt.startswith("start>\n"))
    person.type(UP + UP)
    person.until("start> second\n       of two")
    person.type(UP + UP)  # to the first row, then to the line before
    person.until("start> first")
    person.type(DOWN)
    person.until("start> second\n       of two")
    person.type(CTRL_C + CTRL_R + "THI")
    person.until("search back: THI")
    person.until("start> third")
    person.type("\r\r")
    person.until("#4 start: third +0")
    person.type("half" + CTRL_R + "sec" + CTRL_C)  # leaves the search, not the line
    person.until(lambda: person.prompt.startswith("start> half\n start"))
    person.type(CTRL_C)
    person.quit()


def test_a_menu_is_walked_through_and_closed(person: Typist) -> None:
    person.type("/\t")
    person.until("help on /views")
    person.type(DOWN + DOWN)
    person.until("start> /fail\n")
    person.type(UP)
    person.until("start> /flood\n")
    person.type("\x1b")
    person.until(lambda: "help on" not in person.text)
    assert person.prompt.startswith("start> /\n")
    person.type("\t\x1b7")  # Alt-7, beside the menu
    person.until("7> /")
    person.type(CTRL_C)
    person.type(CTRL_D)
    person.leave()


def test_tab_completes_a_single_line(person: Typist) -> None:
    person.type("/fl\t")
    person.until("start> /flood")
    person.type(CTRL_C + "/vi\t")
    person.until("help on /views")
    person.type("\t\t")
    person.until("start> /views\n")
    person.type(CTRL_C)
    person.until(lambda: "help on" not in person.text)
    person.type("x\x1b\r/fl\t.")
    person.until("start> x\n       /fl.")
    person.type(CTRL_C)
    person.quit()


def test_a_shortcut_sends_its_line_beside_the_half_typed_one(person: Typist) -> None:
    person.type("half \x1b7a line")
    person.until("#1 start: /view 7 +0")
    person.until("7> half a line")
    person.type("\r")
    person.until("#2 7: half a line +0")
    person.quit()


def test_a_secret_is_not_shown_and_gives_the_line_back(person: Typist) -> None:
    person.type("/secret\r")
    person.until("word?")
    person.type("sesame")
    person.until("word? ******")
    person.type("\r")
    person.until("secret 'sesame'")
    person.type("/secret\r")
    person.until(lambda: "\nword?\n" in person.text)
    person.type("other" + CTRL_C)
    person.until("secret None")
    person.type(UP)
    person.until("start> /secret")
    assert b"other" not in person.seen
    person.type(CTRL_C)
    person.quit()


def test_odd_keys_do_nothing(person: Typist) -> None:
    person.type("a\x1a\x0f\x1b#\x18\x05\x1cb\r")  # Ctrl-Z, Ctrl-O, Alt-#, Ctrl-X Ctrl-E, Ctrl-\
    person.until("#1 start: ab +0")
    person.type("\x1b[200~turned \u202eround\x1b[201~\x0c")
    person.until("start> turned \ufffdround")
    person.type("\r")
    person.until("#2 start: turned")
    person.type("bytes \udcff\r".encode("utf-8", "surrogateescape").decode("latin-1"))
    person.quit()


def test_clear_and_copy_reach_the_terminal(person: Typist) -> None:
    person.type("/copy [::1]:31488\r")
    person.until(lambda: b"\a\a" in person.seen)
    person.type("/clear\r")
    person.until(lambda: b"\x1b[H\x1b[2J\x1b[3J" in person.seen)
    person.until(lambda: "#1" not in person.text)
    assert b"\x1b]52;c;" + base64.b64encode(b"[::1]:31488") + b"\a\a" in person.seen
    person.quit()


@pytest.mark.parametrize("command", ["/clear-and-end", "/forget-and-end"])
def test_an_end_right_after_clearing_leaves_nothing_to_read(person: Typist, command: str) -> None:
    person.type(f"/lines 40\rshown\r{command}\rhalf a line")
    person.until("[exit 0]")
    assert person.text == "goodbye\n[exit 0]"


def test_a_clear_drops_what_is_queued(person: Typist) -> None:
    person.type("/lines 40\r/clear\rmore\r")
    person.until("more +0")
    assert person.prompt.startswith("start>\n")
    assert "line " not in person.text
    person.quit()


def test_what_was_forgotten_does_not_come_back(person: Typist) -> None:
    person.enter("remembered")
    person.type("cut\x01\x0b" + CTRL_R + "remem\x07")
    person.until("#1")
    person.enter("/forget")
    person.until(lambda: person.text.startswith("start>"))
    person.type(UP + UP + "\x1f\x19" + CTRL_R + CTRL_R + "\x07end")
    person.until("start> end")
    assert "remem" not in person.text
    person.type(CTRL_C)
    person.quit()


def test_a_terminal_that_never_answers_costs_nothing(tmp_path: Path) -> None:
    person = Typist(tmp_path, answers=False)
    person.type("hello\r")
    person.until("#1 start: hello +0")
    start = time.monotonic()
    person.quit()
    assert time.monotonic() - start < 1
    assert b"CPR" not in person.seen


def test_a_terminal_that_does_not_read_ends_in_bounded_time(person: Typist) -> None:
    person.type("/flood 0\r")
    person.until("flood 9")
    time.sleep(1)  # nobody reads: the terminal fills up, then the queue
    start = time.monotonic()
    os.kill(person.pid, signal.SIGTERM)
    while Path(f"/proc/{person.pid}").exists():
        assert time.monotonic() - start < PATIENCE
        time.sleep(0.01)
    assert time.monotonic() - start < 4
    while person.look():
        pass
    assert (person.home / "after").read_text() == (person.home / "before").read_text()


def test_a_terminal_that_goes_away_ends_the_program(person: Typist) -> None:
    signal_ignored = person.pid
    person.child.close(force=False)
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{signal_ignored}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_is_written_to_files(person: Typist) -> None:
    person.type("a line\r/secret\r")
    person.until("word?")
    person.type("word\r")
    person.until("secret 'word'")
    opened = [Path(f"/proc/{person.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{person.pid}/fd")]
    targets = {os.readlink(fd) for fd in opened}
    assert not {
        target for target in targets if not re.match(r"/dev/|anon_inode:|socket:|pipe:", target)
    }
    person.quit()
    assert {path.name for path in person.home.rglob("*")} == {"before", "after"}


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    person = Typist(tmp_path, term="dumb")
    person.type("hello\n")
    person.until("#1 start: hello +0")
    person.type("/view other\n")
    person.until("\nother>")
    person.type("again\n/secret\n")
    person.until("word?")
    person.type("sesame\n")
    person.until("secret 'sesame'")
    assert person.text.count("sesame") == 1
    person.type("/flood 3\n")
    person.until("flood ends")
    assert b"\x1b" not in person.seen
    person.type(CTRL_D)
    person.until("goodbye")
    person.until("[exit 0]")
    while person.look():
        pass
    assert (person.home / "after").read_text() == (person.home / "before").read_text()


def run_piped(stdin: int | TextIO | None, text: str | None = None) -> str:
    done = subprocess.run(
        PROGRAM,
        cwd=ROOT,
        stdin=stdin,
        input=text,
        text=True,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return re.sub(r"pid \d+ ", "", done.stdout)


EXPECTED = "up\n#1 start: hello +0\n#2 start: /view two +0\n#3 two: bye \ufffd +0\ngoodbye\n"


def test_a_pipe_is_read_line_by_line_without_prompt() -> None:
    data = "hello\r\n\n/view two\nbye \udcff"
    done = subprocess.run(
        PROGRAM,
        cwd=ROOT,
        input=data.encode("utf-8", "surrogateescape"),
        capture_output=True,
        timeout=20,
    )
    assert done.stderr == b""
    assert re.sub(r"pid \d+ ", "", done.stdout.decode()) == EXPECTED


def test_a_regular_file_is_read_like_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"hello\n/view two\nbye \xff\n")
    with path.open() as lines:
        assert run_piped(lines) == EXPECTED


def test_no_input_ends_at_once() -> None:
    assert run_piped(subprocess.DEVNULL) == "up\ngoodbye\n"
    command = f"cd {ROOT}; exec {' '.join(PROGRAM)} <&-"
    done = subprocess.run(["sh", "-c", command], text=True, capture_output=True, timeout=20)
    assert done.stdout.endswith("goodbye\n")


def test_a_reader_that_goes_away_ends_quietly() -> None:
    program = f"{{ {' '.join(PROGRAM)}; echo $? >&2; }}"
    command = f"cd {ROOT}; (echo /flood 0; sleep 20) | {program} | head -n 3"
    start = time.monotonic()
    with subprocess.Popen(
        ["sh", "-c", command],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        assert running.stderr is not None
        try:
            assert running.stderr.readline() == b"0\n"
            assert time.monotonic() - start < PATIENCE
        finally:
            os.killpg(running.pid, signal.SIGTERM)


# In this process: where the moment matters.


class Pair:
    """A pseudo-terminal held at both ends."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.master, slave = os.openpty()
        stack.callback(os.close, self.master)
        os.set_blocking(self.master, False)
        self.stdin = stack.enter_context(os.fdopen(slave))
        self.stdout = stack.enter_context(os.fdopen(os.dup(slave), "w"))
        self.seen = b""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def look(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.seen += os.read(self.master, 1 << 20)

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE):
            while not condition():
                self.look()
                await trio.sleep(0.001)

    @property
    def modes(self) -> list[object]:
        return list(termios.tcgetattr(self.stdin))


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with contextlib.ExitStack() as stack:
        yield Pair(stack)


def named(name: str) -> View:
    return View((("", f"{name}> "),), (("", name),), name)


@contextlib.asynccontextmanager
async def opened(pair: Pair) -> AsyncIterator[Terminal]:
    terminal = open_terminal(stdin=pair.stdin, stdout=pair.stdout)
    terminal.show(named("first"))
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: terminal.run(task_status=task_status))
        await pair.until(lambda: b"first>" in pair.seen)
        yield terminal
        nursery.cancel_scope.cancel()


async def test_a_line_has_the_context_of_the_prompt_that_was_on_the_screen(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(pair) as terminal:
        terminal.show(named("second"))
        await pair.until(lambda: b"second" in pair.seen)
        await trio.sleep(0.1)
        monkeypatch.setattr(screen_module, "FRAME", 2)
        terminal.show(named("third"))
        pair.type("x\r")
        assert await terminal.read_line() == Line("x", "second")
        assert b"third" not in pair.seen
        await pair.until(lambda: b"third" in pair.seen)
        await trio.sleep(0.01)
        pair.type("y\r")
        assert await terminal.read_line() == Line("y", "third")


async def test_a_writer_waits_when_the_terminal_does_not_read(pair: Pair) -> None:
    async with opened(pair) as terminal:
        text = "x" * 1000
        written = 0
        with trio.move_on_after(1) as scope:
            while written < 1000:
                await terminal.write(text)
                written += 1
        assert scope.cancelled_caught
        # What the pty, the thread and the queue hold, and no more.
        assert written * len(text) < 64 * 1024 + 3 * screen_module.QUEUE_SIZE + len(text)
        await pair.until(lambda: pair.seen.count(b"x" * 1000) == written)


async def test_a_writer_does_not_wait_for_what_is_not_up_and_has_the_last_word(pair: Pair) -> None:
    terminal = open_terminal(stdin=pair.stdin, stdout=pair.stdout)
    for number in range(200):
        await terminal.write(f"early {number} " + "." * 1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(terminal.run)
        await pair.until(lambda: b"early 199 " in pair.seen)
        nursery.cancel_scope.cancel()
    with trio.CancelScope() as scope:
        scope.cancel()
        await terminal.write("\x1b[1mgoodbye\x1b[0m")
    await pair.until(lambda: b"\x1b[1mgoodbye\x1b[0m\r\n" in pair.seen)
    with pytest.raises(trio.EndOfChannel):
        await terminal.read_line()


async def test_what_waits_when_it_ends_is_still_shown(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(pair) as terminal:
        await terminal.write("one")
        await pair.until(lambda: b"one" in pair.seen)
        monkeypatch.setattr(screen_module, "FRAME", 1000)
        await terminal.write("two")
        await terminal.write("three")
    await pair.until(lambda: b"two\r\nthree\r\n" in pair.seen)


async def test_it_ends_and_restores_whenever_it_is_cancelled(pair: Pair) -> None:
    before = pair.modes
    for delay in range(60):
        terminal = open_terminal(stdin=pair.stdin, stdout=pair.stdout)
        assert isinstance(terminal, ScreenTerminal)
        with trio.move_on_after(delay / 4000):
            await terminal.run()
        assert terminal._loop is None
        assert pair.modes == before
        pair.look()


async def test_ctrl_d_and_a_cancel_at_once_are_no_error(pair: Pair) -> None:
    for _ in range(20):
        async with opened(pair):
            pair.type(CTRL_D)
        pair.seen = b""
        termios.tcflush(pair.stdin, termios.TCIFLUSH)


async def test_lines_nobody_takes_are_refused_with_a_bell(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen_module, "LINES_WAITING", 2)
    async with opened(pair) as terminal:
        pair.type("a\rb\rc\r")
        await pair.until(lambda: b"\a" in pair.seen)
        assert [(await terminal.read_line()).text for _ in "ab"] == ["a", "b"]
        pair.type("\r")
        assert (await terminal.read_line()).text == "c"


async def test_control_characters_that_slipped_through_do_not_reach_the_terminal(
    pair: Pair,
) -> None:
    async with opened(pair) as terminal:
        await terminal.write("a\x1b[2Jb\x9bc\rd\x07e\x1b[0m")
        await pair.until(lambda: "a\ufffd[2Jb\ufffdc\ufffdd\ufffde\x1b[0m".encode() in pair.seen)


async def test_styles_are_left_out_without_colour(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(pair) as terminal:
        await terminal.write("\x1b[1;31mplain\x1b[0m")
        await pair.until(lambda: b"plain\r\n" in pair.seen)
        assert b"\x1b[1;31m" not in pair.seen


async def test_a_line_can_be_given_back(pair: Pair) -> None:
    async with opened(pair) as terminal:
        assert terminal.line_is_empty
        terminal.give_back("not sent")
        await pair.until(lambda: not terminal.line_is_empty)
        terminal.give_back("too late: another is being typed")
        pair.type("!\r")
        assert (await terminal.read_line()).text == "not sent!"


async def test_a_cancelled_question_gives_the_line_back(pair: Pair) -> None:
    async with opened(pair) as terminal:
        pair.type("half")
        with trio.move_on_after(0.2):
            await terminal.read_secret("12345")
        await pair.until(lambda: b"12345" in pair.seen)
        await trio.sleep(0.1)
        pair.type("way\r")
        assert (await terminal.read_line()).text == "halfway"


async def test_the_end_of_input_answers_a_question(pair: Pair) -> None:
    terminal = open_terminal(stdin=pair.stdin, stdout=pair.stdout)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: terminal.run(task_status=task_status))

        async def ask() -> None:
            with pytest.raises(trio.EndOfChannel):
                await terminal.read_secret("12345")

        nursery.start_soon(ask)
        await pair.until(lambda: b"12345" in pair.seen)
        assert isinstance(terminal, ScreenTerminal)
        terminal._loop.call_soon_threadsafe(terminal._editor.quit)  # type: ignore[union-attr]


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_a_terminal_without_cursor_is_plain(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    assert isinstance(open_terminal(stdin=pair.stdin, stdout=pair.stdout), PlainTerminal)


async def test_a_long_line_without_end_is_cut() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as stdin, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w") as stdout:
        terminal = PlainTerminal(stdin=stdin, stdout=stdout)
        async with trio.lowlevel.FdStream(write) as pipe, trio.open_nursery() as nursery:
            nursery.start_soon(terminal.run)
            nursery.start_soon(pipe.send_all, b"x" * (3 << 20))
            assert len((await terminal.read_line()).text) >= 1 << 20
            assert len((await terminal.read_line()).text) >= 1 << 20
            nursery.cancel_scope.cancel()


def plain(pair: Pair) -> PlainTerminal:
    """Lines from a pipe, or none, and text to a terminal that can move its cursor."""
    return PlainTerminal(stdin=None, stdout=pair.stdout)


async def test_a_plain_terminal_is_wiped_where_it_can_be(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wipe = b"\x1b[H\x1b[2J\x1b[3J"
    terminal = plain(pair)
    await terminal.write("seen")
    terminal.clear()
    await terminal.write("after")
    await pair.until(lambda: b"after" in pair.seen)
    assert pair.seen == b"seen\r\n" + wipe + b"after\r\n"
    monkeypatch.setenv("TERM", "dumb")
    terminal = plain(pair)
    terminal.forget()
    await terminal.write("end")
    await pair.until(lambda: b"end" in pair.seen)
    assert pair.seen.count(wipe) == 1


async def test_a_plain_terminal_is_wiped_after_what_is_being_written(pair: Pair) -> None:
    terminal = plain(pair)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(terminal.write, "x" * (1 << 18))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(terminal.write, "queued")
        await trio.testing.wait_all_tasks_blocked()
        terminal.forget()
        await pair.until(lambda: pair.seen.endswith(b"\x1b[H\x1b[2J\x1b[3J"))
    await terminal.write("after")
    await pair.until(lambda: pair.seen.endswith(b"\x1b[3Jafter\r\n"))
    assert b"queued" not in pair.seen


async def test_a_plain_terminal_that_ends_while_it_is_written_to_is_still_wiped(pair: Pair) -> None:
    terminal = PlainTerminal(stdin=pair.stdin, stdout=pair.stdout)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(terminal.run)
        nursery.start_soon(terminal.write, "x" * (1 << 18))
        await trio.testing.wait_all_tasks_blocked()
        terminal.forget()
        pair.look()  # there is room again
        nursery.cancel_scope.cancel()
    await pair.until(lambda: pair.seen.endswith(b"\x1b[H\x1b[2J\x1b[3J"))


def test_giving_up_is_bounded(pair: Pair) -> None:
    outlet = terminal_module.Outlet(pair.stdout)
    start = time.monotonic()
    outlet.write("x" * (1 << 20), patience=0.3)
    assert 0.2 < time.monotonic() - start < 2
    outlet.give_up_in(0)
    outlet.write("y" * 100)
    assert not outlet.lost
