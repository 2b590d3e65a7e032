"""Windows and macOS, as far as Linux can imitate them: without the names they lack.

A child process deletes the names of the standard library that the other system lacks,
and then imports every module of the package, or runs a command. This shows that nothing
asks for such a name. It does not show that the rest works there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from cli_runs import ABSENT
from pki import Pki

__all__: list[str] = []

pytestmark = pytest.mark.ci

# What the standard library of CPython has on Linux and lacks on Windows or macOS. From
# its documentation ("Availability"); a name that this interpreter lacks too is ignored.
MISSING = {
    "Windows": {
        "os": """
            O_CLOEXEC O_DIRECTORY O_DSYNC O_NOCTTY O_NOFOLLOW O_NONBLOCK O_SYNC chown
            chroot confstr ctermid fchmod fchown fork forkpty getegid geteuid getgid
            getgroups getloadavg getpgid getpriority getsid getuid killpg lchown mkfifo
            mknod nice openpty posix_spawn pread preadv pwrite pwritev register_at_fork
            sched_getaffinity sched_yield sendfile setsid setuid sysconf uname wait
            wait3 wait4
        """,
        "signal": """
            SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP
            SIGUSR1 SIGUSR2 SIGWINCH alarm pause pthread_kill pthread_sigmask setitimer
            siginterrupt sigpending sigwait
        """,
        "socket": """
            AF_NETLINK AF_PACKET AF_UNIX MSG_DONTWAIT MSG_EOR MSG_NOSIGNAL SCM_RIGHTS
            SOCK_CLOEXEC SOCK_NONBLOCK SO_REUSEPORT TCP_CORK TCP_USER_TIMEOUT
        """,
        "time": "CLOCK_MONOTONIC CLOCK_REALTIME clock_gettime pthread_getcpuclockid",
        "mmap": "MAP_PRIVATE MAP_SHARED PROT_READ PROT_WRITE",
    },
    "macOS": {
        "os": """
            O_DIRECT O_LARGEFILE O_NOATIME O_PATH O_TMPFILE copy_file_range eventfd
            fdatasync getrandom getresuid getxattr listxattr memfd_create pidfd_open
            posix_fadvise posix_fallocate sched_getaffinity sched_setaffinity setresuid
            setxattr splice
        """,
        "signal": """
            SIGPOLL SIGPWR SIGRTMAX SIGRTMIN SIGSTKFLT pidfd_send_signal sigtimedwait
            sigwaitinfo
        """,
        "socket": """
            AF_ALG AF_NETLINK AF_PACKET AF_VSOCK MSG_NOSIGNAL SOCK_CLOEXEC SOCK_NONBLOCK
            SO_BINDTODEVICE SO_DOMAIN SO_MARK SO_PEERCRED SO_PROTOCOL TCP_CORK
            TCP_DEFER_ACCEPT TCP_QUICKACK TCP_USER_TIMEOUT
        """,
        "time": "CLOCK_BOOTTIME CLOCK_TAI pthread_getcpuclockid",
        "mmap": "MAP_POPULATE",
    },
}
NO_MODULES = {"Windows": "fcntl grp pty pwd resource syslog termios tty", "macOS": ""}

OF_COMMANDS = """
    click cryptography.x509 idna rich.console rich.progress rich.syntax rich.table
"""
OF_MODULES = """
    OpenSSL.SSL pyarrow requests service_identity twisted.internet.ssl
    twisted.web.client yaml
"""

# Others' modules come first: some choose what they do when they are imported, and here
# they have chosen Linux. So has the one of Python that removes folders.
SIMULATED = """
    import asyncio, importlib, json, mmap, os, selectors, signal, socket, sys, time
    import concurrent.futures, email, http.client, importlib.metadata, logging.handlers
    import pathlib, platform, shutil, ssl, tempfile, uuid
    missing, no_modules, others, *arguments = json.loads(sys.argv[1])
    for name in others:
        try:
            importlib.import_module(name)
        except ImportError:
            pass
    for module, names in missing.items():
        for name in names.split():
            if hasattr(sys.modules[module], name):
                delattr(sys.modules[module], name)
    for name in no_modules:
        sys.modules[name] = None
    if no_modules:
        del asyncio.SelectorEventLoop.add_signal_handler
        shutil._use_fd_functions = False
        if hasattr(shutil, "_rmtree_unsafe"):  # chosen at the import, before 3.14 later
            shutil._rmtree_impl = shutil._rmtree_unsafe
"""
IMPORTS = """
    import pinverify
    root = pathlib.Path(pinverify.__file__).parent
    faults = {}
    for file in sorted(root.rglob("*.py")):
        module = ".".join(file.relative_to(root.parent).with_suffix("").parts)
        module = module.removesuffix(".__init__")
        if module.endswith("__main__"):
            continue
        try:
            importlib.import_module(module)
        except Exception as error:
            faults[module] = repr(error)
    print(json.dumps([len([m for m in sys.modules if "pinverify" in m]), faults]))
