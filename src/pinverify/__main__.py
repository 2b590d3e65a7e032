"""`python -m pinverify` is the command `pinverify`."""

import sys

from pinverify.cli import main

if __name__ == "__main__":
    sys.exit(main())
