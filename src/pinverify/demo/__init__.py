"""`pinverify demo`: pins stop a man in the middle, on this machine only.

    network.py  authorities, and an address on 127.0.0.1 that can change its server
    stage.py    a Python prompt: the code that is shown is the code that runs
    scenes.py   the story
    cost.py     the cost of a verification on this machine

Each scene checks what it shows, and the demo fails if a check does.
"""

from pinverify.demo.scenes import run
from pinverify.demo.stage import NotShownError

__all__ = ["NotShownError", "run"]
