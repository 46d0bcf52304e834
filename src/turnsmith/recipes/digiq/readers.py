"""What reads actions for Digi-Q's critics, after stage 1 and as it was before: a LLaVA-type model, or the small reader.

Made when first asked for and kept with `Run.once`.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from turnsmith.agents.llava_reader import LlavaReader, load_llava_reader
from turnsmith.critics.action_features import ActionFeatures, ActionTable, pair_key
from turnsmith.critics.change import ActionReader, Changes, CriticAction, change_data, change_scores, fit_change
from turnsmith.critics.fitting import adam
from turnsmith.critics.llava_features import LlavaFeatures, answers, fit_question
from turnsmith.critics.screen_features import Features
from turnsmith.errors import UserError
from turnsmith.evaluate.ranking import auc
from turnsmith.learn.checkpoint import TENSORS
from turnsmith.learn.optim import OptimConfig
from turnsmith.recipes.digiq.config import Config
from turnsmith.recipes.digiq.log import Log
from turnsmith.runs.once import once
from turnsmith.runs.progress import progress_bar
from turnsmith.runs.run import Run
from turnsmith.trace.types import ImageRef

_PART = 1024
"""Pairs that are read before they are put aside, so that a killed run does not read them again."""

Weights = Mapping[str, Tensor]
Learn = Callable[[Changes, Changes, Callable[..., None]], tuple[list[float], list[float], float | None]]
"""From executed actions, those of the last tenth and what shows progress to (losses, answers to the latter, how much of
the next screens is foreseen)."""


class Readers:
    """Features of actions of one run.

    Args:
        config: its `representation` says what reads.
        run: keeps what is made.
        log: the episodes; π_β's tokenizer, frames and device are used.
        features: of screens.
    """

    def __init__(self, config: Config, run: Run, log: Log, features: Features) -> None:
        self.config, self.stage, self.run, self.log = config, config.representation, run, log
        self.behaviour, self.features = log.behaviour, features
        self._made: dict[bool, ActionTable] = {}
        self._llava: LlavaReader | None = None

    def actions(self, tuned: bool) -> ActionTable:
        """Features of actions by a reader after stage 1 (`tuned`) or as it was before."""
        if tuned not in self._made:
            self._made[tuned] = self._of_llava(tuned) if self.stage.kind == "llava" else self._of_small(tuned)
        return self._made[tuned]

    def read(self, name: str, tuned: bool, images: Sequence[ImageRef], actions: Sequence[CriticAction]) -> None:
        """Have the features of these pairs of screen and action at hand, with a bar; kept under `name`."""
        table = self.actions(tuned)
        places = table.unread(images, actions)
        if not places:
            return
        keys = [pair_key(images[i], actions[i]) for i in places]
        name = f"actions/{'tuned' if tuned else 'plain'}/{name}"

        def make() -> dict[str, Tensor]:
            parts = []
            with progress_bar("reading actions", len(places)) as advance:
                for start in range(0, len(places), _PART):
                    part = places[start : start + _PART]

                    def fresh(part: Sequence[int] = part) -> dict[str, Tensor]:
                        return {"values": table.fresh([images[i] for i in part], [actions[i] for i in part])}

                    of = {"weights": table.weights, "pairs": _digest(keys[start : start + _PART])}
                    parts.append(once(self.run.scratch(name), f"part-{start}", of, fresh, TENSORS)["values"])
                    advance(len(part))
            return {"values": torch.cat(parts)}

        inputs = {"weights": table.weights, "pairs": _digest(keys)}
        table.add(keys, self.run.once(name, inputs, make, TENSORS)["values"])

    def _of_small(self, tuned: bool) -> ActionTable:
        if self.config.features.kind != "autoencoder":
            raise UserError("representation.kind small starts from the autoencoder: set --features.kind autoencoder.")
        tokenizer = self.behaviour.tokenizer
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            reader = ActionReader(self.features.model, len(tokenizer)).eval().requires_grad_(False)
        reader.to(self.behaviour.model.device)

        def learn(
            data: Changes, held_out: Changes, advance: Callable[..., None]
        ) -> tuple[list[float], list[float], float | None]:
            stage = self.stage
            losses = fit_change(reader, data, tokenizer, self._optim, stage.foresee, stage.augment, advance)
            return losses, *change_scores(reader, held_out, tokenizer)

        if tuned:
            reader.load_state_dict(self._stage_1("reader", learn, lambda: dict(reader.state_dict())))
        return ActionFeatures(reader, self.behaviour.frames, tokenizer)

    def _of_llava(self, tuned: bool) -> ActionTable:
        folder, frames = Path(self.stage.model), self.behaviour.frames
        if self._llava is None:
            self._llava = load_llava_reader(folder, self.config.device)
            self._llava.add_adapter(self.stage.lora_rank, self.config.seed)
        reader = self._llava

        def learn(
            data: Changes, held_out: Changes, advance: Callable[..., None]
        ) -> tuple[list[float], list[float], float | None]:
            return fit_question(reader, data, frames, self._optim, advance), answers(reader, held_out, frames), None

        if tuned:
            reader.restore_adapter(dict(self._stage_1("adapter", learn, reader.adapter)))
        return LlavaFeatures(reader, frames, folder, tuned)

    @property
    def _optim(self) -> OptimConfig:
        stage = self.stage
        return adam(
            stage.updates,
            falling=True,
            batch_size=stage.batch_size,
            learning_rate=stage.learning_rate,
            seed=self.config.seed,
        )

    def _stage_1(self, name: str, learn: Learn, weights: Callable[[], Weights]) -> Weights:
        """Fine-tune on nine tenths of the log, once.

        Args:
            name: under which the weights are kept.
            learn: does it.
            weights: what is kept.
        """

        def make() -> Weights:
            episodes = self.log.episodes
            cut = max(1, round(0.9 * len(episodes)))
            data, held_out = (
                change_data(part, self.features, self.stage.epsilon) for part in (episodes[:cut], episodes[cut:])
            )
            with progress_bar("stage 1: does it change the screen?", self.stage.updates) as advance:
                losses, scores, foreseen = learn(data, held_out, advance)
                score = auc(scores, [label > 0.5 for label in held_out.labels.tolist()])
                advance(0, note=f"loss {losses[-1]:.3f}, held-out AUC {'–' if score is None else f'{score:.3f}'}")
            self.run.log(
                phase="representation",
                iteration=0,
                loss=losses[-1],
                auc=score,
                foreseen=foreseen,
                changed=float(data.labels.mean()),
            )
            return weights()

        inputs = {
            "stage": asdict(self.stage),
            "screens": self.features.weights,
            "episodes": _digest([episode.trace.id for episode in self.log.episodes]),
        }
        return self.run.once(f"stage_1/{name}", inputs, make, TENSORS)


def _digest(keys: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
