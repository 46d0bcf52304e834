"""Databases that are not copied are told apart as copies would be."""

import copy
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnsmith.envs.tools.arithmetic import calculate, evaluate
from turnsmith.envs.tools.base import ToolSpec, spec_of
from turnsmith.envs.tools.database import Base, Database

TABLES = {"users": {"b": {"n": 1, "é": [1.5]}, "a": {"n": 2}}, "orders": {"#1": {"items": [{"id": 1}]}}}


def plain_hash(tables: object) -> str:
    text = json.dumps(tables, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@given(st.lists(st.tuples(st.sampled_from(["edit", "put"]), st.sampled_from("abcz"), st.integers(0, 3)), max_size=8))
def test_hash_and_changes_are_those_of_a_copied_database(steps):
    database, copied = Database(Base(TABLES)), copy.deepcopy(TABLES)
    for kind, key, number in steps:
        if kind == "edit" and key in copied["users"]:
            database.edit("users", key)["n"] = number
            copied["users"][key]["n"] = number
        elif kind == "put":
            database.put("users", key, {"n": number})
            copied["users"][key] = {"n": number}
    assert database.whole() == copied
    assert database.sha256() == plain_hash(copied)
    assert (database.changes() == {}) == (copied == TABLES)
    assert database.base.tables == {table: TABLES[table] for table in sorted(TABLES)}


def test_what_is_read_is_what_was_edited():
    database = Database(Base(TABLES))
    database.edit("orders", "#1")["items"][0]["id"] = 7
    assert database.get("orders", "#1") == {"items": [{"id": 7}]}
    assert Database(database.base).get("orders", "#1") == {"items": [{"id": 1}]}
    with pytest.raises(KeyError):
        database.edit("orders", "#2")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("2 + 2", "4.0"), ("(1.5 - 4) * 2", "-5.0"), ("1/0", "Error: division by zero"), ("10 / 3", "3.33"),
        ("2 ** 8", "256.0"), ("__import__('os')", "Error: invalid characters in expression"),
        ("9**9**9**9", "Error: numbers as large as this are not computed"), ("(((", "Error: "), ("", "Error: "),
    ],
)  # fmt: skip
def test_the_calculator_computes_and_never_executes(expression, said):
    assert calculate(expression).startswith(said)


@given(st.text(alphabet="0123456789+-*/(). ", max_size=30))
def test_the_calculator_answers_whatever_is_typed(expression):
    assert isinstance(calculate(expression), str)


def test_arithmetic_is_nothing_but_arithmetic():
    for text in ("a", "f(1)", "'x' * 3", "[1]", "1 if 1 else 2", "1 < 2", "True"):
        with pytest.raises(ValueError, match="not arithmetic"):
            evaluate(text)


def test_a_spec_is_read_off_a_function_and_checks_arguments():
    def book(database: object, seats: int, name: str, notes: list[str] | None = None) -> str:
        """Book seats."""
        return ""

    spec = spec_of(book, writes=True, skip=1)
    assert spec.name == "book"
    assert spec.description == "Book seats."
    assert spec.problem({"seats": 2, "name": "x"}) == ""
    assert "'name' is missing" in spec.problem({"seats": 2})
    assert "'sets' is not a parameter" in spec.problem({"seats": 2, "name": "x", "sets": 1})
    assert "has to be of type integer" in spec.problem({"seats": True, "name": "x"})
    assert ToolSpec("f").openai()["function"]["name"] == "f"
