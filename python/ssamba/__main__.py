"""`python -m ssamba` is the command `ssamba`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
