"""Showing a text on a page: one line of HTML, with offensive words and addresses masked."""

from __future__ import annotations

import html
import re
from functools import cache

from dataworth.errors import UserError
from dataworth.text.toxicity import LinearToxicity

_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:https?://|www\.)\S+", re.IGNORECASE)
_NUMBER = re.compile(r"\+?\d[\d ().-]{5,}\d")


def excerpt(text: str, n: int = 120) -> str:
    """The first `n` characters as HTML: escaped, on one line, offensive words and addresses masked.

    Masked are the phrases of the card naughty-words, single words that the linear toxicity model
    gives 0.5 or more, mail and web addresses, and long numbers.
    """
    if n < 1:
        raise UserError(f"n: an excerpt has at least 1 character, not {n}.")
    whole = " ".join(text.split())
    masked = _NUMBER.sub("[number]", _ADDRESS.sub("[address]", whole))
    masked = _offensive().sub(lambda found: _mask(found.group()), masked)
    words = sorted(set(re.findall(r"\w+", masked)))
    for word, bad in zip(words, _bad_words(tuple(words)), strict=True):
        if bad:
            masked = re.sub(rf"\b{re.escape(word)}\b", _mask(word), masked)
    cut = masked[:n].rstrip()
    return html.escape(cut) + ("…" if len(masked) > len(cut) else "")


def _mask(word: str) -> str:
    return word[0] + "*" * max(len(word) - 1, 2)


@cache
def _offensive() -> re.Pattern[str]:
    from dataworth.data import load_corpus

    phrases = sorted(load_corpus("naughty-words").texts, key=lambda p: (-len(p), p))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, phrases))})(?!\w)", re.IGNORECASE)


def _bad_words(words: tuple[str, ...]) -> list[bool]:
    """Of single words, in whatever language the text is: an unknown one is not masked."""
    return (LinearToxicity().probabilities(words) >= 0.5).tolist() if words else []
