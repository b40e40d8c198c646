"""What every family keeps to, and what is peculiar to latents and to masked tokens."""

import copy
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from tiny_images import CONFIGS, random_generator

from dataworth.errors import UserError
from dataworth.images.generators import FAMILIES, encode, family_of, load
from dataworth.images.generators.base import random_numbers
from dataworth.images.generators.masked import TEMPERATURE, draw, masked_share, one_hot
from dataworth.images.generators.pixel import flow_scheduler
from dataworth.kernels import matmul

PROMPTS = ["dress", "a photo of a sandal", "ankle boot"]


@pytest.fixture(scope="module", params=CONFIGS)
def family(request):
    return random_generator(CONFIGS[request.param], seed=0)


@pytest.fixture(scope="module")
def latent():
    return with_precision(random_generator(CONFIGS["latent-diffusion"], seed=0), torch.float32)


@pytest.fixture(scope="module")
def masked():
    return with_precision(random_generator(CONFIGS["masked-token"], seed=0), torch.float32)


def with_precision(generator, dtype):
    made = copy.copy(generator)
    made.dtype, made.transformer = dtype, copy.deepcopy(generator.transformer).to(dtype)
    if generator.autoencoder is not None:
        made.autoencoder = copy.deepcopy(generator.autoencoder).to(dtype)
    return made


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_an_image_depends_on_its_own_request_alone(family, precision, guidance):
    g = with_precision(family, getattr(torch, precision))
    alone = g.generate(["dress"], guidance, [7])[0]
    assert alone.shape == (28, 28) and alone.dtype == np.uint8
    prompts = [PROMPTS[i % 3] for i in range(70)]
    seeds = list(range(1000, 1070))
    for place in (0, 40, 63, 64, 69):
        prompts[place], seeds[place] = "dress", 7
    many = g.generate(prompts, guidance, seeds)
    for place in (0, 40, 63, 64, 69):
        np.testing.assert_array_equal(many[place], alone)
    assert len({image.tobytes() for image in many}) == 70 - 4  # every other one is its own
    assert (g.generate(["bag"], guidance, [7])[0] != alone).any()  # the prompt
    assert (g.generate(["dress"], guidance + 2, [7])[0] != alone).any()  # guidance
    made = copy.copy(g)
    made.steps = 5
    assert (made.generate(["dress"], guidance, [7])[0] != alone).any()  # steps
    assert g.generate([], guidance, []).shape == (0, 28, 28)


def test_every_bit_of_a_seed_counts(family):
    words = ["a photo of a bag"] * 3
    few, many, more = family.generate(words, 1.0, [5, (1 << 40) + 5, (2 << 40) + 5])
    assert (few != many).any() and (many != more).any() and (few != more).any()
    one = torch.Generator("cpu").manual_seed(5)
    assert torch.equal(torch.rand(3, generator=random_numbers(5)), torch.rand(3, generator=one))


def test_a_nan_never_becomes_a_black_pixel(family):
    g = with_precision(family, torch.float32)
    with torch.no_grad():
        next(iter(g.transformer.parameters())).fill_(torch.nan)
    with pytest.raises(UserError, match=r"not numbers at guidance 1\.5 with 3 steps"):
        g.generate(PROMPTS, 1.5, [1, 2, 3])
    if family.autoencoder is not None:
        g = with_precision(family, torch.float32)
        with torch.no_grad():
            for weight in g.autoencoder.decoder.parameters():
                weight.fill_(torch.nan)
        with pytest.raises(UserError, match="not numbers"):
            g.generate(PROMPTS, 1.0, [1, 2, 3])


