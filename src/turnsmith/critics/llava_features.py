"""Digi-Q's stage 1 with a LLaVA-type model: its adapter learns whether actions have an effect, then features are kept.

What `change` and `action_features` do with the small reader. Features are the state at the answer and the
answer, as there; foresight and moved screens are the small reader's alone.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from turnsmith.agents.frames import Frames
from turnsmith.agents.llava_reader import LlavaReader
from turnsmith.critics.action_features import ActionTable
from turnsmith.critics.change import TYPES, Changes, CriticAction, scaled_answer
from turnsmith.critics.fitting import fit_rows
from turnsmith.learn.optim import OptimConfig
from turnsmith.trace.types import Call, ImageRef


def call_of(action: CriticAction) -> Call:
    """The call that an action was read from, as far as the question asks; the name "none" for what did not parse."""
    kind = TYPES[action.kind]
    if action.point is not None:
        return Call("swipe" if action.swipe else "tap", {"y": action.point[0], "x": action.point[1]})
    if kind == "TYPE":
        return Call("type", {"text": action.text})
    if kind.startswith("PRESS_"):
        return Call("press", {"key": kind.removeprefix("PRESS_").lower()})
    if kind.startswith("STATUS_TASK_"):
        return Call("status", {"state": kind.removeprefix("STATUS_TASK_").lower()})
    return Call("none", {})


def fit_question(
    reader: LlavaReader,
    data: Changes,
    frames: Frames,
    config: OptimConfig,
    on_update: Callable[[], None] | None = None,
) -> list[float]:
    """Fine-tune the reader's adapter on "does it change the screen?".

    Args:
        reader: with an adapter, changed in place.
        data: executed actions (`critics.change.change_data`).
        frames: where the bytes of screens come from.
        config: see there.
        on_update: called after every update, to show progress.

    Returns:
        The loss of each update: token cross-entropy of the right answer.

    Raises:
        UserError: if there are no actions, or the loss is not finite.
    """

    def loss_of(rows: Tensor) -> Tensor:
        images = [_with_bytes(data.images[row], frames) for row in rows.tolist()]
        calls = [call_of(data.actions[row]) for row in rows.tolist()]
        return reader.yes_no_loss(images, calls, [label > 0.5 for label in data.labels[rows].tolist()])

    learned = [parameter for parameter in reader.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=config.learning_rate, weight_decay=0.0)
    return fit_rows(reader.model, loss_of, len(data.actions), config, optimizer, on_update)


def answers(reader: LlavaReader, data: Changes, frames: Frames, batch_size: int = 8) -> list[float]:
    """P(the action has an effect) of each executed action."""
    found: list[float] = []
    for start in range(0, len(data.actions), batch_size):
        part = slice(start, start + batch_size)
        images = [_with_bytes(image, frames) for image in data.images[part]]
        found += reader.features(images, [call_of(action) for action in data.actions[part]])[1].tolist()
    return found


class LlavaFeatures(ActionTable):
    """Features of a LLaVA-type model, with its adapter or without.

    Args:
        reader: frozen.
        frames: where the bytes of screens come from.
        folder: of the model, which names its weights.
        adapted: False reads as the model was before stage 1.
    """

    def __init__(
        self, reader: LlavaReader, frames: Frames, folder: Path, adapted: bool = True, batch_size: int = 8
    ) -> None:
        super().__init__(reader.width + 1, batch_size)
        self.reader, self.frames, self.folder, self.adapted = reader, frames, folder, adapted

    @property
    def weights(self) -> str:
        """The model's folder, and a digest of the adapter."""
        digest = hashlib.sha256(str(self.folder.resolve()).encode())
        if self.adapted:
            for name, value in sorted(self.reader.adapter().items()):
                digest.update(name.encode())
                digest.update(value.float().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _batch(self, images: Sequence[ImageRef], actions: Sequence[CriticAction]) -> Tensor:
        shown = [_with_bytes(image, self.frames) for image in images]
        state, yes = self.reader.features(shown, [call_of(action) for action in actions], self.adapted)
        return torch.cat([state.cpu(), scaled_answer(yes.cpu())], dim=1)


def _with_bytes(image: ImageRef, frames: Frames) -> ImageRef:
    return replace(image, data=frames.bytes_of(image))
