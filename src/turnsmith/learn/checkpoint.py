"""Checkpoints with full resume: weights, optimiser, random state, cursor, and whatever JSON the run keeps.

A checkpoint is a folder that appears at once and whole: it is written beside its place and renamed, so a run that is
killed at any instant leaves the last complete one. Weights are in the Hugging Face layout and load anywhere; the rest
is safetensors and JSON. No pickle.

    step-40/
      model/           config, weights and tokenizer (or the adapter, for LoRA)
      optimizer.safetensors, trainer.json
"""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from turnsmith.errors import UserError
from turnsmith.jsonl import read_json
from turnsmith.runs.once import remove_folder, saved_steps, whole_folder


class SavesItself(Protocol):
    """A tokenizer or processor: writes itself into a model folder."""

    def save_pretrained(self, folder: Any, /) -> Any:
        """Write the files."""
        ...


class Saved(SavesItself, Protocol):
    """What a checkpoint holds: a Hugging Face model, or any module that saves itself."""

    def state_dict(self) -> Mapping[str, Any]:
        """The weights by name."""
        ...

    def load_state_dict(self, weights: Any, /, strict: bool) -> Any:
        """Take weights over."""
        ...


def save(
    folder: str | Path,
    step: int,
    model: Saved,
    tokenizer: SavesItself | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    state: Mapping[str, Any] | None = None,
    keep: int | None = None,
) -> Path:
    """Write `folder/step-N` in one atomic rename; a checkpoint of this step that is there already is replaced.

    Args:
        folder: of all checkpoints of the run.
        step: N.
        model: saved with `save_pretrained`.
        tokenizer: or processor, saved beside the weights.
        optimizer: its moments and step counts; None for weights only.
        state: JSON values of the run (cursor, iteration, buffer).
        keep: remove older checkpoints beyond so many; None keeps all.

    Raises:
        UserError: if the disk is full or the folder cannot be written; earlier checkpoints are intact.
    """
    folder = Path(folder)
    target = folder / f"step-{step}"
    with whole_folder(target) as partial:
        write(partial, model, tokenizer, optimizer, {**(state or {})}, step)
    if keep is not None:
        for older in steps(folder)[:-keep]:
            remove_folder(folder / f"step-{older}")
    return target


def write(
    folder: Path,
    model: Saved,
    tokenizer: SavesItself | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    state: Mapping[str, Any] | None = None,
    step: int = 0,
) -> None:
    """Put a checkpoint's files into an empty folder; `save` makes that folder appear whole. Arguments as there."""
    (folder / "model").mkdir(parents=True)
    model.save_pretrained(folder / "model")
    if tokenizer is not None:
        tokenizer.save_pretrained(folder / "model")
    trainer = {"step": step, "state": dict(state or {}), "random": _random_state(), "optimizer": None}
    tensors: dict[str, torch.Tensor] = {}
    if optimizer is not None:
        trainer["optimizer"], tensors = _optimizer_to_tensors(optimizer)
    tensors["random.torch"] = torch.get_rng_state()
    save_file(tensors, folder / "optimizer.safetensors")
    (folder / "trainer.json").write_text(json.dumps(trainer), encoding="utf-8")


class TrainingState:
    """A model that learns in a loop of `Run.iterations`: its weights, its optimiser, the random state, and JSON beside.

    Args:
        model: in place.
        tokenizer: or processor, saved beside the weights so that the checkpoint is a model folder; None leaves it out.
        optimizer: goes on with its moments; None where it is made anew each turn.

    Attributes:
        notes: JSON of the caller, saved and put back with the rest.
    """

    def __init__(
        self, model: Saved, tokenizer: SavesItself | None = None, optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        self.model, self.tokenizer, self.optimizer = model, tokenizer, optimizer
        self.notes: dict[str, Any] = {}

    def save(self, folder: Path) -> None:
        """Write the checkpoint into an empty folder."""
        write(folder, self.model, self.tokenizer, self.optimizer, self.notes)

    def load(self, folder: Path) -> None:
        """Be what was saved; the model is left in `eval()` mode."""
        self.notes = load(folder, self.model, self.optimizer)
        self.model.eval()  # pyright: ignore[reportAttributeAccessIssue]


class ModelFormat:
    """How fitted weights lie on disk, for `Run.once`: `model` is filled in place and is what reading returns.

    Args:
        model: has `save_pretrained`; its architecture is the kept one's.
        tokenizer: saved beside the weights; None leaves it out.
    """

    def __init__(self, model: Saved, tokenizer: SavesItself | None = None) -> None:
        self.model, self.tokenizer = model, tokenizer

    def write(self, value: Any, folder: Path) -> None:
        """Weights, config and tokenizer in the Hugging Face layout."""
        value.save_pretrained(folder)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)

    def read(self, folder: Path) -> Any:
        """The model with these weights, in `eval()` mode."""
        load_weights(folder, self.model)
        return self.model.eval()  # pyright: ignore[reportAttributeAccessIssue]