def test_no_guidance_is_one_forward_a_step(family, monkeypatch):
    rows, (_, _, side, patch) = [], family.config.grid

    def watched(a, *given, **named):
        if named.get("gelu"):  # of the texts, and of every block's feed-forward network
            rows.append(len(a) * patch**2 // side**2)
        return matmul(a, *given, **named)

    monkeypatch.setattr("dataworth.images.generators.guided.matmul", watched)
    blocks = 3 * family.config.layers
    family.generate(PROMPTS, 1.0, [1, 2, 3])
    assert rows[1:] == [64] * blocks
    rows.clear()
    family.generate(PROMPTS, 1.5, [1, 2, 3])
    assert rows[2:] == [128] * blocks


def test_a_saved_folder_names_its_family(family, tmp_path):
    family.save(tmp_path / "tiny")
    again = load(tmp_path / "tiny", steps=3)
    assert type(again) is type(family) and again.config == family.config
    assert json.loads((tmp_path / "tiny" / "config.json").read_text())["family"] == family.family
    again.save(tmp_path / "again")
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        a, b = (tmp_path / folder / name for folder in ("tiny", "again"))
        assert a.read_bytes() == b.read_bytes()
    twice = load(tmp_path / "again", steps=3)
    images = [g.generate(PROMPTS, 2.0, [1, 2, 3]) for g in (again, twice)]
    np.testing.assert_array_equal(*images)
    assert load(tmp_path / "tiny").steps == FAMILIES[family.family].steps


def test_weights_without_a_family_are_pixel_diffusion(generator, tmp_path):
    generator.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["family"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load(tmp_path).family == "pixel-diffusion"


def test_weights_of_another_architecture_are_refused(family, tmp_path):
    family.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"width": 64}))
    with pytest.raises(UserError, match=r"do not fit their config\.json"):
        load(tmp_path)


def test_unknown_families():
    with pytest.raises(UserError, match=r"family is 'gan'; it must be one of pixel-diffusion, "):
        family_of("gan")


