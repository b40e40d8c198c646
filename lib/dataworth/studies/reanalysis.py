"""What chapters share that look again at the runs of the chapter *synthetic scaling*."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import field_validator

from dataworth.images.classifiers import ClassifierSpec
from dataworth.parameters import field
from dataworth.studies.curves import Curve
from dataworth.studies.images import ImageStudy, check_sizes
from dataworth.studies.synthetic_scaling import PURE, Sizes, SyntheticScaling

if TYPE_CHECKING:
    from dataworth.studies.image_cost import Drawing, Training


def above_guess(curve: Curve, classes: int, name: str) -> str:
    """Why losses that are not surely below that of a guess among so many classes say nothing: what
    falls there is overconfidence. "" where all are below. name: of whose losses they are."""
    highest, guess = curve.one(int(curve.means.argmax())), np.log(classes)
    if highest.high < guess:
        return ""
    return f"The loss of {name} reaches {highest}; that of a guess is {guess:.2f}."


class Reanalysis(ImageStudy):
    """Parameters that decide the runs of *synthetic scaling*: equal values find stored runs."""

    real_sizes: Sizes = field("training-set sizes of the real arm", "images")
    synthetic_sizes: Sizes = field("training-set sizes of the synthetic arm", "images")

    _distinct = field_validator("real_sizes", "synthetic_sizes")(check_sizes)

    def scaling(self) -> SyntheticScaling:
        """The parameters of *synthetic scaling* with the values given here."""
        shared = set(SyntheticScaling.model_fields) & set(type(self).model_fields)
        # They were validated here. Arms that this chapter does not name in its parameters get no
        # sizes, so that what they would be trained with does not matter.
        unread: dict[str, Any] = {
            "other_sizes": (), "other_generators": (), "other_prompt_sets": (),
            "other_model": self.model, "retrieved_sizes": (), "fixed_steps": 1, "epochs": 1,
        }  # fmt: skip
        return SyntheticScaling.model_construct(
            **unread | {name: getattr(self, name) for name in shared}
        )

    def stored(
        self, arms: Sequence[str]
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, list[list[ClassifierSpec]]]]:
        """Sizes and training runs `[size][seed]` of the named arms of *synthetic scaling*."""
        scaling = self.scaling()
        known = scaling.arms()
        return {a: known[a].sizes for a in arms}, {a: scaling.specs(known[a]) for a in arms}

    def drawings(self) -> list[Drawing]:
        """The synthetic arm, shared with *synthetic scaling*; chapters add what they sample."""
        scaling = self.scaling()
        return scaling.drawings(scaling.arms()[arm] for arm in PURE)

    def sampled(self, pools: Iterable[tuple[str, str]], size: int) -> list[Drawing]:
        """`size` images for every seed from each pool, given by generator and prompt set."""
        from dataworth.studies.image_cost import Drawing

        images = self.seeds * size
        return [Drawing(g, prompts, images, self.sampling_steps(g)) for g, prompts in pools]

    def trainings(self) -> list[Training]:
        """The two main arms, shared with *synthetic scaling*; chapters add what they train."""
        scaling = self.scaling()
        return scaling.trainings(scaling.arms()[arm] for arm in PURE)

    def further(self, kind: str, sets: int, steps: int) -> Training:
        """The training of one more experiment: so many training sets, each for so many steps."""
        from dataworth.studies.image_cost import Training

        runs = sets * self.seeds
        return Training(kind, self.model, runs, runs * steps * self.batch)
