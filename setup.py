"""The build of the C core, and its ABI: the part that pyproject.toml can't say.

And that an sdist, as a wheel does by itself, has the same bytes wherever it is
built, if SOURCE_DATE_EPOCH is set.
"""

import gzip
import io
import os
import sysconfig
import tarfile
from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist

# One wheel serves CPython 3.11 and every later one. The free-threaded CPython
# has no stable ABI, so there the wheel is for one version.
has_abi3 = not sysconfig.get_config_var("Py_GIL_DISABLED")


def same_everywhere(archive: bytes, moment: int) -> bytes:
    """Return a .tar.gz without times, owners and permissions of this machine."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        gzip.GzipFile("", "wb", fileobj=out, mtime=moment) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            content = old.extractfile(member) if member.isfile() else None
            plain = tarfile.TarInfo(member.name)  # owned by nobody in particular
            plain.type, plain.size, plain.mtime = member.type, member.size, moment
            plain.mode = 0o755 if member.mode & 0o100 else 0o644
            new.addfile(plain, content)
    return out.getvalue()


class ReproducibleSdist(sdist):
    """The sdist command, with archives that are the same everywhere."""

    def make_distribution(self) -> None:
        """Make the archives, then even them out."""
        super().make_distribution()
        moment = os.environ.get("SOURCE_DATE_EPOCH")
        if moment is not None:
            for path in map(Path, self.archive_files):
                path.write_bytes(same_everywhere(path.read_bytes(), int(moment)))


setup(
    cffi_modules=["csrc/python/build_cffi.py:ffibuilder"],
    cmdclass={"sdist": ReproducibleSdist},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if has_abi3 else {},
)
