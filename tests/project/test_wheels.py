"""Wheels for all platforms, built on one machine by `csrc/python/cross.py`.

`make wheels` gives the folder with all of them; without it, one wheel is built here.
Each is opened, and compared with what its name says. Wheels for Linux are run: on each
CPython of this machine, on those of Debian's sid, and on ARMv8 in an emulator, with
Debian's CPython for it. There is no Python for musl here, so only the core is run.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import cross
from c_objects import ended
from core_sources import CSRC, core_sources
from pinverify import Pin, Policy
from pki import Pki

__all__: list[str] = []

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="runs on Linux"),
]
slow = pytest.mark.slow
needs_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed"
)

ROOT = CSRC.parent

# The folder that `make wheels` has filled.
GIVEN = os.environ.get("PINVERIFY_WHEELS")
BUILT = [
    target
    for target in cross.TARGETS
    if (
        any(Path(GIVEN).glob(f"*-{target}.whl"))
        if GIVEN
        else target == "manylinux2014_x86_64"
    )
]
X86_64 = [target for target in BUILT if target == "manylinux2014_x86_64"]
AARCH64 = [target for target in BUILT if target == "manylinux2014_aarch64"]
MUSL = [target for target in BUILT if target.startswith("musllinux")]

# By platform, what the tests here do with it, as docs/wheels.md says it.
RUN = {
    "manylinux2014_x86_64": "run",
    "manylinux2014_aarch64": "run",
    "musllinux_1_2_x86_64": "core run",
    "musllinux_1_2_aarch64": "core run",
}

# The first bytes of a module, and the number of its processor behind them: ELF
# (e_machine), Mach-O of 64 bits (cputype), PE (Machine).
ELF, MACHO = b"\x7fELF\2\1", b"\xcf\xfa\xed\xfe"
PROCESSORS = {
    ("linux", "x86_64"): 62,
    ("linux", "aarch64"): 183,
    ("darwin", "x86_64"): 0x01000007,
    ("darwin", "aarch64"): 0x0100000C,
    ("win32", "x86_64"): 0x8664,
    ("win32", "aarch64"): 0xAA64,
}

# Its arguments are the folder of the package, and two certificates.
SMOKE = """
import hashlib
import sys

import pinverify
from pinverify import core

assert pinverify.__file__.startswith(sys.argv[1]), pinverify.__file__
assert core.kernels()[-1] == "portable", core.kernels()
for kernel in core.kernels():
    with core.use_kernel(kernel):
        for size in (0, 1, 55, 56, 63, 64, 65, 1000, 100_003):
            data = bytes(i * 7 & 255 for i in range(size))
            assert core.sha256(data) == hashlib.sha256(data).digest(), (kernel, size)
with open(sys.argv[2], "rb") as file:
    leaf = file.read()
with open(sys.argv[3], "rb") as file:
    impostor = file.read()
policy = pinverify.Policy({"localhost": [pinverify.Pin.from_certificate(leaf)]})
again = pinverify.Policy.open(policy.compile())
assert again.evaluate("localhost", [leaf]).accepted
assert not again.evaluate("localhost", [impostor]).accepted
from pinverify.cli import main

sys.argv = ["pinverify", "--version"]
print(*core.kernels())
main()
"""


# The name of the module where the interpreter that builds has what setuptools reads on
# 3.15: by setuptools, and by setup.py.
NAMES = """
import importlib.machinery, sysconfig
importlib.machinery.EXTENSION_SUFFIXES.insert(0, ".abi3-x86_64-linux-gnu.so")
sysconfig.get_config_vars()["SOABI_PLATFORM"] = "x86_64-linux-gnu"
from setuptools.command.build_ext import build_ext
from distutils.core import run_setup
dist = run_setup("setup.py", stop_after="init")
for command in (build_ext(dist), dist.cmdclass["build_ext"](dist)):
    command.finalize_options()
    print(command.get_ext_filename("pinverify._core"))
"""


class Python(NamedTuple):
    """An interpreter: the command that starts it, and what pip knows it by."""

    command: tuple[str, ...]
    version: str
    machine: str


# ---- building ----------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheels."""
    if GIVEN:
        return Path(GIVEN).resolve()
    out = tmp_path_factory.mktemp("wheels")
    cross.main(out, BUILT)
    return out


