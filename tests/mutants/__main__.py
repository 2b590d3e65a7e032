"""Begin run.py; a file of its own, since a process that tests imports no main file."""

from __future__ import annotations

import argparse
import sys

from mutants.run import main

parser = argparse.ArgumentParser(description="Mutants of the source.")
parser.add_argument("names", nargs="*", help="of lists, files or functions; or all")
sys.exit(main(parser.parse_args().names))
