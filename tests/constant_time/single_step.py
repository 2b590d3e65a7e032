"""Single-step traces: the instructions that a function runs, the addresses it touches.

The process forks. The child calls a function again and again; the parent stops it
where the function begins (ptrace(2)) and lets it run one instruction at a time.
Before each instruction, the parent notes its address and, from the registers, the
memory that it reads and writes. Two calls with equal traces have run the same
instructions over the same addresses: what differs between the calls has leaked neither
into a branch nor into an address.

Nothing is added to the traced code: it is what users run. This needs Linux on x86-64.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import capstone
from capstone import x86

__all__ = ["Trace", "TraceError", "can_trace", "first_difference", "traces"]

# One step: the address of the instruction, the stack pointer, then the address of
# each memory operand, or what is divided. Addresses on the stack count from where it
# stood at the call.
Step = tuple[int, ...]
Trace = list[Step]


class TraceError(Exception):
    """A function can't be traced, or does what no trace can clear."""


def can_trace() -> bool:
    """Return whether this machine is one whose registers are known here."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


# ---- ptrace(2) ---------------------------------------------------------------

TRACEME, PEEKTEXT, POKETEXT, CONT, SINGLESTEP, GETREGS, SETREGS = 0, 1, 4, 7, 9, 12, 13
SETOPTIONS, EXITKILL = 0x4200, 1 << 20  # the child does not outlive its tracer
BREAKPOINT = 0xCC  # int3


class Registers(ctypes.Structure):
    """`struct user_regs_struct` of sys/user.h, with capstone's names."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8"),
            *("rax", "rcx", "rdx", "rsi", "rdi", "orig_rax", "rip", "cs", "eflags"),
            *("rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
        )
    ]


_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request: int, pid: int, address: int = 0, data: int | Any = 0) -> int:  # noqa: ANN401
    """Ask the kernel for one thing, and see that it was done.

    Raises:
        TraceError: It failed.
    """
    ctypes.set_errno(0)
    result: int = _ptrace(request, pid, address, data)
    if result == -1 and (code := ctypes.get_errno()):
        msg = f"ptrace request {request:#x} failed: {os.strerror(code)}"
        raise TraceError(msg)
    return result


# ---- instructions ------------------------------------------------------------

# Their time depends on their operands, on some processors at least, or they touch
# memory that no operand names. Intel: Data Operand Independent Timing Instructions.
FORBIDDEN = ("pdep", "pext", "xlat", "maskmov", "vmaskmovdqu", "divp", "divs", "vdiv")

# They may divide public numbers, so what they divide is a part of the trace.
DIVISIONS = {x86.X86_INS_DIV, x86.X86_INS_IDIV}

LOADS_NOTHING = {x86.X86_INS_LEA, x86.X86_INS_NOP}


class Operand(NamedTuple):
    """A memory operand. Its address is the sum of its parts.

    Attributes:
        segment: the name of a register, as are *base* and *indexed*; the last one
            is multiplied by *scale*.
        bytes_read: the bytes there whose value counts, too; most often none does.
    """

    segment: str | None = None
    base: str | None = None
    indexed: str | None = None
    scale: int = 0
    displacement: int = 0
    bytes_read: int = 0


_disassembler: Any = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
_disassembler.detail = True

WORD = (1 << 64) - 1
LONGEST_INSTRUCTION = 15


def operands(address: int, code: bytes) -> list[Operand]:
    """Return the memory operands of the instruction that *code* begins with.

    Raises:
        TraceError: Its time may depend on its operands, or its addresses on vectors.
    """
    instruction = next(_disassembler.disasm(code, address, 1), None)
    if instruction is None:
        msg = f"no instruction that capstone knows: {code.hex(' ')}"
        raise TraceError(msg)
    text = f"{instruction.mnemonic} {instruction.op_str}"
    if instruction.mnemonic.startswith(FORBIDDEN) or "sqrt" in instruction.mnemonic:
        msg = f"its time may depend on its operands: {text}"
        raise TraceError(msg)
    if instruction.id in LOADS_NOTHING:
        return []
    if instruction.id in DIVISIONS:
        return divided(instruction)
    return [
        memory_operand(instruction, operand.mem)
        for operand in instruction.operands
        if operand.type == x86.X86_OP_MEM
    ]


def divided(instruction: Any) -> list[Operand]:  # noqa: ANN401
    """Return the operands of a division, whose values count as well.

    Raises:
        TraceError: It divides by what is in a register of fewer than 32 bits.
    """
    found = [Operand(base="rax"), Operand(base="rdx")]
    (operand,) = instruction.operands
    if operand.type == x86.X86_OP_MEM:
        in_memory = memory_operand(instruction, operand.mem)
        return [*found, in_memory._replace(bytes_read=operand.size)]
    name = re.sub(r"^e", "r", instruction.reg_name(operand.reg)).removesuffix("d")
    if not hasattr(Registers, name):
        msg = f"its time may depend on its operands: {instruction}"
        raise TraceError(msg)
    return [*found, Operand(base=name)]


