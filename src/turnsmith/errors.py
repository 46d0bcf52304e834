"""The kinds of trouble that have names.

`UserError` is something the person at the keyboard can mend: the command line prints its text as one line and exits
with status 2, without a traceback. `InfraError` is a failure of the machinery under an episode (a browser, a worker, an
endpoint): the rollout turns it into the outcome `infra_error`, counts it, and keeps the episode out of every loss and
metric. `ParseError` is text from a model that is not in the grammar. Anything else that is raised is a bug and keeps
its traceback.
"""

import errno
import importlib.util
import re
from collections.abc import Sequence


class UserError(Exception):
    """Wrong input or a missing piece. The message says what was wrong, where, and what to do."""


class InfraError(Exception):
    """The machinery under an episode failed through no fault of the agent.

    Attributes:
        kind: a short stable name for counting, such as "browser_died", "page_crashed", "navigation_timeout",
            "server_down", "endpoint_down".
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


class ParseError(Exception):
    """Text from a model that is not in the action grammar. The message stands in the agent's next observation."""


_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM)


def disk_trouble(error: BaseException) -> str | None:
    """What the disk says, where this error comes from one that is full, read-only, broken or not ours; else None.

    Libraries in Rust (safetensors, tokenizers) raise kinds of their own that only quote the system's number.
    """
    if isinstance(error, OSError):
        return error.strerror if error.errno in _DISK else None
    quoted = re.search(r"([^:(]+) \(os error (\d+)\)", str(error))
    return quoted[1].strip() if quoted and int(quoted[2]) in _DISK else None


EXTRAS: dict[str, tuple[str, ...]] = {
    "browser": ("playwright", "miniwob"),
    "device": ("adbutils",),
    "hf": ("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers"),
    "mcp": ("mcp",),
    "robot": ("mujoco", "scipy", "h5py"),
    "diffusion": ("diffusers",),
    "eeg": ("mne", "h5py", "scipy", "matplotlib"),
    "cim": ("scipy", "matplotlib", "torch"),
    "gym": ("gymnasium",),
    "dev": ("pytest", "hypothesis"),
}
"""The extras of pyproject.toml, and what each brings (of two that bring the same, messages name the first)."""


def require(module: str, extra: str) -> None:
    """Raise a `UserError` that names the extra to install when `module` cannot be imported."""
    if importlib.util.find_spec(module) is None:
        raise not_installed([module], [extra])


def require_extras(*extras: str) -> None:
    """Raise one `UserError` that names all of these extras of which a module is missing, and what to type."""
    absent = {extra: module for extra in extras for module in EXTRAS[extra] if importlib.util.find_spec(module) is None}
    if absent:
        raise not_installed(list(absent.values()), list(absent))


def not_installed(modules: Sequence[str], extras: Sequence[str]) -> UserError:
    """The error for missing modules: what to type in a checkout (there is no release on PyPI yet)."""
    names = " and ".join(dict.fromkeys(modules))
    verb = "is" if len(modules) == 1 else "are"
    return UserError(f"{names} {verb} not installed. In a checkout of Turnsmith, type: {install_command(*extras)}")


def install_command(*extras: str) -> str:
    """What to type in a checkout to install these extras."""
    return f"pip install -e '.[{','.join(dict.fromkeys(extras))}]'"
