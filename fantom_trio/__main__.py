"""``python -m fantom_trio``."""

import sys

from fantom_trio.start import main

sys.exit(main())
