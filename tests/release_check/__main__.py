"""Start run.py: ``python -m release_check``, which `make release-check` calls."""

import sys

from release_check.run import main

sys.exit(main(sys.argv[1:]))
