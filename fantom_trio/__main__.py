"""``python -m fantom_trio``."""

import sys

from fantom_trio.cli import main

sys.exit(main())
