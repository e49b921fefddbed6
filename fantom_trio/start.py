"""Where the program begins, by its name and as ``python -m fantom_trio``."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["importing", "main"]


@contextmanager
def importing() -> Iterator[None]:
    """No garbage is looked for inside, and what is there at the end is never looked through again.

    Modules come by the thousand objects and are no garbage: looking through them after every few
    hundred takes a fifth of the time of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def main() -> int:
    """Run the program and return its exit code."""
    with importing():
        from fantom_trio import cli
    return cli.main()
