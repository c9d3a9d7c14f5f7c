"""Linux isolation of a process that reads hostile source: the layers, and the guarantees that each supplies.

Covered: opening or changing files, the network, starting processes or programs, signalling others, time, memory. Each of these
six guarantees may come from several layers. A guarantee that no layer supplies is missing, and the source is then not read
unless the caller accepts that.

Not covered: a bug in the kernel, and side channels (timing, caches). The process holds no secret that could leak: it is forked
from a fresh interpreter with an empty environment, and has one descriptor, for its answer.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import Final

from sandbox.child.jail.syscalls import ALLOWED, FATAL, MACHINES

resource: ModuleType | None
try:
    import resource  # here, since nothing can be imported inside the jail
except ImportError:  # Windows: no limits, so guarantees are missing
    resource = None

CPU_SECONDS: Final = 2
MEMORY_BYTES: Final = 256 * 1024 * 1024
WALL_SECONDS: Final = 5.0
"""Seconds that the zygote waits for an answer. The CPU limit is the usual bound; this one ends a child that does not run."""

GUARANTEES: Final = ("files", "network", "processes", "signals", "time", "memory")

LAYERS: Final = (
    "seccomp",
    "landlock",
    "landlock-signals",
    "no-processes-limit",
    "no-descriptors-limit",
    "cpu-limit",
    "memory-limit",
    "wall-clock",
)
"""All layers. `landlock` denies opening and executing files (ABI 1), `landlock-signals` signals to other processes (ABI 6).
`no-processes-limit` is RLIMIT_NPROC = 0, `no-descriptors-limit` is RLIMIT_NOFILE = 0. Neither binds root, so neither counts
for root."""

_SUPPLIERS: Mapping[str, tuple[frozenset[str], ...]] = MappingProxyType(
    {
        "files": (frozenset({"seccomp"}), frozenset({"landlock"})),
        "network": (frozenset({"seccomp"}), frozenset({"no-descriptors-limit"})),
        "processes": (frozenset({"seccomp"}), frozenset({"landlock", "no-processes-limit"})),
        "signals": (frozenset({"seccomp"}), frozenset({"landlock-signals"})),
        "time": (frozenset({"cpu-limit"}), frozenset({"wall-clock"})),
        "memory": (frozenset({"memory-limit"}),),
    }
)
"""For each guarantee, the sets of layers that each supply it."""

_NOBODY = 65534
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_PROT_EXEC = 4


def guarantees(layers: Iterable[str] | None = None) -> dict[str, str]:
    """Guarantee -> the layers that supply it, for example 'seccomp, landlock'; '' if none does.

    `layers` defaults to those that this machine reports as available; `evopo-sandbox doctor` tests them.
    """
    present = frozenset(Jail().available() if layers is None else layers)
    return {
        name: ", ".join(" + ".join(sorted(s)) for s in suppliers if s <= present)
        for name, suppliers in _SUPPLIERS.items()
    }


def missing(layers: Iterable[str], accepted: Iterable[str] = ()) -> list[str]:
    """The guarantees that no layer supplies, except those that the caller accepts as missing."""
    return [name for name, by in guarantees(layers).items() if not by and name not in set(accepted)]


def encode_layers(layers: Iterable[str]) -> int:
    """The layers as a bit mask, for the pipe."""
    return sum(1 << LAYERS.index(name) for name in set(layers))


def decode_layers(mask: int) -> tuple[str, ...]:
    """The layers of a bit mask."""
    return tuple(name for i, name in enumerate(LAYERS) if mask >> i & 1)


class Jail:
    """The jail, prepared in the zygote so that the child only makes system calls. `enter` cannot be undone.

    `without` omits layers, as if the machine did not have them: for tests of the remaining layers.
    """

    def __init__(self, without: frozenset[str] = frozenset()) -> None:
        self._without = without
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._machine = MACHINES.get(os.uname().machine) if sys.platform == "linux" else None
        self._landlock_abi = self._detect_landlock()
        self._programs: dict[int, bytes] = {}

    def prepare(self, answer: int) -> None:
        """Build the seccomp filter for a descriptor in advance, once for all children."""
        if self._machine is not None and answer not in self._programs:
            self._programs[answer] = filter_program(os.uname().machine, answer)

    def available(self) -> tuple[str, ...]:
        """The layers that this machine offers, as far as can be determined without entering the jail."""
        linux = self._libc is not None
        offered = {
            "seccomp": linux and self._machine is not None and os.path.exists("/proc/sys/kernel/seccomp"),
            "landlock": self._landlock_abi >= 1,
            "landlock-signals": self._landlock_abi >= 6,
            "no-processes-limit": linux,
            "no-descriptors-limit": True,
            "cpu-limit": True,
            "memory-limit": linux,
            "wall-clock": True,
        }
        return tuple(name for name in LAYERS if offered[name] and name not in self._without)

    def enter(self, answer: int, parent: int, *, kill_with_parent: bool = True) -> tuple[str, ...]:
        """Drop access to everything but memory, the processor and the descriptor `answer`. Returns the layers in force.

        `parent` is the process id of the zygote. If it is no longer the parent, the zygote has died and this child exits.
        """
        layers = ["wall-clock"]
        os.setsid()
        self._become_nobody()
        if self._libc is not None and kill_with_parent:
            self._libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
        os.closerange(0, answer)
        os.closerange(answer + 1, 256)
        confined = self._libc is not None and self._libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        if confined:
            layers += self._restrict_files()  # before the limit on descriptors, since it opens one for a moment
        layers += self._limit()
        if self._libc is not None:
            self._libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        if confined:
            layers += self._filter_calls(answer)
        return tuple(layers)

    @staticmethod
    def _become_nobody() -> None:
        """Change root's child to the user nobody, if the system permits: process limits do not bind root."""
        if os.geteuid() != 0:
            return
        try:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        except (OSError, AttributeError):  # not permitted, user not mapped, or calls not available
            return

    def _limit(self) -> list[str]:
        if resource is None:
            return []

        def limit(name: str, soft: int, hard: int) -> bool:
            try:
                resource.setrlimit(getattr(resource, name), (soft, hard))
            except (OSError, ValueError, AttributeError):
                return False
            return True

        limit("RLIMIT_CORE", 0, 0)
        limit("RLIMIT_FSIZE", 0, 0)
        layers = []
        if "cpu-limit" not in self._without and limit("RLIMIT_CPU", CPU_SECONDS, CPU_SECONDS + 1):
            layers.append("cpu-limit")
        memory = sys.platform == "linux" and "memory-limit" not in self._without
        if memory and limit("RLIMIT_AS", MEMORY_BYTES, MEMORY_BYTES):
            layers.append("memory-limit")
        for layer, name in (("no-processes-limit", "RLIMIT_NPROC"), ("no-descriptors-limit", "RLIMIT_NOFILE")):
            if layer not in self._without and limit(name, 0, 0) and os.geteuid() != 0:
                layers.append(layer)
        return layers

    def _detect_landlock(self) -> int:
        if self._libc is None or self._machine is None:
            return 0
        number = self._machine.numbers["landlock_create_ruleset"]
        return max(int(self._libc.syscall(number, None, ctypes.c_size_t(0), ctypes.c_uint32(1))), 0)

    def _restrict_files(self) -> list[str]:
        """Apply Landlock with an empty ruleset, which denies every handled right everywhere. Returns the layers in force."""
        abi = self._landlock_abi
        if abi < 1 or self._libc is None or self._machine is None or "landlock" in self._without:
            return []
        if "landlock-signals" in self._without:
            abi = min(abi, 5)
        files = (1 << (13 + (abi >= 2) + (abi >= 3) + (abi >= 5))) - 1
        ports, scopes = (3 if abi >= 4 else 0), (3 if abi >= 6 else 0)
        rules = struct.pack("=QQQ", files, ports, scopes)[: 8 if abi < 4 else 16 if abi < 6 else 24]
        numbers = self._machine.numbers
        made = self._libc.syscall(
            numbers["landlock_create_ruleset"], rules, ctypes.c_size_t(len(rules)), ctypes.c_uint32(0)
        )
        if made < 0:
            return []
        in_force = self._libc.syscall(numbers["landlock_restrict_self"], made, ctypes.c_uint32(0)) == 0
        os.close(made)
        if not in_force:
            return []
        return ["landlock", "landlock-signals"] if abi >= 6 else ["landlock"]

    def _filter_calls(self, answer: int) -> list[str]:
        if self._libc is None or self._machine is None or "seccomp" in self._without:
            return []
        program = self._programs.get(answer) or filter_program(os.uname().machine, answer)
        code = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
        if self._libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0) != 0:
            return []
        return ["seccomp"]


# --- seccomp ----------------------------------------------------------------------------------------------------------

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _EPERM, _ALLOW = 0x80000000, 0x00050001, 0x7FFF0000
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16


def filter_program(machine: str, answer: int) -> bytes:
    """The seccomp filter (classic BPF) for a machine type and a process that may write to the descriptor `answer` only."""
    m = MACHINES[machine]
    out: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, m.audit_arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if m.foreign is not None:
        out += [(_AT_LEAST, 0, 1, m.foreign), (_RETURN, 0, 0, _KILL)]
    for numbers, action in ((m.numbered(ALLOWED), _ALLOW), (m.numbered(FATAL), _KILL)):
        for number in numbers:
            out += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, action)]
    for name in ("mmap", "mprotect"):
        out += [
            (_EQUAL, 0, 4, m.numbers[name]),
            (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * 2),
            (_ANY_BIT, 0, 1, _PROT_EXEC),
            (_RETURN, 0, 0, _EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ]
    out += [
        (_EQUAL, 0, 4, m.numbers["write"]),
        (_LOAD, 0, 0, _ARGUMENTS_AT),
        (_EQUAL, 0, 1, answer),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
        (_RETURN, 0, 0, _EPERM),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in out)
