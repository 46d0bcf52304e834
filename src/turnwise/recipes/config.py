"""Recipe configurations as JSON and back, and from the command line.

A recipe's `Config` is a frozen dataclass with `preset(name)`; nested frozen dataclasses are allowed. JSON is what
`runs/NAME/config.json` holds, and what `turnwise resume` rebuilds the configuration from.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from turnwise.errors import UserError

PRESETS = ("smoke", "laptop", "paper")

T = TypeVar("T")


class RecipeConfig(Protocol):
    """What every recipe's `Config` has."""

    name: str
    """The run's name: its folder is `runs/NAME`."""
    seed: int

    @classmethod
    def preset(cls, name: str) -> "RecipeConfig":
        """The settings of one preset.

        Raises:
            UserError: if there is no such preset.
        """
        ...


def unknown_preset(name: str, known: typing.Iterable[str]) -> UserError:
    """The error for a preset that a recipe does not have."""
    return UserError(f"unknown preset {name!r}. Presets: {', '.join(known)}.")


def to_json(recipe: str, config: Any) -> dict[str, Any]:
    """The resolved configuration as JSON, with the recipe's name."""
    return {"recipe": recipe, **dataclasses.asdict(config)}


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
