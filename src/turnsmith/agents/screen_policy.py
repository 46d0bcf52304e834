"""The small device agent: pixels, goal and previous action in, the AitW grammar out, with log-probabilities.

What it writes is the grammar of `agents.aitw` to the letter, in few tokens: everything of an action that is fixed text
is one token, and each cell of the screen is one token that reads `[y, x]", "lift_point": "[y, x]"…`. A tap is three
tokens, a key two, typing as many as the text has pieces plus three. A decision of where to tap is so one choice with
one probability instead of eight digits.

Notable: the resolution of points is that of the cells (20 × 20 pixels on a screen of 360 × 760). A demonstration is
learned as the nearest action that the policy can write (`nearest`); sampled actions are exact.
"""

import asyncio
import copy
import importlib
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from turnsmith.agents import aitw
from turnsmith.agents.base import Context
from turnsmith.agents.frames import Frames
from turnsmith.agents.parsing import device_action
from turnsmith.agents.screen_llama import CELL, ScreenLlamaForCausalLM, new_screen_llama
from turnsmith.agents.tokenizer import train_tokenizer
from turnsmith.engine.forward import Prompt
from turnsmith.engine.local import sample
from turnsmith.engine.models import Tokenizer
from turnsmith.engine.sampling import Sample, Sampling
from turnsmith.engine.score import score
from turnsmith.errors import ParseError, UserError
from turnsmith.trace.types import Action, Call, Turn

IMAGE = "<screen>"
_EOS = 1
AROUND_PREVIOUS = ("Previous Actions: ", " Goal: ")
"""Tokens of the prompt before and after the previous action."""
_KEYS = ("PRESS_BACK", "PRESS_HOME", "PRESS_ENTER", "STATUS_TASK_COMPLETE", "STATUS_TASK_IMPOSSIBLE")


def previous_decision(turns: Sequence[Turn], grid: tuple[int, int] | None = None) -> str:
    """The decision of the last turn as the prompt says it: "" before the first, or where nothing was done.

    With a grid it is the nearest action that the policy can write. Demonstrated points would else be spelled in digits
    in the prompts of training, and the policy's own points be single tokens that it never read there.
    """
    if not turns or turns[-1].action.call is None:
        return ""
    call = turns[-1].action.call
    try:
        return aitw.render_decision(call if grid is None else nearest(call, grid))
    except ValueError:  # an action of another grammar, from an imported log
        return ""


def prompt_text(context: Context, grid: tuple[int, int] | None = None) -> str:
    """What the agent reads: one previous action and the goal, in DigiRL's form (Auto-UI itself was trained with 8)."""
    before, after = AROUND_PREVIOUS
    return f"{before}{previous_decision(context.turns, grid)}{after}{context.task.instruction}</s>"


