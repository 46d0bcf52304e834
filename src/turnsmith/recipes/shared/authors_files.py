"""Import of the trajectories that DigiRL and Digi-Q released: `.pt` files of lists of dictionaries.

A `.pt` file is a pickle, and unpickling a stranger's file runs whatever code it asks for. These are read by
`torch.load(weights_only=True)`, which knows tensors, numbers, texts, lists and dictionaries and refuses everything else
with an error: a file that needs more is not loaded, and there is no switch to force it.

Each dictionary is a step: `observation`, `action` (text in the AitW grammar), `reward`, `done`, `task`,
`trajectory_reward`, `image_path` (which in DigiRL's files is the *next* screenshot, and in Digi-Q's, which have
`next_image_path` as well, the current one). Vectors (`image_features`, `q_rep_out`) are other models' and left behind.
"""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from turnsmith.agents.aitw import parse_released
from turnsmith.errors import UserError
from turnsmith.trace.store import Store
from turnsmith.trace.types import ORACLE, Action, ImageRef, Observation, Outcome, Task, Trace, Turn, Verdict


def load_pt(path: str | Path) -> list[list[dict[str, Any]]]:
    """The steps of each trajectory, as they are in the file.

    Raises:
        UserError: if the file is missing, is not such a file, or holds objects that only unsafe loading could make.
    """
    path = Path(path)
    try:
        trajectories = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file.") from None
    except pickle.UnpicklingError as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path}: is not loaded, because it holds more than tensors and plain values and reading that would run "
            f"code from the file ({first[:160]}). Save it again with plain lists, numbers, texts and tensors."
        ) from None
    except Exception as error:  # the restricted unpickler stumbles over foreign bytes in its own ways
        line = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError(f"{path}: cannot be read as a .pt file ({line[:160]}).") from None
    if not isinstance(trajectories, list) or not all(isinstance(steps, list) for steps in trajectories):
        raise UserError(f"{path}: holds a {type(trajectories).__name__}, not a list of trajectories (lists of steps).")
    for number, steps in enumerate(trajectories):
        for step in steps:
            if not isinstance(step, dict) or "action" not in step:
                raise UserError(f'{path}: trajectory {number} has a step without "action".')
    return trajectories


def traces_from_pt(path: str | Path, images: str | Path | None = None, name: str = "import") -> list[Trace]:
    """Trajectories as traces, so that they can be stored, viewed and learned from (`turnsmith run digiq --from RUN`).

    Args:
        path: the `.pt` file.
        images: the folder of the screenshots; `image_path`s are looked for there by their last two and last one parts.
            Without it, or where one is missing, observations have no picture.
        name: begins the traces' ids.

    Raises:
        UserError: as in `load_pt`.
    """
    folder = Path(images) if images is not None else None
    return [
        _trace(steps, f"{name}-{number:05d}", folder) for number, steps in enumerate(load_pt(path)) if len(steps) > 0
    ]


def import_pt(path: str | Path, database: Path, images: str | Path | None = None) -> int:
    """Append the trajectories of a `.pt` file to a run's store, which is made when it is not there.

    Returns:
        How many.

    Raises:
        UserError: as in `load_pt`, or where a trajectory of this file is stored already.
    """
    traces = traces_from_pt(path, images, Path(path).stem)
    database.parent.mkdir(parents=True, exist_ok=True)
    with Store(database) as store:
        store.append_many(traces)
    return len(traces)


def _trace(steps: Sequence[Mapping[str, Any]], identifier: str, folder: Path | None) -> Trace:
    instruction = str(steps[0].get("task") or _goal(str(steps[0].get("observation", ""))))
    shifted = "next_image_path" in steps[0]  # Digi-Q: image_path is the current screen
    nexts = [_picture(step.get("next_image_path" if shifted else "image_path"), folder) for step in steps]
    before = [_picture(step.get("image_path"), folder) for step in steps] if shifted else [None, *nexts[:-1]]
    turns = []
    for step, image in zip(steps, before, strict=True):
        text = str(step["action"])
        call = parse_released(text)
        turns.append(
            Turn(
                Observation(images=() if image is None else (image,)),
                Action(text, call),
                reward=_number(step.get("reward", 0.0)),
                info={"source": "authors"},
            )
        )
    won = max([_number(steps[0].get("trajectory_reward", 0.0)), *(turn.reward for turn in turns)]) > 0.5
    done = bool(_number(steps[-1].get("done", 1.0)))
    outcome = Outcome.SUCCESS if won else Outcome.FAILURE if done else Outcome.TRUNCATED
    final = None if nexts[-1] is None else Observation(images=(nexts[-1],))
    return Trace(
        id=identifier,
        task=Task(identifier, instruction, "device", provenance={"file": "authors' .pt"}),
        turns=tuple(turns),
        outcome=outcome,
        verdicts=(Verdict(ORACLE, float(won), "the file's trajectory reward (the authors' evaluator)"),),
        policy="import",
        final=final,
        info={"phase": "import", "iteration": 0},
    )


def _goal(prompt: str) -> str:
    return prompt.rpartition("Goal:")[2].removesuffix("</s>").strip()


def _number(value: float | str | torch.Tensor) -> float:
    return float(value.item() if isinstance(value, torch.Tensor) else value)


def _picture(path: object, folder: Path | None) -> ImageRef | None:
    if folder is None or not path:
        return None
    parts = Path(str(path)).parts
    for tail in (parts[-2:], parts[-1:]):
        picture = folder.joinpath(*tail)
        if picture.is_file() and folder.resolve() in picture.resolve().parents:
            kind = "image/png" if picture.suffix.lower() == ".png" else "image/jpeg"
            return ImageRef.of(picture.read_bytes(), kind)
    return None
