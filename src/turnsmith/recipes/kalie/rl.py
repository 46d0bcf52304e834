"""Beyond the paper: success reward after imitation. Play with exploration, keep what succeeded, learn from it.

    for each round: play `rollouts` scenes of the unseen sets (other ones than the tests'), points drawn around the
    network's; images and executed points of the successes join the data (all rounds so far); the network goes on
    learning from labelled images and successes

The control goes on for as many updates on the labelled images alone. No label of those scenes is used: only whether the
execution succeeded, by the scene's own condition (the oracle's verdict, as the reward of the world).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from turnsmith.recipes.kalie.config import ARMS, Config
from turnsmith.recipes.kalie.evaluation import LIMITS, play
from turnsmith.recipes.kalie.learning import (
    NetFormat,
    net_settings,
    rl_scenes,
    successes_as_labelled,
    trained_network,
    training_images,
)
from turnsmith.robot.affordance import NetPredictor, train_network
from turnsmith.robot.labelled import Labelled
from turnsmith.robot.network import KeypointNet
from turnsmith.robot.policy import AffordancePolicy, image_of, points_of
from turnsmith.rollout.collect import Episode
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.progress import episode_bar
from turnsmith.runs.run import Run
from turnsmith.trace.types import Task, Trace
from turnsmith.worlds.tabletop.environment import TabletopEnvironment, make_task
from turnsmith.worlds.tabletop.tasks import table_task


class NetState:
    """A network that `run.iterations` saves and loads."""

    def __init__(self, net: KeypointNet) -> None:
        self.net = net

    def save(self, folder: Path) -> None:
        """Write the weights."""
        NetFormat().write(self.net, folder)

    def load(self, folder: Path) -> None:
        """Be what was saved."""
        self.net = NetFormat().read(folder)


async def learn_from_success(config: Config, run: Run, environment: TabletopEnvironment) -> None:
    """Filtered behaviour cloning on one task, its control, and trials of both."""
    rl = config.rl
    imitation = training_images(config, run.folder / "made", rl.start, rl.task, config.net.size)
    for phase, from_success in (("rl", True), ("rl_control", False)):
        state = NetState(trained_network(config, run.folder / "made", rl.start, rl.task))
        for iteration in run.iterations(phase, rl.iterations, state):
            won: list[Labelled] = []
            if from_success:
                await _play(config, run, environment, state.net, iteration)
                won = _successes(config, run, iteration)
                run.log(phase="rl", iteration=iteration, successes=len(won), played=rl.rollouts * iteration)
            state.net = _learn(config, state.net, imitation, won, iteration)
        policy = AffordancePolicy(NetPredictor(state.net), phase)
        await play(config, run, environment, policy, phase, (rl.task,), config.trials)


async def _play(
    config: Config, run: Run, environment: TabletopEnvironment, net: KeypointNet, iteration: int
) -> list[Trace]:
    """One round of playing with exploration."""
    policy = AffordancePolicy(NetPredictor(net), f"rl-{iteration - 1}", config.rl.spread)
    episodes = [
        Episode(f"play-{iteration}/{task.id}", task, task.params["scene"], f"play-{iteration}", iteration)
        for task in _tasks(config, iteration)
    ]
    with episode_bar(f"round {iteration}", len(episodes)) as on_trace:
        return await collect_into(
            run.store, environment, policy, episodes, LIMITS, workers=max(1, config.processes), on_trace=on_trace
        )


def _tasks(config: Config, iteration: int) -> list[Task]:
    kind = table_task(config.rl.task)
    return [
        make_task(kind, config.sets[index % len(config.sets)], scene, split="train")
        for index, scene in enumerate(rl_scenes(config, iteration))
    ]


def _successes(config: Config, run: Run, iteration: int) -> list[Labelled]:
    """What succeeded in this and all earlier rounds, as labelled images."""
    pictures, points = [], []
    for number in range(1, iteration + 1):
        for summary in run.store.summaries(phase=f"play-{number}"):
            if (summary.reward or 0.0) > 0.5:
                turn = run.store.get(summary.id).turns[0]
                seen = replace(turn.observation, images=(run.store.image(turn.observation.images[0].digest),))
                pictures.append(image_of(seen))
                points.append(points_of(turn.action, pictures[-1].shape[1]))
    return successes_as_labelled(pictures, points, config.rl.task)


def _learn(
    config: Config, net: KeypointNet, imitation: Sequence[Labelled], won: Sequence[Labelled], iteration: int
) -> KeypointNet:
    """Go on learning from labelled images and successes; `share` of each batch comes from the latter."""
    rl = config.rl
    settings = replace(net_settings(config, rl.start), updates=rl.updates, learning_rate=rl.learning_rate)
    weights = [(1 - rl.share if won else 1.0) / len(imitation)] * len(imitation)
    weights += [rl.share / max(1, len(won))] * len(won)
    seed = 1000 * (config.seed + 1) + iteration
    return train_network([*imitation, *won], ARMS[rl.start].augmentation, settings, seed, weights, net=net)
