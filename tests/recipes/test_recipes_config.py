"""A configuration comes back from JSON as it was, and says what it does not know."""

import json
from dataclasses import dataclass, field

import pytest

from turnwise.errors import UserError
from turnwise.recipes.config import from_json, to_json


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
    assert from_json(Config, json.loads(json.dumps(to_json("r", config)))) == config


def test_unknown_settings_are_named():
    with pytest.raises(UserError, match="unknown settings: \\['flavour'\\]"):
        from_json(Config, {"recipe": "r", "flavour": "mint"})
