"""`turnsmith verify tau_retail FILE`: replay recorded actions, each row from a fresh official database."""

from collections.abc import Mapping
from typing import Any

from turnsmith.envs.tools.replay import replay_row
from turnsmith.worlds import retail


def verify_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row is `{"actions": [{"name": …, "kwargs": {…}}, …]}`.

    It is answered by `{"outputs": [string, …], "final_db_sha256": …}`: what each tool said, and the SHA-256 of the
    canonical JSON of the database afterwards (sorted keys, no spaces, ASCII).
    """
    return replay_row(retail.official_world(), row)
