"""One trial: look at a scene once, let somebody say the keypoints, execute them open loop, and write down the rest."""

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from turnsmith.worlds.tabletop.camera import Camera
from turnsmith.worlds.tabletop.executor import Executor, Result
from turnsmith.worlds.tabletop.rendering import Eye, Picture
from turnsmith.worlds.tabletop.scenes import CAMERA, Scene, make_scene
from turnsmith.worlds.tabletop.scenes.parts import GRIPPER_JOINTS
from turnsmith.worlds.tabletop.tasks import TableTask

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#ffe119", "#f032e6")
"""Of the five keypoints wherever they are drawn: grasp, function, target, pre-contact, post-contact."""


FRAMES_A_SECOND = 12.5
"""Of a film, in simulated time."""


@dataclass
class Film:
    """A trial as it went.

    Attributes:
        frames: colour images from above.
        states: the gripper's seven joints at each frame (x, y, z, yaw, tilt, left, right).
        actions: the set-points at each frame, likewise.
        phases: of the executor at each frame.
    """

    frames: list[np.ndarray] = field(default_factory=list)
    states: list[np.ndarray] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)

    def webp(self, size: int = 224, every: int = 2) -> bytes:
        """An animated WebP of every n-th frame, in real time, the phase written into each."""
        pictures = [Image.fromarray(frame).resize((size, size)) for frame in self.frames[::every]]
        for picture, phase in zip(pictures, self.phases[::every], strict=True):
            ImageDraw.Draw(picture).text((4, 2), phase, fill="white", stroke_width=1, stroke_fill="black")
        buffer = io.BytesIO()
        pictures[0].save(
            buffer, "WEBP", save_all=True, append_images=pictures[1:], duration=80 * every, quality=55, method=2
        )
        return buffer.getvalue()


def observe(scene: Scene, camera: Camera = CAMERA, label: bool = False) -> Picture:
    """What the camera sees of a scene, with the sensor's noise; `label` adds the parts."""
    rng = np.random.default_rng([scene.seed, 77])
    with Eye(scene.model, camera) as eye:
        return eye.look(scene.data, scene.part_geoms if label else None, rng)


def execute(
    scene: Scene, depth_HW: np.ndarray, points_52: np.ndarray, camera: Camera = CAMERA, film: Film | None = None
) -> Result:
    """Execute keypoints in a scene (which is changed).

    Args:
        scene: freshly made.
        depth_HW: what `observe` saw.
        points_52: pixels of the camera's image.
        camera: that looked.
        film: gets the frames; None films nothing.
    """
    if film is None:
        return Executor(scene, camera, depth_HW).run(points_52)
    with Eye(scene.model, Camera(160, camera.height, camera.fovy), shadows=False) as eye:

        def watch(phase: str) -> None:
            film.frames.append(eye.colour(scene.data))
            film.states.append(np.array([scene.data.joint(name).qpos[0] for name in GRIPPER_JOINTS], np.float32))
            film.actions.append(np.array(scene.data.ctrl[:7], np.float32))
            film.phases.append(phase)

        return Executor(scene, camera, depth_HW, watch).run(points_52)


def play(task: TableTask, geometry: int, seed: int, points_52: np.ndarray, depth_HW: np.ndarray) -> Result:
    """Make the scene again and execute: for keypoints that were predicted from a cached observation."""
    return execute(make_scene(task, geometry, seed), depth_HW, points_52)


def draw_points(rgb_HW3: np.ndarray, points_52: np.ndarray, also_52: np.ndarray | None = None) -> Image.Image:
    """The image with keypoints as filled dots, and other ones (the truth) as open rings joined to them."""
    picture = Image.fromarray(rgb_HW3).convert("RGB")
    pen = ImageDraw.Draw(picture)
    for index, colour in enumerate(COLOURS):
        x, y = points_52[index]
        if also_52 is not None:
            ox, oy = also_52[index]
            pen.line([x, y, ox, oy], fill=colour)
            pen.ellipse([ox - 4, oy - 4, ox + 4, oy + 4], outline=colour, width=2)
        pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour, outline="black")
    return picture
