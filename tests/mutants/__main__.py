"""Start run.py; a file of its own, as multiprocessing does not import this one."""

from __future__ import annotations

import argparse
import sys

from mutants.run import main

parser = argparse.ArgumentParser(description="Mutants of the source.")
parser.add_argument("names", nargs="*", help="of lists, files or functions; or all")
sys.exit(main(parser.parse_args().names))
