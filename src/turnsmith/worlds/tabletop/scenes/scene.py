"""What a scene is, and how one is put together from what a task's module draws.

A task's module draws a `Draft` (bodies, where the true keypoints are, what counts as success) from a random generator
and a geometry set; `build` adds table, floor, light, camera, gripper, textures, and compiles it.

Determinism: the same task, geometry set and seed give the same model and state on the same machine.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from turnsmith.worlds.tabletop.camera import Camera
from turnsmith.worlds.tabletop.rendering import mujoco
from turnsmith.worlds.tabletop.scenes.parts import ACTUATORS, GRIPPER, GRIPPER_JOINTS, HOME, Body
from turnsmith.worlds.tabletop.tasks import HARD_SET, SPECS, TRAINING_SET, TableTask
from turnsmith.worlds.tabletop.textures import texture

CAMERA = Camera()
SETTLE_STEPS = 150


@dataclass
class Draft:
    """What a task's module says about one scene.

    Attributes:
        bodies: everything beside table, floor and gripper.
        parts: name of each part that is labelled (see `TaskSpec.objects`) -> names of its bodies.
        keypoints: the true points of the world (5, 3) in the settled state, rows in the order of `points.Key`.
        succeeded: whether the state is a success; asked after the last phase.
        edge: distance of the table's right edge from the origin, and the direction (radians) towards it.
        excluded: pairs of bodies that do not collide.
    """

    bodies: list[Body]
    parts: dict[str, list[str]]
    keypoints: Callable[["View"], np.ndarray]
    succeeded: Callable[["View"], bool]
    edge: tuple[float, float] = (0.30, 0.0)
    excluded: list[tuple[str, str]] = field(default_factory=list)


class View:
    """A compiled model with its state, by names."""

    def __init__(self, model: Any, data: Any) -> None:
        self.model, self.data = model, data

    def place(self, body: str, local: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
        """A point of a body's frame in the world, (3,)."""
        frame = self.data.body(body)
        return frame.xpos + frame.xmat.reshape(3, 3) @ np.asarray(local, float)

    def joint(self, name: str) -> float:
        """The position of a one-dimensional joint."""
        return float(self.data.joint(name).qpos[0])

    def touching(self, first: str, second: str) -> bool:
        """Whether any shape of a body whose name begins so touches one whose name begins with `second`."""
        for contact in self.data.contact[: self.data.ncon]:
            names = [self.model.body(self.model.geom(geom).bodyid[0]).name for geom in contact.geom]
            if any(a.startswith(first) and b.startswith(second) for a, b in (names, names[::-1])):
                return True
        return False


@dataclass
class Scene:
    """One scene, settled, ready to be looked at and worked on.

    Attributes:
        task, geometry, seed: what it is; they determine everything.
        instruction: what is asked.
        model, data: MuJoCo's.
        parts: names of the labelled parts.
        part_geoms: ids of the geoms of each part.
        keypoints_53: the truth, in the world.
        succeeded: whether the present state is a success.
    """

    task: TableTask
    geometry: int
    seed: int
    instruction: str
    model: Any
    data: Any
    parts: tuple[str, ...]
    part_geoms: list[set[int]]
    keypoints_53: np.ndarray
    succeeded: Callable[[], bool]

    def oracle(self, camera: Camera = CAMERA) -> np.ndarray:
        """The true keypoints in pixels, (5, 2); free waypoints are seen at the target's height."""
        return camera.project(self.keypoints_53)


def build(draft: Draft, task: TableTask, geometry: int, seed: int, rng: np.random.Generator) -> Scene:
    """Compile a draft and let it settle."""
    look = _Look(task, geometry, rng)
    for body in draft.bodies:
        _clothe(body, look.material(_part_of(body.name, draft.parts)))
    xml = _xml(draft, look)
    model = mujoco.MjModel.from_xml_string(xml, look.assets)
    data = mujoco.MjData(model)
    for index, value in enumerate((*HOME, 0.0, 0.0, 0.04, 0.04)):
        data.qpos[model.joint(GRIPPER_JOINTS[index]).qposadr[0]] = value
        data.ctrl[index] = value
    mujoco.mj_step(model, data, nstep=SETTLE_STEPS)
    view = View(model, data)
    geoms = [
        {index for index in range(model.ngeom) if _body_name(model, index) in set(draft.parts[part])}
        for part in draft.parts
    ]
    return Scene(
        task,
        geometry,
        seed,
        SPECS[task].instruction,
        model,
        data,
        tuple(draft.parts),
        geoms,
        draft.keypoints(view),
        lambda: bool(draft.succeeded(view)),
    )


def _body_name(model: Any, geom: int) -> str:
    return model.body(model.geom_bodyid[geom]).name


def _part_of(body: str, parts: Mapping[str, list[str]]) -> str:
    return next((part for part, bodies in parts.items() if body in bodies), body)


def _clothe(body: Body, material: str) -> None:
    """Give every shape that has no material yet this one, children included."""
    body.shapes = [
        shape if "material=" in shape else shape.replace("/>", f' material="{material}"/>') for shape in body.shapes
    ]
    for child in body.children:
        _clothe(child, material)


