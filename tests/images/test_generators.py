"""Generators: one image per (prompt, seed) whatever its neighbours; guidance; the solver."""

import copy
import json

import numpy as np
import pytest
import torch
from tiny_images import CONFIG, random_generator

from dataworth.errors import UserError
from dataworth.images.generators import (
    PixelDiffusion,
    check_request,
    encode,
    flow_scheduler,
)
from dataworth.images.generators.base import build
from dataworth.images.generators.guided import Guided

PROMPTS = ["dress", "a photo of a sandal", "ankle boot"]


def with_precision(generator: PixelDiffusion, dtype: torch.dtype) -> PixelDiffusion:
    made = copy.copy(generator)
    made.dtype, made.transformer = dtype, copy.deepcopy(generator.transformer).to(dtype)
    return made


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def at_precision(request, generator):
    """The tiny generator with sampling in one precision, whatever this machine prefers."""
    return with_precision(generator, getattr(torch, request.param))


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_an_image_does_not_depend_on_its_neighbours(at_precision, guidance):
    g = at_precision
    alone = g.generate(["dress"], guidance, [7])[0]
    for place in (0, 1, 2):
        prompts, seeds = [PROMPTS[1]] * 3, [100, 101, 102]
        prompts[place], seeds[place] = "dress", 7
        np.testing.assert_array_equal(g.generate(prompts, guidance, seeds)[place], alone)
    prompts = [PROMPTS[i % 3] for i in range(130)]
    seeds = list(range(1000, 1130))
    for place in (0, 40, 63, 64, 127, 128, 129):
        prompts[place], seeds[place] = "dress", 7
    many = g.generate(prompts, guidance, seeds)
    for place in (0, 40, 63, 64, 127, 128, 129):
        np.testing.assert_array_equal(many[place], alone)
    assert len({image.tobytes() for image in many}) == 130 - 6  # every other one is its own


def test_shape_type_and_what_an_image_depends_on(generator):
    images = generator.generate(["dress", "dress", "bag", "dress"], 2.0, [1, 2, 1, 1])
    assert images.shape == (4, 28, 28) and images.dtype == np.uint8
    np.testing.assert_array_equal(images[0], images[3])
    assert (images[0] != images[1]).any()  # the seed
    assert (images[0] != images[2]).any()  # the prompt
    assert (generator.generate(["dress"], 3.0, [1])[0] != images[0]).any()  # guidance
    assert generator.generate([], 2.0, []).shape == (0, 28, 28)


def test_sampling_leaves_the_global_random_state_alone(generator):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    generator.generate(["dress"], 2.0, [1])
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def reference(g, prompts, guidance, seeds):
    """Sampling written out: diffusers' scheduler, one image and one text at a time.

    guidance None: the conditional prediction alone.
    """
    from diffusers import DPMSolverMultistepScheduler

    images = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        scheduler = DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, final_sigmas_type="zero"
        )
        scheduler.set_timesteps(g.steps)
        x = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(seed))

        def velocity(text, x, t):
            ids, mask = (torch.from_numpy(a) for a in encode(g.tokenizer, [text]))
            hidden = g.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            return g.transformer(
                x, encoder_hidden_states=hidden, encoder_attention_mask=mask, timestep=t[None]
            ).sample

        with torch.no_grad():
            for t in scheduler.timesteps:
                v = velocity(prompt, x, t)
                if guidance is not None:
                    v = (1 - guidance) * velocity("", x, t) + guidance * v
                x = scheduler.step(v, t, x).prev_sample
        images.append(np.rint((x[0, 0].clamp(-1, 1).numpy() + 1) * 127.5))
    return np.stack(images)


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 1.5, 4.0])
def test_guidance_is_the_stated_formula(generator, guidance):
    g = with_precision(generator, torch.float32)
    seeds = [3, 4, 5]
    images = g.generate(PROMPTS, guidance, seeds).astype(int)
    expected = reference(g, PROMPTS, guidance, seeds)
    # A doubled batch sums in another order: at most one grey level, and that rarely.
    assert np.abs(images - expected).max() <= 1
    assert (images != expected).mean() < 0.002
    plain = reference(g, PROMPTS, None, seeds)
    if guidance == 1:
        assert np.abs(images - plain).max() <= 1
    else:
        assert np.abs(images - plain).mean() > 1  # guidance does something here


def solve(x, velocity, steps):
    """Integrate v(x, t) from noise; t as the solver has it (diffusers tells models t in 1/1000)."""
    scheduler = flow_scheduler()
    scheduler.set_timesteps(steps)
    for step, t in zip(scheduler.timesteps, scheduler.sigmas[:-1], strict=True):
        assert abs(step / 1000 - t) < 1e-3
        x = scheduler.step(velocity(x, t.double()), step, x, return_dict=False)[0]
    return x


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_the_solver_returns_a_point_mass(steps):
    """All data at x0: x_t = (1 - t) x0 + t e, so v = e - x0 = (x_t - x0) / t exactly."""
    rng = torch.Generator().manual_seed(0)
    x0, e = (torch.randn(2, 1, 4, 4, generator=rng, dtype=torch.float64) for _ in range(2))
    found = solve(e, lambda x, t: (x - x0) / t, steps)
    torch.testing.assert_close(found, x0, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("mean", "deviation"), [(0.3, 0.5), (-0.5, 0.2), (0.0, 1.0)])
