"""The build of the C core, and its ABI: the part that pyproject.toml can't say.

And that an sdist, as a wheel does by itself, has the same bytes wherever it is
built, if SOURCE_DATE_EPOCH is set.

csrc/python/cross.py builds for other platforms. It sets PINVERIFY_TARGET, the tag of
the platform; PINVERIFY_COMPILER, a command; PINVERIFY_LINKING, what the linker needs;
and PINVERIFY_HEADERS, a folder.
"""

import gzip
import io
import os
import shlex
import shutil
import sys
import sysconfig
import tarfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist
from setuptools.errors import PlatformError

# One wheel serves CPython 3.11 and every later one. The free-threaded CPython
# has no stable ABI, so there the wheel is for one version.
is_cpython = sys.implementation.name == "cpython"
has_abi3 = is_cpython and not sysconfig.get_config_var("Py_GIL_DISABLED")

# The tag of the platform that the wheel is for, if it is not this one.
target = os.environ.get("PINVERIFY_TARGET", "")
is_for_windows = target.startswith("win") if target else sys.platform == "win32"


def check_machine(compiler: str) -> None:
    """Say what is missing here, before a compiler or Python says it in its own way."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which(compiler) is None:
        msg = (
            f"pinverify: no C compiler ({compiler}): install one (Debian and Ubuntu: "
            "apt install gcc libc6-dev), or name one in CC, and install again"
        )
        raise PlatformError(msg)
    if not headers.exists():
        msg = (
            f"pinverify: '{sys.executable}' has no Python.h: install its headers "
            "(Debian and Ubuntu: apt install python3-dev), and install again"
        )
        raise PlatformError(msg)


class Abi3Build(build_ext):
    """The build_ext command, with a name of the module that each Python finds.

    setuptools takes the first suffix of the interpreter that builds. CPython 3.15
    begins with one that 3.11 to 3.13 do not know, .abi3-x86_64-linux-gnu.so.
    """

    def get_ext_filename(self, fullname: str) -> str:
        """Return the path of the module."""
        if not has_abi3:
            return str(super().get_ext_filename(fullname))  # type: ignore[no-untyped-call]
        return fullname.replace(".", os.sep) + (
            ".pyd" if is_for_windows else ".abi3.so"
        )

    def build_extensions(self) -> None:
        """Compile with the compiler for the target, and its headers alone."""
        if target:
            command = shlex.split(os.environ["PINVERIFY_COMPILER"])
            link = shlex.split(os.environ["PINVERIFY_LINKING"])
            self.compiler.set_executables(
                compiler_so=command, linker_so=[*command, "-shared"]
            )
            for extension in self.extensions:
                extension.extra_link_args += link
            self.compiler.include_dirs = [os.environ["PINVERIFY_HEADERS"]]
            self.compiler.library_dirs = []
        elif hasattr(self.compiler, "compiler_so"):  # not that of Microsoft
            check_machine(self.compiler.compiler_so[0])
        super().build_extensions()


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


# What bdist_wheel is told.
of_wheel = {"py_limited_api": "cp311"} if has_abi3 else {}
if target:
    of_wheel["plat_name"] = target


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
    cmdclass={"build_ext": Abi3Build, "sdist": ReproducibleSdist},
    options={"bdist_wheel": of_wheel},
)
