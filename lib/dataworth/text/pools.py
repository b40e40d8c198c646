"""Pools of documents: a small Pile of eight domains, a small crawl, and what is dropped from them.

The Pile (Gao et al. 2020) has 22 sources, which Longpre et al. 2023 join to nine groups. Eight of
the nine have a counterpart among the data cards; the ninth, PubMed, has none. No document of a
domain holds passages of another's (`text.clean`), in no split.

A card of a user's own takes the place of either: its own domains are the domains (`own_domains`),
or it is the crawl (`own_crawl`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.data.catalog import card as find_card
from dataworth.errors import UserError
from dataworth.text.clean import is_text, overlaps
from dataworth.text.filters import ranked
from dataworth.text.tokens import TextPart

CLOSE = 0.9  # a domain that has less than nine tenths of the bytes asked for is an error
LEAST = 30  # documents of every domain in a pool: fewer would be a study of these documents
LONGEST = 20_000  # bytes of a document that is used whole
BLANK = re.compile(rb"\s")


@dataclass(frozen=True)
class Domain:
    """A domain of the small Pile: documents of `card` (of its domains `only`, if named).

    group: the group of Longpre et al. 2023 whose place it takes; share: that group's percentage of
    the deduplicated Pile's bytes (their Figure 8: 100 less what is left when it is removed).
    prose: whether its texts are words in sentences. version: the content of a user's own card.
    """

    card: str
    group: str
    share: float
    only: tuple[str, ...] = ()
    prose: bool = True
    version: str = ""


DOMAINS: dict[str, Domain] = {
    "scraps": Domain("nlp-corpus", "CC", 26.9),
    "code": Domain("python-code", "Code", 19.1, prose=False),
    "academic": Domain("brown", "Academic", 12.9, ("learned",)),
    "government": Domain("sotu", "Legal", 9.0),
    "books": Domain(
        "brown",
        "Books",
        6.9,
        ("fiction", "mystery", "science_fiction", "adventure", "romance", "humor"),
    ),
    "news": Domain("brown", "OpenWeb", 6.9, ("news", "editorial", "reviews")),
    "encyclopedia": Domain("wordnet", "Wiki", 2.1),
    "mail": Domain("spam-assassin", "Social", 1.2),
}

PILE = {name: max(domain.share, 5.0) for name, domain in DOMAINS.items()}
"""Shares of the small Pile: the Pile's own, but no domain has so little that nothing about it could
be measured."""

CRAWL = {"scraps": 4.0, "mail": 1.0}
"""Shares of the small crawl, the place of C4 in the filter studies: scraps of English and mails,
neither edited nor filtered."""

SMALL_PILE, SMALL_CRAWL = "small-pile", "small-crawl"
"""What parameters call these two, in the place of a card."""


def own_domains(card: str) -> dict[str, Domain]:
    """The domains of a card of one's own, the largest first, with their percentage of its bytes.
    Raises UserError for one of fewer than `LEAST` documents to train on, and for less than three.
    """
    found = _by_domain(card)
    for name, count, _ in found:
        if count < LEAST:
            raise UserError(
                f"card: the domain {name!r} of {card} has {count} documents to train on, and it "
                f"takes {LEAST} to say anything of a domain; join it to another in the column of "
                "domains, or leave its documents out."
            )
    if len(found) < 3:
        raise UserError(
            f"card: {card} has {len(found)} of the three domains or more that this chapter leaves "
            "out one at a time; a column says of each document which one it is of "
            "(dataworth data add --domain-column)."
        )
    return _own(card, [(name, (name,), size) for name, _, size in found])


def own_crawl(card: str, n_bytes: int) -> dict[str, Domain]:
    """A card of one's own as a crawl of `n_bytes`: its domains of which that holds well over
    `LEAST` documents, the largest first, and all others joined to one."""
    found = _by_domain(card, LONGEST)
    least = 1.5 * LEAST * max(sum(size for *_, size in found) / n_bytes, 1)
    large: list[Group] = [(n, (n,), size) for n, count, size in found if count >= least]
    small = [(n, size) for n, count, size in found if count < least]
    if small:
        name = "other domains" if large else card
        large.append((name, tuple(n for n, _ in small), sum(size for _, size in small)))
    return _own(card, large)


Group = tuple[str, tuple[str, ...], int]  # a name, the domains of the card, their bytes


def _own(card: str, groups: Sequence[Group]) -> dict[str, Domain]:
    """Domains of a card by name, unlike those of `DOMAINS`, from their parts and bytes."""
    version, total = find_card(card).key, sum(size for *_, size in groups)
    return {
        f"{name} ({card})" if name in DOMAINS else name: Domain(
            card, "", 100 * size / total, only, prose=False, version=version
        )
        for name, only, size in groups
    }


def whole_card(card: str) -> Domain:
    """A card of one's own as a single domain."""
    return Domain(card, "", 100.0, prose=False, version=find_card(card).key)