def test_the_solver_follows_the_flow_of_gaussian_data(mean, deviation):
    """The flow of N(mean, deviation^2) keeps (x_t - (1 - t) mean) / sd(x_t): noise e ends at
    mean + deviation e.

    Tolerances in deviations for |e| <= 2. The error of a second-order solver falls about fourfold
    when the steps double, down to what starting at t = 0.999 instead of 1 leaves.
    """

    def velocity(x, t):
        variance = (1 - t) ** 2 * deviation**2 + t**2
        away = x - (1 - t) * mean
        # E[e - x0 | x_t]: regression of jointly normal variables
        return t / variance * away - (mean + (1 - t) * deviation**2 / variance * away)

    e = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None, None, None]
    end = mean + deviation * e
    errors = [float((solve(e, velocity, n) - end).abs().max()) / deviation for n in (8, 16, 32, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.5 and errors[1] < 0.1 and errors[3] < 0.02


def test_round_trip_of_saved_weights(generator, tmp_path):
    generator.save(tmp_path / "tiny")
    first = PixelDiffusion.load(tmp_path / "tiny", steps=3)
    assert first.name == "tiny" and first.config == CONFIG
    for mine, theirs in (
        (generator.transformer, first.transformer),
        (generator.encoder, first.encoder),
    ):
        saved = theirs.state_dict()
        assert mine.state_dict().keys() == saved.keys()
        for name, value in mine.state_dict().items():
            rounded = value.to(torch.bfloat16)
            assert torch.equal(rounded, saved[name].to(torch.bfloat16)), name
            assert torch.equal(saved[name].to(torch.bfloat16).to(saved[name].dtype), saved[name])
    assert (
        encode(first.tokenizer, PROMPTS)[0].tolist()
        == encode(generator.tokenizer, PROMPTS)[0].tolist()
    )
    first.save(tmp_path / "again")
    second = PixelDiffusion.load(tmp_path / "again", steps=3)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        a, b = (tmp_path / folder / name for folder in ("tiny", "again"))
        assert a.read_bytes() == b.read_bytes()
    images = [g.generate(PROMPTS, 2.0, [1, 2, 3]) for g in (first, second)]
    np.testing.assert_array_equal(*images)


def test_tokens(generator):
    ids, mask = encode(generator.tokenizer, ["", "a photo of a dress", "x" * 500, "käse 靴"])
    assert ids.shape == mask.shape == (4, CONFIG.text_tokens)
    end = generator.tokenizer.token_to_id("</s>")
    assert mask[0].sum() == 1 and ids[0, 0] == end  # the empty text is one end token
    for row, kept in zip(ids, mask, strict=True):
        assert (kept == np.sort(kept)[::-1]).all() and row[kept.sum() - 1] == end
    assert mask[2].all()  # cut to length, and still ended
    assert generator.tokenizer.decode(ids[3].tolist()).strip() == "käse 靴"  # nothing is unknown


@pytest.mark.parametrize(
    ("prompts", "guidance", "seeds", "words"),
    [
        (["a"], -0.5, [1], ["guidance is -0.5", "0 or more"]),
        (["a"], float("nan"), [1], ["guidance is nan", "0 or more"]),
        (["a"], 2.0, [1, 2], ["seeds has 2 entries for 1 prompts"]),
        (["a", "b"], 2.0, [1], ["seeds has 1 entries for 2 prompts"]),
        ([], 2.0, [1], ["seeds has 1 entries for 0 prompts"]),
    ],
)
def test_a_request_that_cannot_be_served(generator, prompts, guidance, seeds, words):
    for refuse in (check_request, generator.generate):
        with pytest.raises(UserError) as caught:
            refuse(prompts, guidance, seeds)
        assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)


def test_missing_and_unfitting_weights(generator, tmp_path):
    with pytest.raises(UserError, match=r"generator weights .*nowhere not found; train them with"):
        PixelDiffusion.load(tmp_path / "nowhere")
    generator.save(tmp_path / "tiny")
    config = tmp_path / "tiny" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"layers": 2}))
    with pytest.raises(UserError, match=r"do not fit their config\.json"):
        PixelDiffusion.load(tmp_path / "tiny")


def test_generators_with_equal_weights_are_equal():
    a, b = (random_generator(CONFIG, seed=1) for _ in range(2))
    np.testing.assert_array_equal(a.generate(["bag"], 2.0, [1]), b.generate(["bag"], 2.0, [1]))


@pytest.mark.parametrize("guidance", [None, 0.0, 2.5])
def test_a_guided_prediction_is_that_of_diffusers(guidance):
    torch.manual_seed(0)
    network = build(CONFIG)[0].float().eval()
    count, length, side = 5, CONFIG.text_tokens, CONFIG.image_size
    text = torch.randn(count, length, CONFIG.text_width)
    mask = (torch.arange(length) < torch.tensor([1, 3, 2, 5, 4])[:, None]).long()
    null = torch.randn(1, length, CONFIG.text_width)
    x, t = torch.randn(count, 1, side, side), torch.tensor(300.0)

    def plain(words, known):
        return network(
            x,
            encoder_hidden_states=words,
            encoder_attention_mask=known,
            timestep=t.expand(count),
            return_dict=False,
        )[0]

    with torch.inference_mode():
        expected = plain(text, mask)
        if guidance is not None:
            first = (torch.arange(length) < 1).long().expand(count, -1)
            blind = plain(null.expand(count, -1, -1), first)
            expected = blind + guidance * (expected - blind)
        guided = Guided(network, text, mask, None if guidance is None else null[0, :1])
        torch.testing.assert_close(
            guided(x, t, 1.0 if guidance is None else guidance), expected, rtol=1e-4, atol=1e-5
        )
