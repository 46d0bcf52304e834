"""Which Chromium to drive, how to start it, and how to get one.

The distribution's headless shell is first among the installed ones: with the same pages it does two to three times as
many steps a second as the full browser (docs/browser.md).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from turnsmith.errors import UserError

HEADLESS_SHELLS = ("chromium-headless-shell", "chrome-headless-shell", "headless_shell")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

_TYPE_THIS = (
    "On Debian as root: apt-get install chromium-headless-shell. Elsewhere: playwright install chromium. "
    "Or set TURNSMITH_CHROMIUM to the path of a Chromium or Chrome."
)

# What the browser would do by itself besides showing our pages: talk to its maker, ask, update, throttle, render on a
# GPU that is not there. Playwright's own defaults already switch off most background work.
_ARGUMENTS: tuple[str, ...] = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-pings",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-domain-reliability",
    "--dns-prefetch-disable",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",  # WebRTC would go around the wall
    "--force-device-scale-factor=1",
    "--font-render-hinting=none",
    "--mute-audio",
)


# Playwright gives a list of its own, and Chromium takes the last one only: those of Playwright's that a headless
# browser behind our wall needs are repeated here. RenderDocument makes a new frame host for every document: that is a
# tenth of a step's time, and between two of them a dialog can be answered by nobody (the page then hangs).
_FEATURES_OFF = (
    "RenderDocument",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
)

# A page that floods the browser (200 calls of history.pushState a millisecond) must not cost its neighbours theirs.
UNWANTED_DEFAULTS = ("--disable-ipc-flooding-protection",)
"""What Playwright would start the browser with and we do not want."""


@dataclass(frozen=True, slots=True)
class ChromiumInstall:
    """An installed browser.

    Attributes:
        path: the executable.
        kind: "environment" (named by TURNSMITH_CHROMIUM), "headless_shell", "system" or "playwright".
    """

    path: Path
    kind: str


def find_chromium(window: bool = False) -> ChromiumInstall:
    """The browser to drive: `TURNSMITH_CHROMIUM`, a headless shell on the path, a Chromium or Chrome, Playwright's own.

    Args:
        window: it has to be able to show one, which a headless shell is not.

    Raises:
        UserError: if there is none, or if `TURNSMITH_CHROMIUM` names no executable.
    """
    named = os.environ.get("TURNSMITH_CHROMIUM")
    if named:
        found = shutil.which(named)
        if found is None:
            raise UserError(f"TURNSMITH_CHROMIUM={named}: there is no executable there. Mend or unset the variable.")
        return ChromiumInstall(Path(found), "environment")
    for kind, names in (("headless_shell", HEADLESS_SHELLS), ("system", BROWSERS)):
        for name in () if window and kind == "headless_shell" else names:
            if (found := shutil.which(name)) is not None:
                return ChromiumInstall(Path(found), kind)
    for path in _playwright_browsers():
        if window and "headless" in path.name:
            continue
        return ChromiumInstall(path, "playwright")
    raise UserError(f"no Chromium was found. {_TYPE_THIS}")


def _playwright_browsers() -> Iterator[Path]:
    """Executables that `playwright install chromium` left behind, newest first, headless shells before full ones."""
    named = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    if named and named != "0":
        roots = [Path(named)]
    elif sys.platform == "darwin":
        roots = [Path.home() / "Library/Caches/ms-playwright"]
    else:
        roots = [Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ms-playwright"]
    patterns = (
        "chromium_headless_shell-*/*/headless_shell",
        "chromium_headless_shell-*/*/chrome-headless-shell",
        "chromium-*/*/chrome",
        "chromium-*/*/*.app/Contents/MacOS/*",
    )
    for pattern in patterns:
        for root in roots:
            found = [path for path in root.glob(pattern) if os.access(path, os.X_OK)]
            yield from sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def launch_arguments() -> list[str]:
    """Command-line arguments for the browser. The sandbox is given up only where it cannot work: for root."""
    arguments = [*_ARGUMENTS, f"--disable-features={','.join(_FEATURES_OFF)}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    if _shared_memory_is_small():
        arguments.append("--disable-dev-shm-usage")
    return arguments


def _shared_memory_is_small() -> bool:
    """Containers often have a /dev/shm of 64 MiB, in which a few renderers crash."""
    try:
        status = os.statvfs("/dev/shm")
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < 512 * 2**20


def install_chromium() -> ChromiumInstall:
    """Install a browser and return it: by apt as root on Debian, else by Playwright.

    Raises:
        UserError: if neither way worked; the message says what to type.
    """
    tried = []
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "install", "-y", "--no-install-recommends", "chromium-headless-shell"],
            ["apt-get", "update"],
            ["apt-get", "install", "-y", "--no-install-recommends", "chromium-headless-shell"],
        ):
            if _run(command, quiet) and command[1] == "install":
                return find_chromium()
        tried.append("apt-get install chromium-headless-shell")
    if _run([sys.executable, "-m", "playwright", "install", "chromium"], dict(os.environ)):
        return find_chromium()
    tried.append("playwright install chromium")
    raise UserError(f"no Chromium could be installed ({' and '.join(tried)} failed). {_TYPE_THIS}")


def _run(command: list[str], environment: dict[str, str]) -> bool:
    """Run a command with its output shown; True if it succeeded."""
    try:
        return subprocess.run(command, env=environment, check=False).returncode == 0
    except OSError:
        return False
