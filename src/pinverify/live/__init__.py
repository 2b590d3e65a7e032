"""Policies that are read again when their file is replaced, and their metrics.

    policy = PolicyFile("/etc/pins/pins.toml")
    context = policy.follow(ssl.create_default_context())

The code that enforces a policy does not know this package; it has `use(policy)`.
"""

from typing import TYPE_CHECKING

from pinverify._lazy import lazily

if TYPE_CHECKING:
    from pinverify.live._policy_file import Followed, PolicyFile
    from pinverify.live._probes import serve_probes
    from pinverify.live._prometheus import collector

__all__ = ["Followed", "PolicyFile", "collector", "serve_probes"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_policy_file": "Followed PolicyFile",
            "_probes": "serve_probes",
            "_prometheus": "collector",
        },
    )
