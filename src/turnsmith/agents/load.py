"""From a name to a policy: a Hugging Face folder, a checkpoint of a run, or a model behind an endpoint.

A model folder says how it wants to be prompted in its `config.json`, under "turnsmith": {"rendering", "dialect"}. Small
models are made with it (`new_small_policy`); a folder without it is a chat model.
"""

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnsmith.agents import grammar, render
from turnsmith.agents.base import Policy
from turnsmith.engine.openai_client import ENDPOINT, endpoint_of
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import UserError, require

if TYPE_CHECKING:
    from turnsmith.agents.hf_policy import HFPolicy

_NOTES_BEFORE = "turnwise"
"""Where folders that were made before the project was renamed keep what `config.turnsmith` says."""


def load_policy(
    spec: str | Path,
    *,
    rendering: render.Rendering | None = None,
    dialect: grammar.Dialect | None = None,
    sampling: Sampling | None = None,
    device: str | None = None,
    version: str | None = None,
) -> Policy:
    """The policy that a name stands for.

    Args:
        spec: a folder in the Hugging Face layout (a LoRA adapter's too), a checkpoint folder (`step-N`), or
            "openai:MODEL@BASE_URL", such as "openai:qwen@http://localhost:8000/v1".
        rendering: instead of the one that the model was made with; chats as "webvoyager" without any.
        dialect: of the action grammar, likewise.
        sampling: an `engine.sampling.Sampling`.
        device: "cpu" or "cuda"; without one, CUDA where there is any.
        version: names the weights; the folder's name without.

    Raises:
        UserError: if the folder is missing or incomplete, is not a model that can act, or a package is missing.
    """
    name = str(spec)
    if name.startswith(ENDPOINT):
        from turnsmith.agents.openai_policy import OpenAIPolicy

        chosen = rendering or "webvoyager"
        return OpenAIPolicy(endpoint_of(name), rendering=chosen, dialect=dialect, sampling=sampling, version=version)
    return load_local(spec, rendering=rendering, dialect=dialect, sampling=sampling, device=device, version=version)


def load_local(
    spec: str | Path,
    *,
    rendering: render.Rendering | None = None,
    dialect: grammar.Dialect | None = None,
    sampling: Sampling | None = None,
    device: str | None = None,
    version: str | None = None,
) -> "HFPolicy":
    """The policy of a folder, whose model can be trained. Arguments and errors as in `load_policy`."""
    folder = Path(spec)
    for package in ("torch", "transformers"):
        require(package, "hf")
    from turnsmith.agents.hf_policy import HFPolicy

    if not folder.is_dir():
        raise UserError(
            f"policy {str(folder)!r}: there is no such folder. Give a model folder or openai:MODEL@BASE_URL."
        )
    label = version or folder.name
    if (folder / "trainer.json").exists() and (folder / "model").is_dir():
        folder = folder / "model"
    model = load_model(folder, device)
    tokenizer, processor = load_tokenizer(folder)
    wanted = getattr(model.config, "turnsmith", None) or {}
    if wanted.get("rendering") == "screen":
        raise UserError(f"{folder}: a screen policy acts on phones; load it with agents.screen_policy.")
    chosen = rendering or wanted.get("rendering", "webvoyager")
    return HFPolicy(
        model,
        tokenizer,
        rendering=chosen,
        dialect=dialect or wanted.get("dialect") or ("tti" if chosen == "tti" else "webvoyager"),
        sampling=sampling,
        processor=processor,
        version=label,
    )


def load_model(folder: Path, device: str | None = None) -> Any:
    """The model of a folder: causal LM or vision-language model, with its LoRA adapter where the folder is one.

    float32 on CPU (bfloat16 is many times slower there), the stored type on CUDA.

    Raises:
        UserError: if the folder does not hold such a model.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    for small in ("copy_llama", "screen_llama"):  # registers the small models with transformers' Auto classes
        importlib.import_module(f"turnsmith.agents.{small}")

    if (folder / "adapter_config.json").exists():
        return _load_adapter(folder, device)
    config_file = folder / "config.json"
    if not config_file.exists():
        raise UserError(f"{folder}: not a model folder, it has no config.json.")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder}: there are no weights here (*.safetensors).")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float32 if device == "cpu" else "auto"
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
    except (ValueError, OSError) as error:
        kind = _model_type(config_file)
        raise UserError(f"{folder}: transformers knows no model of type {kind!r}, or its config is wrong.") from error
    if hasattr(config, _NOTES_BEFORE):
        config.turnsmith = config.__dict__.pop(_NOTES_BEFORE)
    known: Any = (transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText)
    for auto in known if not hasattr(config, "vision_config") else reversed(known):
        if type(config) in auto._model_mapping:
            try:
                return auto.from_pretrained(folder, config=config, dtype=dtype).to(device)
            except (OSError, RuntimeError, ValueError, SafetensorError) as error:
                line = str(error).strip().splitlines()[0]
                raise UserError(f"{folder}: the weights could not be loaded ({line}).") from error
    raise UserError(f"{folder}: a model of type {config.model_type!r} does not write text, so it cannot act.")


def _model_type(config_file: Path) -> str:
    try:
        return str(json.loads(config_file.read_text(encoding="utf-8")).get("model_type"))
    except ValueError:
        return "(unreadable)"


def _load_adapter(folder: Path, device: str | None) -> Any:
    require("peft", "hf")
    from peft import PeftConfig, PeftModel

    base = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
    if not base or not Path(base).is_dir():
        raise UserError(f"{folder}: a LoRA adapter whose base model {base!r} is not a folder here.")
    return PeftModel.from_pretrained(load_model(Path(base), device), str(folder), is_trainable=True)


def load_tokenizer(folder: Path) -> tuple[Any, Any]:
    """The tokenizer of a model folder, and its processor where it takes pictures (else None).

    An adapter's folder may leave them to its base model.

    Raises:
        UserError: if there is no tokenizer.
    """
    import transformers

    if not (folder / "tokenizer_config.json").exists() and (folder / "adapter_config.json").exists():
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
        return load_tokenizer(Path(base))
    pictures = any((folder / name).exists() for name in ("preprocessor_config.json", "processor_config.json"))
    try:
        if pictures:
            processor = transformers.AutoProcessor.from_pretrained(folder, backend="pil")
            return processor.tokenizer, processor
        return transformers.AutoTokenizer.from_pretrained(folder), None
    except Exception as error:  # each tokenizer and processor class raises its own kind
        line = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError(f"{folder}: no usable tokenizer or processor ({line}).") from error


def new_small_policy(
    texts: Iterable[str],
    *,
    vocab_size: int = 2400,
    dialect: grammar.Dialect = "webvoyager",
    sampling: Sampling | None = None,
    seed: int = 0,
    **model: int,
) -> "HFPolicy":
    """A small copy model from scratch with a tokenizer trained on these texts: an `HFPolicy` with compact prompts.

    Args:
        texts: prompts (`render.compact`) and responses as they will be.
        vocab_size: of the tokenizer.
        dialect: of the action grammar.
        sampling: an `engine.sampling.Sampling`.
        seed: of the initial weights.
        model: sizes, as in `copy_llama.new_copy_llama`.
    """
    require("torch", "hf")
    from turnsmith.agents.copy_llama import new_copy_llama
    from turnsmith.agents.hf_policy import HFPolicy
    from turnsmith.agents.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(texts, vocab_size)
    network = new_copy_llama(len(tokenizer), seed=seed, **model)
    network.config.turnsmith = {"rendering": "compact", "dialect": dialect}
    return HFPolicy(network, tokenizer, rendering="compact", dialect=dialect, sampling=sampling)
