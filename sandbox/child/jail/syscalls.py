"""System-call numbers of the two supported machine types, and the calls that are allowed or fatal. Data only.

Sources: linux/arch/x86/entry/syscalls/syscall_64.tbl, linux/include/uapi/asm-generic/unistd.h (aarch64).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

ALLOWED = [
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "futex",
    "rt_sigreturn",
    "rt_sigprocmask",
    "sigaltstack",
    "getrandom",
    "clock_gettime",
    "gettimeofday",
    "sched_yield",
    "restart_syscall",
    "exit",
    "exit_group",
    "close",
    "set_robust_list",
    "rseq",
]
"""Calls that the interpreter needs to parse, trace, answer and exit. `mmap` and `mprotect` are allowed without PROT_EXEC, and
`write` on the descriptor of the answer. All others fail with EPERM, except those in FATAL."""

FATAL = [
    "clone",
    "clone3",
    "fork",
    "vfork",
    "execve",
    "execveat",
    "socket",
    "socketpair",
    "connect",
    "bind",
    "listen",
    "accept",
    "accept4",
    "sendto",
    "sendmsg",
    "ptrace",
    "kill",
    "tkill",
    "tgkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "pidfd_open",
    "pidfd_send_signal",
    "pidfd_getfd",
    "process_vm_readv",
    "process_vm_writev",
    "io_uring_setup",
    "bpf",
    "userfaultfd",
    "perf_event_open",
    "keyctl",
    "add_key",
    "request_key",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "reboot",
    "memfd_create",
    "shmget",
    "shmat",
    "seccomp",
]
"""Calls that only an attack makes: the process is killed at once (SIGSYS), and the verdict reports it."""

_X86_64 = """
read 0 write 1 open 2 close 3 stat 4 fstat 5 lstat 6 mmap 9 mprotect 10 munmap 11 brk 12 rt_sigaction 13 rt_sigprocmask 14
rt_sigreturn 15 mremap 25 madvise 28 shmget 29 shmat 30 sched_yield 24 socket 41 connect 42 accept 43 sendto 44 sendmsg 46 bind 49
listen 50 socketpair 53 clone 56 fork 57 vfork 58 execve 59 exit 60 kill 62 gettimeofday 96 ptrace 101 rt_sigqueueinfo 129
sigaltstack 131 pivot_root 155 chroot 161 mount 165 umount2 166 reboot 169 init_module 175 delete_module 176 tkill 200 futex 202
restart_syscall 219 clock_gettime 228 exit_group 231 tgkill 234 kexec_load 246 add_key 248 request_key 249 keyctl 250 openat 257
unshare 272 set_robust_list 273 accept4 288 perf_event_open 298 rt_tgsigqueueinfo 297 setns 308 process_vm_readv 310
process_vm_writev 311 finit_module 313 seccomp 317 getrandom 318 memfd_create 319 bpf 321 execveat 322 userfaultfd 323 rseq 334
pidfd_send_signal 424 io_uring_setup 425 pidfd_open 434 clone3 435 pidfd_getfd 438
landlock_create_ruleset 444 landlock_restrict_self 446
"""
_AARCH64 = """
umount2 39 mount 40 pivot_root 41 chroot 51 openat 56 close 57 read 63 write 64 exit 93 exit_group 94 unshare 97 futex 98
set_robust_list 99 init_module 105 delete_module 106 kexec_load 104 clock_gettime 113 ptrace 117 sched_yield 124 restart_syscall 128
kill 129 tkill 130 tgkill 131 sigaltstack 132 rt_sigaction 134 rt_sigprocmask 135 rt_sigqueueinfo 138 rt_sigreturn 139 reboot 142
gettimeofday 169 shmget 194 shmat 196 socket 198 socketpair 199 bind 200 listen 201 accept 202 connect 203 sendto 206 sendmsg 211
brk 214 munmap 215 mremap 216 add_key 217 request_key 218 keyctl 219 clone 220 execve 221 mmap 222 mprotect 226 madvise 233
rt_tgsigqueueinfo 240 perf_event_open 241 accept4 242 setns 268 process_vm_readv 270 process_vm_writev 271 finit_module 273
seccomp 277 getrandom 278 memfd_create 279 bpf 280 execveat 281 userfaultfd 282 rseq 293 pidfd_send_signal 424 io_uring_setup 425
pidfd_open 434 clone3 435 pidfd_getfd 438 landlock_create_ruleset 444 landlock_restrict_self 446
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """Machine type: AUDIT_ARCH constant, call numbers by name, and the first number of a foreign calling convention (x32)."""

    audit_arch: int
    numbers: Mapping[str, int]
    foreign: int | None = None

    def numbered(self, names: list[str]) -> list[int]:
        """The numbers of the named calls that exist on this machine type (aarch64 has no fork)."""
        return [self.numbers[n] for n in names if n in self.numbers]


def _table(text: str) -> Mapping[str, int]:
    words = text.split()
    return MappingProxyType({name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)})


MACHINES: Mapping[str, Machine] = MappingProxyType(
    {
        "x86_64": Machine(0xC000003E, _table(_X86_64), foreign=0x40000000),
        "aarch64": Machine(0xC00000B7, _table(_AARCH64)),
    }
)
"""By `os.uname().machine`. On any other machine type the layer seccomp is not available."""
