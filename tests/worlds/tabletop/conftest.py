"""The table top needs MuJoCo and a library to render with; where either is missing only its geometry is tested."""

from importlib.util import find_spec

from turnsmith.worlds.tabletop.graphics import available_backends

if find_spec("mujoco") is None or not available_backends():  # `turnsmith doctor` says what to install
    collect_ignore = ["test_tabletop_scenes.py", "test_tabletop_environment.py"]
