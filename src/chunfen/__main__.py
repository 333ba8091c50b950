"""`python -m chunfen` is the command `chunfen`."""

import sys

from chunfen.cli.main import main

sys.exit(main())
