"""Start run.py: ``python -m release_check``, which `make release-check` calls."""

import signal
import sys

from release_check.run import main

# So that what it has started ends with it, as after Ctrl-C.
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
sys.exit(main(sys.argv[1:]))
