"""The study behind the chapter *CLIP scaling*: contrastive training on captioned images, real,
synthetic and both, beside the classifiers of *synthetic scaling*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator

from dataworth.errors import UserError
from dataworth.images.captions import attributes
from dataworth.images.classifiers import Budget, ImageOptimisation
from dataworth.images.clip import (
    TOWERS,
    ClipSpec,
    RecognisedSpec,
    linear_probe,
    real_captions,
    texts,
    tower_flops,
)
from dataworth.images.parts import RealPart, SyntheticPart
from dataworth.images.prompts import split_name
from dataworth.parameters import field
from dataworth.runs import Result, Store, run_tasks
from dataworth.stats import Estimate, estimate
from dataworth.studies import base
from dataworth.studies.curves import Curve, curves
from dataworth.studies.images import Runs, check_sizes, run_classifiers, sample
from dataworth.studies.reanalysis import Reanalysis

if TYPE_CHECKING:
    import pandas as pd

ARMS = ("real", "synthetic", "real + synthetic")
ATTRIBUTES = frozenset(
    ("dark", "bright", "plain", "patterned", "slim", "wide", "heeled", "flat", "high")
) | {"long-sleeved", "short-sleeved"}  # those that `captions.attributes` gives
Sizes = Annotated[tuple[int, ...], Field(min_length=3)]
LAION = "laion/laion400m"  # hub id of the pairs of open_clip's `laion400m` weights


class ClipScaling(Reanalysis):
    """Parameters of the chapter."""

    sizes: Sizes = field("pairs of image and caption, per arm", "pairs")
    captions: str = field("prompt set of the synthetic pairs")
    clip_guidance: float = field(
        "guidance scale of the captioned images (Fan et al.)", "1 = none", ge=0, le=1000
    )
    towers: str = field("image and text tower, by name")
    templates: Literal["photo", "clip-7", "clip-80"] = field("zero-shot templates")
    clip_budget: int = field("length of training", "steps or epochs, by the rule", ge=1, le=10**8)
    clip_batch: int = field("pairs per training step", "pairs", ge=2, le=10**6)
    clip_learning_rate: float = field("peak learning rate of the towers", gt=0, le=10)
    group_sizes: tuple[int, ...] = field(
        "training-set sizes of the multi-positive arm", "images", min_length=1
    )
    images_per_caption: int = field(
        "synthetic images of one caption in the multi-positive arm", "images", ge=2, le=10_000
    )
    probe_images: int = field(
        "labelled real images behind the linear probe", "images", ge=20, le=10**9
    )
    retrieval_images: int = field(
        "captioned images among which to search", "images", ge=10, le=10**9
    )

    @field_validator("sizes", "group_sizes")
    @classmethod
    def _sorted(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return check_sizes(sizes)

    @field_validator("towers", "captions")
    @classmethod
    def _of(cls, name: str, info: ValidationInfo) -> str:
        if info.field_name == "captions":
            try:
                split_name(name)
            except UserError as error:
                raise ValueError(str(error)) from error
        elif name not in TOWERS:
            raise ValueError(f"must be one of {', '.join(TOWERS)}")
        return name

    @model_validator(mode="after")
    def _comparable(self) -> ClipScaling:
        if lacking := set(self.group_sizes) - set(self.sizes):
            raise ValueError(
                f"group_sizes holds {min(lacking)}, which sizes lacks; every arm is compared with "
                "the others at the same sizes"
            )
        if ragged := [n for n in self.group_sizes if n % self.images_per_caption]:
            raise ValueError(
                f"group_sizes holds {ragged[0]}, which is no multiple of images_per_caption"
            )
        return self

    def parts(self, arm: str, size: int, seed: int) -> tuple[RealPart | SyntheticPart, ...]:
        """The pairs of one run; `real + synthetic` has `size` of each."""
        pool = self.pool(prompt_set=self.captions, guidance=self.clip_guidance)
        drawn = self.synthetic(pool, size, seed)
        if arm == "synthetic":
            return (drawn,)
        real = self.real(size, seed)
        return (real,) if arm == "real" else (real, drawn)

    def groups(self, size: int, seed: int) -> SyntheticPart:
        """`size` synthetic images, `images_per_caption` of each of the captions of as many real
        images: a pool whose *names* are the captions."""
        count = max(self.group_sizes) // self.images_per_caption
        source = self.real(count, seed)
        images, labels = source.load(Store())
        words = tuple(real_captions(images, labels, source.ids))
        pool = self.pool(prompt_set="classnames", names=words, guidance=self.clip_guidance)
        first = seed * pool.block
        ids = [
            first + copy * count + c
            for c in range(size // self.images_per_caption)
            for copy in range(self.images_per_caption)
        ]
        return SyntheticPart(pool=pool, ids=tuple(sorted(ids)))

    def clip(self, *parts: RealPart | SyntheticPart, seed: int, **changes: Any) -> ClipSpec:
        """Training run `seed` of the towers on the union of `parts`."""

        return ClipSpec(
            parts=parts,
            towers=TOWERS[self.towers],
            budget=self.clip_samples(),
            optimisation=ImageOptimisation(
                learning_rate=self.clip_learning_rate, shift=self.shift, flip=self.flip
            ),
            card=self.card,
            templates=self.templates,
            probe=self.real(self.probe_images, 0),
            retrieval=self.retrieval_images,
            seed=self.seed + seed,
            **changes,
        )

    def clip_samples(self) -> Budget:
        """How long towers train."""
        return Budget(amount=self.clip_budget, batch=self.clip_batch)

    def specs(self) -> dict[str, list[list[ClipSpec]]]:
        """The towers' training runs, as [arm][size][seed]."""
        seeds = range(self.seeds)
        grid = {
            arm: [[self.clip(*self.parts(arm, n, s), seed=s) for s in seeds] for n in self.sizes]
            for arm in ARMS
        }
        grid["multi-positive"] = [
            [self.clip(self.groups(n, s), seed=s, objective="multi-positive") for s in seeds]
            for n in self.group_sizes
        ]
        return grid

    def preflight(self) -> None:
        """Raises UserError before anything runs: no captions, no data, a pool too small,
        no generator, no disk."""
        if self.card != "fashion-mnist":
            raise UserError(
                f"card is {self.card!r}; captions are written for 'fashion-mnist' only, other "
                "cards can be checked and costed."
            )
        for arm in ("real_sizes", "synthetic_sizes"):
            if lacking := set(self.sizes) - set(getattr(self, arm)):
                raise UserError(
                    f"sizes holds {min(lacking)}, which {arm} lacks; towers are compared with "
                    "classifiers at the same sizes."
                )
        sizes = (*self.real_sizes, self.probe_images)
        runs = self.seeds * (len(self.real_sizes) + len(self.synthetic_sizes))
        runs += self.seeds * (3 * len(self.sizes) + len(self.group_sizes) + 3)
        self.check(real=max(sizes), runs=runs)

    def cost(self) -> list[dict[str, object]]:
        """What a run needs, every name resolved offline; nothing is started (see
        `cost.dry_run`). Real pairs of towers known to open_clip by name are LAION-400M's."""
        from dataworth.runs.report import gpu_hours
        from dataworth.studies.image_cost import Drawing, dry_run

        drawn = self.seeds * (max(self.sizes) + max(self.group_sizes))
        *rows, total = dry_run(
            self.card,
            [Drawing(self.generator, self.captions, drawn, self.solver_steps)],
            models=(self.model,),
        )
        name = TOWERS[self.towers].name
        forward, parameters = tower_flops(self.towers)
        pairs = [n for n in self.sizes for _ in ARMS] + list(self.group_sizes)
        samples = self.seeds * self.clip_batch * sum(self.clip_samples().steps(n) for n in pairs)
        rows += [
            {
                "step": f"towers {self.towers}",
                "resolved": f"open_clip {name}" if name else "open_clip, own configuration",
                "parameters": f"{parameters:,}",
            },
            {
                "step": f"train {self.seeds * len(pairs)} towers "
                f"(pairs of {LAION if name else self.card}, up to {max(self.sizes):,})",
                "PFLOP": float(f"{3 * samples * forward / 1e15:.3g}"),
                "GPU hours": gpu_hours(3 * samples * forward),
            },
        ]
        for unit in ("PFLOP", "GPU hours"):
            whole = float(str(total[unit])) + float(str(rows[-1][unit]))
            total[unit] = float(f"{whole:.3g}")
        return [*rows, total]


