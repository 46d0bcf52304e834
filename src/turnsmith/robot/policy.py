"""Who says the keypoints: a network, marks, chance, the oracle. All of them are policies of the rollout.

An action's text is KALIE's JSON (`kalie_files.target_text`), its call the same points as numbers. With `spread` a
policy explores: points are drawn from a normal distribution around the network's, in pixels of a 224-pixel image; what
is learned from later are the points that were executed.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from turnsmith.agents.base import Context
from turnsmith.errors import InfraError
from turnsmith.robot.affordance import Predictor
from turnsmith.robot.kalie_files import target_text
from turnsmith.robot.marks import Chooser, random_candidates, rule, select_marks
from turnsmith.trace.types import Action, Call, Observation
from turnsmith.worlds.tabletop.camera import Camera
from turnsmith.worlds.tabletop.environment import look, scene_of
from turnsmith.worlds.tabletop.points import from_thousandths, tie, to_thousandths
from turnsmith.worlds.tabletop.tasks import SPECS


def keypoint_action(points_52: np.ndarray, size: float) -> Action:
    """The action that says these pixels."""
    thousandths = to_thousandths(points_52, size, size)
    return Action(target_text(points_52, size, size), Call("keypoints", {"points": thousandths.tolist()}))


def points_of(action: Action, size: float) -> np.ndarray:
    """The pixels that an action says, (5, 2)."""
    if action.call is None:
        raise ValueError("an action that did not parse says no points")
    return from_thousandths(np.asarray(action.call.arguments["points"], float), size, size)


def image_of(observation: Observation) -> np.ndarray:
    """The colour image of an observation, uint8 (H, W, 3)."""
    if not observation.images or observation.images[0].data is None:
        raise InfraError("no_image", "the observation has no image bytes")
    with Image.open(io.BytesIO(observation.images[0].data)) as opened:
        return np.asarray(opened.convert("RGB"))


@dataclass
class AffordancePolicy:
    """A predictor's keypoints.

    Attributes:
        predictor: from images to points.
        version: names the weights.
        spread: standard deviation of exploration, pixels of a 224-pixel image; 0 says what is predicted.
    """

    predictor: Predictor
    version: str
    spread: float = 0.0

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context."""
        return [self._act(context) for context in contexts]

    def _act(self, context: Context) -> Action:
        points, image = self._mean(context)
        if self.spread:
            rng = np.random.default_rng(context.seed)
            points = points + rng.normal(0, self.spread * image.shape[1] / 224, points.shape)
            points = tie(points, SPECS[scene_of(context.task)[0]].ties)
        return keypoint_action(points, image.shape[1])

    def _mean(self, context: Context) -> tuple[np.ndarray, np.ndarray]:
        image = image_of(context.observation)
        return self.predictor.predict(scene_of(context.task)[0], [image])[0], image

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Log-density of each of the five points under the exploring policy.

        Raises:
            ValueError: if the policy does not explore: its density is not finite.
        """
        if not self.spread:
            raise ValueError("a policy without spread has no density")
        rows = []
        for context, action in steps:
            mean, image = self._mean(context)
            apart = (points_of(action, image.shape[1]) - mean) * 224 / image.shape[1] / self.spread
            rows.append([float(-0.5 * row @ row - math.log(2 * math.pi * self.spread**2)) for row in apart])
        return rows


@dataclass
class ScenePolicy:
    """Policies that look at the scene through the environment's cache instead of learning.

    Attributes:
        kind: "oracle" knows the truth, "marks" chooses among marks, "random" takes marks by chance.
        cache: of the environment.
        chooser: of marks.
        seed: of chance.
    """

    kind: str
    cache: Path | None = None
    chooser: Chooser = rule
    seed: int = 0

    @property
    def version(self) -> str:
        """The kind."""
        return self.kind

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context."""
        return [self._act(context) for context in contexts]

    def _act(self, context: Context) -> Action:
        task, geometry, scene = scene_of(context.task)
        seen = look(task, geometry, scene, self.cache)
        size = seen.depth_HW.shape[1]
        if self.kind == "oracle":
            points = seen.oracle_52
        elif self.kind == "marks":
            points = select_marks(task, seen.rgb_HW3, seen.depth_HW, Camera(size), self.chooser)
        else:
            rng = np.random.default_rng([self.seed, context.seed % 2**32])
            points = random_candidates(task, seen.depth_HW, Camera(size), rng)
        return keypoint_action(points, size)

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Scripts have no probabilities: nothing for each action."""
        return [[] for _ in steps]
