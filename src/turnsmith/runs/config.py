"""Recipe configurations as JSON and back, and from the command line.

A recipe's `Config` is a frozen dataclass with `preset(name)`; nested frozen dataclasses are allowed. JSON is what
`runs/NAME/config.json` holds, and what `turnsmith resume` rebuilds the configuration from.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from turnsmith.errors import UserError

PRESETS = ("smoke", "laptop", "paper")

T = TypeVar("T")


class RecipeConfig(Protocol):
    """What every recipe's `Config` has."""

    __dataclass_fields__: typing.ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """The run's name: its folder is `runs/NAME`."""
        ...

    @property
    def seed(self) -> int:
        """Of everything that happens by chance."""
        ...

    @property
    def preset_name(self) -> str:
        """Which preset the settings started from."""
        ...

    @classmethod
    def preset(cls, name: str) -> "RecipeConfig":
        """The settings of one preset.

        Raises:
            UserError: if there is no such preset.
        """
        ...


class UnknownPreset(UserError):
    """A preset that a recipe does not have.

    Attributes:
        known: those that it has.
    """

    def __init__(self, name: str, known: typing.Iterable[str]) -> None:
        self.known = tuple(known)
        super().__init__(f"unknown preset {name!r}. Presets: {', '.join(self.known)}.")


def unknown_preset(name: str, known: typing.Iterable[str]) -> UserError:
    """The error for a preset that a recipe does not have."""
    return UnknownPreset(name, known)


def preset_names(kind: type[RecipeConfig]) -> tuple[str, ...]:
    """The presets that a recipe has, in its own order."""
    try:
        kind.preset("")
    except UnknownPreset as error:
        return error.known
    return PRESETS


LATER = {"later": True}
"""Metadata of a setting that a recipe was given after results were recorded with it: where it has its default, it is
left out of `to_json`, so that runs from before it existed are still runs of the same settings."""


def to_json(recipe: str, config: "RecipeConfig") -> dict[str, Any]:
    """The resolved configuration as JSON, with the recipe's name."""
    settings = dataclasses.asdict(config)
    for field in dataclasses.fields(config):
        default = field.default_factory() if callable(field.default_factory) else field.default
        if LATER.items() <= field.metadata.items() and getattr(config, field.name) == default:
            del settings[field.name]
    return {"recipe": recipe, **settings}


def changed(config: "RecipeConfig", free: typing.Collection[str] = ()) -> dict[str, Any]:
    """The settings in which a configuration differs from its preset, by the name of their option ("web.sites").

    Args:
        config: has `preset_name`, the preset that it started from.
        free: settings that may differ, beside name and seed.
    """
    mine, preset = (
        _flat(dataclasses.asdict(settings)) for settings in (config, type(config).preset(config.preset_name))
    )
    return {
        name: value
        for name, value in mine.items()
        if preset[name] != value and name.partition(".")[0] not in {"name", "seed", *free}
    }


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def command_of(recipe: str, config: "RecipeConfig", named: bool = False) -> str:
    """The command that runs a recipe with these settings; the seed is left out where it is 0.

    Args:
        recipe: its name.
        config: has `preset_name`.
        named: say the run's name as well.
    """
    words = [f"turnsmith run {recipe} --preset {config.preset_name}"]
    first = {**({"seed": config.seed} if config.seed else {}), **({"name": config.name} if named else {})}
    for name, value in {**first, **changed(config)}.items():
        option = _option(type(config), name)
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            values = value if isinstance(value, list | tuple) else [value]
            words.append(" ".join([f"--{option}", *map(str, values)]))
    return " ".join(words)


def _option(kind: type, name: str) -> str:
    """What a setting is called on the command line: its name, or what `tyro.conf.arg(name=…)` says."""
    hint = typing.get_type_hints(kind, include_extras=True).get(name)
    named = [getattr(note, "name", None) for note in getattr(hint, "__metadata__", ())]
    return next((given for given in named if given), name)


def from_json(kind: type[T], row: Mapping[str, Any]) -> T:
    """Rebuild a configuration dataclass from JSON.

    Raises:
        UserError: if a key is unknown (a run of another version of the recipe) or missing.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = set(row) - fields - {"recipe"}
    if unknown:
        raise UserError(f"the run was made by another version of its recipe (unknown settings: {sorted(unknown)}).")
    try:
        return kind(**{name: _value(hints[name], value) for name, value in row.items() if name in fields})
    except TypeError as error:
        raise UserError(f"the run was made by another version of its recipe ({error}).") from error


def _value(hint: Any, value: Any) -> Any:
    """JSON to the type that a field declares: nested dataclasses, tuples, and unions with None."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return from_json(hint, value)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
        return value if value is None or len(choices) != 1 else _value(choices[0], value)
    if origin is tuple:
        inner = typing.get_args(hint)[0] if typing.get_args(hint) else Any
        return tuple(_value(inner, item) for item in value)
    return value
