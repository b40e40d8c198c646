"""Two-stage training: autoencoders, what the second stage sees, objectives, resuming."""

import hashlib
import json

import numpy as np
import pytest
import torch
from tiny_images import CONFIG, CONFIGS, garments

from dataworth.images import train_generator
from dataworth.images.generators import LatentDiffusion, MaskedToken, load
from dataworth.images.stages import (
    ADAMW,
    Stage,
    centre_codebook,
    encoded,
    flow_matching,
    masked_tokens,
    standardise,
)
from dataworth.images.train_generator import Recipe, generator_spec, train, trained
from dataworth.optimisation import Optimisation

QUICK = ADAMW.model_copy(update={"learning_rate": 5e-3, "warmup": 0.125})
FIRST = Stage(steps=24, batch=8, optimisation=QUICK, ema=0.5)
RECIPE = Recipe(
    steps=20, batch=16, stylised_per_style=4, optimisation=QUICK, ema=0.8, autoencoder=FIRST
)
TWO_STAGES = ["latent-diffusion", "masked-token"]


@pytest.fixture(scope="module")
def pool():
    return garments(40)


@pytest.fixture(scope="module")
def pixels(pool):
    return torch.from_numpy(pool[0])


@pytest.fixture(scope="module", params=TWO_STAGES)
def undisturbed(request, pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    config = CONFIGS[request.param]
    return train(pool, config, RECIPE, folder, report=2), folder


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_both_stages_learn(undisturbed):
    _, folder = undisturbed
    for name, steps in (("autoencoder-log.jsonl", FIRST.steps), ("log.jsonl", RECIPE.steps)):
        found = rows(folder / name)
        assert [row["step"] for row in found] == list(range(2, steps + 1, 2))
        assert np.mean([r["loss"] for r in found[-3:]]) < found[0]["loss"]


@pytest.mark.parametrize(("stage", "stop"), [("first", 13), ("second", 13), ("second", 19)])
def test_a_killed_run_ends_as_an_undisturbed_one(
    pool, tmp_path, undisturbed, monkeypatch, stage, stop
):
    expected, folder = undisturbed
    rate, reached = Optimisation.rate, []

    def interrupted(optimisation, step, steps):
        own = (RECIPE if stage == "second" else FIRST).optimisation
        if step == stop and not reached and optimisation == own:
            reached.append(step)
            raise KeyboardInterrupt
        return rate(optimisation, step, steps)

    monkeypatch.setattr(Optimisation, "rate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(pool, expected.config, RECIPE, tmp_path, report=2)
    torch.manual_seed(123)  # the process that resumes is another one
    train(pool, expected.config, RECIPE, tmp_path, report=2)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    for name in ("log.jsonl", "autoencoder-log.jsonl"):
        mine, theirs = rows(tmp_path / name), rows(folder / name)
        assert [row["step"] for row in mine] == [row["step"] for row in theirs]


def test_standardised_latents_and_an_unchanged_picture(pixels):
    torch.manual_seed(0)
    model = LatentDiffusion.autoencoder_of(CONFIGS["latent-diffusion"]).eval()
    with torch.no_grad():
        x = pixels[:, None].float() / 127.5 - 1
        before = model.encode(x).latent_dist
        picture = model.decode(before.mode()).sample
        standardise(model, before.mode())
        after = model.encode(x).latent_dist
        torch.testing.assert_close(after.mode().mean((0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
        torch.testing.assert_close(after.mode().std((0, 2, 3)), torch.ones(2))
        torch.testing.assert_close(model.decode(after.mode()).sample, picture, atol=1e-4, rtol=0)
        ratio = before.std / after.std  # the posterior keeps its width in units of the latents
        expected = before.mode().std((0, 2, 3))[:, None, None].expand_as(ratio)
        torch.testing.assert_close(ratio, expected, rtol=1e-3, atol=1e-6)


def test_the_codebook_starts_in_use(pixels):
    torch.manual_seed(0)
    model = MaskedToken.autoencoder_of(CONFIGS["masked-token"]).eval()
    unused = 16 - len(encoded(model, pixels[:, None]).unique())
    centre_codebook(model, pixels[:, None], seed=0)
    assert 16 - len(encoded(model, pixels[:, None]).unique()) <= min(unused, 2)


def test_tokens_are_the_nearest_entries(pixels):
    torch.manual_seed(0)
    model = MaskedToken.autoencoder_of(CONFIGS["masked-token"]).eval()
    centre_codebook(model, pixels[:, None], seed=0)
    tokens = encoded(model, pixels[:, None])
    assert tokens.shape == (40, 7, 7) and tokens.dtype == torch.int64
    with torch.no_grad():
        z = model.encode(pixels[:, None].float() / 127.5 - 1).latents.permute(0, 2, 3, 1)
        away = (z[..., None, :] - model.quantize.embedding.weight).square().sum(-1)
    chosen = away.gather(-1, tokens[..., None])[..., 0]
    torch.testing.assert_close(chosen, away.min(-1).values)


# --- Objectives ---------------------------------------------------------------------------------


def test_flow_matching_is_zero_for_the_true_velocity():
    torch.manual_seed(0)
    x = torch.randn(6, 2, 7, 7)

    def oracle(noisy, t):
        t = t[:, None, None, None] / 1000
        return (noisy - x) / t  # x_t = (1 - t) x + t e, so e - x = (x_t - x) / t

    assert float(flow_matching(oracle, x, CONFIG)) < 1e-6
    zero = float(flow_matching(lambda noisy, t: torch.zeros_like(noisy), x, CONFIG))
    assert zero == pytest.approx(1 + float(x.square().mean()), rel=0.15)
    grey = torch.full((6, 1, 28, 28), 255, dtype=torch.uint8)  # white is 1
    zero = float(flow_matching(lambda noisy, t: torch.zeros_like(noisy), grey, CONFIG))
    assert zero == pytest.approx(2, rel=0.1)


def test_masked_tokens_loss():
    config = CONFIGS["masked-token"]
    torch.manual_seed(0)
    tokens = torch.randint(0, 16, (400, 7, 7))
    seen = []

    def oracle(x, t):
        assert x.shape == (400, 17, 7, 7)
        shown = x.argmax(1)
        hidden = shown == 16
        assert torch.equal(shown[~hidden], tokens[~hidden])
        count = hidden.flatten(1).sum(1)
        assert (count >= 1).all()
        torch.testing.assert_close(t, 1000 * count / 49)
        seen.append(count.float() / 49)
        logits = 50.0 * torch.nn.functional.one_hot(tokens, 16).permute(0, 3, 1, 2).float()
        # wrong on every shown token: that must not matter
        return torch.where(hidden[:, None], logits, -logits)

    assert float(masked_tokens(oracle, tokens, config)) < 1e-6
    uniform = masked_tokens(lambda x, t: torch.zeros(400, 16, 7, 7), tokens, config)
    assert float(uniform) == pytest.approx(np.log(16))
    # cos(pi u / 2) with u uniform has mean 2 / pi; the number is rounded up
    assert float(seen[0].mean()) == pytest.approx(2 / np.pi + 0.5 / 49, abs=0.05)


# --- Train or load ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", TWO_STAGES)
def test_a_run_of_a_family_in_two_stages(splits, home, store, monkeypatch, family):
    first = FIRST.model_copy(update={"steps": 3})
    recipe = Recipe(steps=1, batch=4, stylised_per_style=2, autoencoder=first)
    monkeypatch.setattr(train_generator, "default_config", lambda name, card: CONFIGS[name])
    spec = generator_spec("fashion-mnist", family, recipe)
    trained([spec], store)
    card = json.loads((spec.folder / "card.json").read_text())
    assert card["architecture"] == json.loads((spec.folder / "config.json").read_text())
    assert card["architecture"]["family"] == family
    assert card["autoencoder"]["steps"] == 3 and card["autoencoder_loss"] > 0
    digest = hashlib.sha256((spec.folder / "model.safetensors").read_bytes()).hexdigest()
    assert card["weights_sha256"] == digest
    assert set(splits.calls) == {("fashion-mnist", "generator_pool")}


@pytest.mark.parametrize("family", TWO_STAGES)
def test_generators_of_a_described_card_share_their_first_stage(
    splits, home, store, monkeypatch, family
):
    stage = FIRST.model_copy(update={"steps": 3})
    monkeypatch.setattr(train_generator, "default_config", lambda name, card: CONFIGS[name])
    first = train_generator.AutoencoderSpec(card="fashion-mnist", family=family, stage=stage)
    recipes = [Recipe(steps=1, batch=4, stylised_per_style=2, seed=s) for s in (0, 1)]
    specs = [
        train_generator.GeneratorSpec(
            card="fashion-mnist", family=family, recipe=recipe, first=first
        )
        for recipe in recipes
    ]
    results = trained(specs, store)
    assert len({r.metrics["weights_sha256"] for r in results}) == 2
    coder = train_generator.coder_of(store.load(first)).state_dict()
    for spec in specs:
        made = load(spec.folder).autoencoder.float().state_dict()
        assert made.keys() == coder.keys()
        assert all(
            torch.equal(made[name], value.bfloat16().float()) for name, value in coder.items()
        )
