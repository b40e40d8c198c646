"""The study behind the chapter *data characteristics*: what the domains are like, how quality and
toxicity go together, and what changed over two centuries of speeches. Nothing is trained on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as member
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from dataworth.parameters import Parameters, field
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate, first_and_rest, weighted_median, weighted_spearman
from dataworth.studies import base
from dataworth.studies.text import authors
from dataworth.text.measures import PII, CharacteristicsSpec
from dataworth.text.pools import DOMAINS, whole_domain
from dataworth.text.scorers import SCORERS
from dataworth.text.scores import FLAGS, agreement
from dataworth.text.tokens import TextPart

if TYPE_CHECKING:
    import pandas as pd

from dataworth.arrays import Array

Scorers = Annotated[tuple[str, ...], Field(min_length=1)]
HELD_OUT = ("validation", "test")
SPEECHES = "sotu"
POSITIVES = ("brown", "wordnet")  # cards that the quality scorer takes for curated
NO_CRAWLS = (
    "The claim is on crawls of 2013 to 2022. These are the speeches of one office over two "
    "centuries, whose form and transcription changed as well as their language: no outcome of "
    "them could decide."
)


class DataCharacteristics(Parameters):
    """Parameters of the chapter."""

    documents: int = field(
        "held-out documents of each domain, at most", "documents", ge=2, le=10**9
    )
    pieces: int = field("pieces of equal length of each domain, at most", "pieces", ge=20, le=10**9)
    piece_words: int = field("length of such a piece", "words", ge=5, le=10**6)
    stretch_words: int = field(
        "stretch of a document that is read for readability and sentiment", "words", ge=20, le=10**6
    )
    toxicity_scorers: Scorers = field("scorers of toxicity, by name")
    resamples: int = field("bootstrap draws", "draws", ge=100, le=10**6)
    seed: int = field("base seed of samples and bootstrap", ge=0, le=2**32 - 1)

    @field_validator("toxicity_scorers")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = [name for name in SCORERS if name != "quality"]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"holds {unknown[0]!r}; known are {', '.join(known)}")
        if missing := [name for name in ("toxicity", "bad-words") if name not in names]:
            raise ValueError(f"must hold {missing[0]!r}, which the figures show")
        return names

    def spec(self, domain: str) -> CharacteristicsSpec:
        """Measurements of held-out documents of a domain, sampled at random if there are too many.

        Where the domain is among the quality scorer's positives, scorers without it are fitted.
        """
        found = [whole_domain(domain, split) for split in HELD_OUT]
        counts = [len(pool) for pool in found]
        rng = np.random.default_rng([self.seed, 0xC4A1, list(DOMAINS).index(domain)])
        chosen = np.sort(rng.permutation(sum(counts))[: self.documents])
        parts = []
        for split, pool, first in zip(HELD_OUT, found, (0, counts[0]), strict=True):
            rows = chosen[(chosen >= first) & (chosen < first + len(pool))] - first
            if len(rows):
                ids = tuple(pool.ids[rows].tolist())
                parts.append(TextPart(card=DOMAINS[domain].card, split=split, ids=ids))
        card, only = DOMAINS[domain].card, DOMAINS[domain].only
        return self._spec(tuple(parts), (card, only) if card in POSITIVES else None)

    def speeches(self) -> tuple[CharacteristicsSpec, NDArray[np.int64]]:
        """Measurements of all dated speeches, and their years (N,). The quality scorer has seen
        none of them."""
        from dataworth.data import load_corpus

        corpus = load_corpus(SPEECHES).dated()
        part = TextPart(card=SPEECHES, ids=tuple(corpus.ids.tolist()))
        return self._spec((part,), None), corpus.years

    def _spec(
        self, parts: tuple[TextPart, ...], left_out: tuple[str, tuple[str, ...]] | None
    ) -> CharacteristicsSpec:
        return CharacteristicsSpec(
            parts=parts,
            pieces=self.pieces,
            piece_words=self.piece_words,
            stretch_words=self.stretch_words,
            scorers=self.toxicity_scorers,
            left_out=left_out,
            seed=self.seed,
        )


# ---- Measures -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measure:
    """A characteristic of a set of documents.

    of: from a run's arrays to two arrays (N,) by document, whose sums' ratio it is; or, where
    `median`, to values (N,) and their weights, 0 or 1.
    """

    label: str
    of: Callable[[Mapping[str, NDArray[np.generic]]], tuple[Array, Array]]
    median: bool = False


Arrays = Mapping[str, NDArray[np.generic]]


def _documents(name: str, above: float | None = None) -> Callable[[Arrays], tuple[Array, Array]]:
    """Mean over documents, or the fraction of them that reach a value."""

    def of(arrays: Arrays) -> tuple[Array, Array]:
        values = np.asarray(arrays[name], dtype=np.float64)
        found = np.isfinite(values)
        if above is not None:
            values = (values >= above).astype(np.float64)
        return np.where(found, values, 0.0), found.astype(np.float64)

    return of


def _pieces(name: str, above: float | None = None) -> Callable[[Arrays], tuple[Array, Array]]:
    """Mean over pieces, or the fraction of them that reach a value."""

    def of(arrays: Arrays) -> tuple[Array, Array]:
        rows, n = np.asarray(arrays["piece_document"], dtype=np.intp), len(arrays["words"])
        values = np.asarray(arrays[f"piece_{name}"], dtype=np.float64)
        found = np.isfinite(values)
        rows, values = rows[found], values[found]
        if above is not None:
            values = (values >= above).astype(np.float64)
        sums = np.bincount(rows, values, n).astype(np.float64)
        return sums, np.bincount(rows, minlength=n).astype(np.float64)

    return of


def _per(name: str, unit: str, scale: float) -> Callable[[Arrays], tuple[Array, Array]]:
    """Sum of counts per `scale` of a unit."""

    def of(arrays: Arrays) -> tuple[Array, Array]:
        counts = np.asarray(arrays[name], dtype=np.float64).reshape(len(arrays["words"]), -1)
        return scale * counts.sum(1), np.asarray(arrays[unit], dtype=np.float64)

    return of


MEASURES: dict[str, Measure] = {
    "words": Measure("length (words, median)", _documents("words"), median=True),
    "readability": Measure(
        "readability (school grade, median)", _documents("readability"), median=True
    ),
    "ttr": Measure("type-token ratio (pieces)", _pieces("ttr")),
    "non_ascii": Measure("non-ASCII (per 1,000 characters)", _per("non_ascii", "characters", 1000)),
    "non_ascii_letters": Measure(
        "non-ASCII letters (per 1,000 characters)", _per("non_ascii_letters", "characters", 1000)
    ),
    "sentiment": Measure("sentiment (mean, −1 to 1)", _documents("sentiment")),
    "pii": Measure("personal data (per 10,000 words)", _per("pii", "words", 10_000)),
    "profanity": Measure("profanity (share of pieces)", _pieces("bad-words", FLAGS["bad-words"])),
    "toxicity": Measure("toxicity (mean of pieces)", _pieces("toxicity")),
    "toxic_pieces": Measure("toxic pieces (share)", _pieces("toxicity", FLAGS["toxicity"])),
    "toxic_documents": Measure(
        "toxic documents (share)", _documents("toxicity", FLAGS["toxicity"])
    ),
    "quality": Measure("quality (mean of pieces)", _pieces("quality")),
    "quality_without_domain": Measure(
        "quality, domain left out (mean of pieces)", _pieces("quality_without_domain")
    ),
    "quality_without_card": Measure(
        "quality, card left out (mean of pieces)", _pieces("quality_without_card")
    ),
    "quality_documents": Measure("quality (mean of documents)", _documents("quality")),
}
"""What is compared. `pieces` are of equal length; toxicity of a document is that of its worst
passage where it is 0.5 or more, quality the mean over pieces of 200 words. Texts without a score
are left out."""


# ---- The study ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Characteristics(base.Study):
    """Finished measurements: `domains` by name, `speeches` and their `years` (N,). authors: who
    wrote each document, by domain and of `SPEECHES`; where it is not known each stands alone."""

    params: DataCharacteristics
    domains: dict[str, Result]
    speeches: Result
    years: NDArray[np.int64]
    authors: Mapping[str, NDArray[np.str_]] = member(default_factory=dict)

    @cached_property
    def _weights(self) -> dict[str, Array]:
        """How often each draw of the bootstrap takes each document, (B, N) by domain; the same for
        every measure, so that measures of one domain are compared on the same documents."""
        return {
            name: self._draw(i, len(run.arrays["words"]), self.authors.get(name))
            for i, (name, run) in enumerate(self.domains.items())
        }

    def _draw(self, place: int, n: int, authors: NDArray[np.str_] | None) -> Array:
        """Authors are resampled with all their documents; where there is but one, documents."""
        rng = np.random.default_rng([self.params.seed, 0xC4A4, place])
        who = np.arange(n) if authors is None else np.unique(authors, return_inverse=True)[1]
        who = who if who.any() else np.arange(n)
        count = int(who.max()) + 1
        times = rng.multinomial(count, np.full(count, 1 / count), size=self.params.resamples)
        return times[:, who].astype(np.float64)

    def sizes(self) -> pd.DataFrame:
        """Sample sizes by domain: `card`, `documents`, `pieces`, `words`, and whether the quality
        scorer's positives hold training documents of the domain."""
        import pandas as pd

        rows = [
            (
                name,
                DOMAINS[name].card,
                run.metrics["documents"],
                run.metrics["pieces"],
                int(run.arrays["words"].sum()),
                "yes" if DOMAINS[name].card in POSITIVES else "no",
            )
            for name, run in self.domains.items()
        ]
        columns = ["domain", "card", "documents", "pieces", "words", "among the positives"]
        return pd.DataFrame(rows, columns=columns).set_index("domain")

    def by_domain(self, measure: str) -> dict[str, Estimate]:
        """A measure of every domain, intervals over documents."""
        return {
            name: _measured(MEASURES[measure], run.arrays, self._weights[name])
            for name, run in self.domains.items()
        }

    def ranks(self, measure: str) -> dict[str, int]:
        """The place of every domain by a measure; 1 is the highest."""
        found = self.by_domain(measure)
        return {d: 1 + sum(o.value > e.value for o in found.values()) for d, e in found.items()}

    def table(self) -> pd.DataFrame:
        """All measures of all domains: rows domains, columns labels."""
        import pandas as pd

        return pd.DataFrame(
            {
                m.label: {d: e.value for d, e in self.by_domain(k).items()}
                for k, m in MEASURES.items()
            }
        ).rename_axis("domain")

    def contrast(self, domain: str, measure: str) -> Estimate:
        """A domain's measure less the mean of the other domains'."""
        found = self.by_domain(measure)
        others = [e for name, e in found.items() if name != domain]
        mean = estimate(
            float(np.mean([e.value for e in others])), np.mean([e.draws for e in others], axis=0)
        )
        return found[domain].minus(mean)

    def over_positives(self, domain: str) -> Estimate:
        """The contrast of a domain's quality, by a scorer without it; its interval holds also that
        by a scorer without the domain's whole card. A verdict that depends on which text was
        called good is then open."""
        found = [
            self.contrast(domain, f"quality_without_{left_out}") for left_out in ("domain", "card")
        ]
        return replace(found[0], low=min(e.low for e in found), high=max(e.high for e in found))

    def pii(self) -> pd.DataFrame:
        """Kinds of personal data per 10,000 words: rows domains, columns `PII`."""
        import pandas as pd

        rows = {
            name: run.arrays["pii"].sum(0) * 10_000 / run.arrays["words"].sum()
            for name, run in self.domains.items()
        }
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(PII))
        return table.rename_axis("domain")

    @cached_property
    def correlations(self) -> dict[str, dict[str, Estimate]]:
        """Spearman's correlation of quality and toxicity, by what is correlated (`pieces`, of equal
        length, scored without their domain among the positives; `documents`, by the scorers' own
        rules) and where: in every domain, `within` (the mean of those), `pooled` (all domains,
        equal weights) and `between` (the domains' means). High quality is good here, so that a
        negative correlation says: the better, the less toxic."""
        return {
            "pieces": self._correlated("piece_quality_without_domain", "piece_toxicity"),
            "documents": self._correlated("quality", "toxicity"),
        }

    def _correlated(self, quality: str, toxicity: str) -> dict[str, Estimate]:
        found: dict[str, Estimate] = {}
        scores, weights, means = [], [], []
        for name, run in self.domains.items():
            x, y = (np.asarray(run.arrays[key]) for key in (quality, toxicity))
            w = self._weights[name]
            if quality.startswith("piece_"):
                w = w[:, run.arrays["piece_document"]]
            known = np.isfinite(x) & np.isfinite(y)
            x, y, w = x[known], y[known], w[:, known]
            w = np.concatenate([np.ones((1, w.shape[1])), w])  # the sample itself comes first
            found[name] = first_and_rest(weighted_spearman(x, y, w))
            scores.append((x, y))
            weights.append(w / w.sum(axis=1, keepdims=True))
            means.append([weights[-1] @ x, weights[-1] @ y])
        inside = np.mean([[e.value, *e.draws] for e in found.values()], axis=0)
        x, y = (np.concatenate(column) for column in zip(*scores, strict=True))
        pooled = weighted_spearman(x, y, np.concatenate(weights, axis=1))
        x, y = np.moveaxis(np.array(means), 0, -1)  # each (1 + B, domains)
        even = np.ones((1, len(means)))
        between = np.array([weighted_spearman(a, b, even)[0] for a, b in zip(x, y, strict=True)])
        return found | {
            "within": first_and_rest(inside),
            "pooled": first_and_rest(pooled),
            "between": first_and_rest(between),
        }

    def trend(self, measure: str) -> Estimate:
        """Spearman's correlation of a measure of the speeches with their year; speeches too short
        for it are left out."""
        top, below = MEASURES[measure].of(self.speeches.arrays)
        found = np.flatnonzero(below > 0)
        values = top[found] if MEASURES[measure].median else top[found] / below[found]
        weights = np.concatenate([np.ones((1, len(self.years))), self._speech_weights])
        return first_and_rest(weighted_spearman(values, self.years[found], weights[:, found]))

    def of_crawls(self, measure: str) -> Estimate:
        """`trend`, as evidence on crawls: none."""
        return replace(self.trend(measure), unmeasurable=NO_CRAWLS)

    @cached_property
    def _speech_weights(self) -> Array:
        return self._draw(len(self.domains), len(self.years), self.authors.get(SPEECHES))

    def by_decade(self, measure: str) -> pd.DataFrame:
        """A measure of the speeches of each decade: `decade`, `speeches`, `value`, `low`, `high`
        (intervals over the decade's speakers)."""
        import pandas as pd

        decades, authors = self.years // 10 * 10, self.authors.get(SPEECHES)
        rows = []
        for decade in np.unique(decades).tolist():
            inside = np.flatnonzero(decades == decade)
            top, below = MEASURES[measure].of(self.speeches.arrays)
            place = len(self.domains) + 1 + decade
            who = None if authors is None else authors[inside]
            weights = self._draw(place, len(inside), who)
            e = _ratio(top[inside], below[inside], weights, MEASURES[measure].median)
            rows.append((decade, len(inside), e.value, e.low, e.high))
        return pd.DataFrame(rows, columns=["decade", "speeches", "value", "low", "high"])

    def agreement(self) -> pd.DataFrame:
        """`scores.agreement` of the toxicity scorers at `FLAGS` and of low quality (1 - quality) at
        0.5, on the documents and on the pieces of all domains; column `on` first."""
        import pandas as pd

        names = self.params.toxicity_scorers
        tables = []
        for on, prefix in (("documents", ""), ("pieces", "piece_")):
            runs = [run.arrays for run in self.domains.values()]
            found = {n: np.concatenate([a[prefix + n] for a in runs]) for n in names}
            found["low quality"] = 1 - np.concatenate([a[f"{prefix}quality"] for a in runs])
            table = agreement(found, FLAGS | {"low quality": 0.5})
            table.insert(0, "on", on)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def cards(self) -> pd.DataFrame:
        """The score cards of the scorers used, one row each."""
        import pandas as pd

        return pd.DataFrame(self.speeches.metrics["cards"]).set_index("name")

    def signs(self) -> pd.DataFrame:
        """The most frequent characters outside ASCII, by name: rows `domain` (and `speeches`),
        `characters` and how often `each` occurs."""
        import pandas as pd

        runs = self.domains | {"speeches": self.speeches}
        rows = [
            (
                name,
                int(run.arrays["non_ascii"].sum()),
                ", ".join(f"{sign} {count:,}" for sign, count in run.metrics["signs"]) or "none",
            )
            for name, run in runs.items()
        ]
        return pd.DataFrame(rows, columns=["domain", "characters", "each"]).set_index("domain")

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {"domains": self.domains, "speeches": self.speeches}

    def run_means(self, leaf: Result) -> dict[str, float]:
        """Every measure of the run's documents."""
        one = np.ones((1, len(leaf.arrays["words"])))
        return {
            name: _ratio(*measure.of(leaf.arrays), one, measure.median).value
            for name, measure in MEASURES.items()
        }