def cell_point(cell: int, grid: tuple[int, int]) -> tuple[float, float]:
    """(y, x) of the centre of a cell, normalised, 4 decimals. Cells count row by row."""
    rows, columns = grid
    return round((cell // columns + 0.5) / rows, 4), round((cell % columns + 0.5) / columns, 4)


def nearest(call: Call, grid: tuple[int, int]) -> Call:
    """The action nearest to this one that the policy can write: taps at centres of cells, Auto-UI's four swipes."""
    if call.name != "tap":
        return aitw.canonical(call)
    rows, columns = grid
    y, x = (min(max(float(call.arguments[axis]), 0.0), 1.0 - 1e-9) for axis in ("y", "x"))
    y, x = cell_point(int(y * rows) * columns + int(x * columns), grid)
    return Call("tap", {"y": y, "x": x})


def screen_tokenizer(
    texts: Iterable[str], grid: tuple[int, int], vocab_size: int = 1200, names: Collection[str] = ()
) -> tuple[PreTrainedTokenizerFast, int, int]:
    """A tokenizer with one token for each fixed part of the grammar and for each cell.

    Args:
        texts: goals and texts to type, as they will be.
        grid: (rows, columns) of cells.
        vocab_size: of the pieces of text, before the grammar's tokens.
        names: as in `tokenizer.train_tokenizer`.

    Returns:
        (tokenizer, id of the image placeholder, id of the first cell's token).
    """
    added: Any = importlib.import_module("tokenizers").AddedToken
    tokenizer = train_tokenizer(texts, vocab_size, names)
    tap, typed = Call("tap", {"y": 0.5, "x": 0.5}), Call("type", {"text": ""})
    open_tap = aitw.render_decision(tap).partition("[")[0]
    open_typed = aitw.render_decision(typed)[:-1]
    swipes = [Call("swipe", dict(zip(("y", "x", "to_y", "to_x"), s, strict=True))) for s in aitw.SWIPES.values()]
    keys = [_call_of(kind) for kind in _KEYS]
    fixed = [*AROUND_PREVIOUS, "</s>", '"', open_tap, open_typed]
    fixed += [_plan("DUAL_POINT") + open_tap, _plan("TYPE") + open_typed]
    fixed += [aitw.render_aitw(call) for call in keys] + [aitw.render_decision(call) for call in keys]
    fixed += [aitw.render_decision(swipe)[len(open_tap) :] for swipe in swipes]
    count = grid[0] * grid[1]
    points = [_tap_tail(cell_point(cell, grid), open_tap) for cell in range(count)]
    tokenizer.add_tokens([added(IMAGE, special=True, normalized=False)], special_tokens=True)
    tokenizer.add_tokens([added(text, special=False, normalized=False) for text in [*fixed, *points]])
    first = int(tokenizer.convert_tokens_to_ids(points[0]))  # type: ignore[arg-type]
    return tokenizer, int(tokenizer.convert_tokens_to_ids(IMAGE)), first  # type: ignore[arg-type]


def _plan(kind: str) -> str:
    return f"Action Plan: [{kind}] ; Action Decision: "


def _call_of(kind: str) -> Call:
    name, _, rest = kind.partition("_")
    if name == "PRESS":
        return Call("press", {"key": rest.lower()})
    return Call("status", {"state": rest.removeprefix("TASK_").lower()})


def _tap_tail(point: tuple[float, float], open_tap: str) -> str:
    return aitw.render_decision(Call("tap", {"y": point[0], "x": point[1]}))[len(open_tap) :]


class ScreenPolicy:
    """A screen model that acts. `agents.device_policy.DevicePolicy` is the contract.

    Attributes:
        model, tokenizer: hold `lock` while training the model.
        version: names the weights; change it when they change.
        sampling: temperature and limits.
        frames: screens as the model reads them.
    """

    def __init__(
        self,
        model: ScreenLlamaForCausalLM,
        tokenizer: Tokenizer,
        *,
        sampling: Sampling | None = None,
        frames: Frames | None = None,
        version: str = "step-0",
        batch_tokens: int = 8192,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.sampling = sampling or Sampling(max_new_tokens=24)
        self.frames = frames or Frames(size=(model.config.image_height, model.config.image_width))
        self.version = version
        self.batch_tokens = batch_tokens
        self.lock = threading.Lock()
        self.grid = model.config.grid
        self._placeholders = (model.config.image_token_id,) * model.image_tokens
        self._room = model.config.max_position_embeddings - model.image_tokens - 2 * self.sampling.max_new_tokens

    def copy(self, version: str) -> "ScreenPolicy":
        """Another policy with the same weights, to be trained apart."""
        return ScreenPolicy(
            copy.deepcopy(self.model), self.tokenizer, sampling=self.sampling, frames=self.frames, version=version
        )

    # -- the protocol

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context, in order."""
        return await asyncio.to_thread(self.propose, list(contexts), [context.seed for context in contexts])

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Log-probability of each token of each action at temperature 1, ids taken as they are."""
        return await asyncio.to_thread(self.score, list(steps))

    def propose(
        self, contexts: Sequence[Context], seeds: Sequence[int], sampling: Sampling | None = None
    ) -> list[Action]:
        """What `act` does, now and with these seeds: candidates of one context differ by their seeds.

        A context that is given several times, as the same object, is read once.
        """
        once = {id(context): context for context in contexts}
        read = {key: Prompt(*self.encode_prompt(context)) for key, context in once.items()}
        prompts = [read[id(context)] for context in contexts]
        with self.lock:
            drawn = sample(
                self.model, prompts, seeds, sampling or self.sampling, (_EOS,), batch_tokens=self.batch_tokens
            )
        return [self.action(prompt.ids, row) for prompt, row in zip(prompts, drawn, strict=True)]

    def action(self, prompt_ids: Sequence[int], drawn: Sample) -> Action:
        """The action that these sampled tokens are."""
        text = self.tokenizer.decode(drawn.token_ids, skip_special_tokens=True)
        return device_action(text, prompt_ids, drawn)

    def score(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """What `log_prob` does, now."""
        prompts = [Prompt(action.prompt_ids, self.encode_prompt(context)[1]) for context, action in steps]
        with self.lock:
            return score(self.model, prompts, [action.token_ids for _, action in steps], self.batch_tokens)

    # -- prompts and responses as tokens

    def encode_prompt(self, context: Context) -> tuple[tuple[int, ...], Mapping[str, Any]]:
        """Token ids of the prompt in this context, and its screen.

        Raises:
            UserError: if the observation has no screenshot.
        """
        if not context.observation.images:
            raise UserError(f"task {context.task.id}: a screen policy needs a screenshot, and there is none.")
        text = prompt_text(context, self.grid)
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        ids = ids[-self._room :]  # the goal is last; only a long text just typed is ever cut
        frame = self.frames(context.observation.images[-1])
        return (*self._placeholders, *ids), {"pixel_values": frame[None]}

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Token ids of the nearest response that this policy can write; of the text as it is where it does not parse.

        The plan is reduced to the action itself.
        """
        try:
            text = aitw.render_aitw(nearest(aitw.parse_aitw(text), self.grid))
        except (ParseError, ValueError):
            pass
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        return (*ids, _EOS)


def new_screen_policy(
    texts: Iterable[str],
    *,
    vocab_size: int = 1200,
    names: Collection[str] = (),
    sampling: Sampling | None = None,
    frames: Frames | None = None,
    seed: int = 0,
    **model: int,
) -> ScreenPolicy:
    """A policy from scratch.

    Args:
        texts: goals and texts to type.
        vocab_size: of the pieces of text.
        names: words that are names however often they are said.
        sampling: without one, temperature 1 and at most 24 tokens.
        frames: screens; a cache of its own without.
        seed: of the initial weights.
        model: sizes, as in `screen_llama.new_screen_llama` (its image size too).
    """
    grid = (model.get("image_height", 190) // CELL, model.get("image_width", 90) // CELL)
    tokenizer, image_id, first_point = screen_tokenizer(texts, grid, vocab_size, names)
    network = new_screen_llama(len(tokenizer), image_id, first_point, seed=seed, **model)
    network.config.turnsmith = {"rendering": "screen", "dialect": "aitw"}
    return ScreenPolicy(network, tokenizer, sampling=sampling, frames=frames)


def load_screen_policy(
    folder: str | Path,
    *,
    sampling: Sampling | None = None,
    frames: Frames | None = None,
    version: str | None = None,
    device: str = "cpu",
) -> ScreenPolicy:
    """The screen policy of a model folder or checkpoint.

    Raises:
        UserError: if there is none.
    """
    from turnsmith.agents.load import load_model, load_tokenizer

    folder = Path(folder)
    label = version or folder.name
    if (folder / "trainer.json").exists():
        folder = folder / "model"
    model = load_model(folder)
    if not isinstance(model, ScreenLlamaForCausalLM):
        raise UserError(f"{folder}: a model of type {model.config.model_type!r} is no screen policy.")
    model.to(device)  # type: ignore[arg-type]
    return ScreenPolicy(model, load_tokenizer(folder)[0], sampling=sampling, frames=frames, version=label)
