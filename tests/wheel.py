"""The package as others get it: a wheel, and an environment of its own that it is installed in."""

import os
import site
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: What flit builds is for no time of its own: the zip format's first (SOURCE_DATE_EPOCH).
EPOCH = "315532800"

_BUILD = "import sys; from flit_core import buildapi; print(buildapi.build_wheel(sys.argv[1]))"


def build(into: Path, source: Path = ROOT, *, umask: int = -1, env: dict[str, str]) -> Path:
    """The wheel of ``source``, built without a network."""
    built = subprocess.run(
        [sys.executable, "-c", _BUILD, str(into)],
        cwd=source,
        env={**os.environ, **env},
        umask=umask,
        check=True,
        capture_output=True,
        text=True,
    )
    return into / built.stdout.strip()


def install(wheel: Path, into: Path) -> Path:
    """The folder with the programs of a new environment that the wheel is installed in.

    What it needs comes from the environment of the tests, but for the package itself.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(into)], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    program = ["--python", str(into / "bin" / "python")]
    offline = ["install", "--no-index", "--no-deps", "--no-compile", str(wheel)]
    subprocess.run([*pip, *program, *offline], check=True)
    (packages,) = into.glob("lib/python*/site-packages")
    # A folder named in a .pth file is searched last, and its own .pth files are not read.
    (packages / "needed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return into / "bin"
