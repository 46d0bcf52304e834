"""From a name to a policy: a Hugging Face folder, a checkpoint of a run, or a model behind an endpoint.

A model folder says how it wants to be prompted in its `config.json`, under "turnsmith": {"rendering", "dialect"}. Small
models are made with it (`new_small_policy`); a folder without it is a chat model.
"""

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnsmith.agents import grammar, render
from turnsmith.agents.base import Policy
from turnsmith.agents.manner import Manner
from turnsmith.engine.openai_client import ENDPOINT, endpoint_of
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import UserError, require
from turnsmith.jsonl import read_json

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
    manner: Manner | None = None,
    unsaid: render.Rendering = "webvoyager",
) -> Policy:
    """The policy that a name stands for.

    Args:
        spec: a folder in the Hugging Face layout (a LoRA adapter's too), a checkpoint folder (`step-N`), or
            "openai:MODEL@BASE_URL", such as "openai:qwen@http://localhost:8000/v1".
        rendering: instead of the one that the model was made with.
        dialect: of the action grammar, likewise.
        sampling: an `engine.sampling.Sampling`.
        device: "cpu" or "cuda"; without one, CUDA where there is any.
        version: names the weights; the folder's name without.
        manner: of a world that is no web page, instead of rendering and dialect.
        unsaid: the rendering of a model that was made with none.

    Raises:
        UserError: if the folder is missing or incomplete, is not a model that can act, or a package is missing.
    """
    name = str(spec)
    if name.startswith(ENDPOINT):
        from turnsmith.agents.openai_policy import OpenAIPolicy

        chosen = rendering or unsaid
        return OpenAIPolicy(
            endpoint_of(name), rendering=chosen, dialect=dialect, sampling=sampling, version=version, manner=manner
        )
    return load_local(
        spec,
        rendering=rendering,
        dialect=dialect,
        sampling=sampling,
        device=device,
        version=version,
        manner=manner,
        unsaid=unsaid,
    )


def load_local(
    spec: str | Path,
    *,
    rendering: render.Rendering | None = None,
    dialect: grammar.Dialect | None = None,
    sampling: Sampling | None = None,
    device: str | None = None,
    version: str | None = None,
    manner: Manner | None = None,
    unsaid: render.Rendering = "webvoyager",
) -> "HFPolicy":
    """The policy of a folder, whose model can be trained. Arguments and errors as in `load_policy`."""
    folder = Path(spec)
    for package in ("torch", "transformers"):
        require(package, "hf")
    from turnsmith.agents.hf_policy import HFPolicy
    from turnsmith.engine.serves import check_served

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
    chosen = rendering or wanted.get("rendering", unsaid)
    try:
        check_served(model.eval())
        return HFPolicy(
            model,
            tokenizer,
            rendering=chosen,
            dialect=dialect or wanted.get("dialect") or render.dialect_of(chosen),
            sampling=sampling,
            processor=processor,
            version=label,
            manner=manner,
        )
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error


def load_model(folder: Path, device: str | None = None) -> Any:
    """The model of a folder: causal LM or vision-language model, with its LoRA adapter where the folder is one.

    float32 on CPU (bfloat16 is many times slower there), the stored type on CUDA.

    Raises:
        UserError: if the folder does not hold such a model.
    """
    import torch
    import transformers

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
    fields = _fields(config_file)
    if "/" in str(fields.get("attn_implementation", "")):
        raise UserError(f"{config_file}: asks for attention code from elsewhere (attn_implementation); it is not run.")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # each config class raises its own kind
        raise UserError(
            f"{folder}: transformers knows no model of type {str(fields.get('model_type'))!r}, or its config is wrong"
            f"{_own_code(fields)}."
        ) from error
    if hasattr(config, _NOTES_BEFORE):
        config.turnsmith = config.__dict__.pop(_NOTES_BEFORE)
    known: Any = (transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText)
    for auto in known if not hasattr(config, "vision_config") else reversed(known):
        if type(config) in auto._model_mapping:
            try:
                return auto.from_pretrained(
                    folder, config=config, dtype=dtype, trust_remote_code=False, use_safetensors=True
                ).to(device)
            except Exception as error:  # sizes that are no sizes, damaged files: each model class raises its own kind
                line = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise UserError(f"{folder}: the weights could not be loaded ({line}).") from error
    raise UserError(f"{folder}: a model of type {config.model_type!r} does not write text, so it cannot act.")


def _fields(file: Path) -> dict[str, Any]:
    """A JSON file of a model folder as an object; empty where it is none."""
    try:
        fields = read_json(file)
    except UserError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _own_code(fields: Mapping[str, Any]) -> str:
    if not fields.get("auto_map"):
        return ""
    return "; it wants to run Python code of its own (auto_map), which is never done: use a folder that does without"


def _load_adapter(folder: Path, device: str | None) -> Any:
    require("peft", "hf")
    from peft import PeftModel

    base = _base_of_adapter(folder)
    if not (folder / "adapter_model.safetensors").exists():
        raise UserError(f"{folder}: there are no weights here (adapter_model.safetensors).")
    model = load_model(base, device)
    try:
        return PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except Exception as error:  # settings that are none, damaged files
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{folder}: the adapter could not be loaded ({line}).") from error


def _base_of_adapter(folder: Path) -> Path:
    base = _fields(folder / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(base, str) or not base or not Path(base).is_dir():
        raise UserError(f"{folder}: a LoRA adapter whose base model {base!r} is not a folder here.")
    if Path(base).resolve() == folder.resolve() or (Path(base) / "adapter_config.json").exists():
        raise UserError(f"{folder}: a LoRA adapter whose base model {base!r} is an adapter itself.")
    return Path(base)


def load_tokenizer(folder: Path) -> tuple[Any, Any]:
    """The tokenizer of a model folder, and its processor where it takes pictures (else None).

    An adapter's folder may leave them to its base model.

    Raises:
        UserError: if there is no tokenizer.
    """
    import transformers

    if not (folder / "tokenizer_config.json").exists() and (folder / "adapter_config.json").exists():
        return load_tokenizer(_base_of_adapter(folder))
    pictures = any((folder / name).exists() for name in ("preprocessor_config.json", "processor_config.json"))
    try:
        if pictures:
            processor = transformers.AutoProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
            return processor.tokenizer, processor
        return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False), None
    except Exception as error:  # each tokenizer and processor class raises its own kind
        line = (str(error).strip() or repr(error)).splitlines()[0]
        files = ("tokenizer_config.json", "processor_config.json", "preprocessor_config.json", "config.json")
        own = next((said for name in files if (said := _own_code(_fields(folder / name)))), "")
        raise UserError(f"{folder}: no usable tokenizer or processor ({line}){own}.") from error


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
