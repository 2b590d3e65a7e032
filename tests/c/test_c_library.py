"""The C library as users install it, and its adapter of OpenSSL.

A program that knows nothing of this tree is built against the installed library, with
pkg-config, CMake and meson, and gives the right answers. The names and types that
programs rely on are those of a stored list.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from c_objects import ended
from core_sources import core_sources
from pinverify import Pin, PinSet, Policy
from pinverify._core import ffi
from pki import Pki
from places import ROOT
from tls_servers import TLSServer, server_context

__all__: list[str] = []

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"),
        reason="reads ELF, and the tools of Debian",
    ),
]

CSRC = ROOT / "csrc"
ABI = ROOT / "tests" / "vectors" / "abi.txt"
HOST = "api.example.com"

# By program, the package of Debian and Ubuntu that has it.
TOOLS = {
    "make": "make",
    "meson": "meson",
    "ninja": "ninja-build",
    "pkg-config": "pkg-config",
    "cmake": "cmake",
    "nm": "binutils",
    "readelf": "binutils",
}

# The manual's lines are for a program of that name.
CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(gateway C)
add_executable(gateway verify_chain.c)
@MANUAL@
foreach(kind IN ITEMS shared static)
  add_executable(with_${kind} verify_chain.c)
  target_link_libraries(with_${kind} PRIVATE pinverify::${kind})
endforeach()
"""

CMAKE_WITH_OPENSSL = """
cmake_minimum_required(VERSION 3.16)
project(gateway C)
add_executable(gateway gateway.c)
@MANUAL@
add_executable(with_static gateway.c)
target_link_libraries(with_static PRIVATE pinverify::openssl_static)
"""

MESON = """
project('gateway', 'c', default_options: ['c_std=c11'])
"""

# A client: POLICY ROOTS ADDRESS:PORT. It prints why it goes on, or does not.
CLIENT = """
#include <pinverify_map.h>
#include <pinverify_openssl.h>
#include <stdio.h>

int main(int argc, char **argv) {
  pv_policy_file file;
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  if (argc != 4 || pv_policy_map(&file, argv[1]) != 1 ||
      SSL_CTX_load_verify_locations(ctx, argv[2], NULL) != 1 ||
      pv_openssl_pin(ctx, &file.policy, NULL) != 1) {
    return 2;
  }
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
  SSL *ssl = SSL_new(ctx);
  BIO *bio = BIO_new_connect(argv[3]);
  SSL_set_bio(ssl, bio, bio);
  const int done = SSL_set1_host(ssl, "localhost") == 1 && SSL_connect(ssl) == 1;
  pv_openssl_decision decision;
  const int accepted = pv_openssl_report(ssl, &decision) == 1 && done;
  puts(pv_reason_text((pv_reason)decision.report.reason));
  SSL_free(ssl), SSL_CTX_free(ctx), pv_policy_unmap(&file);
  return accepted ? 0 : 1;
}
"""

# Without a compiler, so that it takes no time.
CMAKE_FINDS = """
cmake_minimum_required(VERSION 3.16)
project(gateway NONE)
find_package(pinverify @VERSION@)
message("found=${pinverify_FOUND}")
"""

# By library, the headers that declare what it exports, and the version of its names.
EXPORTS = {
    "pinverify": (
        ("pinverify.h", "pinverify_compile.h", "pinverify_map.h"),
        "PINVERIFY_0",
    ),
    "pinverify-openssl": (("pinverify_openssl.h",), "PINVERIFY_OPENSSL_0"),
}
PUBLIC = [header for headers, _ in EXPORTS.values() for header in headers]
KINDS = ("a", "so", "so.0", "so.0.1.0")


