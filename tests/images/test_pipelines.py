"""Pipelines of diffusers behind the protocol: one tiny random pipeline of each family's kind."""

import copy
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dataworth import weights
from dataworth.errors import UserError
from dataworth.images import parts
from dataworth.images.generators import FAMILIES, WEIGHTS, PipelineGenerator
from dataworth.images.generators.named import GENERATORS
from dataworth.images.generators.pipeline import DRAWS, derived_seed, side_of
from dataworth.images.parts import ShardSpec
from tiny_pipelines import amused, deepfloyd, stable_diffusion


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory):
    return stable_diffusion(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def pipeline(pipeline_folder):
    return PipelineGenerator(pipeline_folder, steps=3, batch=4)


def test_pipeline_images(pipeline, pipeline_folder):
    prompts, seeds = ["dress", "bag", "bag", "boot", "coat"], [1, 2, 3, 4, 5]  # two batches
    images = pipeline.generate(prompts, 2.0, seeds)
    assert images.shape == (5, 16, 16, 3) and images.dtype == np.uint8
    assert pipeline.name == str(pipeline_folder)
    assert len({image.tobytes() for image in images}) == 5
    for i in range(5):
        alone = pipeline.generate([prompts[i]], 2.0, [seeds[i]])[0].astype(int)
        # A batch of another size sums in another order: at most one grey level.
        assert np.abs(alone - images[i]).max() <= 1
    np.testing.assert_array_equal(pipeline.generate(prompts, 2.0, seeds), images)
    assert (pipeline.generate(prompts, 6.0, seeds) != images).any()


def test_pipeline_gives_what_diffusers_gives(pipeline, pipeline_folder):
    from diffusers import StableDiffusionPipeline

    direct = StableDiffusionPipeline.from_pretrained(pipeline_folder, safety_checker=None)
    direct.set_progress_bar_config(disable=True)
    image = direct(
        "dress",
        guidance_scale=2.0,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(9),
    ).images[0]
    mine = pipeline.generate(["dress"], 2.0, [9])[0]
    assert np.abs(np.asarray(image).astype(int) - mine).max() <= 1


def test_pipeline_size(pipeline_folder):
    made = PipelineGenerator(pipeline_folder, steps=1, size=32)
    assert made.generate(["dress"], 2.0, [1]).shape == (1, 32, 32, 3)


def test_as_many_at_a_time_as_memory_holds(pipeline_folder, monkeypatch):
    made = PipelineGenerator(pipeline_folder, steps=1)
    assert side_of(made.pipeline) == 16 and made.batch == 256  # 8 of 512 pixels would be 8,192
    assert PipelineGenerator(pipeline_folder, steps=1, size=512).batch == 8
    draw, asked = made._draw, []

    def short(prompts, guidance, seeds):
        asked.append(len(prompts))
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return draw(prompts, guidance, seeds)

    expected = made.generate(["dress"] * 5, 2.0, list(range(5))).astype(int)
    made.batch = 8
    monkeypatch.setattr(made, "_draw", short)
    assert np.abs(made.generate(["dress"] * 5, 2.0, list(range(5))) - expected).max() <= 1
    assert asked == [5, 4, 2, 2, 1] or asked == [5, 5, 2, 2, 1]
    monkeypatch.setattr(made, "_draw", lambda *given: short(["too", "many", "yet"], 2.0, []))
    with pytest.raises(UserError, match="needs more memory for one image than cpu has"):
        made.generate(["dress"], 2.0, [1])
    assert made.sliced


def test_generators_by_value(pipeline_folder, tmp_path, monkeypatch):
    for name in ("hub:owner/name", "hub:owner/name@abc123", str(pipeline_folder)):
        assert name in GENERATORS and GENERATORS[name].family == "hub"
        assert GENERATORS[name].hub == (
            name if name == str(pipeline_folder) else name.removeprefix("hub:")
        )
    ours = GENERATORS[str(WEIGHTS / "masked-token")]
    assert ours.family == "masked-token" and ours.hub == str(WEIGHTS / "masked-token")
    (tmp_path / "empty").mkdir()
    for name in ("owner/name", "hub:name", str(tmp_path / "empty"), "latent", "hub:a/b@"):
        assert name not in GENERATORS
        with pytest.raises(KeyError):
            GENERATORS[name]
    parts.generator_of.cache_clear()
    drawn = parts.generator_of(f"hub:{ours.hub}", 2)
    assert drawn.family == "masked-token" and drawn.steps == 2
    copy = tmp_path / "hub" / "owner" / "name"
    copy.parent.mkdir(parents=True)
    copy.symlink_to(pipeline_folder)
    monkeypatch.setenv("DATAWORTH_HUB", str(tmp_path / "hub"))
    made = PipelineGenerator("owner/name@" + "0a" * 20, steps=1)
    assert made.generate(["dress"], 1.0, [1]).shape == (1, 16, 16, 3)
    assert weights.digest("owner/name@" + "0a" * 20) == weights.digest(str(pipeline_folder))
    with pytest.raises(UserError, match=r"has no owner/other"):
        PipelineGenerator("owner/other")


def test_pipeline_refuses_what_it_cannot_serve(pipeline):
    with pytest.raises(UserError, match="guidance is -1"):
        pipeline.generate(["a"], -1.0, [1])
    with pytest.raises(UserError, match="seeds has 0 entries"):
        pipeline.generate(["a"], 2.0, [])


def test_pipeline_does_not_ignore_guidance_below_one(pipeline):
    """diffusers switches guidance off below 1, so such a request is refused."""
    with pytest.raises(UserError, match=r"guidance is 0\.5"):
        pipeline.generate(["dress"], 0.5, [1])


# --- Images that must not be trained on -----------------------------------------------------------


FLAGS = {"flag": "nsfw_content_detected", "if-flag": "nsfw_detected"}


class Faulty:
    """A pipeline that spoils the images of some seeds, as diffusers does it: with NaN (half
    precision), a flag and black (Stable Diffusion's or DeepFloyd's safety checker), or black
    alone (DeepFloyd's watermark)."""

    def __init__(self, pipeline, faults):
        self.pipeline, self.faults, self.seen = pipeline, faults, []

    def __call__(self, *, generator, **options):
        seeds = [g.initial_seed() for g in generator]
        self.seen += seeds
        images = self.pipeline(generator=generator, **options).images.copy()
        kinds = [self.faults(seed) for seed in seeds]
        for image, kind in zip(images, kinds, strict=True):
            if kind == "nan":
                image[3, 4] = np.nan
            elif kind:
                image[:] = 0
        made = SimpleNamespace(images=images, nsfw_content_detected=None)
        for kind, name in FLAGS.items():
            if kind in kinds:
                setattr(made, name, [k == kind for k in kinds])
        return made


@pytest.fixture
def faulty(pipeline):
    """A generator whose pipeline spoils the seeds that a function names."""

    def make(faults, batch=4):
        made = copy.copy(pipeline)
        made.pipeline, made.batch = Faulty(pipeline.pipeline, faults), batch
        return made

    return make


PROMPTS, SEEDS = ["dress", "bag", "bag", "boot", "coat"] * 4, list(range(1, 21))


@pytest.mark.parametrize("kind", ["nan", "flag", "if-flag", "black"])
def test_a_failed_image_is_drawn_again_from_a_seed_of_its_own(faulty, pipeline, kind):
    again = derived_seed(7, 1)  # fails too: the third draw is the image
    made = faulty({3: kind, 7: kind, again: kind}.get)
    images = made.generate(PROMPTS, 2.0, SEEDS)
    assert made.redrawn == 2
    assert made.pipeline.seen[20:] == [derived_seed(3, 1), again, derived_seed(7, 2)]
    want = list(SEEDS)
    want[2], want[6] = derived_seed(3, 1), derived_seed(7, 2)
    expected = pipeline.generate(PROMPTS, 2.0, want).astype(int)
    assert np.abs(expected - images).max() <= 1  # sums of another order
    assert made.generate(PROMPTS[10:], 2.0, SEEDS[10:]).shape == (10, 16, 16, 3)
    assert made.redrawn == 0  # of the last request


def test_what_is_drawn_again_does_not_depend_on_the_batch(faulty):
    faults = {1: "nan", 4: "flag", 13: "black", derived_seed(4, 1): "nan"}.get
    made = {batch: faulty(faults, batch) for batch in (1, 3, 8, 20)}
    images = [g.generate(PROMPTS, 2.0, SEEDS).astype(int) for g in made.values()]
    assert [g.redrawn for g in made.values()] == [3] * 4
    assert len({tuple(sorted(g.pipeline.seen)) for g in made.values()}) == 1
    for other in images[1:]:
        assert np.abs(other - images[0]).max() <= 1


def test_a_pipeline_that_fails_often_is_refused(faulty):
    for batch in (1, 3, 20):
        with pytest.raises(UserError, match=r"more than 5 of 20 .*not numbers.*allowed is 25%"):
            faulty(lambda seed: "nan" if seed <= 6 else None, batch).generate(PROMPTS, 2.0, SEEDS)
        made = faulty(lambda seed: "nan" if seed <= 5 else None, batch)
        made.generate(PROMPTS, 2.0, SEEDS)
        assert made.redrawn == 5
    with pytest.raises(UserError, match=r"safety checker"):
        faulty(lambda seed: "flag").generate(PROMPTS, 2.0, SEEDS)
    stubborn = {derived_seed(10, attempt) for attempt in range(DRAWS)}
    with pytest.raises(UserError, match=r"drew 'coat' with seed 10 10 times.*one colour"):
        faulty(dict.fromkeys(stubborn, "black").get).generate(PROMPTS, 2.0, SEEDS)
    assert len(stubborn) == DRAWS and all(0 <= seed < 2**63 for seed in stubborn)


def test_the_stored_shard_counts_what_was_drawn_again(faulty, pipeline, monkeypatch, tmp_path):
    from dataworth.runs import Store

    monkeypatch.setattr(parts, "SHARD", 20)
    pool = {
        "family": "hub", "weights": "hub:x/y@" + "0" * 40, "card": "fashion-mnist", "steps": 3,
        "prompt_set": "classnames", "guidance": 2.0, "seed": 0, "names": ("bag", "boot"),
    }  # fmt: skip
    spoiled = parts.image_seed(0, 4)
    made = faulty(lambda seed: "flag" if seed == spoiled else None)
    monkeypatch.setattr(parts, "generator_of", lambda weights, steps: made)
    outcome = ShardSpec(**pool, start=0).run(Store(tmp_path))
    assert outcome.metrics["redrawn"] == 1 and set(outcome.metrics) == {"redrawn", "made_by"}
    assert str(outcome.metrics["made_by"]).endswith("licence not stated")
    assert all(image.max() > image.min() for image in outcome.arrays["images"])


# --- The kinds that stand behind the other two families -------------------------------------------


@pytest.fixture(scope="module")
def if_folder(tmp_path_factory):
    return deepfloyd(tmp_path_factory.mktemp("if"))


@pytest.fixture(scope="module")
def amused_folder(tmp_path_factory):
    return amused(tmp_path_factory.mktemp("amused"))


@pytest.mark.parametrize(("kind", "side"), [("if_folder", 16), ("amused_folder", 8)])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_other_kinds_of_pipeline(request, kind, side, guidance):
    made = PipelineGenerator(request.getfixturevalue(kind), steps=3, batch=2)
    prompts, seeds = ["dress", "bag", "bag"], [1, 2, 3]
    images = made.generate(prompts, guidance, seeds)
    assert images.shape == (3, side, side, 3) and images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == 3
    for i in range(3):
        alone = made.generate([prompts[i]], guidance, [seeds[i]])[0].astype(int)
        assert np.abs(alone - images[i]).max() <= 1


def test_a_commit_after_the_hub_id_is_the_revision(monkeypatch):
    from diffusers import DiffusionPipeline

    asked = {}

    def refuse(name, **given):
        asked[name] = given["revision"]
        raise OSError("no network")

    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", refuse)
    for source in ("owner/name@" + "0a" * 20, "owner/name-b"):
        with pytest.raises(OSError, match="no network"):
            PipelineGenerator(source)
    assert asked == {"owner/name": "0a" * 20, "owner/name-b": None}


def test_every_family_names_an_open_checkpoint():
    """Offline no checkpoint can be asked for: the table must at least hold hub ids."""
    for family in FAMILIES.values():
        assert re.fullmatch(r"[\w.-]+/[\w.-]+(@[0-9a-f]{40})?", family.hub)
        assert family.hub_steps > 0 and family.row in ("Imagen", "Stable Diffusion", "Muse")
