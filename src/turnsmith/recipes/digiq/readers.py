"""What reads actions for Digi-Q's critics, after stage 1 and as it was before: the small reader, or a LLaVA-type model.

Made when first asked for and kept in the run's `cache/`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from turnsmith.recipes.digiq.config import Config
from turnsmith.runs.progress import progress_bar
from turnsmith.runs.run import Run


class Readers:
    """Features of actions of one run.

    Args:
        config: its `representation` says what reads.
        run: keeps what is made.
        log: the episodes.
        behaviour: π_β, whose tokenizer, frames and device are used.
        features: of screens.
    """

    def __init__(self, config: Config, run: Run, log: Sequence[Any], behaviour: Any, features: Any) -> None:
        self.config, self.stage, self.run, self.log = config, config.representation, run, log
        self.behaviour, self.features = behaviour, features
        self._made: dict[bool, Any] = {}
        self._llava: Any = None

    def actions(self, tuned: bool) -> Any:
        """Features of actions (`critics.action_features.ActionTable`), those on disk at hand."""
        if tuned not in self._made:
            self._made[tuned] = self._of_llava(tuned) if self.stage.model else self._of_small(tuned)
            self._made[tuned].load(self.file("actions", tuned))
        return self._made[tuned]

    def read(self, tuned: bool, images: Sequence[Any], deeds: Sequence[Any]) -> None:
        """Have the features of these pairs of screen and action at hand and on disk, with a bar."""
        actions = self.actions(tuned)
        places = actions.unread(images, deeds)
        if places:
            with progress_bar("reading actions", len(places)) as advance:
                actions.read([images[i] for i in places], [deeds[i] for i in places], advance)
            actions.save(self.file("actions", tuned))

    def file(self, what: str, tuned: bool, *more: str) -> Path:
        """Where something that was made with such features is kept."""
        return self.run.folder / "cache" / f"{'-'.join([what, 'tuned' if tuned else 'plain', *more])}.safetensors"

    def _of_small(self, tuned: bool) -> Any:
        import torch

        from turnsmith.critics.action_features import ActionFeatures
        from turnsmith.critics.change import ActionReader, change_scores, fit_change

        tokenizer = self.behaviour.tokenizer
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            reader = ActionReader(self.features.model, len(tokenizer)).eval().requires_grad_(False)
        reader.to(self.behaviour.model.device)

        def learn(data: Any, held_out: Any, advance: Any) -> tuple[Any, Any, float | None]:
            stage = self.stage
            losses = fit_change(reader, data, tokenizer, self._fit, stage.foresee, stage.augment, advance)
            return losses, *change_scores(reader, held_out, tokenizer)

        if tuned:
            self._stage_1("reader", learn, lambda: dict(reader.state_dict()), reader.load_state_dict)
        return ActionFeatures(reader, self.behaviour.frames, tokenizer)

    def _of_llava(self, tuned: bool) -> Any:
        from turnsmith.agents.llava_reader import load_llava_reader
        from turnsmith.critics.llava_features import LlavaFeatures, answers, fit_question

        folder, frames = Path(self.stage.model), self.behaviour.frames
        if self._llava is None:
            self._llava = load_llava_reader(folder, self.config.device)
            self._llava.add_adapter(self.stage.lora_rank, self.config.seed)
        reader = self._llava

        def learn(data: Any, held_out: Any, advance: Any) -> tuple[Any, Any, float | None]:
            return fit_question(reader, data, frames, self._fit, advance), answers(reader, held_out, frames), None

        if tuned:
            self._stage_1("adapter", learn, reader.adapter, reader.restore_adapter)
        return LlavaFeatures(reader, frames, folder, tuned)

    @property
    def _fit(self) -> Any:
        from turnsmith.critics.values import FitConfig

        stage = self.stage
        return FitConfig(stage.updates, stage.batch_size, stage.learning_rate, seed=self.config.seed, falling=True)

    def _stage_1(self, name: str, learn: Any, weights: Any, restore: Any) -> None:
        """Fine-tune on nine tenths of the log, or read the weights back from `cache/NAME.safetensors`.

        Args:
            name: of the file.
            learn: from executed actions, those of the last tenth and what shows progress to (losses, answers to the
                latter, how much is foreseen).
            weights, restore: what is kept, and how it is taken back.
        """
        from turnsmith.critics.change import change_data
        from turnsmith.critics.screen_features import load_tensors, save_tensors
        from turnsmith.evaluate.ranking import auc

        path, notes = self.run.folder / "cache" / f"{name}.safetensors", {"stage": repr(self.stage)}
        found = load_tensors(path, notes)
        if found is not None:
            restore(found[0])
            return
        cut = max(1, round(0.9 * len(self.log)))
        data, held_out = (
            change_data(part, self.features, self.stage.epsilon) for part in (self.log[:cut], self.log[cut:])
        )
        with progress_bar("stage 1: does it change the screen?", self.stage.updates) as advance:
            losses, scores, foreseen = learn(data, held_out, advance)
            score = auc(scores, [label > 0.5 for label in held_out.labels.tolist()])
            advance(0, note=f"loss {losses[-1]:.3f}, held-out AUC {'–' if score is None else f'{score:.3f}'}")
        self.run.log(phase="representation", iteration=0, loss=losses[-1], auc=score, foreseen=foreseen,
                     changed=float(data.labels.mean()))  # fmt: skip
        save_tensors(path, weights(), notes)
