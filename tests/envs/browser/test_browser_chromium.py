"""Where the browser is looked for, in which order, and what is said when there is none."""

import os
import stat

import pytest

from turnsmith.envs.browser import chromium
from turnsmith.errors import UserError


def executable(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine without any browser."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "playwright"))
    monkeypatch.delenv("TURNSMITH_CHROMIUM", raising=False)
    return tmp_path


def test_the_order_is_environment_headless_shell_system_playwright(bare, monkeypatch):
    installs = [
        ("playwright", executable(bare / "playwright/chromium-1200/chrome-linux/chrome")),
        ("playwright", executable(bare / "playwright/chromium_headless_shell-1200/chrome-linux/headless_shell")),
        ("system", executable(bare / "bin/google-chrome")),
        ("system", executable(bare / "bin/chromium")),
        ("headless_shell", executable(bare / "bin/chromium-headless-shell")),
    ]
    for number, (kind, path) in reversed(list(enumerate(installs))):
        assert chromium.find_chromium() == chromium.ChromiumInstall(path, kind)
        path.unlink()
        assert number >= 0
    with pytest.raises(UserError, match=r"apt-get install chromium-headless-shell.*playwright install chromium"):
        chromium.find_chromium()

    named = executable(bare / "mine")
    executable(bare / "bin/chromium-headless-shell")
    monkeypatch.setenv("TURNSMITH_CHROMIUM", str(named))
    assert chromium.find_chromium() == chromium.ChromiumInstall(named, "environment")
    named.unlink()
    with pytest.raises(UserError, match=f"TURNSMITH_CHROMIUM={named}"):
        chromium.find_chromium()


def test_apt_installs_as_root_and_playwright_elsewhere(bare, monkeypatch):
    """The commands are really run; stand-ins for apt-get and Python write down how they were called."""
    log = bare / "log"
    apt = executable(bare / "bin/apt-get")
    apt.write_text(
        f'#!/bin/sh\necho apt-get "$@" >> {log}\n/usr/bin/env PATH=/usr/bin:/bin touch {bare}/done\nexit 100\n'
    )
    python = executable(bare / "python")
    python.write_text(f'#!/bin/sh\necho python "$@" >> {log}\nexit 1\n')
    monkeypatch.setattr(chromium.sys, "executable", str(python))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(UserError, match="no Chromium could be installed"):
        chromium.install_chromium()
    assert log.read_text().splitlines() == [
        "apt-get install -y --no-install-recommends chromium-headless-shell",
        "apt-get update",
        "apt-get install -y --no-install-recommends chromium-headless-shell",
        "python -m playwright install chromium",
    ]

    log.unlink()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    python.write_text(f'#!/bin/sh\necho python "$@" >> {log}\n')
    browser = executable(bare / "playwright/chromium_headless_shell-1/chrome-linux/headless_shell")
    assert chromium.install_chromium() == chromium.ChromiumInstall(browser, "playwright")
    assert log.read_text().splitlines() == ["python -m playwright install chromium"]


@pytest.mark.parametrize(("uid", "sandboxed"), [(0, False), (1000, True)])
def test_the_sandbox_is_given_up_for_root_only(monkeypatch, uid, sandboxed):
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert ("--no-sandbox" not in chromium.launch_arguments()) is sandboxed
