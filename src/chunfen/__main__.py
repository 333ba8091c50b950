"""python -m chunfen"""

import sys

from chunfen.cli.main import main

sys.exit(main())
