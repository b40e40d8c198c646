"""The scorers that can be asked for by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dataworth.errors import UserError
from dataworth.text.quality import Quality, reference_scorer
from dataworth.text.scores import End, Scorer
from dataworth.text.toxicity import BadWords, DetoxifyToxicity, LinearToxicity


@dataclass(frozen=True)
class Known:
    """A scorer made with its defaults, and the end that a filter keeps, known without making it:
    a page that is read has neither texts nor weights."""

    make: Callable[[], Scorer]
    good: End


SCORERS: dict[str, Known] = {
    "quality": Known(reference_scorer, Quality.good),
    "toxicity": Known(LinearToxicity, LinearToxicity.good),
    "detoxify": Known(DetoxifyToxicity, DetoxifyToxicity.good),
    "bad-words": Known(BadWords, BadWords.good),
}
"""By name; a new scorer is registered here. (Quality in Longpre et al. 2023 is high for bad texts.)
"""


def scorer(name: str) -> Scorer:
    """The scorer of this name; UserError when there is none."""
    if name not in SCORERS:
        raise UserError(f"scorer: there is no scorer '{name}'; they are {', '.join(SCORERS)}.")
    return SCORERS[name].make()
