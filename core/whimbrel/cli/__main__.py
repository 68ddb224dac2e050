"""`python -m whimbrel.cli`: the command without its script."""

import sys

from whimbrel.cli import main

sys.exit(main())
