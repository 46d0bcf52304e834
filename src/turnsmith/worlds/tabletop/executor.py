"""From five keypoints and one RGB-D observation to motion: open loop, one stage, as in KALIE.

    reach_pre_grasp, reach_grasp, grip, lift        (a push: lift_closed)
    reach_pre_motion, then a phase a waypoint       pre_contact, target, post_contact
    tilt                                            (pouring only)
    release, retreat

Function-point control: with the tool held at grasp pose (p, R) and its function point at F, the gripper that brings the
function point to W with orientation R' is at  W - R' R^T (F - p).

Notable: waypoints in free space are unprojected at the target's height (beyond the table's edge the depth is that of
the floor). The executor reads colour not at all, depth once, and nothing of the simulator but its own joints.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from turnsmith.worlds.tabletop.camera import Camera
from turnsmith.worlds.tabletop.grasp import Grasp, HeightMap, plan_grasp
from turnsmith.worlds.tabletop.points import Key
from turnsmith.worlds.tabletop.rendering import mujoco
from turnsmith.worlds.tabletop.scenes.parts import PADS_BELOW
from turnsmith.worlds.tabletop.scenes.scene import Scene
from turnsmith.worlds.tabletop.tasks import SPECS, Height, Motion

SAFE_Z = 0.20
CLEARANCE = 0.07
"""Least height of a carried function point above the target when it is "above", metres."""
LIFTED = 0.004
"""A tool that works "same" as it lay is carried so far above where it lay."""
_EMPTY = 0.003
"""Fingers that are closer than this hold nothing, metres."""
_EVERY = 5
"""Physics steps between set-points."""
_DT = 0.002 * _EVERY
_LIMITS = 0.42
"""The gripper's tool centre point stays within this of the origin, metres."""