def own_bytes(card: str, longest: int) -> int:
    """Bytes of a card to train on, in documents up to a length (in all, if none is so short)."""
    return sum(size for *_, size in _by_domain(card, longest))


def _by_domain(card: str, longest: int | None = None) -> list[tuple[str, int, int]]:
    """Name, documents and bytes of every domain of a card's training split, the largest first: of
    documents up to a length, if there are such."""
    from dataworth.data import load_corpus

    corpus, sizes = load_corpus(card, "train"), whole_domain(card, "train", whole_card(card)).sizes
    kept = sizes <= (longest or sizes.max())
    kept |= not kept.any()
    names, of, counts = np.unique(corpus.domains[kept], return_inverse=True, return_counts=True)
    held = np.bincount(of, sizes[kept]).astype(int)
    rows = zip(names.tolist(), counts.tolist(), held.tolist(), strict=True)
    return sorted(rows, key=lambda row: -row[2])


def check_domains(names: Sequence[str], domains: Mapping[str, Domain] = DOMAINS) -> None:
    """Raises UserError for a domain that does not exist."""
    if unknown := [name for name in names if name not in domains]:
        raise UserError(
            f"domain: there is no domain {unknown[0]!r}; they are {', '.join(domains)}."
        )


@dataclass(frozen=True)
class Pool:
    """N documents of one split of several cards, or sections of such.

    cards, domains: (N,) str; ids: (N,) int64; sizes: (N,) int64 bytes of text; texts: N strings;
    starts: (N,) int64, the byte of its document at which a section begins, -1 of a whole one;
    order: the domains that pools like this may hold, in order.
    """

    split: str
    cards: NDArray[np.str_]
    domains: NDArray[np.str_]
    ids: NDArray[np.int64]
    sizes: NDArray[np.int64]
    texts: tuple[str, ...]
    starts: NDArray[np.int64]
    order: tuple[str, ...] = tuple(DOMAINS)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> int:
        return int(self.sizes.sum())

    def take(self, kept: NDArray[np.bool_]) -> Pool:
        """The documents of a mask (N,). Raises UserError if it keeps none."""
        if not kept.any():
            raise UserError("the choice keeps no document of the pool; it must keep one.")
        rows = np.flatnonzero(kept)
        return replace(
            self,
            cards=self.cards[rows],
            domains=self.domains[rows],
            ids=self.ids[rows],
            sizes=self.sizes[rows],
            texts=tuple(self.texts[row] for row in rows.tolist()),
            starts=self.starts[rows],
        )

    def documents(self) -> dict[str, int]:
        """Distinct documents by domain, in their `order`."""
        return {
            name: len(np.unique(self.ids[self.domains == name]))
            for name in self.order
            if name in self.domains
        }

    def sections(self, length: int, fraction: float, rng: np.random.Generator) -> Pool:
        """A fraction of the bytes in random sections of about `length` bytes: documents are cut
        into equal ones between words, and a section of each document comes before a second one of
        any."""
        found = []
        for row, (text, size) in enumerate(zip(self.texts, self.sizes.tolist(), strict=True)):
            if (count := round(size / length)) <= 1:  # most are: one whole section
                found.append((0, row, 0, size))
                continue
            data = text.encode()
            blanks = (BLANK.search(data, i * len(data) // count) for i in range(1, count))
            ends = dict.fromkeys([0, *(blank.start() for blank in blanks if blank), len(data)])
            pieces = list(pairwise(ends))
            order = rng.permutation(len(pieces)).tolist()
            found += [(turn, row, *pieces[i]) for turn, i in enumerate(order)]
        turns, rows, starts, stops = np.array(found, dtype=np.int64).T
        order = np.lexsort((rng.permutation(len(turns)), turns))
        order = order[: _nearest((stops - starts)[order], fraction)]
        rows, starts, stops = rows[order], starts[order], stops[order]
        spans = zip(rows.tolist(), starts.tolist(), stops.tolist(), strict=True)
        return replace(
            self,
            cards=self.cards[rows],
            domains=self.domains[rows],
            ids=self.ids[rows],
            sizes=stops - starts,
            texts=tuple(self.texts[row].encode()[a:b].decode() for row, a, b in spans),
            starts=starts,
        )

    def without(self, domain: str) -> Pool:
        """All other domains' documents. Raises UserError if it has none of this domain."""
        if domain not in self.domains:
            known = ", ".join(sorted(set(self.domains.tolist())))
            raise UserError(f"domain: the pool has no {domain!r}; it has {known}.")
        return self.take(self.domains != domain)

    def values(self, by: Mapping[int, float]) -> Array:
        """The number (N,) that `by` gives to each document's id."""
        return np.array([by[i] for i in self.ids.tolist()], dtype=np.float64)

    def select(self, fraction: float, *, by: Mapping[int, float], high_first: bool) -> Pool:
        """The documents of the highest (or lowest) scores that hold a fraction of the bytes; `by`:
        score by id. Documents without a score come last, whichever end is kept."""
        return self.first(ranked(self.values(by), high_first=high_first), fraction)

    def random_drop(self, fraction: float, seed: int) -> Pool:
        """The control: random documents, whatever their domain, with a fraction of the bytes."""
        return self.first(np.random.default_rng([seed, 0x52D]).permutation(len(self)), fraction)

    def matched(self, like: Pool, seed: int) -> Pool:
        """Random documents with as many bytes of every domain as `like` has."""
        ids: list[int] = []
        for number, name in enumerate(self.order):
            mask = self.domains == name
            if mask.any() and (wanted := int(like.sizes[like.domains == name].sum())):
                part = self.take(mask)
                order = np.random.default_rng([seed, 0x317, number]).permutation(len(part))
                ids += part.first(order, min(1.0, wanted / part.bytes)).ids.tolist()
        return self.take(np.isin(self.ids, ids))

    def first(self, order: NDArray[np.intp], fraction: float) -> Pool:
        """The first documents in `order` (rows of the pool) whose bytes come nearest to a fraction
        of all. Fractions are of bytes and not of documents, which differ in length a hundredfold.
        Raises UserError unless the fraction is above 0 and at most 1."""
        if not 0 < fraction <= 1:
            raise UserError(
                f"fraction: {fraction:g} of a pool cannot be kept; it is above 0, at most 1."
            )
        mask = np.zeros(len(self), dtype=bool)
        mask[order[: _nearest(self.sizes[order], fraction)]] = True
        return self.take(mask)

    def shares(self) -> dict[str, float]:
        """Fraction of the bytes by domain, in their `order`."""
        return {
            name: float(self.sizes[self.domains == name].sum() / self.bytes)
            for name in self.order
            if name in self.domains
        }

    def parts(self) -> tuple[TextPart, ...]:
        """What a run trains on: one part per card."""
        found = []
        for card in dict.fromkeys(self.cards.tolist()):
            of = self.cards == card
            cut = (self.starts[of] >= 0).any()
            ends = self.starts[of] + self.sizes[of]
            spans = zip(self.starts[of].tolist(), ends.tolist(), strict=True) if cut else ()
            ids = tuple(self.ids[of].tolist())
            found.append(TextPart(card=card, split=self.split, ids=ids, spans=tuple(spans)))
        return tuple(found)


def _nearest(sizes: NDArray[np.int64], fraction: float) -> int:
    """How many of the first documents have bytes nearest to a fraction of all."""
    total = np.cumsum(sizes)
    return int(np.abs(total - fraction * total[-1]).argmin()) + 1


def draw(
    shares: Mapping[str, float],
    n_bytes: int,
    *,
    split: str = "train",
    seed: int = 0,
    section: int | None = None,
    least: int = 1,
    domains: Mapping[str, Domain] = DOMAINS,
) -> Pool:
    """A pool of about `n_bytes` bytes with the shares of some `domains` (up to a common factor).

    Documents of a domain are taken whole in random order, those of up to `LONGEST` bytes, so that a
    smaller pool is part of a larger; or sections of about `section` bytes (`Pool.sections`).
    Raises UserError where a domain has too few bytes, or only documents that are too long, and
    where it would have fewer than `least` documents.
    """
    check_domains(list(shares), domains)
    total = sum(shares.values())
    taken = []
    for name, share in shares.items():
        wanted, piece = n_bytes * share / total, whole_domain(name, split, domains[name])
        if section is None and (piece.sizes <= LONGEST).any():
            piece = piece.take(piece.sizes <= LONGEST)
        if piece.bytes < CLOSE * wanted:
            raise UserError(
                f"pool_bytes: {n_bytes:,} bytes would take {wanted:,.0f} of {name}, which has "
                f"{piece.bytes:,}; choose at most {int(n_bytes * piece.bytes / wanted):,}."
            )
        rng = np.random.default_rng([seed, 0x9001, list(domains).index(name)])
        fraction = min(wanted / piece.bytes, 1.0)
        part = (
            piece.first(rng.permutation(len(piece)), fraction)
            if section is None
            else piece.sections(section, fraction, rng)
        )
        if (count := part.documents()[name]) < least:
            raise UserError(
                f"pool_bytes: {n_bytes:,} bytes hold {count} documents of {name}, and it takes "
                f"{least} to say anything of a domain; choose {n_bytes * least // count:,} or more."
            )
        taken.append(part)
    return Pool(
        split=split,
        cards=np.concatenate([piece.cards for piece in taken]),
        domains=np.concatenate([piece.domains for piece in taken]),
        ids=np.concatenate([piece.ids for piece in taken]),
        sizes=np.concatenate([piece.sizes for piece in taken]),
        texts=tuple(text for piece in taken for text in piece.texts),
        starts=np.concatenate([piece.starts for piece in taken]),
        order=tuple(domains),
    )


@cache
def whole_domain(name: str, split: str, domain: Domain | None = None) -> Pool:
    """All documents of a domain (of `DOMAINS`, or one of this name) that are text and hold no
    passages of another's (`text.clean`)."""
    from dataworth.data import load_corpus

    domain = domain or DOMAINS[name]
    corpus = load_corpus(domain.card, split)
    if domain.only:
        corpus = corpus.of_domains(*domain.only)
    found = Pool(
        split=split,
        cards=np.full(len(corpus), domain.card),
        domains=np.full(len(corpus), name),
        ids=corpus.ids,
        sizes=np.array([len(text.encode()) for text in corpus.texts], dtype=np.int64),
        texts=corpus.texts,
        starts=np.full(len(corpus), -1),
        order=tuple(DOMAINS) if name in DOMAINS else (name,),
    )
    kept = ~np.isin(found.ids, overlaps(domain.card))
    if domain.prose:
        kept &= np.array([is_text(text) for text in found.texts], dtype=bool)
    return found.take(kept)