@dataclass(frozen=True, eq=False)
class Study(base.Study):
    """Finished runs. `runs[arm][size][seed]` of the towers, `classifiers` those of *synthetic
    scaling*; at the largest size, `judged[seed]` says which synthetic images are recognised, and
    `diagnosis` holds `classifier` and `classifier, filtered`, `clip` and `clip, filtered`."""

    params: ClipScaling
    runs: Runs
    classifiers: Runs
    judged: list[Result]
    diagnosis: Runs
    store: Store

    def curve(self, arm: str, *, split: str = "test", metric: str = "loss") -> Curve:
        """A towers' scaling curve: `test` is zero-shot, `probe` the linear probe."""
        return self._towers(split, metric)[arm]

    def classifier(self, arm: str) -> Curve:
        """The classifiers' curve at the towers' sizes."""
        return self._classifiers[arm].at(self.params.sizes)

    @cached_property
    def _classifiers(self) -> dict[str, Curve]:
        p = self.params
        sizes = {"real": p.real_sizes, "synthetic": p.synthetic_sizes}
        return curves(self.classifiers, sizes, resamples=p.resamples, seed=p.seed)

    @cache  # noqa: B019 - a study lives as long as its page
    def _towers(self, split: str, metric: str) -> dict[str, Curve]:
        """All towers, with those on filtered images: runs of one seed and size start from the same
        weights, and seeds differ more than arms; each size is a block."""
        p = self.params
        others = {"multi-positive": p.group_sizes, "filtered": (max(p.sizes),)}
        runs = {
            arm: rows
            for arm, rows in {**self.runs, "filtered": self.diagnosis["clip, filtered"]}.items()
            if f"logits_{split}" in rows[0][0].arrays  # multi-positive towers read no captions
        }
        sizes = {arm: others.get(arm, p.sizes) for arm in runs}
        return curves(
            runs,
            sizes,
            blocks=sizes,
            split=split,
            metric=metric,
            resamples=p.resamples,
            seed=p.seed,
        )

    def mixing(self) -> dict[int, Estimate]:
        """Zero-shot loss of as many synthetic beside the real pairs over that of the real pairs
        alone, by size."""
        both, real = self.curve("real + synthetic"), self.curve("real")
        return {n: both.one(i).over(real.one(i)) for i, n in enumerate(self.params.sizes)}

    def filtering(self) -> dict[str, Estimate]:
        """Loss after dropping the images that the reference does not recognise, over the loss
        before: of `classifier` and `clip`, and `ratio` of the two."""
        p, towers = self.params, self._towers("test", "loss")
        names = ("classifier", "classifier, filtered")
        pair = curves(
            {name: self.diagnosis[name] for name in names},
            dict.fromkeys(names, (max(p.sizes),)),
            resamples=p.resamples,
            seed=p.seed,
        )
        found = {name: c.one(0) for name, c in pair.items()}
        found |= {
            "clip": towers["synthetic"].one(-1),
            "clip, filtered": towers["filtered"].one(0),
        }
        ratios = {n: found[f"{n}, filtered"].over(found[n]) for n in ("classifier", "clip")}
        return ratios | {"ratio": ratios["classifier"].over(ratios["clip"])}

    def recognised(self) -> Estimate:
        """Fraction of the synthetic images that the reference recognises."""
        shown = np.concatenate([r.arrays["recognised"] for r in self.judged])
        return self._share(shown.astype(float), np.ones(len(shown)))

    def agreement(self) -> pd.DataFrame:
        """Do images keep what their caption says apart from the class? By recognised or not: the
        share of the captions' attribute words that hold in the image (95 % interval over images),
        and the share that would hold by chance, with captions permuted within class.
        Columns images, words, share, low, high, chance."""
        import pandas as pd

        said, kept, chance, shown = [], [], [], []
        for s, result in enumerate(self.judged):
            part = result.spec.part  # type: ignore[attr-defined]
            images, labels = part.load(self.store)
            holds = [set(words) for words in attributes(images, labels)]
            stated = [ATTRIBUTES & set(text.split()) for text in texts(part, self.store)]
            dealt = _deal(labels, np.random.default_rng([self.params.seed, 23, s]))
            said += [len(words) for words in stated]
            kept += [len(words & h) for words, h in zip(stated, holds, strict=True)]
            # The same words held against another image of the class.
            chance += [len(words & holds[j]) for words, j in zip(stated, dealt, strict=True)]
            shown += result.arrays["recognised"].tolist()
        count, true, luck = (np.array(x, dtype=float) for x in (said, kept, chance))
        recognised = np.array(shown, dtype=bool)
        rows = {}
        for name, rows_of in {"recognised": recognised, "not recognised": ~recognised}.items():
            found = self._share(true[rows_of], count[rows_of])
            rows[name] = {
                "images": int(rows_of.sum()),
                "words": int(count[rows_of].sum()),
                "share": found.value,
                "low": found.low,
                "high": found.high,
                "chance": _ratio(luck[rows_of].sum(), count[rows_of].sum()),
            }
        table = pd.DataFrame(rows).T.astype({"images": int, "words": int})
        return table.rename_axis("by the reference")

    def _share(self, part: NDArray[np.float64], whole: NDArray[np.float64]) -> Estimate:
        """sum(part) / sum(whole), with an interval from resampling images."""
        p = self.params
        if not len(part):
            return estimate(np.nan, np.full(p.resamples, np.nan))
        rng = np.random.default_rng([p.seed, 24])
        rows = rng.integers(len(part), size=(p.resamples, len(part)))
        with np.errstate(invalid="ignore"):
            draws = part[rows].sum(1) / whole[rows].sum(1)
        return estimate(_ratio(part.sum(), whole.sum()), draws)

    def scores(self) -> pd.DataFrame:
        """By arm and size, percent, mean over seeds: zero-shot top-1, recall at 1 and 5 in both
        directions, linear-probe top-1."""
        import pandas as pd

        columns = {
            "zero-shot top-1": "top1_test",
            "image → text R@1": "recall1_image_to_text",
            "image → text R@5": "recall5_image_to_text",
            "text → image R@1": "recall1_text_to_image",
            "text → image R@5": "recall5_text_to_image",
            "linear probe top-1": "top1_probe",
        }
        rows = {
            (arm, size): {
                title: 100 * np.mean([r.metrics.get(name, np.nan) for r in row])
                for title, name in columns.items()
            }
            for arm, of_arm in self.runs.items()
            for size, row in zip(
                self.params.group_sizes if arm == "multi-positive" else self.params.sizes,
                of_arm,
                strict=True,
            )
        }
        return pd.DataFrame(rows).T.round(1).rename_axis(["arm", "pairs"])

    def pixel_probe(self) -> float:
        """Test top-1 of the towers' linear probe on raw pixels: what features have to beat."""
        from dataworth.data import load_images

        known, classes = self.params.real(self.params.probe_images, 0).load(self.store)
        test = load_images(self.params.card, "test")
        flat = [
            images.reshape(len(images), -1).astype(np.float32) for images in (known, test.images)
        ]
        scores = linear_probe(flat[0], classes, flat[1])
        return float((scores.argmax(1) == test.labels).mean())

    def gallery(self, count: int) -> dict[str, NDArray[np.uint8]]:
        """Images of the multi-positive arm by caption, for its first `count` captions at most."""
        part = self.params.groups(max(self.params.group_sizes), 0)
        images, captions = part.load(self.store)
        words = part.pool.names[:count]
        return {text: images[captions == c] for c, text in enumerate(words)}

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        diagnosis = self.diagnosis
        return {f"towers, {arm}": rows for arm, rows in self.runs.items()} | {
            "towers, filtered": diagnosis["clip, filtered"],
            "classifiers, of synthetic scaling": self.classifiers,
            "classifiers, of the filter": [
                diagnosis["classifier"],
                diagnosis["classifier, filtered"],
            ],
            "recognised": self.judged,
        }

    def summary(self) -> pd.DataFrame:
        """What was run, and the processor time of a towers' step (milliseconds, median)."""
        table = super().summary()
        steps = {
            kind: np.median([r.metrics["ms_per_step"] for r in base.leaves(grid)])
            for kind, grid in self.kinds().items()
            if kind.startswith("towers")
        }
        table["ms per step"] = [f"{steps[k]:.0f}" if k in steps else "" for k in table.index]
        return table


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _deal(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """For each row another row of the same label, a permutation within the label."""
    dealt = np.arange(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        shuffled = rng.permutation(rows)
        dealt[shuffled] = np.roll(shuffled, 1)
    return dealt


def run(params: ClipScaling, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    params.preflight()
    store = store or Store()
    _, stored = params.stored(["real", "synthetic"])
    classifiers = run_classifiers(stored, store)
    grid = params.specs()
    runs = _towers(grid, store, "towers")

    size, seeds = max(params.sizes), range(params.seeds)
    drawn = [params.parts("synthetic", size, s)[0] for s in seeds]
    reference = stored["real"][-1][0]
    tasks = [RecognisedSpec(part=part, reference=reference) for part in drawn]
    judged = run_tasks(tasks, store=store, workers=1, label="recognised")
    kept = [
        part.model_copy(update={"ids": _kept(part.ids, result)})
        for part, result in zip(drawn, judged, strict=True)
    ]
    budget = params.clip_samples()
    filtered = {
        "clip, filtered": [[params.clip(part, seed=s) for s, part in enumerate(kept)]],
    }
    of_classifiers = {
        name: [[params.classifier(part, seed=s, budget=budget) for s, part in enumerate(parts)]]
        for name, parts in {"classifier": drawn, "classifier, filtered": kept}.items()
    }
    diagnosis = {
        **run_classifiers(of_classifiers, store),
        "clip": [runs["synthetic"][-1]],
        **_towers(filtered, store, "towers, filtered"),
    }
    return Study(params, runs, classifiers, judged, diagnosis, store)


def _kept(ids: Sequence[int], judged: Result) -> tuple[int, ...]:
    """The ids that are recognised; all of them where none is (an untrained reference)."""
    kept = np.asarray(ids)[judged.arrays["recognised"]]
    return tuple(kept.tolist()) or tuple(ids)


def _towers(grid: Mapping[str, list[list[ClipSpec]]], store: Store, label: str) -> Runs:
    sample(base.leaves(grid), store)
    return base.run_grid(grid, store, label)
