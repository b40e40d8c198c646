"""What is known about each class of a card: its WordNet synset, definition and hypernyms.

`classes.tsv` lists the ten garment classes of Fashion-MNIST (card `fashion-mnist`; the sense of
each chosen by hand in `make_tables.GARMENTS`) and the 1000 classes of ImageNet (`imagenet-1k`, by
synset id). It is written by `make_tables` from timm's synset tables (lemmas and definitions,
WordNet 3.0), open_clip's class names and WordNet 3.1 (hypernyms), and read here as a file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dataworth.errors import UserError

# The sum stands in the code, so that another table is another key for the runs made with it.
CLASSES_SHA256 = "e1b47ef30c778c669b0fff82ee17d3dbcd2792ead0c29df717f8746e9cb062eb"


@dataclass(frozen=True)
class ClassWords:
    """One class: its label and the words for it.

    `synset` is the WordNet 3.0 id (ImageNet's), `lemmas` are its synonyms, `hypernyms` the lemmas
    of its direct hypernyms; `ancestry` lists WordNet 3.1 offsets from `entity` down to the synset.
    """

    label: int
    name: str
    synset: str
    lemmas: tuple[str, ...]
    definition: str
    hypernyms: tuple[str, ...]
    ancestry: tuple[str, ...]


def read_table(name: str, sha256: str) -> bytes:
    """A file of this package; UserError when it is not the one the code was written for."""
    content = Path(__file__).with_name(name).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"The table {name} of dataworth is damaged: install the package again.")
    return content


@cache
def _tables() -> dict[str, dict[str, ClassWords]]:
    found: dict[str, dict[str, ClassWords]] = {}
    for line in read_table("classes.tsv", CLASSES_SHA256).decode().splitlines():
        card, name, synset, lemmas, definition, hypernyms, ancestry = line.split("\t")
        classes = found.setdefault(card, {})
        classes[name] = ClassWords(
            label=len(classes),
            name=name,
            synset=synset,
            lemmas=tuple(lemmas.split(", ")),
            definition=definition,
            hypernyms=tuple(hypernyms.split(", ")),
            ancestry=tuple(ancestry.split()),
        )
    return found


@cache
def _of_synsets(classes: tuple[str, ...]) -> dict[str, ClassWords]:
    """The words of classes that are named by ImageNet's synset ids; empty where they are not."""
    known = {words.synset: words for words in _tables()["imagenet-1k"].values()}
    if not known.keys() >= set(classes):
        return {}
    return {known[s].name: replace(known[s], label=i) for i, s in enumerate(classes)}


def _known(card_id: str) -> dict[str, ClassWords]:
    """The words for the classes of a card; empty where WordNet's are not known."""
    from dataworth.data.catalog import cards

    found = next((c.classes for c in cards() if c.id == card_id), None)
    return (found and _of_synsets(found)) or _tables().get(card_id, {})


def names_of(card_id: str) -> tuple[str, ...]:
    """The name of each class in prompts, in label order: those of the tables, or the first word
    of each class on the card."""
    if known := _known(card_id):
        return tuple(known)
    from dataworth.data import card

    return tuple(words[0] for words in card(card_id).class_words)


def label_of(name: str, card: str) -> int:
    """The label of the class of this name in prompts. UserError for a name of no class."""
    names = names_of(card)
    if name not in names:
        raise UserError(
            f"name is {name!r}; it must be a class of {card}, for example {', '.join(names[:3])}."
        )
    return names.index(name)


def vocabulary(card: str) -> dict[str, ClassWords]:
    """Class name -> words, in label order. UserError for a card without a vocabulary."""
    if not (known := _known(card)):
        raise UserError(
            f"card is {card!r}; WordNet's words are known for the classes of "
            f"{', '.join(_tables())} only."
        )
    return known


def class_words(name: str, card: str) -> ClassWords:
    """The words of one class. UserError for a name that is not a class of the card."""
    classes = vocabulary(card)
    if name not in classes:
        raise UserError(
            f"name is {name!r}; it must be a class of {card}, for example "
            f"{', '.join(list(classes)[:3])}."
        )
    return classes[name]
