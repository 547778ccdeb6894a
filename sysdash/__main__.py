"""``python -m sysdash``."""

import sys

from sysdash.cli import main

sys.exit(main())
