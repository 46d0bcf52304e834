"""WebArena's rule for the address of the last page: "GOLD in PRED".

Host and path of one of the references are contained in those of the last page, and for every key in the query of the
references one of the values given for it is there. The last page's query may hold further keys. With several references
(` |OR| `) the values of a key are pooled, as in the benchmark: any of them will do.
"""

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit


def reached(references: Sequence[str], url: str) -> tuple[bool, str]:
    """Whether an address meets the references, and why (not).

    Args:
        references: full addresses, alternatives.
        url: of the last page.
    """
    place, query = _parts(url)
    wanted = [_parts(reference) for reference in references]
    if not any(reference in place for reference, _ in wanted):
        return False, f"the last page {_short(place)} is not at {' or '.join(_short(one) for one, _ in wanted)}"
    allowed: dict[str, set[str]] = {}
    for _, needed in wanted:
        for key, values in needed.items():
            allowed.setdefault(key, set()).update(values)
    for key, values in allowed.items():
        if not values & set(query.get(key, ())):
            return False, f"the query has no {key}={' or '.join(sorted(values))}"
    return True, f"the last page is at {_short(place)}"


def _parts(url: str) -> tuple[str, dict[str, list[str]]]:
    """Host and path without a slash at the end, and the query."""
    parts = urlsplit(url.strip().rstrip("/"))
    return (parts.netloc.lower() + parts.path).rstrip("/"), parse_qs(parts.query)


def _short(place: str) -> str:
    return place if len(place) <= 80 else place[:79] + "…"
