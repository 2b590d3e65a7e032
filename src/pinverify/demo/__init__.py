"""`pinverify demo`: pins at work against a man in the middle, on this machine alone.

    network.py  authorities, and an address on 127.0.0.1 that leads where it likes
    stage.py    a Python prompt: what is shown is what runs
    scenes.py   the story
    cost.py     what a verification costs here

Each scene checks what it shows, and the demo fails if something is otherwise.
"""

from pinverify.demo.scenes import run
from pinverify.demo.stage import NotShownError

__all__ = ["NotShownError", "run"]
