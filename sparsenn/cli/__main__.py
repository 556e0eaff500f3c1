"""``python -m sparsenn.cli``."""

import sys

from sparsenn.cli import main

sys.exit(main())