class TensorsFormat:
    """Named tensors in one safetensors file, for `Run.once`."""

    def write(self, value: Mapping[str, torch.Tensor], folder: Path) -> None:
        """One file; what shares memory is copied apart."""
        save_file({name: tensor.contiguous().clone() for name, tensor in value.items()}, folder / "tensors.safetensors")

    def read(self, folder: Path) -> dict[str, torch.Tensor]:
        """The tensors, on the CPU."""
        return load_file(folder / "tensors.safetensors")


TENSORS = TensorsFormat()


def steps(folder: str | Path) -> list[int]:
    """The steps of the complete checkpoints in a folder, ascending."""
    return saved_steps(Path(folder), "trainer.json")


def latest(folder: str | Path) -> Path | None:
    """The last complete checkpoint of a folder, or None."""
    found = steps(folder)
    return Path(folder) / f"step-{found[-1]}" if found else None


def load(checkpoint: str | Path, model: Saved, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Any]:
    """Put a checkpoint's weights into `model`, its moments into `optimizer`, and its random state into effect.

    Args:
        checkpoint: a folder made by `save`.
        model: of the same architecture; changed in place.
        optimizer: made over this model as it was for the saved one; None leaves the random state alone too.

    Returns:
        The run's JSON state.

    Raises:
        UserError: if this is no checkpoint, is damaged, or is of another architecture.
    """
    checkpoint = Path(checkpoint)
    try:
        trainer = read_json(checkpoint / "trainer.json")
        saved, state = trainer["optimizer"], trainer["state"]
        tensors = load_file(checkpoint / "optimizer.safetensors")
    except Exception as error:  # safetensors raises its own kind
        raise UserError(f"{checkpoint}: not a complete checkpoint ({error}).") from error
    load_weights(checkpoint / "model", model)
    if optimizer is None:
        return state
    if saved is None:
        raise UserError(f"{checkpoint}: holds weights only, no optimiser to resume from.")
    try:
        _optimizer_from_tensors(optimizer, saved, tensors)
        python, numpy = trainer["random"]["python"], trainer["random"]["numpy"]
        random.setstate((python[0], tuple(python[1]), python[2]))
        np.random.set_state((numpy[0], np.array(numpy[1], dtype=np.uint32), *numpy[2:]))
        torch.set_rng_state(tensors["random.torch"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise UserError(f"{checkpoint}: its optimiser is another model's, or is damaged ({error}).") from error
    return state


def load_weights(folder: str | Path, model: Saved) -> None:
    """Put the weights of a model folder (`save_pretrained`'s) into a model of the same architecture.

    Raises:
        UserError: if the folder has no weights, or they are another model's.
    """
    folder = Path(folder)
    adapter = folder / "adapter_model.safetensors"
    files = [adapter] if adapter.exists() else sorted(folder.glob("model*.safetensors"))
    if not files:
        raise UserError(f"{folder}: there are no weights here (model.safetensors).")
    config_file = folder / "config.json"
    if config_file.exists():
        theirs = dict(read_json(config_file)).get("model_type")
        ours = model.config.model_type  # pyright: ignore[reportAttributeAccessIssue]
        if theirs != ours:
            raise UserError(f"{folder}: a checkpoint of model type {theirs!r} does not fit a model of type {ours!r}.")
    try:
        weights = {name: value for file in files for name, value in load_file(file).items()}
    except Exception as error:  # safetensors raises its own kind
        raise UserError(f"{folder}: the weights are damaged or cut short ({error}).") from error
    if adapter.exists():
        from peft import set_peft_model_state_dict

        outcome = set_peft_model_state_dict(model, weights)
        wrong = list(outcome.unexpected_keys)
    else:
        own = model.state_dict()
        wrong = [name for name, value in weights.items() if name not in own or own[name].shape != value.shape]
        tied = set(getattr(model, "all_tied_weights_keys", None) or {})
        wrong += [name for name in own if name not in weights and name not in tied]
        if not wrong:
            model.load_state_dict(weights, strict=False)
    if wrong:
        raise UserError(
            f"{folder}: a checkpoint of another model: {len(wrong)} weights do not fit, the first is {wrong[0]!r}."
        )


def _random_state() -> dict[str, Any]:
    python = random.getstate()
    numpy: Any = np.random.get_state()
    return {
        "python": [python[0], list(python[1]), python[2]],
        "numpy": [numpy[0], numpy[1].tolist(), *numpy[2:]],
    }


def _optimizer_to_tensors(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The optimiser's state as JSON (groups, scalars) and tensors named INDEX.NAME."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value.contiguous()
            else:
                scalars.setdefault(str(index), {})[name] = value
    return {"groups": state["param_groups"], "scalars": scalars}, tensors


def _optimizer_from_tensors(
    optimizer: torch.optim.Optimizer, saved: dict[str, Any], tensors: dict[str, torch.Tensor]
) -> None:
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in saved["scalars"].items()}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        if index.isdigit():
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": saved["groups"]})
