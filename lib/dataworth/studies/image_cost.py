"""What a study would need, resolved and counted offline: no weights, no data, nothing started.

Operations are counted on shapes alone (torch's meta device). Guided sampling takes two forward
passes a step, training three a sample; encoding the prompt is left out (one pass for each image).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dataworth.errors import UserError
from dataworth.runs.report import gpu_hours
from dataworth.studies.base import missing_rows
from dataworth.studies.networks import classifier_network, generator_network


@dataclass(frozen=True)
class Drawing:
    """Images to draw, over all seeds."""

    generator: str
    prompt_set: str
    images: int
    steps: int


@dataclass(frozen=True)
class Training:
    """Classifiers to train: how many, on what (in words), and on how many samples in all."""

    kind: str
    model: str
    runs: int
    samples: int


def dry_run(
    card: str,
    drawings: Sequence[Drawing] = (),
    trainings: Sequence[Training] = (),
    *,
    evaluations: Iterable[str] = (),
    generators: Iterable[str] = (),
    prompt_sets: Iterable[str] = (),
    models: Iterable[str] = (),
    real: int = 0,
) -> list[dict[str, object]]:
    """Every name, shape and parameter count of a study, then what it would take, and the total.

    Rows have `step`, and as far as they apply `resolved`, `parameters`, `PFLOP`, `GPU hours` (one
    A100, `runs.report.gpu_hours`) and `disk GB` (images as arrays). `generators`, `prompt_sets`
    and `models` are resolved beside those of `drawings` and `trainings`; `real` is the largest real
    training set.

    Raises UserError, one sentence, for a name that does not exist or more images than there are.
    """
    from dataworth.data.large import large_cards

    rows = _data_rows(card, evaluations, real)
    words = dict.fromkeys((*prompt_sets, *(d.prompt_set for d in drawings)))
    rows += [_prompt_row(name, card) for name in words]
    for name in dict.fromkeys((*generators, *(d.generator for d in drawings))):
        network = generator_network(name)
        parts = ", ".join(f"{part} {count:,}" for part, count in network.parts.items())
        note = "".join(f"; {part} not counted" for part in network.uncounted)
        shape = f"{network.side} x {network.side} x {network.channels}"
        rows.append(
            {
                "step": f"generator {name}",
                "resolved": f"{network.source}; {parts}; images {shape}{note}",
                "parameters": f"{network.parameters:,}",
            }
        )
    side = large_cards()[card].side if card in large_cards() else None
    for name in dict.fromkeys((*models, *(t.model for t in trainings))):
        network = classifier_network(name, side)
        shape = f"{network.side} x {network.side} x {network.channels}"
        rows.append(
            {
                "step": f"classifier {name}",
                "resolved": f"{network.source}, images {shape}",
                "parameters": f"{network.parameters:,}",
            }
        )
    spent = [_drawing_row(d, side) for d in drawings] + [_training_row(t, side) for t in trainings]
    numbers = ("PFLOP", "GPU hours", "disk GB")
    whole = [row for row in (*rows, *spent) if any(name in row for name in numbers)]
    total = {n: float(f"{sum(float(str(r.get(n, 0))) for r in whole):.3g}") for n in numbers}
    named = [d.generator for d in drawings]
    missing = _missing_rows(card, [*generators, *named], words, total["disk GB"])
    return [*rows, *spent, *missing, {"step": "total", **total}]


def _missing_rows(
    card: str, generators: Sequence[str], words: Iterable[str], disk: float
) -> list[dict[str, object]]:
    """What is not here of what a run would take: repositories, disk (GB), a GPU."""
    from dataworth.data.large import large_card, large_cards
    from dataworth.images.generators.named import GENERATORS
    from dataworth.images.prompts import split_name

    sources = large_card(card).sources.values() if card in large_cards() else ()
    repos = [large_card(place.card).repo for place in sources]
    repos += [hub for name in generators if (hub := GENERATORS[name].hub)]
    repos += [model for name in words if (model := split_name(name)[1])]
    return missing_rows(repos, disk, gpu=any(GENERATORS[name].hub for name in generators))


def _drawing_row(drawing: Drawing, stored: int | None) -> dict[str, object]:
    """stored: side of the colour images that are kept; None: as the generator draws them."""
    side, channels, draw = generation_flops(drawing.generator, drawing.steps)
    if stored:
        side, channels = stored, 3
    return {
        "step": f"draw {drawing.images:,} images ({drawing.generator}, {drawing.prompt_set}, "
        f"{drawing.steps} steps)",
        "PFLOP": float(f"{drawing.images * draw / 1e15:.3g}"),
        "GPU hours": gpu_hours(drawing.images * draw),
        "disk GB": float(f"{drawing.images * side * side * channels / 1e9:.3g}"),
    }


def _training_row(training: Training, side: int | None) -> dict[str, object]:
    flops = training.samples * training_flops(training.model, side)
    return {
        "step": f"train {training.runs:,} classifiers on {training.kind} images "
        f"({training.model}, {training.samples:,} samples)",
        "PFLOP": float(f"{flops / 1e15:.3g}"),
        "GPU hours": gpu_hours(flops),
        "disk GB": 0.0,
    }


def _data_rows(card: str, evaluations: Iterable[str], real: int) -> list[dict[str, object]]:
    """The training set and every evaluation set, with their sources and sizes."""
    from dataworth.data import card as find
    from dataworth.data import cards
    from dataworth.data.large import large_card, large_cards

    if card not in large_cards():
        if card not in {c.id for c in cards()}:
            known = ", ".join((*(c.id for c in cards()), *large_cards()))
            raise UserError(f"card is {card!r}; it must be one of {known}.")
        small = find(card)
        sizes = ", ".join(f"{name} {count:,}" for name, count in small.source_splits.items())
        row = {
            "step": f"data {card}",
            "resolved": f"{len(small.classes)} classes; {sizes}; evaluated on "
            f"{', '.join(evaluations) or 'test'}",
            "disk GB": float(f"{small.decoded_size / 1e9:.3g}"),
        }
        return [row]
    large = large_card(card)
    if real > large.splits["train"]:
        raise UserError(
            f"a real training set of {real:,} images was asked for, but {card} has "
            f"{large.splits['train']:,}."
        )
    rows = []
    for name, place in {"training": None, **large.evaluations}.items():
        found = large_card(place.card) if place else large
        split = place.split if place else "train"
        own = found is large and name not in ("training", "test")
        doubt = "".join(f"; {item} not verified" for item in found.unverified)
        size = found.splits[split]
        rows.append(
            {
                "step": f"data {found.id}, {name}",
                "resolved": f"hub {found.repo}@{found.revision[:12]}, split {split}: "
                + ("held out of it" if own else f"{size:,} images")
                + f", {found.class_count:,} classes{doubt} ({found.note})",
                "disk GB": 0.0 if own else float(f"{size * large.side**2 * 3 / 1e9:.3g}"),
            }
        )
    return rows


def _prompt_row(prompt_set: str, card: str) -> dict[str, object]:
    """How many classes a prompt set serves, and its first prompt if no model or image is needed."""
    from dataworth.data.large import large_cards
    from dataworth.images.prompts import LEAKS_REAL_DATA, prompt, split_name
    from dataworth.images.prompts.vocabulary import names_of

    base, model = split_name(prompt_set)
    try:
        names = names_of(card)
    except UserError:  # of a large set that is not here
        count = large_cards()[card].class_count
        return {"step": f"prompts {prompt_set}", "resolved": f"{count:,} class names, of the data"}
    if model or base in LEAKS_REAL_DATA:
        example = f"written by {model}" if model else "written from real images"
    else:
        example = f"first: {prompt(prompt_set, names[0], 0, card)!r}"
    return {"step": f"prompts {prompt_set}", "resolved": f"{len(names):,} class names; {example}"}


def training_flops(model: str, side: int | None = None) -> float:
    """Operations to train a named classifier on one sample: three forward passes."""
    return 3.0 * classifier_network(model, side).forward


def generation_flops(generator: str, steps: int) -> tuple[int, int, float]:
    """(side in pixels, channels, operations for one image, guided unless it is distilled)."""
    from dataworth.images.generators.named import GENERATORS

    network = generator_network(generator)
    passes = 1 if GENERATORS[generator].distilled else 2
    return network.side, network.channels, passes * steps * network.forward + network.decode
