"""`python -m inversynth`."""

import sys

from .cli import main

sys.exit(main())