def run(*command: str | Path, **variables: str) -> str:
    """Run a command that must succeed; return what it prints to stdout."""
    ours = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DESTDIR", "CFLAGS", "LDFLAGS")
    kept = {name: text for name, text in os.environ.items() if name not in ours}
    done = subprocess.run(
        list(map(str, command)),
        env=kept | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Installed(NamedTuple):
    """The library where it was installed, and the folder that it was built in."""

    prefix: Path
    build: Path

    @property
    def libdir(self) -> Path:
        """The folder of the libraries, which systems name differently."""
        (found,) = self.prefix.rglob("libpinverify.a")
        return found.parent


def install(build: Path, prefix: Path, *more: str) -> None:
    """Install the library as a person does."""
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here (Debian and Ubuntu: {package})")
    places = (f"BUILD_C={build}", f"PREFIX={prefix}")
    run("make", "-C", ROOT, "install-c", *places, *more)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The library in a folder of its own."""
    folder = tmp_path_factory.mktemp("library")
    found = Installed(folder / "prefix", folder / "build")
    install(found.build, found.prefix)
    return found


# ---- what is installed -------------------------------------------------------


def test_meson_names_each_file_of_the_library() -> None:
    """A file that is left out would be missed by the program that links."""
    text = (CSRC / "meson.build").read_text(encoding="utf-8")
    named = re.findall(r"'([\w/]+\.c)'", text)
    assert sorted(named) == sorted(
        str(path.relative_to(CSRC)) for path in CSRC.rglob("*.c")
    )
    core = [str(path.relative_to(CSRC)) for path in core_sources()]
    assert named[: len(core)] == core


def of_the_manual(language: str) -> list[str]:
    """Return the blocks of csrc/README.md in a language."""
    text = (CSRC / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_commands_of_the_manual_work(
    installed: Installed, tmp_path: Path, pki: Pki
) -> None:
    """Each way to build a program gives one that decides rightly."""
    blocks = of_the_manual("console")
    assert len(blocks) == 4  # those with the adapter have tests of their own
    for number, block in enumerate(blocks):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(ROOT / "tests" / "c" / "verify_chain.c", folder / "gateway.c")
        if "pinverify/csrc" in block:
            (folder / "pinverify").symlink_to(ROOT)
        # The folders of this test; and no optimisation, which takes less time.
        script = block.replace("$ ", "").replace("-O3", "-O0")
        script = script.replace("make ", f"make -C {ROOT} BUILD_C={installed.build} ")
        script = script.replace("=pinverify\n", f"={folder / 'pinverify'}\n")
        script = script.replace("/opt/pinverify", str(installed.prefix))
        run(
            *("sh", "-e", "-c", f"cd {folder}\n{script}"),
            PKG_CONFIG_PATH=str(installed.libdir / "pkgconfig"),
            LD_RUN_PATH=str(installed.libdir),  # the linker stores it in the program
        )
        programs = [folder / name for name in ("gateway", "gateway-static")]
        for program in filter(Path.exists, programs):
            assert_decides(program, folder, pki)
        assert programs[0].exists() or "install-c" in block


def files_below(folder: Path) -> set[str]:
    """Return the files of a folder, as paths from there."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


def test_all_that_a_program_needs_is_installed(
    installed: Installed, tmp_path: Path
) -> None:
    """With DESTDIR, a packager gets the same files below another folder."""
    libdir = installed.libdir.relative_to(installed.prefix)
    assert files_below(installed.prefix) == {
        *(f"include/{name}" for name in PUBLIC),
        *(f"{libdir}/lib{name}.{end}" for name in EXPORTS for end in KINDS),
        *(f"{libdir}/pkgconfig/{name}.pc" for name in EXPORTS),
        f"{libdir}/cmake/pinverify/pinverifyConfig.cmake",
        f"{libdir}/cmake/pinverify/pinverifyConfigVersion.cmake",
    }
    for name in PUBLIC:
        header = installed.prefix / "include" / name
        assert header.read_bytes() == (CSRC / name).read_bytes()
    stage = os.path.relpath(tmp_path / "stage", ROOT)
    install(installed.build, installed.prefix, f"DESTDIR={stage}")
    staged = tmp_path / "stage" / installed.prefix.relative_to("/")
    assert files_below(staged) == files_below(installed.prefix)


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    """The message says how to get it, and nothing is installed."""
    for program in ("make", "sh"):
        found = shutil.which(program)
        assert found is not None
        (tmp_path / program).symlink_to(found)
    done = subprocess.run(
        [tmp_path / "make", "-C", ROOT, "install-c", f"PREFIX={tmp_path / 'prefix'}"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "apt install meson" in done.stderr
    assert not (tmp_path / "prefix").exists()


def test_the_core_is_installed_where_openssl_is_too_old(tmp_path: Path) -> None:
    """The build goes on without the adapter, unless somebody asked for it."""
    empty = tmp_path / "no packages"
    empty.mkdir()
    # meson asks CMake as well, and then the compiler for a header: that of 1.1.
    native = tmp_path / "native.ini"
    native.write_text("[binaries]\ncmake = 'no-cmake'\n", encoding="ascii")
    (tmp_path / "openssl").mkdir()
    text = "#define OPENSSL_VERSION_NUMBER 0x1010117fL\n"
    for name in ("ssl.h", "opensslv.h"):
        (tmp_path / "openssl" / name).write_text(text, encoding="ascii")
    nothing = {"PKG_CONFIG_LIBDIR": str(empty), "CPATH": str(tmp_path)}
    setup = ("meson", "setup", f"--native-file={native}", f"--prefix={tmp_path / 'p'}")
    build = tmp_path / "build"
    told = run(*setup, build, CSRC, **nothing)
    told += (build / "meson-logs" / "meson-log.txt").read_text(encoding="utf-8")
    assert re.search(r"Project version: 0\.\d+\.\d+", told)
    assert re.search(r"the adapter of OpenSSL *: *NO", told)
    run("meson", "install", "-C", build, **nothing)
    headers = {path.name for path in (tmp_path / "p" / "include").iterdir()}
    assert headers == set(EXPORTS["pinverify"][0])
    assert list(tmp_path.glob("p/**/libpinverify-openssl*")) == []
    command = [*setup, "-Dopenssl=enabled", tmp_path / "asked", CSRC]
    done = subprocess.run(
        list(map(str, command)),
        env=os.environ | nothing,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert re.search(r"ERROR: .*openssl", done.stdout)


# ---- programs that use it ----------------------------------------------------


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program outside of the tree, in a folder with nothing else."""
    folder = tmp_path_factory.mktemp("gateway")
    shutil.copy(ROOT / "tests" / "c" / "verify_chain.c", folder)
    lines, _ = of_the_manual("cmake")
    text = CMAKE.replace("@MANUAL@", lines)
    (folder / "CMakeLists.txt").write_text(text, encoding="ascii")
    return folder / "verify_chain.c"


def assert_decides(program: Path, folder: Path, pki: Pki) -> None:
    """Compare the decisions of a program with those that are right."""
    pinned = Pin.from_certificate(pki.server.der)
    policy, leaf, other = (folder / name for name in ("policy", "leaf", "other"))
    policy.write_bytes(Policy({HOST: [pinned]}).compile())
    leaf.write_bytes(pki.server.der)
    other.write_bytes(pki.impostor.der)
    for cert, line in (
        (leaf, f"accepted: MATCH rule {HOST} depth 0\n"),
        (other, f"rejected: MISMATCH rule {HOST}\n"),
    ):
        done = subprocess.run(
            [program, policy, HOST, "0", cert],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        code = 0 if line.startswith("accepted") else 1
        assert (done.returncode, done.stdout, done.stderr) == (code, line, "")


def needed(program: Path, name: str = "pinverify") -> bool:
    """Return True if a program loads a shared library when it starts."""
    return f"[lib{name}.so.0]" in run("readelf", "--wide", "--dynamic", program)


def compiled(
    installed: Installed, source: Path, out: Path, *more: str, name: str = "pinverify"
) -> Path:
    """Compile a program with what pkg-config says about a library."""
    static = ["--static"] if "-static" in more else []
    flags = run(
        *("pkg-config", *static, "--cflags", "--libs", name),
        PKG_CONFIG_PATH=str(installed.libdir / "pkgconfig"),
    ).split()
    strict = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    run("cc", *strict, "-o", out, source, *flags, *more)
    return out


@pytest.mark.parametrize("kind", ["shared", "static"])
def test_a_program_builds_with_pkg_config(
    installed: Installed, gateway: Path, kind: str, tmp_path: Path, pki: Pki
) -> None:
    """One that is linked statically needs no library when it starts."""
    more = "-static" if kind == "static" else f"-Wl,-rpath,{installed.libdir}"
    program = compiled(installed, gateway, tmp_path / "program", more)
    assert needed(program) == (kind == "shared")
    assert_decides(program, tmp_path, pki)


def test_a_program_builds_with_cmake(
    installed: Installed, gateway: Path, tmp_path: Path, pki: Pki
) -> None:
    """With the lines of the manual, and with the targets for one kind of library."""
    out = tmp_path / "out"
    prefix = f"-DCMAKE_PREFIX_PATH={installed.prefix}"
    run("cmake", "-S", gateway.parent, "-B", out, prefix)
    run("cmake", "--build", out)
    for name in ("gateway", "with_shared", "with_static"):
        program = out / name
        assert needed(program) == (name != "with_static")
        assert_decides(program, tmp_path, pki)


@pytest.mark.parametrize(
    ("version", "found"),
    [("", 1), ("0.1", 1), ("0.1.0 EXACT", 1), ("0.1.1", 0), ("0.2", 0), ("1", 0)],
)
def test_cmake_takes_a_version_that_fits_alone(
    installed: Installed, version: str, found: int, tmp_path: Path
) -> None:
    """Before 1.0 another minor version may have another API."""
    text = CMAKE_FINDS.replace("@VERSION@", version)
    (tmp_path / "CMakeLists.txt").write_text(text, encoding="ascii")
    folder = f"-Dpinverify_DIR={installed.libdir / 'cmake' / 'pinverify'}"
    command = ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "out"), folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"found={found}\n" in done.stdout + done.stderr


# ---- programs with the adapter -----------------------------------------------


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A client with the adapter, in a folder with nothing else."""
    source = tmp_path_factory.mktemp("client") / "gateway.c"
    source.write_text(CLIENT, encoding="ascii")
    return source


def assert_pins(program: Path, folder: Path, pki: Pki) -> None:
    """Let a client connect to the server that its policy pins, and to an impostor."""
    policy, roots = folder / "pins.pvpol", folder / "roots.pem"
    pins = PinSet(leaf=[pki.server.pin])
    policy.write_bytes(Policy({"localhost": pins}).compile())
    roots.write_text(pki.trust_pem, encoding="ascii")
    for identity, answer in (
        (pki.server, (0, "the chain matches the pins\n")),
        (pki.impostor, (1, "the chain does not match the pins\n")),
    ):
        with TLSServer(server_context(identity)) as server:
            address = f"127.0.0.1:{server.port}"
            code, told, _ = ended([program, policy, roots, address], timeout=60)
        assert (code, told) == answer


@pytest.mark.parametrize("kind", ["shared", "static"])
def test_a_program_with_the_adapter_builds_with_pkg_config(
    installed: Installed, client: Path, kind: str, tmp_path: Path, pki: Pki
) -> None:
    """One that is linked statically has the adapter, the core and OpenSSL inside."""
    more = "-static" if kind == "static" else f"-Wl,-rpath,{installed.libdir}"
    name = "pinverify-openssl"
    program = compiled(installed, client, tmp_path / "program", more, name=name)
    for library in EXPORTS:
        assert needed(program, library) == (kind == "shared")
    assert_pins(program, tmp_path, pki)


def test_a_program_with_the_adapter_builds_with_cmake(
    installed: Installed, client: Path, tmp_path: Path, pki: Pki
) -> None:
    """The target brings the header, the core and OpenSSL; so does the static one."""
    _, lines = of_the_manual("cmake")
    text = CMAKE_WITH_OPENSSL.replace("@MANUAL@", lines)
    shutil.copy(client, tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(text, encoding="ascii")
    out = tmp_path / "out"
    prefix = f"-DCMAKE_PREFIX_PATH={installed.prefix}"
    run("cmake", "-S", tmp_path, "-B", out, prefix)
    run("cmake", "--build", out)
    for name in ("gateway", "with_static"):
        for library in EXPORTS:
            assert needed(out / name, library) == (name == "gateway")
        assert_pins(out / name, tmp_path, pki)


@pytest.mark.parametrize("place", ["installed", "subproject"])
def test_a_program_with_the_adapter_builds_with_meson(
    installed: Installed, client: Path, place: str, tmp_path: Path, pki: Pki
) -> None:
    """The same lines find an installed library, or build the folder as a subproject."""
    (lines,) = of_the_manual("meson")
    shutil.copy(client, tmp_path)
    (tmp_path / "meson.build").write_text(MESON + lines, encoding="ascii")
    variables = {"PKG_CONFIG_PATH": str(installed.libdir / "pkgconfig")}
    if place == "subproject":
        variables = {}
        (tmp_path / "subprojects").mkdir()
        (tmp_path / "subprojects" / "pinverify").symlink_to(CSRC)
    out = tmp_path / "out"
    told = run("meson", "setup", out, tmp_path, **variables)
    version = r"\S*0\.1\.0"
    found = rf"Project version: {version}" if place == "subproject" else version
    assert re.search(found, told), told
    run("meson", "compile", "-C", out)
    program = out / "gateway"
    assert needed(program, "pinverify-openssl")
    assert_pins(program, tmp_path, pki)


@pytest.mark.parametrize(
    ("component", "found"), [("openssl", 1), ("no-such", 0), ("", 1)]
)
def test_cmake_finds_the_components_that_there_are(
    installed: Installed, component: str, found: int, tmp_path: Path
) -> None:
    """Another one is told; without the word, OpenSSL is not looked for."""
    words = f"COMPONENTS {component}" if component else ""
    text = CMAKE_FINDS.replace("@VERSION@", f"0.1 {words}").replace("NONE", "C")
    text += 'message("openssl=${OPENSSL_FOUND}")\n'
    (tmp_path / "CMakeLists.txt").write_text(text, encoding="ascii")
    folder = f"-Dpinverify_DIR={installed.libdir / 'cmake' / 'pinverify'}"
    command = ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "out"), folder]
    _, told, errors = ended(command)
    assert f"found={found}\n" in told + errors
    assert ("openssl=\n" in told + errors) == (component != "openssl")
    assert ("there is no component no-such" in told + errors) == (not found)


# ---- the ABI -----------------------------------------------------------------


def exported(library: Path) -> Iterator[str]:
    """Yield the names that a shared library shows, with their versions."""
    command = ("nm", "-D", "--defined-only", "--with-symbol-versions", library)
    for line in run(*command).splitlines():
        name = line.split()[-1]
        if not name.startswith("PINVERIFY_"):  # a version itself
            yield name


def types() -> Iterator[str]:
    """Yield the public structures with the places of fields, and the enumerations."""
    for name in sorted(ffi.list_types()[0]):
        kind = ffi.typeof(name)
        if kind.kind == "struct" and name.startswith("pv_"):
            yield f"{name} {ffi.sizeof(name)} bytes"
            for field, what in kind.fields:
                yield f"{name}.{field} at {what.offset}: {what.type.cname}"
        elif kind.kind == "enum":
            for number, value in sorted(kind.elements.items()):
                yield f"{name} {number} {value}"


@pytest.mark.skipif(sys.maxsize < 2**32, reason="the layouts are those of 64 bits")
def test_the_abi_is_that_of_the_stored_list(installed: Installed) -> None:
    """A name that goes, or a field that moves, breaks the programs that use it.

    What is added is stored. What changes or goes is told in CHANGELOG.md, and needs a
    new soname and a new version of the symbols.
    """
    library = installed.libdir / "libpinverify.so"
    dynamic = run("readelf", "--wide", "--dynamic", library)
    assert "Library soname: [libpinverify.so.0]" in dynamic
    lines = [*sorted(exported(library)), *types()]
    assert lines == ABI.read_text(encoding="ascii").splitlines()


def declared(*headers: str) -> set[str]:
    """Return the functions that public headers declare."""
    texts = [(CSRC / name).read_text(encoding="ascii") for name in headers]
    code = re.sub(r"//[^\n]*", "", "".join(texts))
    # Not the pointers to functions, which are fields.
    return set(re.findall(r"\b(pv_\w+)\s*\(", code))


@pytest.mark.parametrize("name", EXPORTS)
def test_a_library_exports_what_its_headers_declare(
    installed: Installed, name: str
) -> None:
    """Each function has a version, and no other name is shown."""
    headers, version = EXPORTS[name]
    library = installed.libdir / f"lib{name}.so"
    assert set(exported(library)) == {f"{f}@@{version}" for f in declared(*headers)}
    assert len(declared(*headers)) >= 4
    dynamic = run("readelf", "--wide", "--dynamic", library)
    assert f"Library soname: [lib{name}.so.0]" in dynamic
    assert "BIND_NOW" in dynamic


def test_the_stored_list_names_every_function_of_the_headers() -> None:
    """Each has a version, and no name is shown that is not in the manual."""
    lines = ABI.read_text(encoding="ascii").splitlines()
    names = [line.partition("@@") for line in lines if "@@" in line]
    headers, version = EXPORTS["pinverify"]
    assert {name for name, _, _ in names} == declared(*headers)
    assert {found for _, _, found in names} == {version}


def test_the_linker_hides_what_the_compiler_would_show(tmp_path: Path) -> None:
    """A name that is not public stays inside, even if it is not marked as hidden."""
    source = tmp_path / "planted.c"
    text = "int pv_a(void); int pv__b(void); int c(void);\n"
    text += "".join(f"int {name}(void) {{ return 1; }}\n" for name in ("pv_a", "pv__b"))
    source.write_text(text + "int c(void) { return 1; }\n", encoding="ascii")
    library = tmp_path / "planted.so"
    shared = ("cc", "-shared", "-fPIC", "-o", library, source)
    run(*shared)
    assert {"pv_a", "pv__b", "c"} <= set(exported(library))
    run(*shared, f"-Wl,--version-script={CSRC / 'pinverify.map'}")
    assert set(exported(library)) == {"pv_a@@PINVERIFY_0"}


def test_the_static_libraries_have_no_names_of_their_own(installed: Installed) -> None:
    """A program may have any name that does not begin with pv_."""
    archives = [installed.libdir / f"lib{name}.a" for name in EXPORTS]
    lines = run("nm", "-P", "-g", "--defined-only", *archives).splitlines()
    names = {line.split()[0] for line in lines if len(line.split()) > 1}
    assert names > {"pv_evaluate", "pv_openssl_pin"}
    assert [name for name in sorted(names) if not name.startswith("pv_")] == []
