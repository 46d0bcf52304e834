"""The texts of sampled token ids, for the log-probability view, when the run carries a tokenizer.

A run that trains a Hugging Face model keeps `tokenizer.json` beside its checkpoints. Without one (or without the
`tokenizers` package) the viewer shows ids instead of texts.
"""

from pathlib import Path
from typing import Any

from turnsmith.view.folder import inside
from turnsmith.view.shape import TokenTexts

_PLACES = ("tokenizer.json", "checkpoints/*/tokenizer.json", "checkpoints/*/*/tokenizer.json")


def token_texts(run: Path) -> TokenTexts:
    """A function from token ids to their texts, by the run's own tokenizer; it gives None where there is none."""
    tokenizer = _tokenizer(run)

    def texts(ids: tuple[int, ...]) -> list[str] | None:
        if tokenizer is None:
            return None
        pieces, before = [], ""
        for end in range(1, len(ids) + 1):
            # Decoding every prefix keeps spaces and split characters right; special tokens are shown as they are.
            whole = tokenizer.decode(list(ids[:end]), skip_special_tokens=False)
            pieces.append(whole[len(before) :] if whole.startswith(before) else "")
            if not whole.endswith("�"):  # an unfinished character waits for its next byte
                before = whole
        return pieces

    return texts


def _tokenizer(run: Path) -> Any | None:
    places = [path for place in _PLACES for path in sorted(run.glob(place), reverse=True)]
    files = [path for path in places if inside(run, str(path.relative_to(run))) is not None]
    if not files:
        return None
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    for path in files:
        try:
            return Tokenizer.from_file(str(path))
        except Exception:  # the library raises bare Exception for a file that is no tokenizer
            continue
    return None