class _Look:
    """Textures and light. The training set always has the same textures; the others have new ones every time."""

    def __init__(self, task: TableTask, geometry: int, rng: np.random.Generator) -> None:
        kind = list(TableTask).index(task)
        self.fixed = geometry == TRAINING_SET
        self.cloth_rng = np.random.default_rng(1000 + kind) if self.fixed else rng
        self.assets: dict[str, bytes] = {}
        self.materials: list[str] = []
        hard = geometry == HARD_SET
        spread = 0.25 if self.fixed else 0.6
        slant = rng.normal(0, spread, 2)
        bright = rng.uniform(0.55, 0.7) if self.fixed else rng.uniform(0.2 if hard else 0.35, 0.85)
        tint = np.clip(1 + rng.normal(0, 0.02 if self.fixed else 0.08, 3), 0.6, 1.2)
        self.light = (
            f'<light castshadow="true" pos="{-slant[0]:.3f} {-slant[1]:.3f} 2" dir="{slant[0]:.3f} {slant[1]:.3f} -2" '
            f'cutoff="40" exponent="0" attenuation="1 0 0" '
            f'diffuse="{_rgb(bright * tint)}" ambient="{_rgb(0.15 * tint)}" specular="0.1 0.1 0.1"/>'
        )
        for name in ("table", "floor"):
            self.material(name)

    def material(self, name: str) -> str:
        """The material of a part, made when it is first asked for."""
        name = name.replace(" ", "_")
        if f"{name}.png" not in self.assets:
            kinds = ("plain", "noise") if self.fixed else ("plain", "noise", "stripes", "checks", "grain", "dots")
            self.assets[f"{name}.png"] = _png(texture(self.cloth_rng, kinds=kinds))
            repeat = (
                'texrepeat="5 5" texuniform="true"'
                if name in ("table", "floor")
                else 'texrepeat="12 12" texuniform="true"'
            )
            self.materials.append(
                f'<texture name="{name}" type="2d" file="{name}.png"/>'
                f'<material name="{name}" texture="{name}" {repeat} specular="0.1" shininess="0.1"/>'
            )
        return name


def _xml(draft: Draft, look: _Look) -> str:
    distance, turn = draft.edge
    half = (0.36, 0.36)
    middle = (distance - half[0]) * np.array([np.cos(turn), np.sin(turn)])
    excluded = "".join(f'<exclude body1="{first}" body2="{second}"/>' for first, second in draft.excluded)
    return f"""<mujoco model="tabletop">
<compiler angle="radian" autolimits="true"/>
<option timestep="0.002" integrator="implicitfast" cone="elliptic" impratio="10"/>
<size memory="16M"/>
<default><geom solref="0.005 1"/></default>
<statistic extent="0.8" center="0 0 0"/>
<visual><quality offsamples="0" shadowsize="1024"/>
<headlight ambient="0.2 0.2 0.2" diffuse="0.1 0.1 0.1" specular="0 0 0"/>
<map znear="0.05" zfar="5" shadowclip="1.2"/></visual>
<asset><material name="steel" rgba="0.35 0.36 0.38 1"/>{"".join(look.materials)}</asset>
<worldbody>{look.light}
<camera name="top" pos="0 0 {CAMERA.height}" fovy="{CAMERA.fovy}"/>
<geom name="floor" type="plane" size="3 3 0.1" pos="0 0 -0.5" material="floor"/>
<body name="table" pos="{middle[0]:.4f} {middle[1]:.4f} -0.02" euler="0 0 {turn:.5f}">
<geom name="table" type="box" size="{half[0]} {half[1]} 0.02" material="table"/></body>
{"".join(body.xml() for body in draft.bodies)}
{GRIPPER}
</worldbody>
<contact>{excluded}</contact>
{ACTUATORS}
</mujoco>"""


def _rgb(values: np.ndarray) -> str:
    return " ".join(f"{min(1.0, max(0.0, value)):.3f}" for value in values)


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def turned(angle: float, x: float, y: float) -> np.ndarray:
    """The vector (x, y) turned by an angle, (2,)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([cos * x - sin * y, sin * x + cos * y])


def clutter(
    rng: np.random.Generator, keep_clear: Sequence[Sequence[float] | np.ndarray], radius: float, count: int = 3
) -> list[Body]:
    """Things that lie about and do not move, away from the given places (x, y)."""
    bodies: list[Body] = []
    taken = [np.asarray(place, float)[:2] for place in keep_clear]
    for index in range(count):
        for _ in range(60):
            at = rng.uniform(-0.3, 0.3, 2)
            if all(np.hypot(*(at - place)) > radius for place in taken):
                body = Body(f"clutter{index}", (float(at[0]), float(at[1]), 0.0), rng.uniform(0, np.pi))
                size = rng.uniform(0.012, 0.028, 2)
                if rng.random() < 0.5:
                    body.box((size[0], size[1], 0.01), (0, 0, 0.01))
                else:
                    body.shape("cylinder", (size[0], 0.012), (0, 0, 0.012))
                bodies.append(body)
                taken.append(at)
                break
    return bodies
