"""Training a generator: it learns, resumes bit for bit, and reads the generator pool alone."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_images import CONFIG, garments

from dataworth.images import generator_pool as pools
from dataworth.images import train_generator
from dataworth.images.captions import CLASS_WORDS, TEMPLATES
from dataworth.images.generator_pool import (
    VARIANTS,
    Recipe,
    captioned_pool,
    generator_pool,
    left_in,
)
from dataworth.images.generators import WEIGHTS, PixelDiffusion, PixelDiffusionConfig, load
from dataworth.images.generators.pixel import EARLIEST, velocity
from dataworth.images.parts import weights_digest
from dataworth.images.stages import ADAMW, flow_matching
from dataworth.images.styles import STYLES
from dataworth.images.train_generator import RECIPES, generator_spec, train, trained
from dataworth.optimisation import Optimisation
from dataworth.studies import images as images_study

QUICK = ADAMW.model_copy(update={"learning_rate": 5e-3, "warmup": 0.1})
RECIPE = Recipe(steps=30, batch=16, stylised_per_style=4, optimisation=QUICK, ema=0.8)


@pytest.fixture(scope="module")
def pool():
    return garments(40)


@pytest.fixture(scope="module")
def undisturbed(pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return train(pool, CONFIG, RECIPE, folder, report=2), folder


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_few_steps_lower_the_loss(undisturbed):
    rows = log(undisturbed[1])
    assert [row["step"] for row in rows] == list(range(2, 31, 2))
    first, last = rows[0]["loss"], np.mean([row["loss"] for row in rows[-4:]])
    # v = noise - x; an untrained model predicts 0, whose loss is 1 + E[x^2]
    x = garments(40)[0] / 127.5 - 1
    assert first == pytest.approx(1 + np.square(x).mean(), rel=0.15)
    assert last < 0.85 * first


@pytest.mark.parametrize("stop", [13, 20, 29])
def test_a_resumed_run_equals_an_undisturbed_one(pool, tmp_path, undisturbed, monkeypatch, stop):
    """Interrupted at a step between checkpoints (10, 20, ...), at one, and just before the end."""
    rate, reached = Optimisation.rate, []

    def interrupted(optimisation, step, steps):
        if step == stop and not reached:
            reached.append(step)
            raise KeyboardInterrupt
        return rate(optimisation, step, steps)

    monkeypatch.setattr(Optimisation, "rate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(pool, CONFIG, RECIPE, tmp_path, report=2)
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == stop // 10 * 10
    torch.manual_seed(123)  # the process that resumes is another one
    resumed = train(pool, CONFIG, RECIPE, tmp_path, report=2)
    expected, folder = undisturbed
    for name in ("transformer", "encoder"):
        mine, theirs = (getattr(g, name).state_dict() for g in (resumed, expected))
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    # Steps done twice are logged once.
    mine, theirs = ([(r["step"], r["loss"]) for r in log(at)] for at in (tmp_path, folder))
    assert [step for step, _ in mine] == [step for step, _ in theirs]
    assert mine[-1] == theirs[-1]


def test_a_finished_run_is_not_trained_again(pool, undisturbed, monkeypatch):
    expected, folder = undisturbed
    monkeypatch.setattr(Optimisation, "rate", None)  # any step would fail
    again = train(pool, CONFIG, RECIPE, folder, report=2)
    prompts, seeds = ["dress", "bag"], [1, 2]
    np.testing.assert_array_equal(
        again.generate(prompts, 2.0, seeds), expected.generate(prompts, 2.0, seeds)
    )


def test_the_seed_decides(pool, tmp_path):
    short = {"steps": 2, "batch": 4, "stylised_per_style": 2}
    weights = []
    for i, seed in enumerate([0, 0, 1]):
        train(pool, CONFIG, Recipe(seed=seed, **short), tmp_path / str(i), report=2)
        weights.append((tmp_path / str(i) / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize(
    ("stage", "warm", "steps"),
    [
        (RECIPES["pixel-diffusion"], 200, 6000),
        (RECIPES["latent-diffusion"], 200, 3000),
        (RECIPES["masked-token"].autoencoder, 100, 2000),
    ],
)
def test_warm_ups_of_the_recipes(stage, warm, steps):
    peak = stage.optimisation.learning_rate
    rates = np.array([stage.optimisation.rate(step, stage.steps) for step in range(stage.steps)])
    assert stage.steps == steps
    np.testing.assert_allclose(rates[:warm], peak * np.arange(1, warm + 1) / warm)
    np.testing.assert_array_equal(rates[warm : int(0.7 * steps) + 1], peak)
    assert (np.diff(rates[int(0.7 * steps) :]) < 0).all()


def test_captioned_pool(pool):
    images, labels = pool
    made, texts = captioned_pool(images, labels, RECIPE)
    copies = 4 * len(STYLES)
    assert made.shape == (40 + copies, 28, 28) and made.dtype == np.uint8
    np.testing.assert_array_equal(made[:40], images)
    assert len(texts) == 40 + copies and all(len(row) == VARIANTS for row in texts)
    words = [" ".join(t.split("{}")).split() for t in TEMPLATES["sketch"]]
    for i, row in enumerate(texts):
        style = "photo" if i < 40 else list(STYLES)[(i - 40) // 4]
        if style == "photo":
            assert all(any(name in t for name in CLASS_WORDS[labels[i]]) for t in row)
        else:
            of = [k for k in range(40) if (STYLES[style](images[k : k + 1])[0] == made[i]).all()]
            names = {name for k in of for name in CLASS_WORDS[labels[k]]}
            assert of and all(any(name in t for name in names) for t in row)
        if style == "sketch":
            assert all(any(set(w) <= set(t.split()) for w in words) for t in row)
    again = captioned_pool(images, labels, RECIPE)
    np.testing.assert_array_equal(again[0], made)
    assert again[1] == texts


def test_a_pool_without_drawings(pool):
    images, labels = pool
    made, texts = captioned_pool(
        images, labels, RECIPE.model_copy(update={"stylised_per_style": 0})
    )
    np.testing.assert_array_equal(made, images)
    words = {w for t in TEMPLATES["photo"] for w in t.split()}
    words |= {w for names in CLASS_WORDS for name in names for w in name.split()}
    drawn = {w for style in STYLES for t in TEMPLATES[style] for w in t.split()} - words
    assert {"sketch", "painting"} <= drawn
    assert not drawn & {word for row in texts for t in row for word in t.split()}


def test_the_command_asks_for_the_generator_pool_alone(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(train_generator, "default_config", lambda family, card: CONFIG)
    monkeypatch.setattr("sys.argv", ["train", "--out", str(tmp_path / "made"), "--steps", "1"])
    train_generator.main()
    assert set(splits.calls) == {("fashion-mnist", "generator_pool")}
    card = json.loads((tmp_path / "made" / "card.json").read_text())
    assert card["data"] == "fashion-mnist/generator_pool"
    assert card["recipe"]["steps"] == 1
    digest = hashlib.sha256((tmp_path / "made" / "model.safetensors").read_bytes()).hexdigest()
    assert card["weights_sha256"] == digest
    assert PixelDiffusion.load(tmp_path / "made").config == CONFIG


def test_a_generator_is_a_run_and_is_trained_once(splits, home, store, monkeypatch):
    monkeypatch.setattr(train_generator, "default_config", lambda family, card: CONFIG)
    spec = generator_spec(
        "fashion-mnist", "pixel-diffusion", Recipe(steps=1, batch=4, stylised_per_style=2)
    )
    (result,) = trained([spec], store)
    assert spec.folder.parent == home / "generators" and spec.first is None
    assert set(splits.calls) == {("fashion-mnist", "generator_pool")}
    card = json.loads((spec.folder / "card.json").read_text())
    assert result.metrics["weights_sha256"] == card["weights_sha256"]
    assert result.metrics["pool"] == card["pool"] > 0
    digest = weights_digest(spec.folder)
    monkeypatch.setattr(train_generator, "train", None)  # training again would fail
    assert trained([spec], store)[0].path == result.path
    assert images_study.weights_of(spec) == digest


# --- What was shipped and what it was trained on ----------------------------------------------

SHIPPED_FOLDERS = sorted(file.parent for file in WEIGHTS.glob("*/model.safetensors"))


@pytest.mark.parametrize("folder", SHIPPED_FOLDERS, ids=lambda folder: folder.name)
def test_every_shipped_generator_has_a_true_card(folder):
    card = json.loads((folder / "card.json").read_text())
    data, *rest = card["data"].split("/")
    assert rest == ["generator_pool"]
    assert data == ("icons" if folder.name.endswith("-icons") else "fashion-mnist")
    weights = (folder / "model.safetensors").read_bytes()
    assert card["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert len(weights) <= 10e6 and (folder / "README.md").is_file()
    assert card["architecture"] == json.loads((folder / "config.json").read_text())
    shipped = load(folder)
    assert shipped.name == folder.name
    assert all(p.isfinite().all() for m in shipped._modules().values() for p in m.parameters())
    assert {v.dtype for v in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}


def test_no_test_or_classifier_pool_image_reached_the_generator(monkeypatch):
    """Neither as a photograph nor as a stylised copy; by content."""
    monkeypatch.delenv("DATAWORTH_HOME")
    from dataworth.data import content_ids, load_images, status

    if not status("fashion-mnist").present:
        pytest.skip("Fashion-MNIST is not on this machine: dataworth data fetch fashion-mnist")
    photos, labels, _ = generator_pool("fashion-mnist", Recipe())
    monkeypatch.setattr(pools, "VARIANTS", 1)  # captions do not matter here
    images, _ = captioned_pool(photos, labels, Recipe())
    assert len(images) > len(photos) > 0
    ids = content_ids(images)
    learnt = load_images("fashion-mnist", "generator_pool")
    np.testing.assert_array_equal(np.sort(ids[: len(photos)]), learnt.ids)
    for split in ("classifier_pool", "validation", "shift_pool", "test"):
        held_out = load_images("fashion-mnist", split)
        assert len(held_out) and not np.isin(ids, held_out.ids).any()


def test_the_gap_takes_images_of_classes_and_no_others():
    labels = np.array([-1, -1, 0, 0, 0, 1, 1, 1, 1])
    kept = {gap: left_in(labels, gap) for gap in (0, 0.01, 0.5, 1)}
    assert {g: int(left.sum()) for g, left in kept.items()} == {0: 2, 0.01: 4, 0.5: 6, 1: 9}
    assert all(left[labels < 0].all() for left in kept.values())
    assert (kept[0.01] <= kept[0.5]).all() and kept[0.5][[2, 3, 5, 6]].all()


def test_texts_of_ones_own_are_the_captions(pool):
    images, labels = pool
    texts = np.array([f"icon {i}, bold" for i in range(len(images))])
    made, written = captioned_pool(images, labels, RECIPE, texts=texts)
    assert made is images and len(written) == len(images)
    assert {text for row in written for text in row} >= {"icon 0", "icon 0 bold"}
    assert all(set(row) <= {f"icon {i}", f"icon {i} bold"} for i, row in enumerate(written))


def test_only_rare_classes_lose_images():
    labels = np.array([-1, 0, 0, 0, 0, 1, 1, 1, 1])
    kept = left_in(labels, 0.25, (1,))
    np.testing.assert_array_equal(kept, [True] * 5 + [True] + [False] * 3)


def test_pools_of_fewer_images_are_nested_and_wrong_names_are_exchanged(splits):
    whole = generator_pool("fashion-mnist", Recipe())
    few, more = (generator_pool("fashion-mnist", Recipe(images=n)) for n in (5, 9))
    held = {image.tobytes() for image in more.images}
    assert len(few.images) == 5 and {image.tobytes() for image in few.images} < held
    assert held <= {image.tobytes() for image in whole.images}
    wrong = generator_pool("fashion-mnist", Recipe(wrong=1.0, seed=3))
    np.testing.assert_array_equal(wrong.images, whole.images)
    np.testing.assert_array_equal(np.sort(wrong.labels), np.sort(whole.labels))
    assert 0.5 < (wrong.labels != whole.labels).mean() < 1
    some = generator_pool("fashion-mnist", Recipe(wrong=0.2))
    assert 0 < (some.labels != whole.labels).mean() <= 0.2


def test_a_network_that_gives_the_image_gives_the_velocity_too():
    """An oracle of the clean image has no loss, at times from EARLIEST on."""
    config = PixelDiffusionConfig(prediction="image")
    torch.manual_seed(0)
    x = torch.rand(64, 1, 28, 28) * 2 - 1
    times = []

    def oracle(noisy, t):
        times.append(t / 1000)
        return x

    found = flow_matching(oracle, x, config)
    assert float(found) < 1e-10 or float(times[0].min()) < EARLIEST
    t = torch.tensor([0.01, 0.5])
    noise = torch.randn(2, 1, 28, 28)
    at = torch.lerp(x[:2], noise, t[:, None, None, None])
    v = velocity(x[:2], at, t, config)
    torch.testing.assert_close(v[1], (noise - x[:2])[1])
    torch.testing.assert_close(v[0], (noise - x[:2])[0] * 0.01 / EARLIEST)
    assert velocity(at, x[:2], t, PixelDiffusionConfig()) is at
