"""A database that every episode starts from afresh without copying it, and that is compared without reading it whole.

The base is loaded once and never changed. A `Database` lies over it: a record is copied when a tool first asks to edit
it. The hash of the whole is made from the kept text of each untouched record; two states over one base are the same
exactly when their changes are.
"""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from turnsmith.errors import UserError
from turnsmith.jsonl import read_json

Record = dict[str, Any]
"""One row of a table: JSON, with the fields of its world."""


def canonical(value: Record) -> str:
    """The text of a record that hashes are made of: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


class Base:
    """The tables that all episodes start from. Nobody changes them.

    Attributes:
        tables: table -> key -> record.
        indexes: what a world's tools look up in tables that no tool changes the looked-up fields of; made by them.
    """

    def __init__(self, tables: Mapping[str, Mapping[str, Record]]) -> None:
        self.tables = {table: dict(tables[table]) for table in sorted(tables)}
        self.indexes: dict[str, dict[tuple[str, ...], Any]] = {}
        self._texts: dict[str, dict[str, str]] | None = None

    @classmethod
    def load(cls, folder: Path, tables: tuple[str, ...]) -> Self:
        """Read `TABLE.json` of a folder for each of the tables.

        Raises:
            UserError: if one is missing or is not a JSON object.
        """
        found: dict[str, Mapping[str, Record]] = {}
        for table in tables:
            path = folder / f"{table}.json"
            found[table] = read_json(path)
            if not isinstance(found[table], dict):
                raise UserError(f"{path}: a JSON object of records by key is needed.")
        return cls(found)

    def texts(self) -> dict[str, dict[str, str]]:
        """The canonical text of every record, made once."""
        if self._texts is None:
            self._texts = {
                table: {key: f"{json.dumps(key)}:{canonical(records[key])}" for key in sorted(records)}
                for table, records in self.tables.items()
            }
        return self._texts


class Database:
    """The tables of one episode."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self._own: dict[str, dict[str, Record]] = {table: {} for table in base.tables}

    def get(self, table: str, key: str) -> Record | None:
        """A record to read, or None. Do not change it: `edit` gives one to change."""
        own = self._own[table]
        return own[key] if key in own else self.base.tables[table].get(key)

    def edit(self, table: str, key: str) -> Record:
        """A record to change in place.

        Raises:
            KeyError: if there is none.
        """
        own = self._own[table]
        if key not in own:
            own[key] = copy.deepcopy(self.base.tables[table][key])
        return own[key]

    def put(self, table: str, key: str, record: Record) -> None:
        """Add a record, or replace one."""
        self._own[table][key] = record

    def values(self, table: str) -> Iterator[Record]:
        """Every record of a table, to read, in the order of the base and then of adding."""
        own = self._own[table]
        for key, record in self.base.tables[table].items():
            yield own.get(key, record)
        yield from (record for key, record in own.items() if key not in self.base.tables[table])

    def changes(self) -> dict[tuple[str, str], str]:
        """(table, key) -> canonical text of every record that is not as it was: equal for equal states."""
        texts = self.base.texts()
        found = {}
        for table, own in self._own.items():
            for key, record in own.items():
                text = f"{json.dumps(key)}:{canonical(record)}"
                if texts[table].get(key) != text:
                    found[table, key] = text
        return found

    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of all tables."""
        changes = self.changes()
        parts = []
        for table, texts in self.base.texts().items():
            here = {key: text for (name, key), text in changes.items() if name == table}
            merged = {**texts, **here}
            ordered = merged.values() if len(merged) == len(texts) else [merged[key] for key in sorted(merged)]
            parts.append(f"{json.dumps(table)}:{{{','.join(ordered)}}}")
        return hashlib.sha256(f"{{{','.join(parts)}}}".encode()).hexdigest()

    def whole(self) -> dict[str, dict[str, Record]]:
        """A copy of all tables."""
        return copy.deepcopy({table: {**records, **self._own[table]} for table, records in self.base.tables.items()})
