"""Starting the runner: the bubblewrap command line, the dropped user, and which tier this machine can give."""

import base64
import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from turnsmith.envs.sandbox import runner, seccomp
from turnsmith.envs.sandbox.types import Tier
from turnsmith.errors import UserError

_TMP_BYTES = 16 * 2**20
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
# Users that no account has. Each sandbox of a root process is another one: they can do nothing to one another, and the
# kernel counts their processes apart. (Root itself is exempt from the limit on processes: a fork bomb of its own.)
_FIRST_USER, _USERS = 1_600_000_000, 100_000_000


@functools.cache
def find_tier() -> tuple[Tier, str]:
    """The strongest tier that works here, and why there is nothing stronger ("" where there is)."""
    if sys.platform != "linux":
        return Tier.PLAIN, "bubblewrap needs Linux"
    if shutil.which("bwrap") is None:
        return Tier.PLAIN, "bubblewrap is not installed (apt-get install bubblewrap, or: turnsmith doctor --install)"
    if not seccomp.supported():
        return Tier.PLAIN, "no system call filter for this processor"
    try:
        trial = in_namespaces("print(42)")
    except (OSError, subprocess.SubprocessError) as error:
        return Tier.PLAIN, f"bubblewrap does not start ({error})"
    if trial.stdout.strip() == "42":
        return Tier.NAMESPACES, ""
    return Tier.PLAIN, f"bubblewrap makes no namespace here ({trial.stderr.strip()[:200] or trial.returncode})"


def in_namespaces(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program in bubblewrap's namespaces alone, without the filter of system calls and without limits."""
    user = _other_user()
    return subprocess.run(
        [*_bubblewrap([], writable_tmp=False), python_program(), "-I", "-S", "-c", code],
        capture_output=True, text=True, timeout=20, check=False,
        user=user, group=user, extra_groups=None if user is None else [],
    )  # fmt: skip


def choose_tier(allow_unsafe: bool) -> Tier:
    """The tier to use.

    Args:
        allow_unsafe: whether a process with limits, and nothing else, will do where there are no namespaces.

    Raises:
        UserError: if untrusted code cannot be held here and nobody said that it need not.
    """
    tier, why = find_tier()
    if tier is Tier.PLAIN and not allow_unsafe:
        raise UserError(
            f"code written by a model is not run here: {why}. On a machine of no value, --allow-unsafe runs it as an "
            "ordinary process with limits (it can read files and open sockets)."
        )
    return tier


@functools.cache
def python_program() -> str:
    """The Python to run inside: this one's base, where another user may read it; else the system's."""
    own = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    return own if os.geteuid() != 0 or _readable_by_all(own) else shutil.which("python3", path="/usr/bin:/bin") or own


def _readable_by_all(path: str) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in [Path(path), *Path(path).parents])


def start(
    tier: Tier, mode: str, *, stdin: int, stdout: int, control: int | None = None, writable_tmp: bool = False
) -> subprocess.Popen[bytes]:
    """Start the runner.

    Args:
        tier: what to put around it.
        mode: "once" or "serve".
        stdin, stdout: descriptors, or `subprocess.DEVNULL`.
        control: the zygote's end of the control socket.
        writable_tmp: give it a small private /tmp; without, there is nowhere to write.
    """
    inner = base64.b64encode(seccomp.assemble(seccomp.INNER) if seccomp.supported() else b"").decode()
    source = Path(runner.__file__).read_text(encoding="utf-8")
    command = [python_program(), "-s", "-P", "-S", "-B", "-c", source, mode, str(control or 0), inner]
    passed = [] if control is None else [control]
    if tier is Tier.PLAIN:
        folder = tempfile.gettempdir()
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, pass_fds=passed, env=_ENVIRONMENT,
            cwd=folder, start_new_session=True,
        )  # fmt: skip
    filter_read, filter_write = os.pipe()
    try:
        os.write(filter_write, seccomp.assemble(seccomp.OUTER))
        os.close(filter_write)
        outer = _bubblewrap(["--seccomp", str(filter_read)], writable_tmp)
        user = _other_user()
        return subprocess.Popen(
            [*outer, *command], stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL,
            pass_fds=[*passed, filter_read], env=_ENVIRONMENT, cwd="/", start_new_session=True,
            user=user, group=user, extra_groups=None if user is None else [],
        )  # fmt: skip
    finally:
        os.close(filter_read)


def _bubblewrap(more: list[str], writable_tmp: bool) -> list[str]:
    """bubblewrap's command line: new namespaces of every kind, programs read-only, nothing of the user's."""
    command = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    command += ["--cap-drop", "ALL", "--hostname", "sandbox"]
    for name, value in _ENVIRONMENT.items():
        command += ["--setenv", name, value]
    command += ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64", "/lib32", "/sbin"):
        path = Path(name)
        if path.is_symlink():
            command += ["--symlink", os.readlink(name), name]
        elif path.is_dir():
            command += ["--ro-bind", name, name]
    prefix = Path(python_program()).parent.parent
    if not prefix.is_relative_to("/usr"):
        command += ["--ro-bind", str(prefix), str(prefix)]
    for name in ("/dev/null", "/dev/zero", "/dev/urandom"):
        command += ["--dev-bind", name, name]
    if writable_tmp:
        command += ["--size", str(_TMP_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp"]
    else:
        command += ["--dir", "/tmp", "--chdir", "/"]
    return [*command, "--remount-ro", "/", *more, "--"]


def _other_user() -> int | None:
    """Another user for the process, when this one is root; bubblewrap then works as any user's does."""
    return None if os.geteuid() != 0 else _FIRST_USER + random.SystemRandom().randrange(_USERS)
