"""The exit codes of all commands.

0    done; check: a pin matches
1    check, audit: rejected; lint: errors; diff: accepts less; rotate: not safe; demo:
     something did not happen as described
2    wrong usage, or no answer: no such file, no connection, no valid certificate;
     audit: a part of the input could not be read
3    check, audit: accepted although no pin matched; convert: done, and may accept more;
     diff: accepts more, or other peers
130  Ctrl-C
"""

__all__ = [
    "ACCEPTED_UNMATCHED",
    "ACCEPTS_LESS",
    "ACCEPTS_MORE",
    "FOUND",
    "INTERRUPTED",
    "NOT_SAFE",
    "NOT_SHOWN",
    "NO_ANSWER",
    "REJECTED",
    "WRONG_USE",
]

REJECTED = FOUND = ACCEPTS_LESS = NOT_SAFE = NOT_SHOWN = 1
WRONG_USE = NO_ANSWER = 2
ACCEPTED_UNMATCHED = ACCEPTS_MORE = 3
INTERRUPTED = 130
