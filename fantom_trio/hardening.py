"""What keeps a conversation inside the process: memory that no other process is given, and crash
reports that name the place and not the values.
"""

import ctypes
import faulthandler
import gc
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import trio

from fantom_trio.repl.explain import Gap
from fantom_trio.repl.languages import _
from fantom_trio.tell import tell

__all__ = ["harden", "overwrite_freed", "report"]

#: Of each exception the innermost calls are told: a recursion without end has a thousand.
CALLS_TOLD = 30

_PR_SET_DUMPABLE = 4  # prctl(2)
#: The sizes of Python's small objects, and how many bytes of each are written over.
_SMALL = range(48, 513, 16)
_WRITTEN_BYTES = 1 << 19
#: The sizes that ``malloc`` keeps for a thread, and how many of each are written over.
_CHUNKS = range(24, 1033, 16)
_CHUNKS_WRITTEN = 8


def harden() -> list[Gap]:
    """Close the ways out of this process, for good: call it before there is anything secret.

    Only we may read the files we make, no core is dumped, and on Linux no process of the same user
    may read our memory (``PR_SET_DUMPABLE``, prctl(2)). What a bug makes Python or a library print
    is a crash report, or nothing. Returns what the system refused.
    """
    gaps = []
    os.umask(0o077)  # which cannot fail: umask(2)
    os.environ.pop("SSLKEYLOGFILE", None)  # into which Python would write the keys of TLS
    if sys.platform != "win32":
        import resource

        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        except (OSError, ValueError):
            gaps.append(Gap.CORES)
    # The limit says nothing to a program that the system hands its cores to (core(5)).
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        gaps.append(Gap.MEMORY)
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _unraisable
    if sys.stderr is not None:
        faulthandler.enable()  # it knows places only
    # Without a handler Python prints what libraries log of an error, with its values.
    logging.getLogger().addHandler(logging.NullHandler())
    return gaps


def report(error: BaseException) -> None:
    """Tell stderr of a bug: types of exceptions, files and lines. Values may be secrets."""
    tell(_("A bug in fantom-trio: please report these lines, which hold nothing that you wrote."))
    for line in _lines(error, set()):
        tell(line)


def overwrite_freed() -> None:
    """Best effort to leave no text in memory that Python was done with, and did not wipe.

    Call it outside of ``trio.run``, when nothing refers to the texts any more.
    """
    gc.unfreeze()  # what a start left alone may be what holds them
    gc.collect()
    # All at once, so that no place is taken twice. Beside its bytes such an object has 33.
    filling = [b"\0" * (size - 33) for size in _SMALL for _number in range(_WRITTEN_BYTES // size)]
    del filling
    _overwrite_chunks()
    # Trio takes the thread that ended last: the terminal's, which has chunks of its own.
    trio.run(trio.to_thread.run_sync, _overwrite_chunks)


def _overwrite_chunks() -> None:
    """What ``malloc`` keeps for this thread: in the GNU libc, seven chunks of each size."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    chunks = []
    for size in _CHUNKS:
        for _number in range(_CHUNKS_WRITTEN):
            if chunk := libc.malloc(size):
                ctypes.memset(chunk, 0, size)
                chunks.append(chunk)
    for chunk in chunks:
        libc.free(chunk)


def _lines(error: BaseException, told: set[int]) -> Iterator[str]:
    """What led to ``error`` comes first, as in Python's own reports."""
    told.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in told:
        yield from _lines(before, told)
    kind = type(error)
    yield f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    calls = list(traceback.walk_tb(error.__traceback__))[-CALLS_TOLD:]
    for frame, line in calls:
        code = frame.f_code
        yield f"    {_short(code.co_filename)}:{line} in {code.co_qualname}"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            if id(each) not in told:
                yield from _lines(each, told)


def _short(file: str) -> str:
    """``file`` without the folder that it was imported from: whose it is stays our secret."""
    for folder in sorted(sys.path, key=len, reverse=True):
        if folder and Path(file).is_relative_to(folder):
            return str(Path(file).relative_to(folder))
    return Path(file).name


def _uncaught(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        report(error)


def _unraisable(what: "sys.UnraisableHookArgs | threading.ExceptHookArgs") -> None:
    """In a ``__del__``, or in a thread that nobody waits for."""
    if what.exc_value is not None:
        report(what.exc_value)