"""
COMMAND = """
    from pinverify.cli import main
    sys.argv = ["pinverify", *arguments]
    sys.exit(main())
"""


class Ended(NamedTuple):
    """How a child process ended."""

    code: int
    out: str
    err: str


def simulated(system: str, code: str, *arguments: str) -> Ended:
    """Run code in a child process that lacks the names that *system* lacks."""
    others = OF_COMMANDS + (OF_MODULES if code is IMPORTS else "")
    given = [MISSING[system], NO_MODULES[system].split(), others.split(), *arguments]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(SIMULATED) + textwrap.dedent(code),
            json.dumps(given),
        ],
        capture_output=True,
        check=False,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


systems = pytest.mark.parametrize("system", MISSING)


@systems
def test_every_module_imports_without_the_names_of_linux(system: str) -> None:
    """All of the package can be imported there."""
    done = simulated(system, IMPORTS)
    assert done.code == 0, done.err
    num, faults = json.loads(done.out)
    # An optional library that is not installed here is no matter of the platform.
    assert [
        f"{module}: {why}"
        for module, why in faults.items()
        if "ModuleNotFoundError" not in why
        or any(f"'{name}" in why for name in NO_MODULES[system].split())
    ] == []
    assert num > 140


@systems
@pytest.mark.parametrize("module", ["os", "signal", "socket", "time", "mmap"])
def test_a_name_that_is_taken_away_is_missed(system: str, module: str) -> None:
    """A module that asked for one would not import."""
    gone = [
        n for n in MISSING[system][module].split() if hasattr(sys.modules[module], n)
    ]
    assert gone
    done = simulated(system, f"from {module} import {gone[-1]}")
    assert done.code == 1
    assert f"cannot import name '{gone[-1]}'" in done.err


POLICY = """version = 1
[hosts."localhost"]
leaf = ["{pin}", "{backup}"]
"""


def policy_file(pki: Pki, folder: Path) -> Path:
    """Write a policy that pins the server of the tests."""
    file = folder / "pins.toml"
    pin = str(pki.server.pin)
    file.write_text(POLICY.format(pin=pin, backup=ABSENT), encoding="utf-8")
    return file


WORK = {
    "version": ("--version",),
    "pin": ("pin", "LEAF"),
    "check": ("check", "127.0.0.1:1", "--pin", ABSENT),  # nobody answers: an answer
    "explain": ("explain", "127.0.0.1:1", "--policy", "POLICY"),
    "show": ("show", "POLICY"),
    "lint": ("lint", "POLICY"),
    "diff": ("diff", "POLICY", "POLICY"),
    "compile": ("compile", "POLICY", "-o", "OUT"),
    "convert": ("convert", "toml", "json", "POLICY", "-o", "OUT"),
    "audit": ("audit", "LEAF", "--policy", "POLICY"),
    "info": ("info",),
    "demo": ("demo",),
}
SAYS = {"check": "Connection refused", "explain": "Connection refused"}


@systems
@pytest.mark.parametrize("command", WORK)
def test_a_command_works_without_the_names_of_linux(
    system: str, command: str, pki: Pki, tmp_path: Path
) -> None:
    """It ends with the same code and the same words as on Linux."""
    leaf = tmp_path / "leaf.pem"
    leaf.write_text(pki.server.pem, encoding="ascii")
    out = tmp_path / "out"
    out.write_bytes(b"the old file")
    files = {"LEAF": leaf, "POLICY": policy_file(pki, tmp_path), "OUT": out}
    arguments = [str(files.get(word, word)) for word in WORK[command]]
    done = simulated(system, COMMAND, *arguments)
    assert "Traceback" not in done.err
    if command in SAYS:
        assert done.code == 2
        assert SAYS[command] in done.err
    elif command == "lint":  # the backup of the tests is a placeholder
        assert done.code == 1
        assert "PV" in done.out
    else:
        assert (done.code, done.err.count("Error")) == (0, 0), done
    assert (out.read_bytes() == b"the old file") is ("-o" not in arguments)
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_command_that_needs_signals_says_so_on_windows(
    pki: Pki, tmp_path: Path
) -> None:
    """The service would have no way to read its policy again, and none to end."""
    policy = policy_file(pki, tmp_path)
    arguments = ("authserver", "--policy", str(policy), "--form", "nginx")
    done = simulated("Windows", COMMAND, *arguments, "--from", "127.0.0.1")
    assert done.code == 2
    assert "this system has no SIGHUP; run it on Linux or macOS" in " ".join(
        done.err.split()
    )
    assert "Traceback" not in done.err