def wheel_of(folder: Path, target: str) -> Path:
    """Return the wheel for a platform."""
    (wheel,) = folder.glob(f"*-{target}.whl")
    return wheel


@slow
@needs_zig
@pytest.mark.parametrize("target", BUILT)
def test_a_second_build_has_the_same_bytes(
    folder: Path, target: str, tmp_path: Path
) -> None:
    """Whoever builds the sdist again can compare the wheel with the published one."""
    first = wheel_of(folder, target)
    (sdist,) = folder.glob("*.tar.gz")
    second = cross.build_wheel(sdist, target, tmp_path)
    assert second.name == first.name
    assert second.read_bytes() == first.read_bytes()


# ---- what is inside ----------------------------------------------------------


def module_of(wheel: Path, target: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the compiled module, of which there is one."""
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.startswith("pinverify/_core.")]
        names = [name for name in names if not name.endswith(".pyi")]
        assert len(names) == 1, (target, names)
        return names[0], archive.read(names[0])


def processor(module: bytes) -> int:
    """Return the number of the processor that a module is for."""
    if module.startswith(ELF):
        return int(struct.unpack_from("<H", module, 18)[0])
    if module.startswith(MACHO):
        return int(struct.unpack_from("<I", module, 4)[0])
    (header,) = struct.unpack_from("<I", module, 0x3C)
    assert module[:2] == b"MZ"
    assert module[header : header + 4] == b"PE\0\0"
    return int(struct.unpack_from("<H", module, header + 4)[0])


def module_faults(name: str, module: bytes, target: str) -> list[str]:
    """Return what is wrong with the module of a wheel."""
    about = cross.TARGETS[target]
    suffix = "pyd" if about["system"] == "win32" else "abi3.so"
    faults = []
    if name != f"pinverify/_core.{suffix}":
        faults.append(f"{name}: no Python before 3.15 finds it, or none does")
    wanted = PROCESSORS[about["system"], about["zig"].partition("-")[0]]
    if processor(module) != wanted:
        faults.append(f"it is for the processor {processor(module)}, not {wanted}")
    places = re.findall(rb"[^\0]*(?:/tmp/|/home/|/root/|/pinverify-)[^\0]*", module)
    return [*faults, *(f"it names {place!r}" for place in places)]


@pytest.mark.parametrize(
    ("target", "name"),
    [(None, "abi3.so"), ("macosx_11_0_arm64", "abi3.so"), ("win_arm64", "pyd")],
)
def test_python_3_15_does_not_change_the_name(target: str | None, name: str) -> None:
    """By itself, setuptools takes the first suffix, which 3.11 to 3.13 do not find."""
    env = {n: text for n, text in os.environ.items() if n != "PINVERIFY_TARGET"}
    done = subprocess.run(
        [sys.executable, "-c", NAMES],
        cwd=ROOT,
        env=env | ({"PINVERIFY_TARGET": target} if target else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [
        "pinverify/_core.abi3-x86_64-linux-gnu.so",
        f"pinverify/_core.{name}",
    ], done.stderr


@slow
@needs_zig
@pytest.mark.parametrize("target", BUILT)
def test_a_wheel_holds_the_module_that_its_name_promises(
    folder: Path, target: str
) -> None:
    """One module, under a name that CPython 3.11 to 3.15 find, for the processor."""
    wheel = wheel_of(folder, target)
    assert re.fullmatch(rf"pinverify-[\d.]+-cp311-abi3-{target}\.whl", wheel.name)
    assert module_faults(*module_of(wheel, target), target) == []
    with zipfile.ZipFile(wheel) as archive:
        (about,) = (n for n in archive.namelist() if n.endswith(".dist-info/WHEEL"))
        tags = re.findall(r"(?m)^Tag: (.*)$", archive.read(about).decode("utf-8"))
    assert tags == [f"cp311-abi3-{target}"]


def test_a_planted_fault_of_a_module_is_seen() -> None:
    """The name that setuptools gives on 3.15, another processor, a folder."""
    module = ELF + bytes(12) + struct.pack("<H", 62) + bytes(44)
    name, target = "pinverify/_core.abi3.so", "manylinux2014_x86_64"
    assert module_faults(name, module, target) == []
    named = name.replace("abi3", "abi3-x86_64-linux-gnu")
    assert len(module_faults(named, module, target)) == 1
    assert len(module_faults(name, module, "manylinux2014_aarch64")) == 1
    assert len(module_faults(name, module + b"\0/tmp/build/x.c\0", target)) == 1


def extracted(folder: Path, target: str, out: Path) -> Path:
    """Write the module of a wheel into a folder; return its path."""
    name, module = module_of(wheel_of(folder, target), target)
    path = out / Path(name).name
    path.write_bytes(module)
    return path


def run(*command: str | Path) -> str:
    """Run a command that must succeed; return what it prints."""
    code, told, errors = ended(command, timeout=600)
    assert code == 0, told + errors
    return told + errors


@slow
@needs_zig
@pytest.mark.parametrize("target", [t for t in BUILT if "linux" in t])
def test_a_module_of_linux_needs_libc_alone(
    folder: Path, target: str, tmp_path: Path
) -> None:
    """Of glibc 2.17 or before, or of musl, which has no versions; hardened."""
    module = extracted(folder, target, tmp_path)
    told = run("readelf", "-W", "-d", "-l", "--dyn-syms", "--version-info", module)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", told)
    versions = [
        tuple(map(int, text.split("."))) for text in re.findall(r"GLIBC_([\d.]+)", told)
    ]
    if "musl" in target:
        assert needed == ["libc.so"]
        assert versions == []
    else:
        assert set(needed) <= {"libc.so.6", "ld-linux-aarch64.so.1"}
        assert max(versions) <= (2, 17)
    assert "BIND_NOW" in told
    assert "GNU_RELRO" in told
    shown = re.findall(r"GLOBAL DEFAULT +\d+ (\w+)", told)
    assert shown == ["PyInit__core"]


@slow
@needs_zig
@pytest.mark.parametrize("target", BUILT)
def test_a_wheel_keeps_to_the_stable_abi(folder: Path, target: str) -> None:
    """The module uses no symbol that a later Python may drop."""
    auditor = (sys.executable, "-m", "abi3audit", "--strict", "--verbose")
    words = " ".join(run(*auditor, wheel_of(folder, target)).split())
    assert "1 extensions scanned; 0 ABI version mismatches and 0 ABI viol" in words


@slow
@needs_zig
@pytest.mark.parametrize("target", [t for t in BUILT if "manylinux" in t])
def test_auditwheel_agrees_with_the_tag(folder: Path, target: str) -> None:
    """It is what the index and pip believe. For musl it fails, and is not asked."""
    told = run(sys.executable, "-m", "auditwheel", "show", wheel_of(folder, target))
    # Lines are broken at any blank.
    words = " ".join(told.split())
    machine = target.partition("_")[2]
    assert f'"manylinux_2_17_{machine}"' in words


@slow
@needs_zig
@pytest.mark.parametrize("target", BUILT)
def test_the_index_takes_the_wheel(folder: Path, target: str) -> None:
    """Its metadata are whole, and its page can be shown."""
    told = run(
        sys.executable, "-m", "twine", "check", "--strict", wheel_of(folder, target)
    )
    assert "PASSED" in told


@slow
@needs_zig
def test_the_import_library_has_the_names_that_the_module_uses(
    folder: Path, tmp_path: Path
) -> None:
    """One that is missing fails on Windows, one too many is never looked at."""
    module = extracted(folder, BUILT[0], tmp_path)
    told = run("readelf", "-W", "--dyn-syms", module)
    used = set(re.findall(r"UND (_?Py\w+)", told))
    text = (CSRC / "python" / "cross" / "python3.def").read_text(encoding="ascii")
    named = re.findall(r"^  (\w+)(?: DATA)?$", text, re.MULTILINE)
    # On Windows a long has 32 bits, and values of 64 are made by these.
    longer = {"PyLong_FromLongLong", "PyLong_FromUnsignedLongLong"}
    assert named == sorted(used | longer)


# ---- running -----------------------------------------------------------------


def of_this_machine() -> list[Python]:
    """Return the CPythons of 3.11 and later in PATH, and those of pyenv."""
    names = [f"python3.{minor}" for minor in range(11, 20)]
    found = [shutil.which(name) for name in (*names, "python3")]
    kept = Path.home() / ".pyenv" / "versions"
    found += ["/usr/bin/python3", *map(str, kept.glob("3.*/bin/python3"))]
    pythons: dict[str, Python] = {}
    probe = "import sys; print('%d.%d' % sys.version_info[:2], sys.abiflags)"
    for path in filter(None, found):
        if not Path(path).exists():
            continue
        code, told, _ = ended([path, "-I", "-c", probe])
        version, _, flags = told.strip().partition(" ")
        if code == 0 and not flags and int(version.partition(".")[2]) >= 11:
            pythons.setdefault(version, Python((path,), version, "x86_64"))
    return list(pythons.values())


@cache
def _unpacked(suite: str, architecture: str) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=f"pinverify-{suite}-{architecture}-")


LIBRARIES = (
    *(
        "libc6",
        "libgcc-s1",
        "zlib1g",
        "libexpat1",
        "libffi8",
        "libssl3t64",
        "libbz2-1.0",
    ),
    *("liblzma5", "libzstd1", "libsqlite3-0", "libuuid1", "libcrypt1"),
)


def of_debian(suite: str, architecture: str, *versions: str) -> list[Python]:
    """Return CPythons of Debian, unpacked into a folder: nothing is installed.

    Args:
        suite: of Debian, such as "sid".
        architecture: amd64, whose programs run by themselves, or arm64, in qemu.
        versions: of Python, such as "3.14".
    """
    keys = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if not (keys.exists() and shutil.which("apt-get") and shutil.which("dpkg")):
        pytest.skip("no apt-get and keys of Debian here")
    folder = Path(_unpacked(suite, architecture).name)
    root = folder / "root"
    if not root.exists():
        for name in ("lists/partial", "archives/partial", "debs", "root"):
            (folder / name).mkdir(parents=True)
        source = f"deb [signed-by={keys}] http://deb.debian.org/debian {suite} main\n"
        (folder / "sources.list").write_text(source, encoding="ascii")
        options = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root",
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": folder,
            "Dir::State::status": "/dev/null",
            "Dir::Cache": folder,
        }
        apt = [
            "apt-get",
            "-qq",
            *(f"-o{name}={text}" for name, text in options.items()),
        ]
        names = [
            name.format(version)
            for version in versions
            for name in (
                "python{}-minimal",
                "libpython{}-minimal",
                "libpython{}-stdlib",
            )
        ]
        if ended([*apt, "update"], timeout=300)[0] != 0:
            pytest.skip(f"there is no {suite} of Debian to be had here")
        script = 'cd "$1"; shift; exec "$@"'
        command = [*apt, "download", *LIBRARIES, *names]
        run("sh", "-c", script, "sh", folder / "debs", *command)
        for package in (folder / "debs").glob("*.deb"):
            run("dpkg", "-x", package, root)
        for name in ("lib", "lib64"):
            if not (root / name).exists():
                (root / name).symlink_to(f"usr/{name}")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[architecture]
    if architecture == "arm64":
        if shutil.which("qemu-aarch64") is None:
            pytest.skip("no qemu-aarch64 here (Debian and Ubuntu: qemu-user)")
        start = ("qemu-aarch64", "-L", str(root))
    else:
        libraries = root / "usr" / "lib" / "x86_64-linux-gnu"
        loader = root / "usr" / "lib64" / "ld-linux-x86-64.so.2"
        start = (str(loader), "--library-path", str(libraries))
    return [
        Python((*start, str(root / "usr" / "bin" / f"python{v}")), v, machine)
        for v in versions
    ]


def smoke(python: Python, wheel: Path, tmp_path: Path, pki: Pki) -> None:
    """Unpack a wheel and what it needs beside an interpreter, and use it there.

    pip of this Python chooses the files, for the other one.
    """
    place = tmp_path / "installed"
    platforms = [f"manylinux_2_{n}_{python.machine}" for n in range(17, 40)]
    platforms += [f"manylinux2014_{python.machine}"]
    abi = f"cp{python.version.replace('.', '')}"
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--target", place),
        *("--only-binary=:all:", "--python-version", python.version),
        *("--implementation", "cp", "--abi", abi, "--abi", "abi3", "--abi", "none"),
        *(f"--platform={platform}" for platform in platforms),
        f"{wheel}[cli]",
    )
    script, leaf, impostor = (tmp_path / name for name in ("smoke.py", "1", "2"))
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(place)!r})\n{SMOKE}", encoding="utf-8"
    )
    leaf.write_bytes(pki.server.der)
    impostor.write_bytes(pki.impostor.der)
    told = run(*python.command, "-I", script, place, leaf, impostor)
    kernels, version, *_ = told.splitlines()
    assert kernels.split()[-1] == "portable"
    assert re.search(r"\b0\.\d+\.\d+\b", version), told
    if python.machine == "aarch64":
        assert "armv8" in kernels


@slow
@needs_zig
@pytest.mark.parametrize("target", X86_64)
@pytest.mark.parametrize("python", of_this_machine(), ids=lambda p: p.version)
def test_the_wheel_works_on_each_python_of_this_machine(
    folder: Path, target: str, python: Python, tmp_path: Path, pki: Pki
) -> None:
    """It imports, hashes as hashlib does, decides, and its command runs."""
    smoke(python, wheel_of(folder, target), tmp_path, pki)


@slow
@needs_zig
@pytest.mark.parametrize("target", X86_64)
@pytest.mark.parametrize("version", ["3.14", "3.15"])
def test_the_wheel_works_on_the_newest_pythons(
    folder: Path, target: str, version: str, tmp_path: Path, pki: Pki
) -> None:
    """Those of Debian's sid, with another glibc and OpenSSL 3.6 or later."""
    pythons = {p.version: p for p in of_debian("sid", "amd64", "3.14", "3.15")}
    smoke(pythons[version], wheel_of(folder, target), tmp_path, pki)


@slow
@needs_zig
@pytest.mark.parametrize("target", AARCH64)
def test_the_wheel_works_on_armv8(
    folder: Path, target: str, tmp_path: Path, pki: Pki
) -> None:
    """In an emulator, with the CPython of Debian for it."""
    (python,) = of_debian("trixie", "arm64", "3.13")
    smoke(python, wheel_of(folder, target), tmp_path, pki)


@slow
@needs_zig
@pytest.mark.parametrize("target", MUSL)
def test_the_core_of_a_wheel_for_musl_decides(
    target: str, tmp_path: Path, pki: Pki
) -> None:
    """The same files, compiler and flags, in a program that is linked with musl."""
    program = tmp_path / "program"
    source = ROOT / "tests" / "c" / "verify_chain.c"
    flags = ("-static", "-std=c11", "-O3", f"-I{CSRC}", "-o", program)
    run(*cross.compiler(target), *flags, source, *core_sources())
    emulator = ["qemu-aarch64"] if target.endswith("aarch64") else []
    if emulator and shutil.which(emulator[0]) is None:
        pytest.skip("no qemu-aarch64 here (Debian and Ubuntu: qemu-user)")
    policy = tmp_path / "pins.pvpol"
    pins = [Pin.from_certificate(pki.server.der)]
    policy.write_bytes(Policy({"localhost": pins}).compile())
    for identity, code in ((pki.server, 0), (pki.impostor, 1)):
        cert = tmp_path / "cert"
        cert.write_bytes(identity.der)
        arguments = (str(policy), "localhost", "0", str(cert))
        assert ended([*emulator, str(program), *arguments])[0] == code


# ---- the page ----------------------------------------------------------------


def rows(page: str) -> Iterator[tuple[str, str]]:
    """Yield the platforms of the table, and what is done with them."""
    for platform, _, done in re.findall(r"(?m)^\| `(\w+)` \| (.*) \| (.*) \|$", page):
        yield platform, done


def test_the_page_says_what_is_run_and_what_is_built() -> None:
    """Its table has the platforms that are built, and promises what tests do."""
    page = (ROOT / "docs" / "wheels.md").read_text(encoding="utf-8")
    wanted = {target: RUN.get(target, "built") for target in cross.TARGETS}
    assert dict(rows(page)) == wanted
