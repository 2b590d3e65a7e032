"""Certificates of other projects, which are fetched once into a cache.

``fetch()`` gets what is reachable; ``files()`` reads what is there::

    asn1crypto-tests   the package index
    ca-certificates    Debian packages, as installed or else downloaded:
    golang-src           Go's crypto/x509 and crypto/tls, NIST's PKITS
    zlint gnutls28     Debian source packages, which are sometimes there in part
    mbedtls nss          only: what cannot be had is left out, and named
    wolfssl

The cache is ``$PINVERIFY_CACHE``, else ``pinverify`` in the user's cache folder. It
lies outside the tree, and nothing but the tests and fuzzers reads it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ALWAYS", "DEBIAN_SOURCES", "File", "cache", "fetch", "files"]

# What the package index and Debian's binary packages have is always there.
ALWAYS = ("asn1crypto-tests", "ca-certificates", "golang-src")
DEBIAN_SOURCES = ("zlint", "gnutls28", "mbedtls", "nss", "wolfssl")

_MIRROR = "http://deb.debian.org/debian"  # apt checks signatures
_KEYRINGS = "/usr/share/keyrings/debian-archive-keyring"
_GO = "golang-1.24-src"
_LARGEST = 2_000_000  # no certificate is larger
_ARCHIVES = {
    "zlint": "golang-github-zmap-zlint_*.orig.tar.*",
    "gnutls28": "gnutls28_*.orig.tar.*",
    "mbedtls": "mbedtls_*.orig.tar.*",
    "nss": "nss_*.orig.tar.*",
    "wolfssl": "wolfssl_*.orig.tar.*",
}


class File(NamedTuple):
    """One file of a source."""

    source: str
    name: str
    content: bytes


def cache() -> Path:
    """Return the folder that things are fetched into."""
    chosen = os.environ.get("PINVERIFY_CACHE")
    if chosen:
        return Path(chosen)
    parent = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(parent) / "pinverify"


# ---------------------------------------------------------------------------
# Fetching
# ---------------------------------------------------------------------------


def fetch() -> dict[str, str]:
    """Fetch what is not there yet; return for each source what came of it."""
    cache().mkdir(parents=True, exist_ok=True)
    outcomes = {
        "asn1crypto-tests": _fetch_wheel("asn1crypto-tests"),
        "ca-certificates": _fetch_package("ca-certificates", _ca_certificates()),
        "golang-src": _fetch_package(_GO, _go_sources()),
    }
    missing = [name for name in DEBIAN_SOURCES if _archive(name) is None]
    if missing:
        _fetch_debian_sources(missing)
    for name in DEBIAN_SOURCES:
        there = _archive(name) is not None
        outcomes[name] = "there" if there else "not reachable"
    return outcomes


def _run(*command: str) -> bool:
    """Run a command in the cache; say whether it succeeded."""
    if shutil.which(command[0]) is None:
        return False
    done = subprocess.run(
        command,
        cwd=cache(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=900,
        check=False,
    )
    return done.returncode == 0


def _fetch_wheel(name: str) -> str:
    """Download one wheel from the package index."""
    if _wheel(name) is None:
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
        _run(*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", name)
    return "not reachable" if _wheel(name) is None else "there"


def _fetch_package(name: str, folder: Path | None) -> str:
    """Download and unpack a Debian package, unless its *folder* is there."""
    if folder is not None:
        return "there"
    if _run("apt-get", "-qq", "download", name):
        (package,) = cache().glob(f"{name}_*.deb")
        _run("dpkg-deb", "-x", str(package), "debian")
        package.unlink()
        return "there"
    return "not reachable"


def _fetch_debian_sources(names: list[str]) -> None:
    """Download source packages with an apt configuration of their own."""
    for folder in ("lists/partial", "archives/partial"):
        (cache() / "apt" / folder).mkdir(parents=True, exist_ok=True)
    keyrings = [Path(_KEYRINGS + end) for end in (".pgp", ".gpg")]
    keyring = next((path for path in keyrings if path.is_file()), None)
    if keyring is None:  # not Debian
        return
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    line = f"deb-src [signed-by={keyring}] {_MIRROR} {release} main\n"
    (cache() / "apt" / "sources.list").write_text(line, encoding="ascii")
    apt = (
        "apt-get",
        "-qq",
        f"-oDir::Etc::SourceList={cache()}/apt/sources.list",
        "-oDir::Etc::SourceParts=/dev/null",
        f"-oDir::State::Lists={cache()}/apt/lists",
        f"-oDir::Cache={cache()}/apt",
        "-oAPT::Sandbox::User=root",  # the cache may be closed to others
    )
    if _run(*apt, "update"):
        for name in names:  # one by one: a 404 for one stops no other
            _run(*apt, "source", "--download-only", name)


# ---------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------


def _wheel(name: str) -> Path | None:
    """Return the wheel of this name in the cache."""
    return next(iter(sorted(cache().glob(f"{name.replace('-', '_')}-*.whl"))), None)


def _archive(name: str) -> Path | None:
    """Return the upstream archive of a Debian source package in the cache."""
    found = [path for path in cache().glob(_ARCHIVES[name]) if path.suffix != ".asc"]
    return max(found, default=None)


def _roots() -> tuple[Path, Path]:
    """Return where Debian packages are installed, and where they are unpacked."""
    return Path("/"), cache() / "debian"


def _ca_certificates() -> Path | None:
    """Return the folder of Debian's ca-certificates."""
    found = [root / "usr/share/ca-certificates/mozilla" for root in _roots()]
    return next((folder for folder in found if folder.is_dir()), None)


def _go_sources() -> Path | None:
    """Return the newest folder of Go's sources."""
    found = [path for root in _roots() for path in root.glob("usr/share/go-*/src")]
    return max(found, default=None)


def files() -> Iterator[File]:
    """Yield every file of every source that is there, in the order of names."""
    wheel = _wheel("asn1crypto-tests")
    if wheel is not None:
        yield from _of_wheel("asn1crypto-tests", wheel)
    for source, folder in (
        ("ca-certificates", _ca_certificates()),
        ("golang-src", _go_sources()),
    ):
        if folder is not None:
            yield from _of_folder(source, folder)
    for source in DEBIAN_SOURCES:
        archive = _archive(source)
        if archive is not None:
            yield from _of_archive(source, archive)


def _of_wheel(source: str, wheel: Path) -> Iterator[File]:
    with zipfile.ZipFile(wheel) as package:
        for name in sorted(package.namelist()):
            yield File(source, name, package.read(name))


def _of_folder(source: str, folder: Path) -> Iterator[File]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size <= _LARGEST:
            yield File(source, path.relative_to(folder).as_posix(), path.read_bytes())


def _of_archive(source: str, archive: Path) -> Iterator[File]:
    with tarfile.open(archive) as package:
        for member in package:
            content = package.extractfile(member) if member.isfile() else None
            if content is not None and member.size <= _LARGEST:
                # The folder at the top has the version in its name.
                name = re.sub(r"^[^/]*/", "", member.name)
                yield File(source, name, content.read())
