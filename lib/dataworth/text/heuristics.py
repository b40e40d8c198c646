"""Rules of thumb for web text that say why a document is refused.

`gopher` and `repetition` are the rules of Gopher (Rae et al. 2021, arXiv 2112.11446, appendix A.1.1
and Table A1), `c4` the page rules of C4 (Raffel et al. 2020, section 2.2). Words are separated by
blanks, where some other implementations split off punctuation; C4's line rules are applied when
sentences are counted, and the text itself is never changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError

Answer = Literal[True] | tuple[Literal[False], str]
"""True for a document that stays, (False, reason) for one that is refused."""

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
_ELLIPSES = ("...", "…")
_SENTENCE = re.compile(r"[.!?][\"')\]]*(?=\s|$)")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies")


def gopher(text: str) -> Answer:
    """50 to 100,000 words of 3 to 10 characters, few symbols, bullets and ellipses, enough letters,
    two of eight stop words."""
    words = text.split()
    n = len(words)
    if n < 50:
        return False, "fewer than 50 words"
    if n > 100_000:
        return False, "more than 100,000 words"
    mean = sum(map(len, words)) / n
    if mean < 3:
        return False, "mean word shorter than 3"
    if mean > 10:
        return False, "mean word longer than 10"
    if text.count("#") > 0.1 * n:
        return False, "a hash sign for every ten words"
    if sum(map(text.count, _ELLIPSES)) > 0.1 * n:
        return False, "an ellipsis for every ten words"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if sum(line.startswith(("•", "* ", "- ")) for line in lines) > 0.9 * len(lines):
        return False, "nine lines of ten are bullets"
    if sum(line.endswith(_ELLIPSES) for line in lines) > 0.3 * len(lines):
        return False, "three lines of ten end in an ellipsis"
    if sum(any(map(str.isalpha, word)) for word in words) < 0.8 * n:
        return False, "two words of ten without a letter"
    if sum(word.lower() in STOP_WORDS for word in words) < 2:
        return False, "fewer than two stop words"
    return True


_TOP = ((2, 0.20), (3, 0.18), (4, 0.16))
_REPEATED = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))


def repetition(text: str) -> Answer:
    """Not too much of the text stands in repeated lines, paragraphs or word n-grams."""
    for name, parts in (
        ("paragraphs", re.split(r"\n{2,}", text.strip())),
        ("lines", text.splitlines()),
    ):
        again = _again(parts)
        if len(again) > 0.3 * len(parts):
            return False, f"three {name} of ten are repeated"
        if sum(map(len, again)) > 0.2 * len(text):
            return False, f"repeated {name} hold a fifth of the text"
    words = text.split()
    letters = sum(map(len, words))
    for n, share in _TOP:
        if len(words) < n:
            break
        top, times = Counter(zip(*(words[i:] for i in range(n)), strict=False)).most_common(1)[0]
        if times > 1 and times * sum(map(len, top)) > share * letters:
            return False, f"one {n}-gram of words holds {share:.0%} of the text"
    for n, share in _REPEATED:
        if _repeated_letters(words, n) > share * letters:
            return False, f"repeated {n}-grams of words hold {share:.0%} of the text"
    return True


def _again(parts: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [part for part in parts if part.strip() and (part in seen or seen.add(part))]  # type: ignore[func-returns-value]


def _repeated_letters(words: Sequence[str], n: int) -> int:
    """Letters of words inside an n-gram that occurred before; a word counts once."""
    seen: set[tuple[str, ...]] = set()
    total, covered = 0, 0
    for start in range(len(words) - n + 1):
        gram = tuple(words[start : start + n])
        if gram in seen:
            total += sum(map(len, words[max(start, covered) : start + n]))
            covered = start + n
        else:
            seen.add(gram)
    return total


def c4(text: str) -> Answer:
    """No placeholder text, no curly bracket, five sentences in lines that end like sentences."""
    low = text.lower()
    if "lorem ipsum" in low:
        return False, "lorem ipsum"
    if "{" in text:
        return False, "curly bracket"
    sentences = 0
    for line in text.splitlines():
        line = line.strip()
        if not line.endswith((".", "!", "?", '"')) or line.endswith("..."):
            continue
        if len(line.split()) < 3:
            continue
        lowered = line.lower()
        if "javascript" in lowered or any(phrase in lowered for phrase in _POLICY):
            continue
        sentences += max(1, len(_SENTENCE.findall(line)))
    return True if sentences >= 5 else (False, "fewer than five sentences")


RULES: dict[str, Callable[[str], Answer]] = {"gopher": gopher, "repetition": repetition, "c4": c4}


@dataclass(frozen=True)
class Refusals:
    """What rules did to N texts: kept (N,) bool; reasons (N,) str, empty where kept."""

    kept: NDArray[np.bool_]
    reasons: NDArray[np.str_]

    def counts(self) -> dict[str, int]:
        """Number of refused documents by reason, most frequent first."""
        return dict(Counter(self.reasons[~self.kept].tolist()).most_common())


def refusals(texts: Sequence[str], rules: Sequence[str] = tuple(RULES)) -> Refusals:
    """Apply the rules in turn; the first that refuses gives the reason, as `rule: reason`."""
    if unknown := [name for name in rules if name not in RULES]:
        raise UserError(f"rules: there is no rule '{unknown[0]}'; they are {', '.join(RULES)}.")
    reasons = []
    for text in texts:
        reason = ""
        for name in rules:
            answer = RULES[name](text)
            if answer is not True:
                reason = f"{name}: {answer[1]}"
                break
        reasons.append(reason)
    found = np.array(reasons, dtype=np.str_)
    return Refusals(found == "", found)
