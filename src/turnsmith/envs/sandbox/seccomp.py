"""System call filters as BPF programs, assembled here: no library is needed to make them.

Two filters are used. `OUTER` is given to bubblewrap and holds for everything inside: no sockets, no namespaces, no
mounts, no tracing, no memory that escapes the limits (System V, memfd). `INNER` is installed by the runner right before
it runs a program: no further processes, no signals to others, no programs started. Both answer EPERM; a foreign
architecture is killed.
"""

import errno
import platform
import struct
from collections.abc import Mapping, Sequence

_LOAD, _JUMP_EQUAL, _JUMP_ANY_BIT, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW… flag

# machine -> (AUDIT_ARCH, numbers of the calls by name); a name that an architecture lacks is left out
_AMD64 = {
    "fork": 57, "vfork": 58, "clone": 56, "execve": 59, "kill": 62, "socket": 41, "connect": 42, "accept": 43,
    "sendto": 44, "bind": 49, "listen": 50, "socketpair": 53, "accept4": 288, "shmget": 29, "semget": 64, "msgget": 68,
    "ptrace": 101, "syslog": 103, "mknod": 133, "personality": 135, "pivot_root": 155, "chroot": 161, "acct": 163,
    "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170,
    "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "tkill": 200,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "tgkill": 234, "rt_sigqueueinfo": 129,
    "rt_tgsigqueueinfo": 297, "mknodat": 259, "unshare": 272, "perf_event_open": 298, "prlimit64": 302,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "finit_module": 313, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321,
    "execveat": 322, "userfaultfd": 323, "sendmsg": 46, "recvmsg": 47,
}  # fmt: skip
_ARM64 = {
    "clone": 220, "execve": 221, "kill": 129, "socket": 198, "connect": 203, "accept": 202, "sendto": 206, "bind": 200,
    "listen": 201, "socketpair": 199, "accept4": 242, "shmget": 194, "semget": 190, "msgget": 186, "ptrace": 117,
    "syslog": 116, "personality": 92, "pivot_root": 41, "chroot": 51, "acct": 89, "mount": 40, "umount2": 39,
    "swapon": 224, "swapoff": 225, "reboot": 142, "sethostname": 161, "setdomainname": 162, "init_module": 105,
    "delete_module": 106, "tkill": 130, "kexec_load": 104, "add_key": 217, "request_key": 218, "keyctl": 219,
    "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "mknodat": 33, "unshare": 97,
    "perf_event_open": 241, "prlimit64": 261, "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268,
    "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273, "memfd_create": 279,
    "kexec_file_load": 294, "bpf": 280, "execveat": 281, "userfaultfd": 282, "sendmsg": 211, "recvmsg": 212,
}  # fmt: skip
_COMMON = {  # the same number on every architecture
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434,
    "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442, "memfd_secret": 447,
}  # fmt: skip
_MACHINES: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "x86_64": (0xC000003E, {**_AMD64, **_COMMON}),
    "aarch64": (0xC00000B7, {**_ARM64, **_COMMON}),
}

OUTER = (
    "socket", "connect", "accept", "accept4", "sendto", "bind", "listen", "socketpair", "shmget", "semget", "msgget",
    "ptrace", "syslog", "mknod", "mknodat", "personality", "pivot_root", "chroot", "acct", "mount", "umount2",
    "swapon", "swapoff", "reboot", "sethostname", "setdomainname", "iopl", "ioperm", "init_module", "finit_module",
    "delete_module", "kexec_load", "kexec_file_load", "add_key", "request_key", "keyctl", "unshare", "setns",
    "perf_event_open", "name_to_handle_at", "open_by_handle_at", "process_vm_readv", "process_vm_writev",
    "memfd_create", "memfd_secret", "bpf", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "pidfd_getfd",
    "process_madvise", "clone3",
)  # fmt: skip
INNER = (
    "fork", "vfork", "clone", "clone3", "execve", "execveat", "kill", "tkill", "tgkill", "rt_sigqueueinfo",
    "rt_tgsigqueueinfo", "pidfd_open", "pidfd_send_signal", "sendmsg", "recvmsg",
)  # fmt: skip


def supported() -> bool:
    """Whether filters can be made for this machine."""
    return platform.machine() in _MACHINES


def assemble(denied: Sequence[str], machine: str | None = None) -> bytes:
    """A filter that answers EPERM to these calls (ENOSYS to clone3, so that C libraries fall back) and allows others.

    `prlimit64` and `clone` are looked at more closely: the first may only concern the caller itself, the second may
    not make namespaces.

    Args:
        denied: names of calls.
        machine: as `platform.machine()` says; this one without.

    Returns:
        The program: eight bytes an instruction, as the kernel and bubblewrap's `--seccomp` take it.

    Raises:
        KeyError: for a machine or a call that is not known.
    """
    arch, numbers = _MACHINES[machine or platform.machine()]
    known = set().union(*(names for _, names in _MACHINES.values()))
    if unknown := set(denied) - known:
        raise KeyError(f"system calls {sorted(unknown)}")
    code = [_one(_LOAD, 4), _one(_JUMP_EQUAL, arch, 1, 0), _one(_RETURN, _KILL), _one(_LOAD, 0)]
    if arch == 0xC000003E:  # the x32 numbers of the same architecture
        code += [_one(_JUMP_AT_LEAST, 0x40000000, 0, 1), _one(_RETURN, _ERRNO | errno.EPERM)]
    for name in denied:
        if name in numbers:
            answer = errno.ENOSYS if name == "clone3" else errno.EPERM
            code += [_one(_JUMP_EQUAL, numbers[name], 0, 1), _one(_RETURN, _ERRNO | answer)]
    # another process's limits: prlimit64(pid, …) with pid other than 0
    code += [_one(_JUMP_EQUAL, numbers["prlimit64"], 0, 4), _one(_LOAD, 16), _one(_JUMP_EQUAL, 0, 1, 0)]
    code += [_one(_RETURN, _ERRNO | errno.EPERM), _one(_LOAD, 0)]
    # namespaces: clone(flags, …)
    code += [_one(_JUMP_EQUAL, numbers["clone"], 0, 3), _one(_LOAD, 16), _one(_JUMP_ANY_BIT, _NEW_NAMESPACES, 0, 1)]
    code += [_one(_RETURN, _ERRNO | errno.EPERM), _one(_RETURN, _ALLOW)]
    return b"".join(code)


def _one(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)
