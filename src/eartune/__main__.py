"""python -m eartune."""

import sys

from eartune.cli import main

sys.exit(main())
