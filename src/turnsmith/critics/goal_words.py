"""Texts in the terms of a goal: what critics read instead of names (delexicalisation).

Each training task has names of its own. A critic that reads them knows the episodes of its log by heart; one that does
not read them at all cannot tell whether what was typed is what was asked for. So a name is said by its place in the
goal: in "Go to <0>.com, search for '<1> lamp'" the text "<1> lamp" is right and "<other>.com" is not, in every task.
"""

from collections.abc import Sequence

from torch import Tensor

from turnsmith.agents.device_policy import DevicePolicy
from turnsmith.critics.values import padded
from turnsmith.learn.transforms.rename import Word, renamer_of

PLACES = 16
"""How many different names of a goal have a place of their own; further ones share the last."""


class GoalWords:
    """Encodes texts beside the goals that they belong to.

    Args:
        policy: its tokenizer, and its model's list of words that are no names (`transforms.rename.keep_words`); without
            that list texts are read as they are.
    """

    def __init__(self, policy: DevicePolicy) -> None:
        self.tokenizer, self._renamer = policy.tokenizer, renamer_of(policy)

    def __len__(self) -> int:
        """Size of the vocabulary: the tokenizer's pieces, "a name that the goal does not say", and the places."""
        return len(self.tokenizer) + 1 + PLACES

    def __call__(self, goals: Sequence[str], texts: Sequence[str]) -> Tensor:
        """Ids of these texts, each in the terms of its goal, (N, L) padded with 0."""
        known: dict[tuple[str, str], Word] = {}
        rows = []
        for goal, text in zip(goals, texts, strict=True):
            if (goal, text) not in known:
                known[goal, text] = self._encode(goal, text)
            rows.append(known[goal, text])
        return padded(rows)

    def _encode(self, goal: str, text: str) -> Word:
        ids = self._pieces(text)
        if self._renamer is None:
            return ids
        unknown = len(self.tokenizer)
        places: dict[Word, Word] = {}
        for name in self._renamer.names(self._pieces(goal)):
            places.setdefault(name, (unknown + 1 + min(len(places), PLACES - 1),))
        return self._renamer.replaced(ids, places, (unknown,))

    def _pieces(self, text: str) -> Word:
        return tuple(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids)
