"""What ranks the candidates of a turn: a fitted critic, or the truth."""

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from turnsmith.critics.turn_ratio import TurnHead, rank_by_head, rank_by_ratio
from turnsmith.recipes.sweet.config import Arm, Config
from turnsmith.trace.types import Task
from turnsmith.worlds.programs import dialogue
from turnsmith.worlds.programs.play import WORDS, hidden_prefix

Ids = tuple[int, ...]


class Critic:
    """What ranks the candidates of a turn: `rank(contexts, candidates)` gives one score a candidate."""

    def __init__(self, config: Config, arm: Arm, reference: PreTrainedModel, net: PreTrainedModel | TurnHead | None):
        self.config, self.arm, self.reference, self.net = config, arm, reference, net

    def rank(
        self, tasks: Sequence[Task], prompts: Sequence[Ids], asked: Sequence[Sequence[str]], candidates: list[list[Ids]]
    ) -> list[list[float]]:
        """A of each candidate of each turn; the hidden specification is put in front here and nowhere else."""
        if self.net is None:
            return [
                [truth_of(task, before, ids) for ids in group]
                for task, before, group in zip(tasks, asked, candidates, strict=True)
            ]
        sees = self.arm is not Arm.NO_HIDDEN
        read = [(*hidden_prefix(task), *ids) if sees else tuple(ids) for task, ids in zip(tasks, prompts, strict=True)]
        if isinstance(self.net, TurnHead):
            return rank_by_head(self.net, read, candidates)
        plain = [tuple(ids) for ids in prompts] if self.config.rank_reference == "without_hidden" else None
        return rank_by_ratio(self.net, self.reference, read, candidates, plain, mean=self.arm is not Arm.NO_NORM)


def truth_of(task: Task, asked: Sequence[str], ids: Ids) -> float:
    """The oracle's score of a reply: what helps, what does no harm, what is no sentence; answers by their tests."""
    call, _ = dialogue.parse(WORDS.text(ids))
    if call is None:
        return -1.0
    if call.name == "answer":
        return float(all(dialogue.passed(task, str(call.arguments["text"]))))
    return float(dialogue.useful(task, asked, call))


class HeadFormat:
    """How a `TurnHead` is kept: its tensors, in the layout of `safetensors`."""

    def __init__(self, head: TurnHead) -> None:
        self.head = head

    def write(self, value: TurnHead, folder: Path) -> None:
        """All tensors in one file."""
        save_file({name: tensor.contiguous() for name, tensor in value.named_parameters()}, folder / "head.safetensors")

    def read(self, folder: Path) -> TurnHead:
        """Into the head that was given."""
        self.head.load_state_dict(load_file(folder / "head.safetensors"), strict=False)
        return self.head.eval()
