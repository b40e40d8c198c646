"""Prompts from the class name and what WordNet says of it: description or hypernyms.

Notation of Sariyildiz et al. 2023, *Fake it till you make it*: `c, d_c` and `c, h_c`. Small text
encoders truncate: the longest definitions exceed 20 tokens of ours and, rarely, CLIP's 77.
"""

from __future__ import annotations

from dataworth.images.prompts.vocabulary import class_words


def description(name: str, seed: int, card: str) -> str:
    """`c, d_c`: the class name and its WordNet definition."""
    return f"{name}, {class_words(name, card).definition}"


def hypernyms(name: str, seed: int, card: str) -> str:
    """`c, h_c`: the class name, its synonyms and its hypernyms (tench: cyprinid, cyprinid fish)."""
    words = class_words(name, card)
    seen: dict[str, str] = {}
    for word in (name, *words.lemmas, *words.hypernyms):
        seen.setdefault(word.lower(), word)
    return ", ".join(seen.values())


SETS = {"description": description, "hypernyms": hypernyms}
