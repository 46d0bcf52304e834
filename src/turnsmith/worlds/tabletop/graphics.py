"""Which library MuJoCo renders with where there is no display. Imports neither MuJoCo nor OpenGL."""

import ctypes.util
import os
import sys

from turnsmith.errors import UserError

BACKENDS = {"osmesa": ("OSMesa",), "egl": ("EGL", "GL")}
"""Backends by preference, and the libraries that each needs. OSMesa is one package and needs no device."""
PACKAGES = ("libosmesa6", "libegl1", "libegl-mesa0", "libgl1")
MEND = "apt-get install libosmesa6 (or libegl1 libegl-mesa0 libgl1)"


def available_backends() -> list[str]:
    """The headless backends whose libraries are on this machine, the preferred one first."""
    return [name for name, needs in BACKENDS.items() if all(ctypes.util.find_library(library) for library in needs)]


def choose_backend() -> str:
    """Set MUJOCO_GL, unless it is set, and what PyOpenGL needs for it; returns the backend's name.

    Must be called before MuJoCo is imported.

    Raises:
        UserError: if no backend's library is there, or MuJoCo was imported before it could be chosen.
    """
    chosen = os.environ.get("MUJOCO_GL", "")
    if not chosen:
        if "mujoco" in sys.modules:
            raise UserError(
                "mujoco was imported before its renderer was chosen. Import turnsmith.worlds.tabletop.rendering first, "
                "or set MUJOCO_GL=osmesa (or egl)."
            )
        there = available_backends()
        if not there:
            raise UserError(f"MuJoCo cannot render without a display here. Type: {MEND}")
        chosen = os.environ["MUJOCO_GL"] = there[0]
    if chosen in BACKENDS and "OpenGL" not in sys.modules:
        os.environ.setdefault("PYOPENGL_PLATFORM", chosen)
    return chosen
