"""How well classifiers tell the concepts of the card `icons`, ours and scikit-learn's.

    .venv/bin/python bench/icons.py [--generator NAME] [--retrieved] [--steps 600] [--out FILE]

For 10 and for 100 concepts and a few training-set sizes: test top-1 of the chapters' classifier
(a fixed budget) and of two classifiers of scikit-learn that share no code with it, on the same
images: ridge regression on the pixels' distances from the paper, and on 2,000 random Fourier
features of these. `--retrieved` adds images of the generator's pool with the concept's name,
`--generator` sampled ones (prompt set own-names), and, for each concept, how many of 20 of them
the classifier that learned from the most real images names rightly. Designs of the test set are in
no pool.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataworth import compute
from dataworth.data import load_images
from dataworth.images.classifiers import MODELS, Budget, ImageOptimisation, predict, train
from dataworth.images.generators import WEIGHTS
from dataworth.images.generators import load as load_generator
from dataworth.images.parts import balanced_subset, image_seed
from dataworth.images.prompts import prompt
from dataworth.images.prompts.vocabulary import names_of

CARD = "icons"
SIZES = {10: (100, 300), 100: (300, 1000, 3000)}
CONCEPTS = 100
GUIDANCE = 2.0
JUDGED = 20  # sampled images of each concept that are judged
Examples = tuple[NDArray[np.uint8], NDArray[np.int64]]


def of(split: str, classes: int) -> Examples:
    """The images of the concepts 0, 10, 20, ... (ten of them) or of all."""
    whole = load_images(CARD, split)
    every = CONCEPTS // classes
    rows = np.flatnonzero((whole.labels >= 0) & (whole.labels % every == 0))
    return np.asarray(whole.images[rows]), np.asarray(whole.labels[rows]) // every


def ink(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N, H W) distances of the pixels' colours from the corners' median: any ink, any paper."""
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(float)
    paper = np.median(corners, axis=1)[:, None, None]
    apart = np.linalg.norm(images.astype(float) - paper, axis=3)
    most: NDArray[np.float64] = np.maximum(apart.max((1, 2), keepdims=True), 1)
    return (apart / most).reshape(len(images), -1)


def peers(learnt: Examples, held_out: Examples) -> dict[str, float]:
    """Test top-1 in percent of scikit-learn's ridge classifiers."""
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline

    x, y = ink(learnt[0]), ink(held_out[0])
    models = {
        "ridge, pixels": RidgeClassifier(100.0),
        "ridge, random features": make_pipeline(
            RBFSampler(gamma=0.01, n_components=2000, random_state=0), RidgeClassifier(1.0)
        ),
    }
    return {
        name: 100 * float(model.fit(x, learnt[1]).score(y, held_out[1]))
        for name, model in models.items()
    }


def sampled(generator: str, classes: int, size: int) -> Examples:
    """Images sampled for the names of the concepts in turn."""
    names = names_of(CARD)[:: CONCEPTS // classes]
    made = load_generator(WEIGHTS / generator)
    seeds = [image_seed(0, i) for i in range(size)]
    prompts = [prompt("own-names", names[i % classes], s, CARD) for i, s in enumerate(seeds)]
    return made.generate(prompts, GUIDANCE, seeds), np.arange(size) % classes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--generator", help="a folder of the shipped weights")
    parser.add_argument("--retrieved", action="store_true")
    parser.add_argument("--steps", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--model", choices=MODELS, default="resnet")
    parser.add_argument("--concepts", type=int, choices=SIZES, nargs="+", default=list(SIZES))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = []
    for classes in given.concepts:
        test = of("test", classes)
        pools = {"real": of("classifier_pool", classes)}
        if given.retrieved:
            pools["retrieved"] = of("generator_pool", classes)
        if given.generator:
            pools["synthetic"] = sampled(given.generator, classes, SIZES[classes][-1])
        for arm, (images, labels) in pools.items():
            most = classes * int(np.bincount(labels, minlength=classes).min())
            for size in sorted({min(n, most) for n in SIZES[classes]}):
                rows_of = balanced_subset(labels, size, 0)
                learnt = images[rows_of], labels[rows_of]
                started = time.process_time()
                model, _ = train(
                    *learnt,
                    MODELS[given.model].on(images.shape[1]),
                    Budget(amount=given.steps, batch=128),
                    ImageOptimisation(learning_rate=8e-3, shift=2),
                    0,
                    classes=classes,
                )
                seconds = time.process_time() - started
                right = 100 * float((predict(model, test[0]).argmax(1) == test[1]).mean())
                row = {"concepts": classes, "arm": arm, "images": size, given.model: right}
                rows.append(row | peers(learnt, test) | {"training core seconds": seconds})
                print(json.dumps(rows[-1]), flush=True)
                if (arm, size) == ("real", most) and "synthetic" in pools:
                    seen, asked = pools["synthetic"]
                    first = slice(0, JUDGED * classes)
                    found = predict(model, seen[first]).argmax(1) == asked[first]
                    by_name = {
                        name: float(found[asked[first] == c].mean())
                        for c, name in enumerate(names_of(CARD)[:: CONCEPTS // classes])
                    }
                    print(json.dumps({"recognizability": float(found.mean()), "by": by_name}))
    if given.out:
        facts = {"machine": compute.describe(), "steps": given.steps, "rows": rows}
        given.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
