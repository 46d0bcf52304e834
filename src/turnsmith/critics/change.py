"""Digi-Q's stage 1: teach an image encoder to read *actions*, by asking whether an action changes the screen.

Features of an off-the-shelf vision model describe the screen and overlook the action, so a Q-function on top of them
becomes a V-function. Digi-Q therefore fine-tunes the model on one question, with labels that cost nothing: does this
action have an effect? The features at the answer then say what the action would do, also for actions never executed.

Here the reader starts from the autoencoder of `screen_features`. A tap is shown as the paper shows it, by a cursor
drawn into the picture and by its coordinates beside it, and, not the paper's, by a close-up of what is tapped: a small
encoder of whole screens loses what stands under the cursor. Type and typed text enter as embeddings. Before fine-tuning
the feature is the autoencoder's vector of the picture with the cursor, exactly; that is the off-the-shelf arm.

Not the paper's either: beside whether the screen changes, the reader is asked how (`foresee`), namely for the vector of
the next screen. Yes or no is the same for a link that leads away and for the field that was wanted.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from turnsmith.agents import aitw
from turnsmith.critics.config import EPSILON
from turnsmith.critics.episodes import Played
from turnsmith.critics.fitting import fit_rows
from turnsmith.critics.screen_features import Features, ScreenAutoencoder
from turnsmith.critics.values import WordBag, encode_texts
from turnsmith.engine.models import ReadsText
from turnsmith.errors import UserError
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.transforms.screens import ViewAugment
from turnsmith.trace.types import Call, ImageRef

TYPES = (*aitw.ACTION_TYPES, "NONE")
"""Action types by index; the last stands for no action (the first step) and for text that did not parse."""

_CURSOR = (
    "#..........",
    "##.........",
    "###........",
    "####.......",
    "#####......",
    "######.....",
    "#######....",
    "########...",
    "#####......",
    "##.##......",
    "#...##.....",
    "....##.....",
)


@dataclass(frozen=True, slots=True)
class CriticAction:
    """An action as critics read it.

    Attributes:
        kind: index into `TYPES`.
        text: what is typed, else "".
        point: (y, x) where a gesture begins, normalised; None for other actions.
        swipe: whether the gesture goes on from there; the small reader is not told.
    """

    kind: int
    text: str = ""
    point: tuple[float, float] | None = None
    swipe: bool = False


NO_ACTION = CriticAction(TYPES.index("NONE"))


def to_critic_action(call: Call | None) -> CriticAction:
    """A call as critics read it; `NO_ACTION` for none and for actions of other grammars."""
    if call is None:
        return NO_ACTION
    try:
        kind = TYPES.index(aitw.action_type(call))
    except ValueError:
        return NO_ACTION
    arguments = call.arguments
    point = (float(arguments["y"]), float(arguments["x"])) if call.name in ("tap", "swipe") else None
    return CriticAction(kind, str(arguments.get("text", "")), point, call.name == "swipe")


def with_cursor(frame: Tensor, point: tuple[float, float] | None) -> Tensor:
    """The frame (3, H, W) with a red cursor whose tip is at the point (y, x); the frame itself without a point."""
    if point is None:
        return frame
    _, height, width = frame.shape
    top, left = min(int(point[0] * height), height - 1), min(int(point[1] * width), width - 1)
    mask = _MASK[: height - top, : width - left]
    shown = frame.clone()
    part = shown[:, top : top + mask.shape[0], left : left + mask.shape[1]]
    part[:, mask] = torch.tensor([[230], [20], [40]], dtype=torch.uint8)
    return shown


_MASK = torch.tensor([[sign == "#" for sign in row] for row in _CURSOR])


def close_up(frame: Tensor, point: tuple[float, float] | None) -> Tensor:
    """The part of a frame (3, H, W) around the point (y, x), uint8 (3, 24, 48); grey where there is no screen."""
    made = torch.full((3, *_CLOSE_UP), 128, dtype=torch.uint8)
    if point is not None:
        (high, wide), (_, height, width) = _CLOSE_UP, frame.shape
        top = min(int(point[0] * height), height - 1) - high // 2
        left = min(int(point[1] * width), width - 1) - wide // 2
        seen = frame[:, max(top, 0) : top + high, max(left, 0) : left + wide]
        y, x = max(-top, 0), max(-left, 0)
        made[:, y : y + seen.shape[1], x : x + seen.shape[2]] = seen
    return made


_CLOSE_UP = (24, 48)
"""Height and width: 48 pixels of the local phone's screen above and below the point, 96 on either side."""


def changed(before: Tensor, after: Tensor, epsilon: float = EPSILON) -> bool:
    """Whether two frames (3, H, W) differ by more than ε in the mean square of their pixels."""
    return float((before.float() - after.float()).square().mean()) > epsilon


