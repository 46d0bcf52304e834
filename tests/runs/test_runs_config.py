"""A configuration comes back from JSON as it was, and says what it does not know."""

import json
from dataclasses import dataclass, field

import pytest

from turnsmith.errors import UserError
from turnsmith.runs.config import changed, command_of, from_json, to_json


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Config:
    name: str = "x"
    seed: int = 0
    limit: int | None = None
    inner: Inner = field(default_factory=Inner)
    several: tuple[Inner, ...] = ()


def test_a_configuration_survives_json():
    config = Config("y", 3, 7, Inner(0.5, (4,)), (Inner(), Inner(0.2)))
    assert from_json(Config, json.loads(json.dumps(to_json("r", config)))) == config  # type: ignore


def test_unknown_settings_are_named():
    with pytest.raises(UserError, match="unknown settings: \\['flavour'\\]"):
        from_json(Config, {"recipe": "r", "flavour": "mint"})


@dataclass(frozen=True)
class Preset(Config):
    preset_name: str = "laptop"

    @classmethod
    def preset(cls, name):
        return cls(preset_name=name)


def test_what_differs_from_the_preset_is_named_and_stands_in_the_command():
    plain = Preset("mine", seed=2)
    assert changed(plain) == {}
    assert command_of("r", plain) == "turnsmith run r --preset laptop --seed 2"
    other = Preset("mine", limit=3, inner=Inner(0.1, (4, 5)))
    assert changed(other) == {"limit": 3, "inner.sizes": (4, 5)}
    assert changed(other, free=("inner",)) == {"limit": 3}
    assert command_of("r", other) == "turnsmith run r --preset laptop --limit 3 --inner.sizes 4 5"
