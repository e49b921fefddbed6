"""The house: floors that know only the floor below, files to be read in one sitting."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fantom_trio

PACKAGE = Path(fantom_trio.__file__).parent
FLOORS = ("wire", "nursery", "repl")
FILES = sorted(PACKAGE.rglob("*.py"))
#: Base classes that document what their methods do.
OTHERS = {"Terminal", "Completer", "Buffer", "History", "Processor", "Vt100_Output"}
#: Lines that can be read in one sitting.
SITTING = 420


def name(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def imports(file: Path) -> Iterator[str]:
    """The full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parts = ("fantom_trio", *file.relative_to(PACKAGE).parts)[: -node.level]
                module = ".".join([*parts, module]) if module else ".".join(parts)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def floor(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "fantom_trio" and len(parts) > 1 else ""


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_floor_imports_nothing_from_above(file: Path) -> None:
    own = file.relative_to(PACKAGE).parts[0]
    if own not in FLOORS:
        return  # cli, once and demo stand on top
    allowed = {"", "__version__", *FLOORS[: FLOORS.index(own) + 1]}
    assert {floor(module) for module in imports(file)} <= allowed


@pytest.mark.parametrize("file", FILES, ids=name)
def test_above_the_nursery_only_its_face_is_used(file: Path) -> None:
    if file.relative_to(PACKAGE).parts[0] in ("wire", "nursery"):
        return
    for module in imports(file):
        if floor(module) in ("wire", "nursery"):
            assert re.fullmatch(r"fantom_trio\.nursery\.\w+", module)


def users_of(library: str) -> set[str]:
    return {
        name(file)
        for file in FILES
        for module in imports(file)
        if module == library or module.startswith(library + ".")
    }


def test_what_one_file_answers_for_no_other_imports() -> None:
    assert users_of("nacl") == {"wire/secret.py", "wire/ciphers.py"}
    assert users_of("httpx") == {"nursery/reach.py"}
    assert users_of("psutil") == {"nursery/interfaces.py"}
    assert users_of("threading") == {"hardening.py", "repl/screen.py"}
    screen = {"repl/editor.py", "repl/buffers.py", "repl/drawing.py"}
    assert users_of("prompt_toolkit") == screen
    assert users_of("segno") == {"repl/qr.py"}
    assert users_of("platformdirs") == {"repl/languages.py"}
    assert users_of("socket") == {"nursery/interfaces.py", "nursery/tcp.py"}


def test_the_wire_has_no_input_no_output_and_no_clock() -> None:
    outside = {"socket", "ssl", "trio", "asyncio", "time", "datetime", "os", "threading", "select"}
    for file in (PACKAGE / "wire").glob("*.py"):
        assert not {module.split(".")[0] for module in imports(file)} & outside, name(file)


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_file_is_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= SITTING


@pytest.mark.parametrize("file", FILES, ids=name)
def test_what_is_public_is_documented(file: Path) -> None:
    tree = ast.parse(file.read_text())
    if file.stat().st_size:
        assert ast.get_docstring(tree), "a module says what it is"
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            local = node.col_offset > 4 or node.name.startswith("_")
            overrides = any(
                ast.unparse(each) == "override" or ast.unparse(each).endswith(".setter")
                for each in node.decorator_list
            )
            if not local and not overrides and node in _public(tree):
                assert ast.get_docstring(node), f"{node.name} has no docstring"


def _public(tree: ast.Module) -> list[ast.AST]:
    """Public functions and classes of a module, and public methods of public classes."""
    found: list[ast.AST] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.name.startswith("_"):
                continue
            found.append(node)
            if isinstance(node, ast.ClassDef):
                inherited = {ast.unparse(base) for base in node.bases} & OTHERS
                for method in node.body:
                    is_method = isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
                    # What a base class documents need not be said again.
                    if is_method and not inherited:
                        found.append(method)
    return found
