"""What a start imports, and what it leaves for later: nobody waits for what nobody asked for."""

import ast
import os
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pexpect
import pytest

from fantom_trio import nursery
from fantom_trio.nursery import deliver, dial

FACE = Path(nursery.__file__)
#: Imports every module of the nursery, and asks the face then.
LATE = """
from importlib import import_module
from pkgutil import iter_modules
import sys
import fantom_trio.nursery as nursery
for each in iter_modules(nursery.__path__, "fantom_trio.nursery."):
    import_module(each.name)
modules = [name for name in nursery.__all__ if isinstance(getattr(nursery, name), type(sys))]
assert not modules, modules
"""
#: Runs the program, and writes down which modules there are at its end.
PROGRAM = """
import sys
from fantom_trio.start import main
file = sys.argv.pop(1)
try:
    code = main()
except SystemExit as end:
    code = end.code
with open(file, "w") as opened:
    opened.write("\\n".join(sys.modules))
sys.exit(code)
"""
#: As slow as they are rarely needed.
RARE = {
    "httpx", "psutil", "segno", "spake2", "http", "email", "platformdirs",
    "fantom_trio.nursery.doctor", "fantom_trio.nursery.port_mapping", "fantom_trio.wire.pcp",
    "fantom_trio.repl.tengwar", "fantom_trio.repl.doctor", "fantom_trio.repl.port_mapping",
    "fantom_trio.manual", "fantom_trio.completion",
}  # fmt: skip
#: What a chat needs, and a pipe that only sends does not.
OF_A_CHAT = {
    "prompt_toolkit", "wcwidth", "asyncio", "json", "difflib",
    "fantom_trio.follow", "fantom_trio.demo", "fantom_trio.repl.app", "fantom_trio.repl.render",
    "fantom_trio.nursery.node", "fantom_trio.nursery.links", "fantom_trio.nursery.conversation",
    "fantom_trio.nursery.verification", "fantom_trio.wire.verify", "fantom_trio.nursery.events",
    "fantom_trio.nursery.own_address", "fantom_trio.nursery.reach",
    "fantom_trio.nursery.changes", "fantom_trio.nursery.interfaces",
}  # fmt: skip


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm", "XDG_CONFIG_HOME": str(tmp_path)}


def dead_port() -> int:
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        port: int = sock.getsockname()[1]
        return port


def imported(tmp_path: Path, *arguments: str, code: int) -> set[str]:
    """The modules of a call at its end, whose exit code is ``code``."""
    file = tmp_path / "modules"
    call = [sys.executable, "-c", PROGRAM, str(file), *arguments]
    ended = subprocess.run(call, env=environment(tmp_path), capture_output=True, timeout=60)
    assert ended.returncode == code, ended.stderr.decode()
    return set(file.read_text().split())


def test_a_message_to_nobody_waits_for_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    modules = imported(tmp_path, "--once", f"[::1]:{dead_port()}", "hi", code=3)
    assert "fantom_trio.nursery.dial" in modules
    assert not modules & (RARE | OF_A_CHAT)


def test_help_waits_for_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    assert not imported(tmp_path, "--help", code=0) & (RARE | OF_A_CHAT)


def test_a_prompt_on_loopback_waits_for_nothing_that_is_not_asked_for_yet(tmp_path: Path) -> None:
    file = tmp_path / "modules"
    arguments = ["-c", PROGRAM, str(file), "--loopback", "--port", str(dead_port())]
    program = pexpect.spawn(sys.executable, arguments, env=environment(tmp_path), timeout=60)
    try:
        program.expect_exact(b"Listening on")
        program.send("/quit\r")
        program.expect(pexpect.EOF)
    finally:
        program.close(force=True)
    modules = set(file.read_text().split())
    assert "prompt_toolkit" in modules
    assert not modules & RARE


def declared() -> dict[str, set[str]]:
    """What type checkers read: the names of the face by their modules below ``fantom_trio``."""
    (block,) = (
        node
        for node in ast.parse(FACE.read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {
        (node.module or "").removeprefix("fantom_trio."): {alias.name for alias in node.names}
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }


def test_the_face_has_each_name_from_where_type_checkers_have_it() -> None:
    assert {home: set(names.split()) for home, names in nursery._HOMES.items()} == declared()


def test_the_face_forgets_no_name_and_has_no_other() -> None:
    names = [name for names in nursery._HOMES.values() for name in names.split()]
    assert sorted(nursery.__all__) == sorted([*names, "deliver", "dial"])
    assert set(nursery.__all__) <= set(dir(nursery))


@pytest.mark.parametrize("name", nursery.__all__)
def test_a_name_of_the_face_is_what_its_module_has(name: str) -> None:
    home = next((home for home, names in nursery._HOMES.items() if name in names.split()), None)
    module = import_module(f"fantom_trio.{home or f'nursery.{name}'}")
    assert getattr(nursery, name) is getattr(module, name)


def test_a_name_that_the_face_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        nursery.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_no_module_takes_the_place_of_a_function_of_its_name() -> None:
    assert not isinstance(deliver, ModuleType)
    assert not isinstance(dial, ModuleType)
    subprocess.run([sys.executable, "-c", LATE], check=True, timeout=60)
