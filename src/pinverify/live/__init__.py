"""Policies that live: read again when their file is replaced, counted, rotated.

    policy = PolicyFile("/etc/pins/pins.toml")
    context = policy.follow(ssl.create_default_context())

What enforces a policy knows nothing of this package: it has `use(policy)`.
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
