"""The study behind the chapter *synthetic scaling*: parameters, runs, curves, ratios."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from dataworth.errors import UserError
from dataworth.images.captions import CLASS_WORDS
from dataworth.images.classifiers import MODELS, Budget, ClassifierSpec, Optimisation
from dataworth.images.curves import Curve, curve
from dataworth.images.fidelity import FidelitySpec
from dataworth.images.generators import WEIGHTS
from dataworth.images.parts import (
    SHARD,
    Part,
    RealPart,
    SyntheticPart,
    SyntheticPool,
    balanced_subset,
    weights_digest,
)
from dataworth.images.prompts import PROMPT_SETS
from dataworth.paths import home
from dataworth.runs import Result, Store, run_tasks

if TYPE_CHECKING:
    import pandas as pd

POOL = "classifier_pool"


def _field(default: Any, meaning: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=meaning, json_schema_extra={"unit": unit}, **limits)


Sizes = Annotated[tuple[int, ...], Field(min_length=4)]


class SyntheticScaling(BaseModel):
    """Parameters of the chapter."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    card: str = _field("fashion-mnist", "data set, by the id of its card")
    real_sizes: Sizes = _field(
        (100, 320, 1000, 3200, 10000), "training-set sizes of the real arm", "images"
    )
    synthetic_sizes: Sizes = _field(
        (100, 320, 1000, 3200, 10000), "training-set sizes of the synthetic arm", "images"
    )
    seeds: int = _field(2, "training runs per size and arm", "runs", ge=1)
    model: str = _field("vit-2x64", "classifier, by name")
    budget_rule: Literal["fixed_steps", "fixed_epochs"] = _field(
        "fixed_steps", "what is held equal between sizes"
    )
    budget: int = _field(700, "length of training", "steps or epochs, by the rule", ge=1)
    batch: int = _field(64, "images per training step", "images", ge=1)
    learning_rate: float = _field(3e-3, "peak learning rate", gt=0)
    shift: int = _field(0, "largest random shift of a training image", "pixels", ge=0, le=8)
    flip: bool = _field(False, "mirror half of the training images")
    generator: str = _field("pixel-diffusion", "text-to-image model, by name")
    retrain: bool = _field(False, "train the generator here instead of loading the shipped weights")
    prompt_set: str = _field("photo", "how a class becomes a prompt")
    guidance: float = _field(
        1.5, "classifier-free guidance scale, diffusers' convention", "1 = none", ge=0
    )
    solver_steps: int = _field(8, "DPM-Solver++ steps per image", "steps", ge=1)
    curve_steps: tuple[Annotated[int, Field(ge=1)], ...] = _field(
        (2, 4, 8, 16), "step counts of the quality curve", "steps", min_length=1
    )
    curve_images: int = _field(256, "images per point of the quality curve", "images", ge=32)
    resamples: int = _field(1000, "bootstrap draws", "draws", ge=100)
    seed: int = _field(0, "base seed of pools, subsets, training and bootstrap", ge=0)

    @field_validator("real_sizes", "synthetic_sizes")
    @classmethod
    def _distinct(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if any(size < 10 for size in sizes) or len(set(sizes)) < len(sizes):
            raise ValueError("must be distinct sizes of at least 10 images")
        return tuple(sorted(sizes))

    @field_validator("model", "generator", "prompt_set")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        allowed = {
            "model": tuple(MODELS),
            "generator": tuple(GENERATORS),
            "prompt_set": tuple(PROMPT_SETS),
        }[str(info.field_name)]
        if name not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return name

    @classmethod
    def from_names(cls, names: Mapping[str, Any]) -> SyntheticScaling:
        """Read the parameters from a notebook's names (`globals()`)."""
        return cls(**{field: names[field] for field in cls.model_fields})

    def sizes(self, arm: str) -> tuple[int, ...]:
        return self.real_sizes if arm == "real" else self.synthetic_sizes

    @classmethod
    def preflight(cls, params: SyntheticScaling) -> None:
        """Refuse what cannot run: no data, a pool too small, no generator, no disk."""
        from dataworth.data import load_images

        labels = load_images(params.card, POOL).labels
        available = int(np.unique(labels, return_counts=True)[1].min() * len(np.unique(labels)))
        if max(params.real_sizes) > available:
            raise UserError(
                f"real_sizes holds {max(params.real_sizes)}, but the {POOL} of {params.card} has "
                f"{available} class-balanced images; use sizes up to {available}."
            )
        shipped = GENERATORS[params.generator] is None and not params.retrain
        if shipped and not (WEIGHTS / params.generator / "model.safetensors").is_file():
            raise UserError(
                f"generator {params.generator!r} has no shipped weights; set retrain to true."
            )
        home().mkdir(parents=True, exist_ok=True)
        runs = (len(params.real_sizes) + len(params.synthetic_sizes)) * params.seeds
        needed = (200 + 3 * runs) * 2**20
        if (free := shutil.disk_usage(home()).free) < needed:
            raise UserError(
                f"{home()} has {free >> 20} MiB free, but the chapter stores up to "
                f"{needed >> 20} MiB; free some space or set DATAWORTH_HOME."
            )

    def cost(self) -> list[dict[str, object]]:
        """What a run needs: images, operations, GPU hours, disk. Computed, nothing is started.

        Operations are counted on shapes alone (torch's meta device); a training step costs three
        forward passes; GPU hours assume 40 % of 312 TFLOP/s (an A100 in bfloat16).
        """
        from dataworth.images.cost import generation_flops, gpu_hours, training_flops

        drawn = max(self.synthetic_sizes)
        side, channels, draw = generation_flops(self.generator, self.solver_steps)
        rows: list[dict[str, object]] = [
            {
                "step": f"draw {drawn:,} images ({self.generator}, {self.solver_steps} steps)",
                "PFLOP": float(f"{drawn * draw / 1e15:.3g}"),
                "GPU hours": gpu_hours(drawn * draw),
                "disk GB": float(f"{drawn * side * side * channels / 1e9:.3g}"),
            }
        ]
        budget = Budget(rule=self.budget_rule, amount=self.budget, batch=self.batch)
        for arm in ("real", "synthetic"):
            runs = self.seeds * len(self.sizes(arm))
            samples = self.seeds * sum(budget.steps(n) * self.batch for n in self.sizes(arm))
            flops = samples * training_flops(self.model)
            rows.append(
                {
                    "step": f"train {runs} {self.model} on {arm} images",
                    "PFLOP": float(f"{flops / 1e15:.3g}"),
                    "GPU hours": gpu_hours(flops),
                    "disk GB": 0.0,
                }
            )
        return rows


GENERATORS: dict[str, str | None] = {
    "pixel-diffusion": None,
    "stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
}


@dataclass(frozen=True)
class Study:
    """Finished runs: classifiers as `runs[arm][size][seed]`, fidelity and shards by step count."""

    params: SyntheticScaling
    pool: SyntheticPool
    runs: dict[str, list[list[Result]]]
    fidelity: dict[int, Result]
    shards: dict[int, list[Result]]

    def curve(self, arm: str, *, split: str = "test", metric: str = "loss") -> Curve:
        """The scaling curve of "real" or "synthetic" (see `curves.curve`)."""
        p = self.params
        return curve(
            self.runs[arm],
            p.sizes(arm),
            split=split,
            metric=metric,
            resamples=p.resamples,
            seed=p.seed,
        )

    def summary(self) -> pd.DataFrame:
        """What was run: tasks, examples, core minutes, by kind."""
        import pandas as pd

        rows = {
            "synthetic images": [r for rows in self.shards.values() for r in rows],
            **{
                f"classifiers on {arm} images": [r for row in rows for r in row]
                for arm, rows in self.runs.items()
            },
        }
        return pd.DataFrame(
            {
                "runs": {kind: len(found) for kind, found in rows.items()},
                "core minutes": {
                    kind: round(sum(r.provenance["wall_seconds"] for r in found) / 60, 2)
                    for kind, found in rows.items()
                },
            }
        )

    def gallery(self, count: int) -> dict[str, NDArray[np.uint8]]:
        """For each class name, its first `count` real images, then its first `count` synthetic."""
        from dataworth.data import load_images

        real = load_images(self.params.card, POOL)
        largest = max(self.params.synthetic_sizes)
        first = np.concatenate([r.arrays["images"] for r in self.shards[self.pool.steps][:4]])
        labels = np.arange(min(largest, len(first))) % len(self.pool.names)
        return {
            name: np.concatenate(
                [
                    real.images[np.flatnonzero(real.labels == c)[:count]],
                    first[np.flatnonzero(labels == c)[:count]],
                ]
            )
            for c, name in enumerate(real.classes)
        }

    def quality(self) -> pd.DataFrame:
        """Columns steps, recognizability, half_width (95 %, binomial), frechet, images_per_second
        (one core or device, with guidance; median over tasks)."""
        import pandas as pd

        rows = []
        for steps, result in self.fidelity.items():
            p = result.metrics["recognizability"]
            seconds = [r.provenance["wall_seconds"] for r in self.shards[steps]]
            rows.append(
                {
                    "steps": steps,
                    "recognizability": p,
                    "half_width": 1.96 * np.sqrt(p * (1 - p) / self.params.curve_images),
                    "frechet": result.metrics["frechet"],
                    "images_per_second": SHARD / np.median(seconds),
                }
            )
        return pd.DataFrame(rows)

    def accuracy(self, split: str = "test") -> pd.DataFrame:
        """Top-1 in percent by size and arm: mean over seeds and 95 % interval."""
        import pandas as pd

        columns = {}
        for arm in self.runs:
            c = self.curve(arm, split=split, metric="error")
            low, high = c.interval()
            columns[f"{arm}, top-1 %"] = {
                int(n): f"{100 * (1 - e):.1f} [{100 * (1 - h):.1f}, {100 * (1 - lo):.1f}]"
                for n, e, lo, h in zip(c.sizes, c.means, low, high, strict=True)
            }
        table = pd.DataFrame(columns).sort_index().fillna("")
        return table.rename_axis("training images")

    def provenance(self) -> dict[str, object]:
        """What the ledger records about these runs."""
        results = [r for rows in self.runs.values() for row in rows for r in row]
        shards = [r for rows in self.shards.values() for r in rows]
        sample = results[0].provenance
        minutes = sum(r.provenance["wall_seconds"] for r in results + shards) / 60
        return {
            "runs": f"{len(results)} classifiers, {len(shards)} generation tasks",
            "compute": f"{minutes:.1f} core minutes",
            "device": sample["device"],
            "torch": sample["torch"],
            "sampling precision": sample["inference_dtype"],
            "generator weights": f"sha256 {self.pool.weights[:16]}",
            "seeds": ", ".join(str(self.params.seed + s) for s in range(self.params.seeds)),
            "run keys": f"{results[0].spec.key[:12]} … {results[-1].spec.key[:12]}",
        }


def run(params: SyntheticScaling, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    SyntheticScaling.preflight(params)
    store = store or Store()
    pool = SyntheticPool(
        weights=generator_reference(params),
        prompt_set=params.prompt_set,
        guidance=params.guidance,
        steps=params.solver_steps,
        seed=params.seed,
        names=class_names(params.card),
    )
    pools = {n: pool.model_copy(update={"steps": n}) for n in params.curve_steps}
    sizes = dict.fromkeys(pools, params.curve_images)
    pools[params.solver_steps], sizes[params.solver_steps] = (
        pool,
        max(params.curve_images, pool_size(params, pool)),
    )
    # Most steps first: the longest tasks do not end alone.
    specs = {n: pools[n].shards(sizes[n]) for n in sorted(pools, reverse=True)}
    flat = [spec for shards in specs.values() for spec in shards]
    done = iter(run_tasks(flat, store=store, label="synthetic images"))
    shards = {n: [next(done) for _ in specs[n]] for n in specs}

    grid = {
        arm: [
            [_spec(params, arm, pool, n, s) for s in range(params.seeds)] for n in params.sizes(arm)
        ]
        for arm in ("real", "synthetic")
    }
    results = iter(
        run_tasks(
            [spec for rows in grid.values() for row in rows for spec in row],
            store=store,
            label="classifiers",
        )
    )
    runs = {arm: [[next(results) for _ in row] for row in rows] for arm, rows in grid.items()}
    judged = [
        FidelitySpec(pool=pools[n], size=params.curve_images, reference=grid["real"][-1][0])
        for n in sorted(params.curve_steps)
    ]
    fidelity = run_tasks(judged, store=store, workers=1, label="fidelity")
    return Study(
        params, pool, runs, dict(zip(sorted(params.curve_steps), fidelity, strict=True)), shards
    )


def pool_size(params: SyntheticScaling, pool: SyntheticPool) -> int:
    """Synthetic images that the largest subset is drawn from: whole rounds of the classes."""
    classes = len(pool.names)
    return -(-max(params.synthetic_sizes) // classes) * classes


def subset(params: SyntheticScaling, arm: str, pool: SyntheticPool, size: int, seed: int) -> Part:
    """The training set of one run: class-balanced, nested in size, drawn anew for each seed."""
    from dataworth.data import load_images

    if arm == "real":
        whole = load_images(params.card, POOL)
        rows = balanced_subset(np.asarray(whole.labels), size, params.seed + seed)
        return RealPart(card=params.card, split=POOL, ids=tuple(whole.ids[rows].tolist()))
    labels: NDArray[np.int64] = np.arange(pool_size(params, pool)) % len(pool.names)
    rows = balanced_subset(labels, size, params.seed + seed)
    return SyntheticPart(pool=pool, ids=tuple(rows.tolist()))


def _spec(
    params: SyntheticScaling, arm: str, pool: SyntheticPool, size: int, seed: int
) -> ClassifierSpec:
    from dataworth.data import card

    return ClassifierSpec(
        parts=(subset(params, arm, pool, size, seed),),
        model=MODELS[params.model],
        budget=Budget(rule=params.budget_rule, amount=params.budget, batch=params.batch),
        optimisation=Optimisation(
            learning_rate=params.learning_rate, shift=params.shift, flip=params.flip
        ),
        card=params.card,
        card_key=card(params.card).key,
        seed=params.seed + seed,
        keep_weights=arm == "real" and size == max(params.real_sizes) and seed == 0,
    )


def generator_reference(params: SyntheticScaling) -> str:
    """What a pool names its generator by: hub id, or digest of weights shipped or trained here."""
    if hub := GENERATORS[params.generator]:
        return f"hub:{hub}"
    if not params.retrain:
        return weights_digest(WEIGHTS / params.generator)
    from dataworth.images.train_generator import retrained

    return weights_digest(retrained(params.card))


def class_names(card_id: str) -> tuple[str, ...]:
    """The words that stand for the classes in prompts."""
    from dataworth.data import card

    if card_id == "fashion-mnist":
        return tuple(words[0] for words in CLASS_WORDS)
    return tuple(card(card_id).classes)
