"""Image chapters on a card of the user's own: colour, another side, more classes, other words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_images import SMALL

from cells import cell
from dataworth.data import add as adding
from dataworth.data.catalog import Card
from dataworth.errors import UserError
from dataworth.images.captions import Captions, captions_of
from dataworth.images.classifiers import MODELS, ClassifierSpec
from dataworth.images.generators.latent import LatentDiffusionConfig
from dataworth.images.generators.masked import MaskedTokenConfig
from dataworth.images.generators.pixel import PixelDiffusionConfig
from dataworth.images.parts import fitted
from dataworth.images.prompts import NEEDS_WORDNET, PROMPT_SETS, prompt
from dataworth.images.train_generator import Recipe, captioned_pool, recipe_for, train
from dataworth.runs.forecast import forecast
from dataworth.studies.out_of_distribution import OutOfDistribution
from dataworth.studies.synthetic_scaling import SyntheticScaling, run

NAMES = tuple(f"sign_{letter}" for letter in "abcdefghijkl")


@pytest.fixture
def signs(tmp_path: Path, home: Path) -> Card:
    """Twelve classes of 24 images in colour, 16 x 16, as a card."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        (tmp_path / "signs" / name).mkdir(parents=True)
        for i in range(24):
            pixels = rng.integers(0, 80, (16, 16, 3), dtype=np.uint8)
            pixels[label : label + 4, :, label % 3] = 255
            Image.fromarray(pixels).save(tmp_path / "signs" / name / f"{i}.png")
    return adding.add(adding.request({"images": str(tmp_path / "signs")})).card


def study(**changes: object) -> SyntheticScaling:
    small = {
        "card": "signs",
        "real_sizes": (12, 24, 36, 48),
        "fitted_from": 12,
        "synthetic_sizes": (12, 24, 36, 48),
        "other_sizes": (12, 24, 48),
        "other_generators": (),
        "other_prompt_sets": ("in-captions",),
        "retrieved_sizes": (12,),
        "fixed_steps": 2,
        "budget": ((12, 5),),
        "epochs": 1,
        "seeds": 2,
        "batch": 8,
        "solver_steps": 1,
        "curve_steps": (1,),
        "curve_images": 32,
        "resamples": 100,
        "retrain": 2,
    }
    return cell(SyntheticScaling, **small | changes)


def test_a_chapter_from_a_folder_to_its_estimates(signs, store):
    made = run(study(), store)
    assert made.params.pool().names == tuple(name.replace("_", " ") for name in NAMES)
    assert list(made.gallery(2)) == list(NAMES)
    spec = made.runs["synthetic"][-1][0].spec
    assert isinstance(spec, ClassifierSpec) and spec.model.patch == 8  # 7 does not divide 16
    images, labels = spec.parts[0].load(store)
    assert images.shape == (48, 16, 16, 3) and set(labels.tolist()) == set(range(12))
    assert made.runs["real"][0][0].arrays["logits_test"].shape == (12 * 4, 12)
    assert made.quality().recognizability.between(0, 1).all()


