"""The study behind the chapter *CLIP scaling*: contrastive training on captioned images, real,
synthetic and both, beside the classifiers of *synthetic scaling*."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator

from dataworth.data.rows import Images, Rows
from dataworth.errors import UserError
from dataworth.images.classifiers import Budget, Longest, ascending
from dataworth.images.clip import (
    TOWERS,
    ClipSpec,
    RecognisedSpec,
    linear_probe,
    real_captions,
    tower_flops,
)
from dataworth.images.parts import RealPart, SyntheticPart
from dataworth.images.prompts import split_name
from dataworth.parameters import field
from dataworth.runs import Result, Store, run_tasks
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate
from dataworth.studies import base
from dataworth.studies.clip_labels import agreement, share
from dataworth.studies.curves import Curve, curves, exponent
from dataworth.studies.images import Runs, check_sizes, run_classifiers, sample
from dataworth.studies.reanalysis import Reanalysis, above_guess

if TYPE_CHECKING:
    import pandas as pd

ARMS = ("real", "synthetic", "real + synthetic")
DOUBLED = "real, twice as many"  # control of the mixed arm, at its smallest and largest size
Sizes = Annotated[tuple[int, ...], Field(min_length=2)]
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
    clip_budget: Longest = field(
        "longest training of the towers by number of pairs; the best of four points of it counts",
        "[pairs, steps] each",
    )
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

    _ascending = field_validator("clip_budget")(ascending)

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

    def sizes_of(self, arm: str) -> tuple[int, ...]:
        """The sizes at which an arm is trained."""
        few = {"multi-positive": self.group_sizes, DOUBLED: (self.sizes[0], self.sizes[-1])}
        return few.get(arm, self.sizes)

    def parts(self, arm: str, size: int, seed: int) -> tuple[RealPart | SyntheticPart, ...]:
        """The pairs of one run; `real + synthetic` has `size` of each, `DOUBLED` twice the real
        ones."""
        if arm == DOUBLED:
            return (self.real(2 * size, seed),)
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
        words = tuple(real_captions(self.card, images, labels, source.ids))
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
            optimisation=self.optimisation(self.clip_learning_rate),
            card=self.card,
            templates=self.templates,
            probe=self.real(self.probe_images, 0),
            retrieval=self.retrieval_images,
            seed=self.seed + seed,
            **changes,
        )

    def clip_samples(self) -> Budget:
        """How long towers train."""
        return Budget(rule="tuned", longest=self.clip_budget, batch=self.clip_batch)

    def specs(self) -> dict[str, list[list[ClipSpec]]]:
        """The towers' training runs, as [arm][size][seed]."""
        seeds = range(self.seeds)
        grid = {
            arm: [
                [self.clip(*self.parts(arm, n, s), seed=s) for s in seeds]
                for n in self.sizes_of(arm)
            ]
            for arm in (*ARMS, DOUBLED)
        }
        grid["multi-positive"] = [
            [self.clip(self.groups(n, s), seed=s, objective="multi-positive") for s in seeds]
            for n in self.group_sizes
        ]
        return grid

    def preflight(self) -> None:
        """Raises UserError before anything runs: no data, a pool too small,
        no generator, no disk."""
        for arm in ("real_sizes", "synthetic_sizes"):
            if lacking := set(self.sizes) - set(getattr(self, arm)):
                raise UserError(
                    f"sizes holds {min(lacking)}, which {arm} lacks; towers are compared with "
                    "classifiers at the same sizes."
                )
        sizes = (*self.real_sizes, self.probe_images, 2 * max(self.sizes))
        runs = self.seeds * (len(self.real_sizes) + len(self.synthetic_sizes))
        runs += self.seeds * (3 * len(self.sizes) + len(self.group_sizes) + 5)
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
        more = {"real + synthetic": 2, DOUBLED: 2}
        pairs = [
            n * more.get(arm, 1)
            for arm in (*ARMS, DOUBLED, "multi-positive")
            for n in self.sizes_of(arm)
        ]
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
    `diagnosis` holds `classifier`, `classifier, filtered` and `clip, filtered`."""

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
        runs = {
            arm: rows
            for arm, rows in {**self.runs, "filtered": self.diagnosis["clip, filtered"]}.items()
            if f"logits_{split}" in rows[0][0].arrays  # multi-positive towers read no captions
        }
        sizes = {arm: p.sizes_of(arm) for arm in runs} | {"filtered": (max(p.sizes),)}
        return curves(
            runs, sizes, blocks=sizes, split=split, metric=metric, resamples=p.resamples,
            seed=p.seed,
        )  # fmt: skip

    def gap(self) -> Estimate:
        """k of the zero-shot loss on real over k on synthetic pairs. Not measurable where a loss is
        not surely below that of a guess."""
        found = []
        for arm in ("real", "synthetic"):
            c = self.curve(arm)
            why = above_guess(c, len(self.params.pool().names), f"{arm} pairs")
            found.append(replace(exponent(c.fit("power")), unmeasurable=why))
        return found[0].over(found[1])

    def mixing(self) -> dict[int, Estimate]:
        """Zero-shot loss of as many synthetic beside the real pairs over that of the real pairs
        alone, by size. Not measurable where that of the real pairs is not surely below that of a
        guess: any other pairs then cure overconfidence."""
        return {n: self._beside(n, "real + synthetic") for n in self.params.sizes}

    def doubled(self) -> dict[int, Estimate]:
        """The control of `mixing`: twice the real pairs over the real pairs, at the smallest and
        the largest size."""
        return {n: self._beside(n, DOUBLED) for n in self.params.sizes_of(DOUBLED)}

    def _beside(self, size: int, arm: str) -> Estimate:
        p = self.params
        alone = self.curve("real").at([size])
        found = self.curve(arm).one(p.sizes_of(arm).index(size)).over(alone.one(0))
        why = above_guess(alone, len(p.pool().names), f"{size} real pairs alone")
        return replace(found, unmeasurable=why)

    def features(self) -> Estimate:
        """Linear-probe error of the multi-positive towers over that of plain ones on synthetic
        images, at the largest common size. Not measurable where neither beats raw pixels: they are
        then two kinds of poor features."""
        size = self.params.group_sizes[-1]
        own, plain = (
            self.curve(arm, split="probe", metric="error").one(
                self.params.sizes_of(arm).index(size)
            )
            for arm in ("multi-positive", "synthetic")
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # draws without an error
            found, pixels = own.over(plain), 1 - self.pixel_probe()
        if min(own.value, plain.value) < pixels:
            return found
        why = (
            f"The probe's error is {own} on multi-positive and {plain} on plain features, and "
            f"{pixels:.3g} on raw pixels: neither kind is worth having."
        )
        return replace(found, unmeasurable=why)

    def random_drop(self) -> Estimate:
        """The control of `filtering`: its `ratio` if as many images were dropped at random, by the
        power laws of classifiers and towers on synthetic images."""
        kept = self.recognised().value
        k = [
            exponent(c.fit("power"))
            for c in (self.classifier("synthetic"), self.curve("synthetic"))
        ]
        gap = k[1].minus(k[0])  # loss after over before is kept^-k
        return estimate(kept**gap.value, kept**gap.draws)

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
        p = self.params
        return share(shown.astype(float), np.ones(len(shown)), resamples=p.resamples, seed=p.seed)

    @keep
    def agreement(self) -> pd.DataFrame:
        """What the images show of their captions apart from the class (`clip_labels.agreement`)."""
        p = self.params
        return agreement(self.judged, self.store, resamples=p.resamples, seed=p.seed)

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
            for size, row in zip(self.params.sizes_of(arm), of_arm, strict=True)
        }
        return pd.DataFrame(rows).T.round(1).rename_axis(["arm", "pairs"])

    @keep
    def pixel_probe(self) -> float:
        """Test top-1 of the towers' linear probe on `pixels`: what features have to beat."""
        from dataworth.data import load_images

        known, classes = self.params.real(self.params.probe_images, 0).load(self.store)
        test = load_images(self.params.card, "test")
        flat = [pixels(images) for images in (known, test.images)]
        scores = linear_probe(flat[0], classes, flat[1])
        return float((scores.argmax(1) == test.labels).mean())

    @keep
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


def pixels(images: Images | Rows) -> NDArray[np.float32]:
    """Images (N, H, W[, 3]) as rows of raw pixels; of large ones means over squares, about 32 a
    side, since the probe takes the third power of their number."""
    step, found = max(1, images.shape[1] // 32), []
    for start in range(0, len(images), 1000):
        x = np.asarray(images[start : start + 1000]).astype(np.float32)
        side = x.shape[1] // step
        squares = x[:, : side * step, : side * step].reshape(len(x), side, step, side, step, -1)
        found.append(squares.mean((2, 4)).reshape(len(x), -1))
    return np.concatenate(found)


@keep
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
        **_towers(filtered, store, "towers, filtered"),
    }
    return Study(params, runs, classifiers, judged, diagnosis, store)


def _kept(ids: Iterable[int], judged: Result) -> tuple[int, ...]:
    """The ids that are recognised; all of them where none is (an untrained reference)."""
    kept = np.asarray(ids)[judged.arrays["recognised"]]
    return tuple(kept.tolist()) or tuple(ids)


def _towers(grid: Mapping[str, list[list[ClipSpec]]], store: Store, label: str) -> Runs:
    sample(base.leaves(grid), store)
    return base.run_grid(grid, store, label)