class ActionReader(nn.Module):
    """Picture with cursor, action type and typed text to a feature vector, and to "yes, it has an effect".

    Args:
        base: the autoencoder that it starts from; copied.
        vocab_size: of the tokenizer of typed texts.
    """

    spread: Tensor

    def __init__(self, base: ScreenAutoencoder, vocab_size: int) -> None:
        super().__init__()
        self.size = base.size
        self.screen_encoder = copy.deepcopy(base)
        self.screen_encoder.to_cells = nn.Sequential()  # nothing is reconstructed here
        self.kinds = nn.Embedding(len(TYPES), 16)
        self.words = WordBag(vocab_size, 16)
        self.close = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2, 1), nn.GELU(), nn.Conv2d(24, 48, 3, 2, 1), nn.GELU(), nn.Conv2d(48, 64, 3, 2, 1),
            nn.GELU(), nn.Flatten(), nn.Linear(64 * (_CLOSE_UP[0] // 8) * (_CLOSE_UP[1] // 8), 128), nn.GELU(),
        )  # fmt: skip
        self.mix = nn.Sequential(nn.Linear(base.size + 128 + 32 + _PLACE, 128), nn.GELU(), nn.Linear(128, base.size))
        last = self.mix[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.answer = nn.Linear(base.size, 1)
        self.foresight = nn.Linear(base.size, base.size)
        self.register_buffer("spread", torch.ones(base.size))

    @property
    def feature_size(self) -> int:
        """Of what critics read of an action: the state at the answer, and the answer itself."""
        return self.size + 1

    def forward(
        self, pixels_BCHW: Tensor, close_BCHW: Tensor, kind_B: Tensor, text_BL: Tensor, place_BP: Tensor
    ) -> Tensor:
        """Features (B, size): the state from which the answer is read. The inputs are those of `inputs_of`."""
        seen, close = self.screen_encoder(pixels_BCHW), self.close(close_BCHW.float() / 127.5 - 1)
        return seen + self.mix(torch.cat([seen, close, self.kinds(kind_B), self.words(text_BL), place_BP], dim=1))

    def logit(self, feature_BD: Tensor) -> Tensor:
        """Logit of "yes", (B,)."""
        return self.answer(feature_BD)[:, 0]

    def foreseen(self, feature_BD: Tensor) -> Tensor:
        """By how much the screen's vector will change, in units of `spread`, (B, size)."""
        return self.foresight(feature_BD)

    def features(self, state_BD: Tensor) -> Tensor:
        """What critics read: the state and the answer."""
        return torch.cat([state_BD, scaled_answer(self.logit(state_BD).sigmoid())], dim=1)


def scaled_answer(yes_B: Tensor) -> Tensor:
    """P(yes) as critics read it, (B, 1): from −`_ANSWER_SCALE` for a sure no to `_ANSWER_SCALE` for a sure yes.

    The answer is in the state already, but a few thousand steps do not tell a small critic where.
    """
    return _ANSWER_SCALE * (2 * yes_B - 1)[:, None]


_ANSWER_SCALE = 4.0
_FREQUENCIES = (1, 2, 4, 8)
_PLACE = 4 * len(_FREQUENCIES) + 1


def places(actions: Sequence[CriticAction]) -> Tensor:
    """Coordinates of gestures as sines and cosines of four frequencies, and a flag; zeros without a point. (B, 17)."""
    made = torch.zeros(len(actions), _PLACE)
    for row, action in enumerate(actions):
        if action.point is not None:
            angles = torch.tensor([math.pi * f * side for f in _FREQUENCIES for side in action.point])
            made[row] = torch.cat([angles.sin(), angles.cos(), torch.ones(1)])
    return made


def inputs_of(frames: Sequence[Tensor], actions: Sequence[CriticAction], tokenizer: ReadsText) -> tuple[Tensor, ...]:
    """What a reader reads: (pictures with cursors, close-ups, types, typed texts, places), one row an action."""
    points = [action.point for action in actions]
    return (
        torch.stack([with_cursor(frame, point) for frame, point in zip(frames, points, strict=True)]),
        torch.stack([close_up(frame, point) for frame, point in zip(frames, points, strict=True)]),
        torch.tensor([action.kind for action in actions]),
        encode_texts(tokenizer, [action.text for action in actions]),
        places(actions),
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """Executed actions with the question's answers: the training data of stage 1.

    Attributes:
        images, frames, actions: the screen before the action, its frame, and the action.
        labels: whether the screen changed, (S,) of 0 and 1.
        vectors: the screen's vector before and after, (S, 2, D).
    """

    images: list[ImageRef]
    frames: list[Tensor]
    actions: list[CriticAction]
    labels: Tensor
    vectors: Tensor

    @property
    def moves(self) -> Tensor:
        """By how much the vectors changed, (S, D)."""
        return self.vectors[:, 1] - self.vectors[:, 0]


def change_data(log: Sequence[Played], features: Features, epsilon: float = EPSILON) -> Changes:
    """The executed actions of these episodes. Status actions are left out: they end the episode."""
    shown, actions, labels, images = [], [], [], []
    for episode in log:
        screens = episode.screens
        for step, turn in enumerate(episode.trace.turns):
            action = to_critic_action(turn.action.call)
            if action == NO_ACTION or TYPES[action.kind].startswith("STATUS"):
                continue
            before, after = features.frames(screens[step]), features.frames(screens[step + 1])
            shown.append(before)
            actions.append(action)
            labels.append(float(changed(before, after, epsilon)))
            images += screens[step : step + 2]
    return Changes(images[::2], shown, actions, torch.tensor(labels), features(images).view(len(actions), 2, -1))


def fit_change(
    reader: ActionReader,
    data: Changes,
    tokenizer: ReadsText,
    config: OptimConfig,
    foresee: float = 0.0,
    augment: float = 0.0,
    on_update: Callable[[], None] | None = None,
) -> list[float]:
    """Fine-tune the whole reader on the question by cross-entropy; left frozen in `eval()` mode.

    Args:
        reader: changed in place.
        data: executed actions.
        tokenizer: of typed texts.
        config: see there.
        foresee: weight of the mean squared error of `foreseen`; 0 asks the paper's question alone.
        augment: the share of uses in which a screen is moved with its point, and, apart from that, recoloured. What is
            asked of it stays the same.
        on_update: called after every update, to show progress.

    Returns:
        The loss of each update.

    Raises:
        UserError: if there are no actions.
    """
    if not data.actions:
        raise UserError("the log has no executed action whose effect could be learned.")
    device = reader.answer.weight.device
    reader.spread.copy_(data.moves.std(dim=0, correction=0) + 1e-3)
    moves = data.moves.to(device) / reader.spread

    view, uses = ViewAugment(augment), count()

    def seen(row: int) -> tuple[Tensor, CriticAction]:
        frame, action = data.frames[row], data.actions[row]
        if not augment:
            return frame, action
        frame, point = view(frame, action.point, (config.seed, next(uses)))
        return frame, replace(action, point=point)

    def loss_of(rows: Tensor) -> Tensor:
        frames, actions = zip(*map(seen, rows.tolist()), strict=True)
        inputs = inputs_of(frames, actions, tokenizer)
        state = reader(*(part.to(device) for part in inputs))
        loss = F.binary_cross_entropy_with_logits(reader.logit(state), data.labels[rows].to(device))
        if foresee:
            loss = loss + foresee * (reader.foreseen(state) - moves[rows]).square().mean()
        return loss

    reader.requires_grad_(True)
    losses = fit_rows(reader, loss_of, len(data.actions), config, on_update=on_update)
    reader.requires_grad_(False)
    return losses


def change_scores(
    reader: ActionReader, data: Changes, tokenizer: ReadsText, batch_size: int = 64
) -> tuple[list[float], float | None]:
    """How well a reader knows what actions do.

    Returns:
        P(the action has an effect) of each executed action, and the share of the variance of `moves` that it foresees
        (1 for everything, 0 for the mean change; None where nothing changed).
    """
    scores: list[float] = []
    missed = torch.zeros(())
    moves = data.moves / reader.spread.cpu()
    for start in range(0, len(data.actions), batch_size):
        part = slice(start, start + batch_size)
        with torch.inference_mode():
            state = read_actions(reader, data.frames[part], data.actions[part], tokenizer)
            scores += reader.logit(state).sigmoid().tolist()
            missed += (reader.foreseen(state).cpu() - moves[part]).square().sum()
    total = float((moves - moves.mean(dim=0)).square().sum()) if len(moves) else 0.0
    return scores, 1 - float(missed) / total if total else None


def read_actions(
    reader: ActionReader, frames: Sequence[Tensor], actions: Sequence[CriticAction], tokenizer: ReadsText
) -> Tensor:
    """The features of these pairs, (N, size), on the reader's device."""
    device = reader.answer.weight.device
    return reader(*(part.to(device) for part in inputs_of(frames, actions, tokenizer)))


def action_sensitivity(q_BN: Tensor) -> float:
    """How much Q depends on the action: the mean over states of the standard deviation over candidates."""
    return float(q_BN.std(dim=1).mean()) if q_BN.shape[1] > 1 else 0.0