def _measured(measure: Measure, arrays: Arrays, weights: Array) -> Estimate:
    return _ratio(*measure.of(arrays), weights, measure.median)


def _ratio(top: Array, below: Array, weights: Array, median: bool) -> Estimate:
    """The ratio of sums, or the median where `below` is not 0, of a sample and of its draws."""
    weights = np.concatenate([np.ones((1, len(top))), weights])
    if median:
        return first_and_rest(weighted_median(top, weights * below))
    with np.errstate(invalid="ignore", divide="ignore"):
        return first_and_rest((weights @ top) / (weights @ below))


@keep
def run(params: DataCharacteristics, store: Store | None = None) -> Characteristics:
    """Measure what is missing and collect the study."""
    specs = {name: params.spec(name) for name in DOMAINS}
    speeches, years = params.speeches()
    found = base.run_grid({"": speeches, **specs}, store or Store(), "measuring texts")
    measured = found.pop("")
    authors = {name: authors_of(spec) for name, spec in {**specs, SPEECHES: speeches}.items()}
    return Characteristics(params, found, measured, years, authors)


def authors_of(spec: CharacteristicsSpec) -> NDArray[np.str_]:
    """Who wrote each document of a spec: the president of an address, else each its own."""
    found: list[str] = []
    for part in spec.parts:
        names = authors(SPEECHES) if part.card == SPEECHES else {}
        found += [names.get(i, f"{part.card} {part.split} {i}") for i in part.ids]
    return np.array(found)
