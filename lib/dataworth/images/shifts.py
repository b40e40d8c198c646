"""Shifted evaluation sets: v2, a, sketch and r, after ImageNet-V2, -A, -Sketch and -R.

Photographs come from the split `shift_pool`, which no generator and no classifier trains on; each
serves in one set at most. Drawings come from icon sets (the card `fashion-icons`) that no generator
has seen.

v2
    A fresh draw matched by selection frequency (Recht et al. 2019, arXiv 1902.10811). Annotators
    who choose a label are replaced by neighbours: the frequency of an image is the share of its 50
    nearest reference images that carry its label. Within every class and each fifth of the
    frequency, v2 holds the share of images that the official test set holds.
a
    Natural adversarial examples (Hendrycks et al. 2021, arXiv 1907.07174): photographs, v2's left
    out, that three reference models of other families than the classifiers under test all get
    wrong: nearest neighbours, a linear model on pixels, and a kernel machine (random Fourier
    features; Rahimi and Recht 2007). Nobody looked at each image: against wrong labels, at least
    two of the models must hold the label among their first three. Ambiguous labels (shirt or
    pullover?) remain and lower everybody's accuracy, so compare models on this set; do not read its
    level.
sketch
    After ImageNet-Sketch (Wang et al. 2019, arXiv 1905.13549), black strokes on white: edges of
    photographs not in v2 or a, by Canny's detector (`canny`; the generators learn sketches by Sobel
    magnitude), and line icons and one-colour emoji, drawn by people. `origin` tells them apart. The
    photographs are grey on black, so that white paper alone is a shift: the evaluation set shows
    each sketch in one of both polarities, at random (`evaluation_set`).
r
    Renditions (Hendrycks et al. 2021, arXiv 2006.16241): colour emoji and silhouettes, grey and
    bright on black as the photographs are.

Reference models learn from `generator_pool`, so they share no image with classifiers. Their
arithmetic is float64, with exact integers for the distances: the sets do not depend on the machine.
Classes that have no drawing are absent from r, rare ones are few: top-1 is over what is present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth.data.rows import Rows, negative
from dataworth.errors import UserError
from dataworth.runs import Outcome, Spec, Store, run_tasks

Images = NDArray[np.uint8]
Ids = NDArray[np.int64]
Scores = NDArray[np.float64]

ShiftName = Literal["v2", "a", "sketch", "r"]
SHIFTS: tuple[ShiftName, ...] = get_args(ShiftName)
WHITE, DARK = "sketch-white", "sketch-dark"  # the two polarities of sketch, see `evaluation_set`
ICONS = {"fashion-mnist": "fashion-icons"}
"""The card with drawings of a card's classes."""

BINS = np.linspace(0, 1, 6)  # of the selection frequency
NEIGHBOURS = 50
FEATURES = 1000  # of the kernel machine
GAMMA = 0.02  # of its kernel exp(-gamma |x - y|^2), pixels in 0-1
PENALTY = 1.0


@dataclass(frozen=True)
class ShiftSet:
    """A shifted evaluation set.

    images (N, H, W) uint8; labels (N,) int64; ids (N,) int64: content id of the image, of the
    photograph under an edge image; origin (N,): the split, "edges", or the icon set.
    """

    name: str
    images: Images = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    ids: Ids = field(repr=False)
    origin: NDArray[np.str_] = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)