# --- Latents ------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance", [0.5, 1.0, 3.0])
def test_latent_images_are_those_of_a_plain_loop(latent, guidance):
    """diffusers' solver, one image and one text at a time, then diffusers' decoder."""
    images = latent.generate(PROMPTS, guidance, [3, 4, 5]).astype(int)
    for image, prompt, seed in zip(images, PROMPTS, [3, 4, 5], strict=True):
        scheduler = flow_scheduler()
        scheduler.set_timesteps(latent.steps)
        x = torch.randn(1, 2, 7, 7, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            for t in scheduler.timesteps:
                v = plain(latent, "", x, t)
                v = v + guidance * (plain(latent, prompt, x, t) - v)
                x = scheduler.step(v, t, x).prev_sample
            y = latent.autoencoder.decode(x).sample[0, 0]
        expected = np.rint((y.clamp(-1, 1).numpy() + 1) * 127.5)
        assert np.abs(image - expected).max() <= 1  # a doubled batch sums in another order


def plain(g, text, x, t):
    ids, mask = (torch.from_numpy(a) for a in encode(g.tokenizer, [text]))
    hidden = g.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    return g.transformer(
        x, encoder_hidden_states=hidden, encoder_attention_mask=mask, timestep=t[None]
    ).sample


# --- Masked tokens ------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [-0.5, 0.0, 0.3, 2.0])
def test_masked_tokens_follow_the_algorithm_written_out(masked, t):
    """MaskGIT's decoding in numpy, one image at a time, guidance in Muse's form
    l = (1 + t) l_c - t l_u, which is w = 1 + t."""
    seeds = [3, 4, 5]
    images = masked.generate(PROMPTS, 1 + t, seeds).astype(int)
    codes, side, steps = 16, 7, masked.steps
    for image, prompt, seed in zip(images, PROMPTS, seeds, strict=True):
        noise = torch.rand(2, steps, 49, generator=torch.Generator().manual_seed(seed)).numpy()
        tokens = np.full(49, codes)
        for step in range(steps):
            hot = np.eye(codes + 1, dtype=np.float32)[tokens].T.reshape(1, codes + 1, side, side)
            share = torch.tensor(1000 * np.cos(np.pi / 2 * step / steps), dtype=torch.float32)
            with torch.no_grad():
                c, u = (
                    plain(masked, text, torch.from_numpy(hot), share)[0].flatten(1).T.numpy()
                    for text in (prompt, "")
                )
            logits = ((1 + t) * c - t * u).astype(np.float64)
            p = np.exp(logits - logits.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            confidence = np.full(49, np.inf)
            for i in np.flatnonzero(tokens == codes):
                tokens[i] = np.searchsorted(np.cumsum(p[i]), noise[0, step, i], side="right")
                gumbel = -np.log(-np.log(noise[1, step, i]))
                cooled = TEMPERATURE * (1 - (step + 1) / steps)
                confidence[i] = np.log(p[i, tokens[i]]) + cooled * gumbel
            left = int(np.floor(49 * np.cos(np.pi / 2 * (step + 1) / steps) + 1e-9))
            tokens[np.argsort(confidence)[:left]] = codes
        entries = masked.autoencoder.quantize.embedding.weight.detach()[tokens]
        z = entries.T.reshape(1, -1, side, side)
        with torch.no_grad():
            y = masked.autoencoder.decode(z, force_not_quantize=True).sample[0, 0]
        expected = np.rint((y.clamp(-1, 1).numpy() + 1) * 127.5)
        assert np.abs(image - expected).max() <= 1


def test_tokens_are_filled_in_by_the_cosine_schedule_and_then_kept(masked):
    g = copy.copy(masked)
    g.steps = 6
    inputs = []
    hook = g.transformer.pos_embed.register_forward_pre_hook(
        lambda module, args: inputs.append(args[0][0].flatten(1).argmax(0))
    )
    try:
        g.generate(["dress"], 1.0, [1])
    finally:
        hook.remove()
    left = [int((x == 16).sum()) for x in inputs]
    assert left == [49, *(int(49 * np.cos(np.pi / 2 * s / 6)) for s in range(1, 6))]
    for before, after in pairwise(inputs):
        known = before != 16
        assert torch.equal(before[known], after[known])


def test_the_schedule_is_that_of_diffusers():
    from diffusers import AmusedScheduler

    scheduler = AmusedScheduler(mask_token_id=4)
    scheduler.set_timesteps(8)
    sample = torch.full((1, 100), 4)
    for step, t in enumerate(scheduler.timesteps[:-1]):
        sample = scheduler.step(
            torch.zeros(1, 100, 4), t, sample, generator=torch.Generator().manual_seed(0)
        ).prev_sample
        # a tie of confidences may leave one more or fewer masked there
        assert int((sample == 4).sum()) == pytest.approx(100 * masked_share(step + 1, 8), abs=1.01)
    assert masked_share(0, 8) == 1 and masked_share(8, 8) == 0


def test_codes_are_drawn_from_their_distribution():
    rng = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(1, 6, generator=rng)
    n = 20_000
    drawn, log_p = draw(logits.expand(n, 6), torch.rand(n, generator=rng))
    p = logits.softmax(-1)[0].double()
    counts = np.bincount(drawn.numpy(), minlength=6)
    expected = (p / p.sum() * n).numpy()
    assert stats.chisquare(counts, expected).pvalue > 0.01
    torch.testing.assert_close(log_p, logits.log_softmax(-1)[0][drawn])
    edges, _ = draw(logits.expand(2, 6), torch.tensor([0.0, 1 - 2**-24]))
    assert edges.tolist() == [0, 5]


def test_one_hot():
    tokens = torch.tensor([[0, 1, 3, 2]])
    hot = one_hot(tokens, 3, 2, torch.float32)
    assert hot.shape == (1, 4, 2, 2)
    assert torch.equal(hot.argmax(1).flatten(1), tokens)
    assert torch.equal(hot.sum(1), torch.ones(1, 2, 2))
