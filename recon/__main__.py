"""``python -m recon`` is the same as ``recon``."""

import sys

from recon.cli import main

sys.exit(main())