class ShiftPoolSpec(Spec):
    """Divide a card's `shift_pool` among v2, a and the edges of sketch; numbers per class."""

    kind: ClassVar[str] = "shift-pool"
    card: str = "fashion-mnist"
    references: int = Field(800, ge=1, description="generator_pool images the models learn from")
    v2: int = Field(150, ge=1)
    edges: int = Field(80, ge=1)
    seed: int = Field(0, ge=0)

    def run(self, store: Store) -> Outcome:
        """Arrays: content ids `v2`, `a`, `edges`; `edge_images` uint8 (N, H, W), in the order of
        `edges`; selection frequencies `frequency_pool`, `frequency_test`. Metrics: top-1 of the
        reference models on the test set."""
        from dataworth.data import load_images

        reference = load_images(self.card, "generator_pool")
        pool, test = load_images(self.card, "shift_pool"), load_images(self.card, "test")
        classes = len(pool.classes)
        rows = np.concatenate(
            [np.flatnonzero(reference.labels == c)[: self.references] for c in range(classes)]
        )
        learnt, answers = reference.images[rows], reference.labels[rows]

        both = np.concatenate([pool.images, test.images])
        labels = np.concatenate([pool.labels, test.labels])
        scores = {
            "neighbours": neighbour_votes(learnt, answers, both, NEIGHBOURS, classes),
            "linear": ridge_scores(pixels(learnt), answers, pixels(both), classes),
            "kernel": ridge_scores(
                fourier_features(learnt, self.seed),
                answers,
                fourier_features(both, self.seed),
                classes,
            ),
        }
        count = len(pool.labels)
        frequency = scores["neighbours"][np.arange(len(labels)), labels]

        rng = np.random.default_rng([self.seed, 31])
        in_v2 = np.zeros(count, dtype=bool)
        for c in range(classes):
            mine = np.flatnonzero(pool.labels == c)
            target = frequency[count:][test.labels == c]
            in_v2[mine[matched_draw(target, frequency[mine], self.v2, rng)]] = True
        hard = natural_adversarial([s[:count] for s in scores.values()], pool.labels) & ~in_v2
        left = ~in_v2 & ~hard
        drawn = np.concatenate(
            [
                rng.permutation(np.flatnonzero(left & (pool.labels == c)))[: self.edges]
                for c in range(classes)
            ]
        )
        drawn.sort()
        return Outcome(
            {
                "v2": pool.ids[in_v2],
                "a": pool.ids[hard],
                "edges": pool.ids[drawn],
                "edge_images": canny(pool.images[drawn]),
                "frequency_pool": frequency[:count],
                "frequency_test": frequency[count:],
            },
            {
                f"top1_test_{name}": float((s[count:].argmax(1) == test.labels).mean())
                for name, s in scores.items()
            },
        )


def shift_pool_spec(card: str = "fashion-mnist") -> ShiftPoolSpec:
    """The run that divides a card's shift pool; ask for it first where several runs share it."""
    return ShiftPoolSpec(card=card)


def shift(name: str, card: str = "fashion-mnist", *, store: Store | None = None) -> ShiftSet:
    """A shifted evaluation set of a card; computed and fetched once, then read from the store.

    Raises UserError for a name that is not in `SHIFTS`, or when the data cannot be had.
    """
    if name not in SHIFTS:
        raise UserError(f"shift is '{name}'; the shifted sets are {', '.join(SHIFTS)}.")
    if card not in ICONS:
        raise UserError(f"card is '{card}'; shifted sets exist for {', '.join(ICONS)}.")
    if name == "r":
        return _drawings(card, "r", "colour")
    store = store or Store()
    spec = shift_pool_spec(card)
    found = run_tasks([spec], store=store, label="shift pool")[0].arrays
    photographs = _photographs(card, name, found["edges" if name == "sketch" else name])
    if name != "sketch":
        return photographs
    drawn = _drawings(card, "sketch", "line")
    return ShiftSet(
        "sketch",
        np.concatenate([found["edge_images"], drawn.images]),
        np.concatenate([photographs.labels, drawn.labels]),
        np.concatenate([photographs.ids, drawn.ids]),
        np.concatenate([np.full(len(photographs), "edges"), drawn.origin]),
    )


def offered(card: str) -> tuple[str, ...]:
    """The shifted sets of a card: all where they are made from icons (`ICONS`), else those that it
    has as splits of its own, as ImageNet has."""
    from dataworth.data.large import large_cards

    large = large_cards().get(card)
    own = large.evaluations if large else ()
    return SHIFTS if card in ICONS else tuple(name for name in SHIFTS if name in own)


