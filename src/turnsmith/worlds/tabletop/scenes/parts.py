"""MJCF by hand, a little shorter: bodies made of primitive shapes, and the gripper.

Notable: the gripper hangs on slide joints instead of an arm's links. Its frame is the tool centre point: local z up,
local y the direction in which the fingers close, local x forward. Fingers close onto y = 0.
"""

from dataclasses import dataclass, field

import numpy as np

PADS_BELOW = 0.012
"""How far the finger pads reach below the tool centre point, metres."""
PAD_HALF = (0.011, 0.005)
"""Half sizes of a pad, along the gripper's x and y."""
OPENING = 0.08
"""Widest distance between the pads."""
HOME = (-0.55, -0.35, 0.30)
"""Where the gripper waits: outside the camera's view."""


@dataclass
class Body:
    """A body and its shapes, in its own frame, to be written as MJCF.

    Attributes:
        name: of the body; its shapes are "name/0", "name/1", …
        pos, yaw: of the frame (metres, radians).
        joint: "free", "fixed", or the attributes of a joint of its own, such as 'type="slide" axis="1 0 0"'.
        material: of all shapes.
        shapes: MJCF lines so far.
        children: nested bodies.
    """

    name: str
    pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw: float = 0.0
    joint: str = "fixed"
    material: str = ""
    shapes: list[str] = field(default_factory=list)
    children: list["Body"] = field(default_factory=list)

    def shape(
        self, kind: str, size: tuple[float, ...], pos=(0.0, 0.0, 0.0), yaw: float = 0.0, more: str = ""
    ) -> "Body":
        """Add a primitive (sizes as MuJoCo's: half lengths, radius and half length); returns the body itself."""
        material = f' material="{self.material}"' if self.material and "material=" not in more else ""
        self.shapes.append(
            f'<geom name="{self.name}/{len(self.shapes)}" type="{kind}" size="{_numbers(size)}" pos="{_numbers(pos)}" '
            f'euler="0 0 {yaw:.5f}"{material} {more}/>'
        )
        return self

    def box(self, half: tuple[float, float, float], pos=(0.0, 0.0, 0.0), yaw: float = 0.0, more: str = "") -> "Body":
        """Add a box by its half lengths."""
        return self.shape("box", half, pos, yaw, more)

    def rod(self, start: tuple[float, ...], end: tuple[float, ...], radius: float, more: str = "") -> "Body":
        """Add a capsule between two points."""
        material = f' material="{self.material}"' if self.material else ""
        self.shapes.append(
            f'<geom name="{self.name}/{len(self.shapes)}" type="capsule" size="{radius:.5f}" '
            f'fromto="{_numbers((*start, *end))}"{material} {more}/>'
        )
        return self

    def ring(self, sides: int, radius: float, height: float, thick: float, centre=(0.0, 0.0), z: float = 0.0) -> "Body":
        """Add an upright wall around a regular polygon (its inner radius); `z` is the height of its foot."""
        length = (radius + thick) * np.tan(np.pi / sides)
        for side in range(sides):
            turn = 2 * np.pi * side / sides
            at = (
                centre[0] + (radius + thick) * np.cos(turn),
                centre[1] + (radius + thick) * np.sin(turn),
                z + height / 2,
            )
            self.box((thick, length, height / 2), at, turn)
        return self

    def xml(self) -> str:
        """The body as MJCF."""
        joint = {"free": f'<freejoint name="{self.name}"/>', "fixed": ""}.get(
            self.joint, f'<joint name="{self.name}" {self.joint}/>'
        )
        inside = joint + "".join(self.shapes) + "".join(child.xml() for child in self.children)
        return f'<body name="{self.name}" pos="{_numbers(self.pos)}" euler="0 0 {self.yaw:.5f}">{inside}</body>'


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.5f}" for value in values)


GRIPPER_JOINTS = ("gx", "gy", "gz", "gyaw", "gtilt", "left", "right")


def _finger(name: str, side: int) -> str:
    return (
        f'<body name="{name}" pos="0 0 0" gravcomp="1">'
        f'<joint name="{name}" type="slide" axis="0 {side} 0" range="0 0.04" armature="0.05"/>'
        f'<geom name="{name}/pad" type="box" size="{PAD_HALF[0]} {PAD_HALF[1]} 0.036" '
        f'pos="0 {side * PAD_HALF[1]:.4f} {0.036 - PADS_BELOW:.4f}" mass="0.05" friction="2 0.02 0.0001" condim="4" '
        f'priority="1" material="steel"/></body>'
    )


GRIPPER = (
    '<body name="gripper" pos="0 0 0" gravcomp="1"><inertial pos="0 0 0.1" mass="0.3" diaginertia="0.001 0.001 0.001"/>'
    '<joint name="gx" type="slide" axis="1 0 0"/><joint name="gy" type="slide" axis="0 1 0"/>'
    '<joint name="gz" type="slide" axis="0 0 1"/>'
    '<joint name="gyaw" type="hinge" axis="0 0 1" armature="0.01"/>'
    '<body name="wrist" gravcomp="1"><joint name="gtilt" type="hinge" axis="0 1 0" armature="0.01"/>'
    '<geom name="palm" type="box" size="0.018 0.05 0.012" pos="0 0 0.072" mass="0.5" material="steel"/>'
    '<geom name="arm" type="cylinder" size="0.02 0.05" pos="0 0 0.13" mass="0.3" material="steel"/>'
    f"{_finger('left', 1)}{_finger('right', -1)}</body></body>"
)

ACTUATORS = (
    "<actuator>"
    + "".join(
        f'<position joint="{joint}" kp="3000" dampratio="1" forcerange="-60 60"/>' for joint in ("gx", "gy", "gz")
    )
    + "".join(f'<position joint="{joint}" kp="60" dampratio="1" forcerange="-8 8"/>' for joint in ("gyaw", "gtilt"))
    + "".join(f'<position joint="{joint}" kp="1500" kv="20" forcerange="-25 25"/>' for joint in ("left", "right"))
    + "</actuator>"
)
"""In the order x, y, z, yaw, tilt, left finger, right finger: that of `data.ctrl`."""