def memory_operand(instruction: Any, memory: Any) -> Operand:  # noqa: ANN401
    """Return one memory operand of a disassembled instruction."""
    segment, base, index = (
        instruction.reg_name(number) if number else None
        for number in (memory.segment, memory.base, memory.index)
    )
    displacement = memory.disp
    if index is not None and "mm" in index:
        msg = f"its addresses are in a vector: {instruction}"
        raise TraceError(msg)
    if base == "rip":
        base, displacement = None, instruction.address + instruction.size + displacement
    # Other segments than these two begin at zero.
    segment = f"{segment}_base" if segment in {"fs", "gs"} else None
    for name in (base, index):
        if name is not None and not hasattr(Registers, name):
            msg = f"an address of fewer than 64 bits: {instruction}"
            raise TraceError(msg)
    return Operand(segment, base, index, memory.scale, displacement)


# ---- a trace -----------------------------------------------------------------

STACK_NEAR = 1 << 20
MOST_STEPS = 1_000_000


class Tracer:
    """The parent's view of a child that is stopped."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.registers = Registers()
        self.known: dict[int, list[Operand]] = {}

    def resume(self, request: int) -> bool:
        """Let the child go on, until it stops (true) or has ended (false).

        Raises:
            TraceError: It died, or stopped for a signal that is not ours.
        """
        ptrace(request, self.pid)
        _pid, status = os.waitpid(self.pid, 0)
        if os.WIFEXITED(status):
            if code := os.WEXITSTATUS(status):
                msg = f"the traced program ended with {code}"
                raise TraceError(msg)
            return False
        if not os.WIFSTOPPED(status) or os.WSTOPSIG(status) != signal.SIGTRAP:
            msg = f"the traced program got a signal: wait status {status:#x}"
            raise TraceError(msg)
        ptrace(GETREGS, self.pid, 0, ctypes.byref(self.registers))
        return True

    def step_through(self) -> Trace:
        """Trace a function from its first instruction until it has returned."""
        registers = self.registers
        entry = registers.rsp
        trace: Trace = []
        while registers.rsp <= entry:
            trace.append(self.step(registers, entry))
            if len(trace) > MOST_STEPS or not self.resume(SINGLESTEP):
                msg = "the traced function does not return"
                raise TraceError(msg)
        return trace

    def step(self, registers: Registers, entry: int) -> Step:
        """Return what the next instruction is going to do."""
        address = registers.rip
        if address not in self.known:
            # The child has the parent's memory, so its code is here as well.
            code = ctypes.string_at(address, LONGEST_INSTRUCTION)
            self.known[address] = operands(address, code)
        step = [address, registers.rsp - entry]
        for segment, base, index, scale, displacement, size in self.known[address]:
            at = displacement
            at += getattr(registers, segment) if segment else 0
            at += getattr(registers, base) if base else 0
            at += getattr(registers, index) * scale if index else 0
            at &= WORD
            step.append(at - entry if abs(at - entry) < STACK_NEAR else at)
            if size:
                word = ptrace(PEEKTEXT, self.pid, at) & WORD
                step.append(word & ((1 << 8 * size) - 1))
        return tuple(step)


def traces(function: int, calls: Sequence[Callable[[], object]]) -> Iterator[Trace]:
    """Yield one trace for each call of the function at address *function*.

    Each of *calls* calls that function once; they run in a child.

    Raises:
        TraceError: The function can't be traced, or was not called that often.
    """
    pid = os.fork()
    if pid == 0:
        _call_all(calls)
    tracer = Tracer(pid)
    ended = False
    try:
        _pid, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            msg = f"the program can't be traced: wait status {status:#x}"
            raise TraceError(msg)
        ptrace(SETOPTIONS, pid, 0, EXITKILL)
        code = ptrace(PEEKTEXT, pid, function) & WORD
        for _call in calls:
            ptrace(POKETEXT, pid, function, code & ~0xFF | BREAKPOINT)
            if not tracer.resume(CONT):
                ended = True
                msg = "the traced function was not called"
                raise TraceError(msg)
            if tracer.registers.rip != function + 1:
                msg = "the traced program stopped elsewhere"
                raise TraceError(msg)
            ptrace(POKETEXT, pid, function, code)
            tracer.registers.rip = function
            ptrace(SETREGS, pid, 0, ctypes.byref(tracer.registers))
            yield tracer.step_through()
        ended = not tracer.resume(CONT)
    finally:
        if not ended:
            with contextlib.suppress(ProcessLookupError):  # an exception ended it
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _call_all(calls: Sequence[Callable[[], object]]) -> None:
    """Be the child: wait for the tracer, make all calls, end."""
    code = 1
    try:
        ptrace(TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        for call in calls:
            call()
        code = 0
    except BaseException:  # noqa: BLE001 - nobody catches it here
        traceback.print_exc()
    finally:
        os._exit(code)  # never back into the parent's work


def first_difference(one: Trace, other: Trace) -> tuple[int, Step, Step] | None:
    """Return where two traces part: the number of the step, and both steps."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i, a, b
    if len(one) != len(other):
        shorter = min(len(one), len(other))
        return shorter, (*one, (0, 0))[shorter], (*other, (0, 0))[shorter]
    return None