def evaluation_set(
    card: str, name: str, *, store: Store | None = None
) -> tuple[Images | Rows, NDArray[np.int64]]:
    """Images (N, H, W[, 3]) and labels (N,) of a card's split or, by the names of `SHIFTS`, of a
    shift. Of sketch, half of the images have black and white exchanged (`inverted`); `sketch-white`
    shows all black on white, as they are drawn, `sketch-dark` all white on black. A shifted set
    that is a split of the card is shown as it was published.

    Raises UserError for a name that is neither.
    """
    from dataworth.data import load_images

    if name in (*SHIFTS, WHITE, DARK) and card not in ICONS and offered(card):
        split = load_images(card, name.partition("-")[0])
        return (negative(split.images) if name == DARK else split.images), split.labels
    if name in (*SHIFTS, WHITE, DARK):
        shifted = shift(name.partition("-")[0], card, store=store)
        dark = {"sketch": inverted(shifted.ids), DARK: np.ones(len(shifted), dtype=bool)}
        flipped = dark.get(name, np.zeros(len(shifted), dtype=bool))
        images = np.where(flipped[:, None, None], 255 - shifted.images, shifted.images)
        return images, shifted.labels
    split = load_images(card, name)
    return split.images, split.labels


def inverted(ids: Ids) -> NDArray[np.bool_]:
    """(N,): of which images of sketch black and white are exchanged, a coin tossed by each id."""
    return np.array([np.random.default_rng([43, int(i)]).random() < 0.5 for i in ids], dtype=bool)


def needs_shift_pool(evaluations: Sequence[str], card: str = "fashion-mnist") -> bool:
    """Whether one of these evaluation sets is made from the card's divided shift pool."""
    return card in ICONS and bool({*SHIFTS, WHITE, DARK} & set(evaluations))


def _photographs(card: str, name: str, ids: Ids) -> ShiftSet:
    from dataworth.data import load_images

    pool = load_images(card, "shift_pool")
    rows = np.searchsorted(pool.ids, ids)  # a split is in the order of its ids
    origin = np.full(len(rows), "shift_pool")
    return ShiftSet(name, pool.images[rows], pool.labels[rows], pool.ids[rows], origin)


def _drawings(card: str, name: str, ink: str) -> ShiftSet:
    from dataworth.data import load_images
    from dataworth.data.icons import icon_choices

    drawings = ICONS[card]
    chosen = [s for s, choice in icon_choices(drawings).items() if choice.ink == ink]
    sets = [load_images(drawings, s) for s in chosen]
    return ShiftSet(
        name,
        np.concatenate([s.images for s in sets]),
        np.concatenate([s.labels for s in sets]),
        np.concatenate([s.ids for s in sets]),
        np.concatenate([np.full(len(s), s.split) for s in sets]),
    )


# -- selection frequency and reference models


def neighbour_votes(
    reference: Images, labels: NDArray[np.int64], images: Images, count: int, classes: int
) -> Scores:
    """(N, classes): share of the `count` nearest reference images that carry each label.

    Euclidean distance of 2 x 2 block sums, H and W even: whole numbers, exact in float64. Ties go
    to the reference image that comes first.
    """
    known = _block_sums(reference)
    lengths = (known * known).sum(1)
    place = np.arange(len(known)) / len(known)  # below 1: breaks ties, changes no order
    votes = np.empty((len(images), classes))
    for start in range(0, len(images), 500):
        x = _block_sums(images[start : start + 500])
        distance = lengths - 2 * (x @ known.T) + place
        nearest = labels[np.argpartition(distance, count - 1, axis=1)[:, :count]]
        for c in range(classes):
            votes[start : start + 500, c] = (nearest == c).mean(1)
    return votes