@dataclass(frozen=True)
class Pose:
    """A set-point of the gripper: place (3,), yaw and tilt in radians."""

    at_3: np.ndarray
    yaw: float = 0.0
    tilt: float = 0.0

    def rotation(self) -> np.ndarray:
        """Rotation matrix (3, 3): yaw about z after tilt about y."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        return turn @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


@dataclass(frozen=True)
class Result:
    """How an execution went.

    Attributes:
        success: the scene's condition, after the last phase.
        phase: the last phase that was begun.
        failure: "" after a success; else the phase in which it went wrong, as far as can be told: "grip" (nothing
            between the fingers), the phase in which what was held was lost ("lift", "target", …), "unstable" (the
            simulation broke down), or "effect" (all went as meant, the condition is not met).
        grasp: where it grasped; None for a push.
        steps: physics steps.
    """

    success: bool
    phase: str
    failure: str
    grasp: Grasp | None
    steps: int


class Unstable(Exception):
    """The simulation left the finite numbers."""


class Executor:
    """Moves the gripper of one scene."""

    def __init__(self, scene: Scene, camera: Camera, depth_HW: np.ndarray, watch: Callable[[str], None] | None = None):
        """Get ready.

        Args:
            scene: is changed by `run`.
            camera: that saw `depth_HW`.
            depth_HW: metres.
            watch: called with the phase about 12 times a simulated second, to film.
        """
        self.scene, self.heights, self.watch = scene, HeightMap(camera, depth_HW), watch
        self.motion: Motion = SPECS[scene.task].motion
        self.pose = Pose(np.array(scene.data.ctrl[:3]), float(scene.data.ctrl[3]), float(scene.data.ctrl[4]))
        self.fingers = float(scene.data.ctrl[5])
        self.phase, self.lost, self.steps, self._ticks = "start", "", 0, 0

    def run(self, points_52: np.ndarray) -> Result:
        """Execute the keypoints (pixels of the camera's image) and say what came of it."""
        grasp: Grasp | None = None
        try:
            if self.motion.grips:
                grasp = plan_grasp(self.heights, points_52[Key.GRASP])
                self._take(grasp)
            else:
                self._grip("grip", 0.0, 0.2)  # a push is done with the fingers shut
            self._work(points_52, grasp)
            self._release()
        except Unstable:
            return Result(False, self.phase, "unstable", grasp, self.steps)
        success = self.scene.succeeded()
        failure = "" if success else (self.lost or "effect")
        return Result(success, self.phase, failure, grasp, self.steps)

    def _take(self, grasp: Grasp) -> None:
        """Reach, grip, lift."""
        above = Pose(np.array([*grasp.at_3[:2], SAFE_Z]), grasp.yaw)
        self._go("reach_pre_grasp", above, 0.5)
        self._go("reach_grasp", Pose(grasp.at_3, grasp.yaw), 0.2)
        self._grip("grip", 0.0, 0.35)
        self._check_hold("grip")
        if self.motion.lift:
            self._go("lift", Pose(np.array([*grasp.at_3[:2], SAFE_Z]), grasp.yaw), min(0.25, self.motion.speed))
            self._check_hold("lift")

    def _check_hold(self, phase: str) -> None:
        """Note the first phase after which nothing is between the fingers."""
        apart = sum(float(self.scene.data.joint(finger).qpos[0]) for finger in ("left", "right"))
        if self.motion.grips and not self.lost and apart < _EMPTY:
            self.lost = phase

    def _work(self, points_52: np.ndarray, grasp: Grasp | None) -> None:
        """Visit the waypoints."""
        motion = self.motion
        target = self.heights.point(points_52[Key.TARGET])
        way = {key: self.heights.camera.at_height(points_52[key], target[2]) for key in (Key.PRE, Key.POST)}
        way[Key.TARGET] = target
        arm_3 = np.zeros(3)  # from the gripper to the function point, in the gripper's frame
        yaw, rest = (0.0, target[2]) if grasp is None else (grasp.yaw, float(grasp.at_3[2]))
        if grasp is not None and motion.uses_function:
            function = self.heights.point(points_52[Key.FUNCTION])
            arm_3 = Pose(grasp.at_3, grasp.yaw).rotation().T @ (function - grasp.at_3)
            rest = float(function[2])
        if motion.heading == "motion":
            yaw = self._heading(way[Key.POST] - way[Key.PRE], arm_3, yaw)
        poses = []
        for key, height in zip(motion.waypoints, motion.heights, strict=True):
            at = np.array([*way[key][:2], self._height(height, float(target[2]), rest, grasp)])
            poses.append((key, self._carrying(at, yaw, 0.0, arm_3)))
        if motion.lift:
            first = poses[0][1]
            over = Pose(np.array([*first.at_3[:2], max(SAFE_Z, first.at_3[2])]), first.yaw)
            self._go("reach_pre_motion", over, motion.speed)
        names = {Key.PRE: "pre_contact", Key.TARGET: "target", Key.POST: "post_contact"}
        for key, pose in poses:
            self._go(names[key], pose, motion.speed)
            self._check_hold(names[key])
        if motion.tilt:
            self._pour(poses[-1][0], way, yaw, arm_3, motion, grasp)

    def _pour(
        self, key: Key, way: dict[Key, np.ndarray], yaw: float, arm_3: np.ndarray, motion: Motion, grasp: Grasp | None
    ) -> None:
        """Tip the tool about the gripper's y axis, its function point going down where it is."""
        sign = 1.0 if arm_3[0] >= 0 else -1.0
        at = np.array([*way[key][:2], self._height(motion.heights[-1], float(way[key][2]), 0.0, grasp)])
        for part in (0.25, 0.5, 0.75, 1.0):
            self._go("tilt", self._carrying(at, yaw, sign * part * motion.tilt, arm_3), 0.25, least=0.35)
        self._wait("tilt", 0.8)
        self._go("tilt", self._carrying(at, yaw, 0.0, arm_3), 0.3, least=0.5)

    def _height(self, height: Height, target_z: float, rest: float, grasp: Grasp | None) -> float:
        if height == "above":
            return max(target_z, 0.045) + CLEARANCE
        if height == "mid":
            return target_z + 0.02
        if grasp is None:  # a push: the fingers reach below the top of what they push
            return max(target_z - 0.014, PADS_BELOW + 0.004)
        return rest + (LIFTED if self.motion.lift else 0.0)

    def _heading(self, along_3: np.ndarray, arm_3: np.ndarray, yaw: float) -> float:
        """The yaw that turns the tool along a direction; without a tool, fingers have two sides alike: the nearer."""
        wanted = float(np.arctan2(along_3[1], along_3[0]))
        if np.hypot(*arm_3[:2]) > 1e-6:
            turned = wanted - float(np.arctan2(arm_3[1], arm_3[0]))
            return yaw + (turned - yaw + np.pi) % (2 * np.pi) - np.pi
        return yaw + (wanted - yaw + np.pi / 2) % np.pi - np.pi / 2

    @staticmethod
    def _carrying(at_3: np.ndarray, yaw: float, tilt: float, arm_3: np.ndarray) -> Pose:
        """The gripper's pose that has the function point at a place."""
        return Pose(at_3 - Pose(at_3, yaw, tilt).rotation() @ arm_3, yaw, tilt)

    def _release(self) -> None:
        if self.motion.grips:
            self._wait("release", 0.15)
            self._grip("release", 0.04, 0.3)
        up = np.array([*self.pose.at_3[:2], max(self.pose.at_3[2] + 0.08, SAFE_Z)])
        self._go("retreat", Pose(up, self.pose.yaw, self.pose.tilt), 0.3)
        self._wait("retreat", 2.0 if self.scene.task == "towel_hanging" else 0.3)

    def _go(self, phase: str, goal: Pose, speed: float, least: float = 0.2) -> None:
        """Move the set-point to a pose along a straight line with a smooth start and stop."""
        start = self.pose
        inside = np.clip(goal.at_3, [-_LIMITS, -_LIMITS, PADS_BELOW + 0.001], [_LIMITS, _LIMITS, 0.6])
        goal = Pose(inside, goal.yaw, goal.tilt)
        seconds = max(
            least,
            float(np.linalg.norm(goal.at_3 - start.at_3)) / speed,
            abs(goal.yaw - start.yaw) / 2.0,
            abs(goal.tilt - start.tilt) / 1.5,
        )
        count = max(1, int(np.ceil(seconds / _DT)))
        for index in range(1, count + 1):
            part = index / count
            part = part * part * (3 - 2 * part)
            self.scene.data.ctrl[:3] = start.at_3 + part * (goal.at_3 - start.at_3)
            self.scene.data.ctrl[3] = start.yaw + part * (goal.yaw - start.yaw)
            self.scene.data.ctrl[4] = start.tilt + part * (goal.tilt - start.tilt)
            self._step(phase)
        self.pose = goal

    def _grip(self, phase: str, opening: float, seconds: float) -> None:
        """Move both fingers to half an opening."""
        start, count = self.fingers, int(seconds / _DT)
        for index in range(1, count + 1):
            self.scene.data.ctrl[5:7] = start + min(1.0, 2 * index / count) * (opening - start)
            self._step(phase)
        self.fingers = opening

    def _wait(self, phase: str, seconds: float) -> None:
        for _ in range(int(seconds / _DT)):
            self._step(phase)

    def _step(self, phase: str) -> None:
        self.phase = phase
        mujoco.mj_step(self.scene.model, self.scene.data, nstep=_EVERY)
        self.steps += _EVERY
        self._ticks += 1
        if self.watch is not None and self._ticks % 8 == 0:
            self.watch(phase)
        if self._ticks % 20 == 0 and (
            self.scene.data.warning[mujoco.mjtWarning.mjWARN_BADQACC].number
            or not np.isfinite(self.scene.data.qpos).all()
        ):
            raise Unstable