def test_a_dry_run_that_would_train_a_generator_trains_none(signs, store, home, monkeypatch):
    monkeypatch.setattr("dataworth.images.train_generator.make", None)
    found = forecast(lambda ahead: run(study(), ahead), store.root)
    assert found.missing == found.asked > 20  # what is drawn by it, and trained on that, too
    assert not (home / "generators").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"retrain": False}, "'pixel-diffusion' learnt from fashion-mnist, and card is 'signs'"),
        (
            {"prompt_set": "description"},
            "'description' writes from WordNet's words. card is 'signs'",
        ),
        ({"real_sizes": (12, 24, 48, 960)}, "a real training set of 960 images was asked for"),
        ({"card": "fashion-icons"}, "card: 'fashion-icons' has no split classifier_pool"),
        ({"card": "sotu"}, "card: 'sotu' holds texts, and this chapter is on images"),
        ({"card": "sings"}, "There is no data set 'sings'"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(signs, changes, words):
    with pytest.raises(UserError, match=re.escape(words)):
        study(**changes).preflight()


def test_a_chapter_on_shifted_sets_says_what_it_lacks(signs):
    with pytest.raises(UserError, match="card: 'signs' has no shifted sets"):
        cell(OutOfDistribution, card="signs", retrain=2).preflight()


@pytest.mark.parametrize("prompt_set", sorted(set(PROMPT_SETS) - NEEDS_WORDNET))
def test_prompts_name_the_classes_of_the_card(signs, prompt_set):
    text = prompt(prompt_set, "sign b", 3, "signs")
    assert "sign b" in text and not re.search("shirt|trouser|dress|boot|sleeve|heel", text)


def test_captions_are_of_the_cards_own_words(signs):
    writer = captions_of("signs")
    assert writer == Captions(tuple((name.replace("_", " "),) for name in NAMES))
    images = np.full((4, 16, 16, 3), 30, np.uint8)
    pool, texts = captioned_pool(images, np.arange(4), Recipe(stylised_per_style=2), writer)
    assert pool.shape == (4 + 4 * 2, 16, 16, 3)
    for label, row in enumerate(texts[:4]):
        assert all(f"sign {'abcd'[label]}" in text for text in row)
    assert recipe_for("pixel-diffusion", "signs").stylised_per_style == 4  # a twentieth of 84
    assert recipe_for("pixel-diffusion", "fashion-mnist") == Recipe()
    short = recipe_for("pixel-diffusion", "fashion-mnist", 300)
    # The average of weights spans the same sixth of a short training as of the full one.
    assert 1 / (1 - short.ema) == pytest.approx(300 / 6) and short.autoencoder.steps == 200


@pytest.mark.parametrize(
    "model", [name for name, of in MODELS.items() if getattr(of, "patch", 16) < 16]
)
@pytest.mark.parametrize("side", [16, 28, 32, 36, 48, 64])
def test_the_patch_divides_the_side(model, side):
    patch = MODELS[model].on(side).patch
    assert side % patch == 0
    own = MODELS[model].patch
    nearest = min(max(p / own, own / p) for p in range(1, side + 1) if side % p == 0)
    assert max(patch / own, own / patch) == nearest


@pytest.mark.parametrize(
    "config",
    [
        PixelDiffusionConfig(**SMALL, image_size=16, image_channels=3),
        LatentDiffusionConfig(
            **SMALL, image_size=16, image_channels=3, channels=(8, 8, 8), latent_channels=2
        ),
        MaskedTokenConfig(
            **SMALL, image_size=16, image_channels=3, channels=(8, 8, 8), codes=16, code_width=4
        ),
    ],
    ids=lambda config: type(config).__name__,
)
def test_every_family_learns_colour_of_another_side(config, tmp_path):
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (24, 16, 16, 3), dtype=np.uint8), np.arange(24) % 2
    writer = Captions((("sign",), ("board",)))
    recipe = Recipe(steps=2, batch=4, stylised_per_style=1, autoencoder={"steps": 2, "batch": 4})
    made = train(photos, config, recipe, tmp_path, writer=writer)
    made.steps = 1
    images = made.generate(["a sign", "a board", "a sign"], 1.5, [1, 2, 1])
    assert images.shape == (3, 16, 16, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(images[0], images[2])
    assert len(np.unique(images[0].reshape(-1, 3), axis=0)) > 1


def test_images_of_another_size_are_brought_to_the_cards(signs):
    drawn = np.zeros((2, 40, 40, 3), np.uint8)
    drawn[:, :, 20:] = 255
    made = fitted(drawn, "signs")
    assert made.shape == (2, 16, 16, 3) and made[0, 0, 0, 0] < 40 and made[0, 0, -1, 0] > 215
    assert fitted(made, "signs") is made
    assert fitted(drawn, "fashion-mnist").shape == (2, 28, 28)


def test_without_drawings_means_trained_without(signs, monkeypatch):
    """Else the two generators of one family would be one, and what drawings do nothing."""
    specs = []
    monkeypatch.setattr("dataworth.studies.images.weights_of", lambda spec: str(specs.append(spec)))
    for name in ("latent-diffusion", "latent-diffusion-no-drawings"):
        study(retrain=30).weights(name)
    recipes = [spec.recipe for spec in specs]
    assert [r.stylised_per_style for r in recipes] == [4, 0]
    assert {(r.steps, r.autoencoder.steps) for r in recipes} == {(30, 20)}
