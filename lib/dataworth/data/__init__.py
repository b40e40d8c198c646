"""Data sets as cards, and the providers that bring them here.

    from dataworth.data import load_images
    pool = load_images("fashion-mnist", "classifier_pool")   # pool.images, .labels, .ids
    speeches = load_corpus("sotu", "train")                  # speeches.texts, .years, .domains

A card (`cards.yaml`) says what a data set is; `fetch` brings it from the first provider that
works into a folder of parquet files; `load_images` gives whole splits as arrays, `load_corpus`
as documents.
"""

from dataworth.data.catalog import Card, card, cards
from dataworth.data.images import ImageSet, load_images
from dataworth.data.splits import content_ids
from dataworth.data.store import Status, fetch, status
from dataworth.data.text import Corpus, join, load_corpus

__all__ = [
    "Card",
    "Corpus",
    "ImageSet",
    "Status",
    "card",
    "cards",
    "content_ids",
    "fetch",
    "join",
    "load_corpus",
    "load_images",
    "status",
]
