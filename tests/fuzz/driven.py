"""``python -m tests.fuzz.driven HARNESS OPTIONS…``: libFuzzer drives a harness, and ends here.

Of ours nothing may be imported before ``atheris`` looks on: what was is run without its counters.
"""

import importlib
import sys


def main(name: str, *options: str) -> None:
    """``options`` are libFuzzer's, and its folders, the first of which gets what is new."""
    atheris = importlib.import_module("atheris")
    assert "fantom_trio" not in sys.modules
    with atheris.instrument_imports(include=["fantom_trio"]):
        harnesses = importlib.import_module("tests.fuzz.harnesses")
    atheris.Setup([name, *options], harnesses.HARNESSES[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
