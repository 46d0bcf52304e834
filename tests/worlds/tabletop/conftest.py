"""The table top needs MuJoCo and a library to render with; where either is missing these tests are skipped."""

import importlib.util

import pytest

from turnsmith.worlds.tabletop.graphics import MEND, available_backends


def pytest_collection_modifyitems(items):
    why = "mujoco is not installed" if importlib.util.find_spec("mujoco") is None else ""
    why = why or ("" if available_backends() else f"nothing to render with: {MEND}")
    for item in items:
        if why and "tabletop" in str(item.path):
            item.add_marker(pytest.mark.skip(reason=why))
