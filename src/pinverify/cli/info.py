"""`pinverify info`: versions, and the kernels that the C core uses here."""

from __future__ import annotations

import platform
import ssl
from typing import TYPE_CHECKING

import cryptography
from cryptography.hazmat.backends.openssl import backend

from pinverify import core
from pinverify._version import __version__
from pinverify.core._kernels import scan_kernel, scan_kernels

if TYPE_CHECKING:
    from pinverify.cli.output import Output

__all__ = ["print_info"]


def print_info(out: Output) -> None:
    """Print the facts that a bug report should contain."""
    if out.as_json:
        out.json(
            {
                "pinverify": __version__,
                "sha256": {"in_use": core.kernel(), "available": core.kernels()},
                "scan": {"in_use": scan_kernel(), "available": scan_kernels()},
                "python": platform.python_version(),
                "implementation": platform.python_implementation(),
                "platform": platform.platform(),
                "openssl": ssl.OPENSSL_VERSION,
                "cryptography": cryptography.__version__,
                "cryptography_openssl": backend.openssl_version_text(),
            }
        )
        return
    out.fields(
        [
            ("pinverify", __version__),
            ("SHA-256", _kernels(core.kernel(), core.kernels())),
            ("scan", _kernels(scan_kernel(), scan_kernels())),
            (
                "Python",
                f"{platform.python_implementation()} {platform.python_version()}",
            ),
            ("platform", platform.platform()),
            ("OpenSSL", ssl.OPENSSL_VERSION),
            (
                "cryptography",
                f"{cryptography.__version__} with {backend.openssl_version_text()}",
            ),
        ]
    )


def _kernels(in_use: str, available: tuple[str, ...]) -> str:
    others = [name for name in available if name != in_use]
    return f"{in_use} in use" + (f"; also {', '.join(others)}" if others else "")