def _block_sums(images: Images) -> Scores:
    n, h, w = images.shape
    return images.reshape(n, h // 2, 2, w // 2, 2).sum((2, 4), dtype=np.float64).reshape(n, -1)


def pixels(images: Images) -> Scores:
    """Features (N, H W + 1) of a linear model: pixels in 0-1 and a constant."""
    flat = images.reshape(len(images), -1) / 255.0
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def fourier_features(images: Images, seed: int) -> Scores:
    """Random Fourier features (N, `FEATURES`) of a Gaussian kernel (Rahimi and Recht 2007)."""
    flat = images.reshape(len(images), -1) / 255.0
    rng = np.random.default_rng([seed, 32])
    frequencies = rng.normal(scale=np.sqrt(2 * GAMMA), size=(flat.shape[1], FEATURES))
    return np.cos(flat @ frequencies + rng.uniform(0, 2 * np.pi, FEATURES))


def ridge_scores(
    features: Scores, labels: NDArray[np.int64], queries: Scores, classes: int
) -> Scores:
    """(N, classes): ridge regression onto the one-hot labels, evaluated at the queries."""
    gram = features.T @ features + PENALTY * np.eye(features.shape[1])
    return queries @ np.linalg.solve(gram, features.T @ np.eye(classes)[labels])


def matched_draw(
    target: Scores, candidates: Scores, count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Rows of `candidates`, `count` of them, whose histogram over `BINS` is that of `target`.

    Shares are rounded by largest remainder; a bin with too few candidates gives what it has.
    """
    share = np.bincount(_bins(target), minlength=len(BINS) - 1) / len(target) * count
    wanted = np.floor(share).astype(int)
    wanted[np.argsort(wanted - share, kind="stable")[: count - wanted.sum()]] += 1
    bins = _bins(candidates)
    drawn = [rng.permutation(np.flatnonzero(bins == b))[:n] for b, n in enumerate(wanted)]
    return np.concatenate(drawn)


def _bins(frequency: Scores) -> NDArray[np.intp]:
    return np.clip(np.digitize(frequency, BINS) - 1, 0, len(BINS) - 2)


def natural_adversarial(scores: Sequence[Scores], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,): every model prefers another class, yet at least two hold the label in their top 3."""
    rows = np.arange(len(labels))
    ranks = np.stack([(s > s[rows, labels][:, None]).sum(1) for s in scores])
    wrong = np.stack([s.argmax(1) != labels for s in scores])
    return wrong.all(0) & ((ranks < 3).sum(0) >= 2)


# -- edges


def canny(images: Images, *, sigma: float = 0.75, low: float = 15.0, high: float = 30.0) -> Images:
    """Black strokes on white (N, H, W): the edge detector of Canny (1986).

    Gaussian gradient (`sigma` pixels), thinned to its ridges across the edge, kept where a step of
    `high` grey levels is met along a line that nowhere falls below a step of `low`. Grey values
    x become sqrt(255 x) before, or the outlines of dim garments would be lost. Edges are found at
    four times the resolution and drawn 1.25 pixels wide (more on a diagonal), as smooth strokes.
    """
    chunks = [_canny(images[i : i + 100], sigma, low, high) for i in range(0, len(images), 100)]
    return np.concatenate(chunks)


def _canny(images: Images, sigma: float, low: float, high: float) -> Images:
    from scipy import ndimage

    scale, frame = 4, 2  # garments touch the border: a dark frame lets their outline close there
    padded = np.pad(
        np.sqrt(255 * images.astype(np.float32)), ((0, 0), (frame, frame), (frame, frame))
    )
    fine = ndimage.zoom(padded, (1, scale, scale), order=1, grid_mode=True, mode="nearest")
    width = sigma * scale
    down, across = (
        ndimage.gaussian_filter(fine, (0, width, width), order=order)
        for order in ((0, 1, 0), (0, 0, 1))
    )
    # A step of height h has the gradient h / (width sqrt(2 pi)) after smoothing.
    slope = np.hypot(down, across) * (width * np.sqrt(2 * np.pi))

    # Thin: no neighbour across the edge, in the nearest of four directions, is steeper.
    sector = np.round(np.arctan2(down, across) / (np.pi / 4)).astype(int) % 4
    ridge = np.zeros(slope.shape, dtype=bool)
    for direction, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead, behind = (np.roll(slope, (s * dy, s * dx), axis=(1, 2)) for s in (-1, 1))
        ridge |= (sector == direction) & (slope >= ahead) & (slope > behind)

    # Hysteresis: connected weak lines that hold a strong point.
    plane = np.zeros((3, 3, 3), dtype=bool)
    plane[1] = True  # never from one image to the next
    lines, number = ndimage.label(ridge & (slope >= low), plane)
    strong = np.zeros(number + 1, dtype=bool)
    strong[lines[ridge & (slope >= high)]] = True
    strong[0] = False
    strokes = ndimage.binary_dilation(strong[lines], plane, iterations=2)

    n, h, w = padded.shape
    ink = strokes.reshape(n, h, scale, w, scale).mean((2, 4))[:, frame:-frame, frame:-frame]
    return (255 - np.round(255 * ink)).astype(np.uint8)
