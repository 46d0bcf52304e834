"""`turnsmith doctor [--install]`: check this machine and say how to mend each gap.

With `--install`, what can be installed without asking (a browser, bubblewrap) is installed. The exit status is 1 when
something that `turnsmith demo` needs is missing.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from turnsmith.errors import EXTRAS, UserError, install_command


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes:
        what: what was looked at.
        found: what is there.
        state: "ok", "gap" (something optional is missing) or "needed" (the demo cannot run).
        mend: what to type, or "".
    """

    what: str
    found: str
    state: str = "ok"
    mend: str = ""


def main(argv: list[str]) -> int:
    """Print the report; with `--install`, install a browser and bubblewrap first where there is none."""
    if any(argument in ("-h", "--help") for argument in argv):
        print(f"usage: turnsmith doctor [--install]\n\n{__doc__}")
        return 0
    unknown = [argument for argument in argv if argument != "--install"]
    if unknown:
        raise UserError(f"unknown option {unknown[0]!r}. usage: turnsmith doctor [--install]")
    if "--install" in argv and importlib.util.find_spec("playwright"):
        _install_browser()
    if "--install" in argv:
        _install_bubblewrap()
        _install_graphics()
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    missing = False
    for check in checks():
        sign, colour = {"ok": ("ok  ", "green"), "gap": ("gap ", "yellow"), "needed": ("MISS", "red")}[check.state]
        console.print(f"[{colour}]{sign}[/{colour}] {check.what:12} {check.found}", markup=True)
        if check.mend:
            console.print(f"                  {check.mend}", markup=False)
        missing |= check.state == "needed"
    return 1 if missing else 0


def _install_browser() -> None:
    from turnsmith.envs.browser.chromium import find_chromium, install_chromium

    try:
        find_chromium()
    except UserError:
        install_chromium()


def _install_bubblewrap() -> None:
    """Where this user may install packages, the sandbox's program; elsewhere the report says what to type."""
    if shutil.which("bwrap") or shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    for command in (["install", "-y", "bubblewrap"], ["update"], ["install", "-y", "bubblewrap"]):
        done = subprocess.run(["apt-get", "-q", *command], capture_output=True, text=True, check=False)
        if shutil.which("bwrap"):
            return
    print(f"bubblewrap could not be installed: {done.stderr.strip()[-200:]}", file=sys.stderr)


def _sandbox() -> Check:
    from turnsmith.envs.sandbox import Tier
    from turnsmith.envs.sandbox.launch import find_tier

    tier, why = find_tier()
    if tier is Tier.NAMESPACES:
        return Check("sandbox", "bubblewrap holds model-written code")
    return Check("sandbox", f"model-written code cannot be held: {why}", "gap", "docs/sandbox.md")


def _install_graphics() -> None:
    """Likewise what MuJoCo renders with, where neither OSMesa nor EGL is there."""
    from turnsmith.worlds.tabletop.graphics import PACKAGES, available_backends

    if available_backends() or shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    for command in (["install", "-y", *PACKAGES], ["update"], ["install", "-y", *PACKAGES]):
        done = subprocess.run(["apt-get", "-q", *command], capture_output=True, text=True, check=False)
        if available_backends():
            return
    print(f"OSMesa could not be installed: {done.stderr.strip()[-200:]}", file=sys.stderr)


def rendering() -> Check:
    """Whether MuJoCo can render without a display, and by which library."""
    if importlib.util.find_spec("mujoco") is None:
        return Check("MuJoCo", "not installed", "gap", install_command("robot"))
    from turnsmith.worlds.tabletop.graphics import MEND, available_backends

    there = available_backends()
    if not there:
        return Check("MuJoCo", "cannot render without a display", "gap", MEND)
    chosen = os.environ.get("MUJOCO_GL") or there[0]
    return Check("MuJoCo", f"renders by {chosen} (there: {', '.join(there)})")


def checks() -> Iterator[Check]:
    """Every check, in the order in which they are printed."""
    python_ok = sys.version_info >= (3, 11)
    yield Check(
        "Python",
        sys.version.split()[0],
        "ok" if python_ok else "needed",
        "" if python_ok else "Turnsmith needs Python 3.11 or newer.",
    )
    yield _torch()
    yield from _devices()
    yield _chromium()
    yield android()
    yield _sandbox()
    yield rendering()
    for extra, modules in EXTRAS.items():
        absent = [module for module in modules if importlib.util.find_spec(module) is None]
        needed = extra in ("browser", "hf")
        name = f"[{extra}]".replace("[", r"\[")
        if absent:
            mend = install_command(extra)
            yield Check(name, f"without {', '.join(absent)}", "needed" if needed else "gap", mend)
        else:
            yield Check(name, "installed")
    yield _disk()
    yield _memory()


def _torch() -> Check:
    if importlib.util.find_spec("torch") is None:
        return Check("torch", "not installed", "needed", install_command("hf"))
    version = importlib.metadata.version("torch")
    major, minor = (int(part) for part in version.split("+")[0].split(".")[:2])
    if not (2, 11) <= (major, minor) < (2, 14):
        return Check("torch", version, "gap", "Tested with torch 2.11 to 2.13: pip install 'torch>=2.11,<2.14'")
    return Check("torch", version)


def _devices() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if importlib.util.find_spec("torch") is None:
        yield Check("device", f"{cores} CPU cores")
        return
    import torch

    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
        yield Check("device", f"{torch.cuda.device_count()} GPU ({', '.join(sorted(names))}), {cores} CPU cores")
    else:
        yield Check("device", f"{cores} CPU cores, no GPU (the laptop presets need none)")


def _chromium() -> Check:
    if importlib.util.find_spec("playwright") is None:
        return Check("Chromium", "playwright is not installed", "needed", install_command("browser"))
    from turnsmith.envs.browser.chromium import find_chromium

    try:
        install = find_chromium()
    except UserError as error:
        return Check("Chromium", "not found", "needed", str(error))
    return Check("Chromium", f"{install.path} ({install.kind})")


def android(port: int = 5037) -> Check:
    """The phones and emulators that a running adb server knows; no server is started for this."""
    if importlib.util.find_spec("adbutils") is None:
        return Check("Android", "adbutils is not installed", "gap", f"{install_command('device')} to attach phones")
    from turnsmith.envs.device.adb import attached

    try:
        devices = attached(port=port)
    except Exception as error:  # adbutils raises its own kinds besides OSError
        why = "no adb server is running" if isinstance(error, OSError) else f"the adb server answers oddly ({error})"
        return Check("Android", why, "gap", "To attach a phone or an emulator: adb devices (docs/device.md)")
    if not devices:
        return Check("Android", "no device is attached", "gap", "To attach a phone or an emulator: docs/device.md")
    found = ", ".join(f"{serial} ({state})" for serial, state in devices)
    ready = any(state == "device" for _, state in devices)
    return Check("Android", found, "ok" if ready else "gap", "" if ready else "Allow debugging on the phone's screen.")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Check(
        "disk",
        f"{free:.0f} GiB free here",
        "ok" if free >= 5 else "gap",
        "" if free >= 5 else "Runs with screenshots take up to a few GiB: free some space, or start elsewhere.",
    )


def _memory() -> Check:
    import psutil

    total = psutil.virtual_memory().total / 2**30
    return Check("memory", f"{total:.0f} GiB", "ok" if total >= 4 else "gap", "" if total >= 4 else "4 GiB is tight.")
