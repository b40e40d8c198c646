"""The scorers that can be asked for by name."""

from __future__ import annotations

from collections.abc import Callable

from dataworth.errors import UserError
from dataworth.text.quality import reference_scorer
from dataworth.text.scores import Scorer
from dataworth.text.toxicity import BadWords, DetoxifyToxicity, LinearToxicity

SCORERS: dict[str, Callable[[], Scorer]] = {
    "quality": reference_scorer,
    "toxicity": LinearToxicity,
    "detoxify": DetoxifyToxicity,
    "bad-words": BadWords,
}
"""Made with their defaults; a new scorer is registered here."""


def scorer(name: str) -> Scorer:
    """The scorer of this name; UserError when there is none."""
    if name not in SCORERS:
        raise UserError(f"scorer: there is no scorer '{name}'; they are {', '.join(SCORERS)}.")
    return SCORERS[name]()
