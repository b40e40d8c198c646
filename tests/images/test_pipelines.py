"""Pipelines of diffusers behind the protocol: one tiny random pipeline of each family's kind."""

import copy
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dataworth.errors import UserError
from dataworth.images.generators import FAMILIES, PipelineGenerator
from dataworth.images.generators.pipeline import DRAWS, derived_seed
from dataworth.images.parts import ShardSpec


def letter_tokenizer(folder):
    """A CLIP tokenizer that knows single letters, and its tokens."""
    from transformers import CLIPTokenizer

    letters = [chr(c) for c in range(33, 127)]
    tokens = [*letters, *(x + "</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    return CLIPTokenizer(*files, model_max_length=16), tokens


def clip_config(tokens, **changes):
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=len(tokens) - 2,
        eos_token_id=len(tokens) - 1,
        **changes,
    )


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory):
    """A Stable Diffusion with random weights, 16 x 16 pixels, as `save_pretrained` leaves it."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel

    folder = tmp_path_factory.mktemp("pipeline")
    tokenizer, tokens = letter_tokenizer(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = StableDiffusionPipeline(
            vae=AutoencoderKL(
                block_out_channels=(8, 8),
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                norm_num_groups=4,
                sample_size=16,
            ),
            text_encoder=CLIPTextModel(clip_config(tokens)),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(
                sample_size=8,
                block_out_channels=(8, 16),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                layers_per_block=1,
                cross_attention_dim=16,
                attention_head_dim=2,
                norm_num_groups=4,
            ),
            scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder / "model")
    return folder / "model"


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
    from dataworth.images import parts
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
    assert outcome.metrics == {"redrawn": 1}
    assert all(image.max() > image.min() for image in outcome.arrays["images"])


# --- The kinds that stand behind the other two families -------------------------------------------


@pytest.fixture(scope="module")
def if_folder(tmp_path_factory):
    """A DeepFloyd IF, first stage, with random weights and 16 x 16 pixels."""
    from diffusers import DDPMScheduler, IFPipeline, UNet2DConditionModel
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    folder = tmp_path_factory.mktemp("if")
    words = ["<pad>", "</s>", "<unk>", "▁", *map(chr, range(97, 123))]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = IFPipeline(
            tokenizer=T5Tokenizer(vocab=[(word, -1.0) for word in words], extra_ids=0),
            text_encoder=T5EncoderModel(
                T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
            ),
            unet=UNet2DConditionModel(
                sample_size=16,
                layers_per_block=1,
                block_out_channels=(8, 16),
                down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
                mid_block_type="UNetMidBlock2DSimpleCrossAttn",
                up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
                in_channels=3,
                out_channels=6,
                cross_attention_dim=32,
                encoder_hid_dim=16,
                attention_head_dim=4,
                addition_embed_type="text",
                addition_embed_type_num_heads=2,
                cross_attention_norm="group_norm",
                resnet_time_scale_shift="scale_shift",
                act_fn="gelu",
                norm_num_groups=4,
            ),
            scheduler=DDPMScheduler(
                beta_schedule="squaredcos_cap_v2", thresholding=True, variance_type="learned_range"
            ),
            safety_checker=None,
            feature_extractor=None,
            watermarker=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def amused_folder(tmp_path_factory):
    """An aMUSEd with random weights: 8 x 8 tokens of 32 kinds, one pixel each."""
    from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel, VQModel
    from transformers import CLIPTextModelWithProjection

    folder = tmp_path_factory.mktemp("amused")
    tokenizer, tokens = letter_tokenizer(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = AmusedPipeline(
            vqvae=VQModel(
                block_out_channels=(8,),
                latent_channels=8,
                norm_num_groups=8,
                num_vq_embeddings=32,
                mid_block_add_attention=False,
                lookup_from_codebook=True,
            ),
            tokenizer=tokenizer,
            text_encoder=CLIPTextModelWithProjection(clip_config(tokens, projection_dim=16)),
            transformer=UVit2DModel(
                hidden_size=16,
                cond_embed_dim=16,
                micro_cond_encode_dim=2,
                micro_cond_embed_dim=10,
                encoder_hidden_size=16,
                vocab_size=33,
                codebook_size=32,
                in_channels=16,
                block_out_channels=16,
                num_res_blocks=1,
                downsample=True,
                upsample=True,
                block_num_heads=1,
                num_hidden_layers=1,
                num_attention_heads=1,
                intermediate_size=16,
                sample_size=8,
            ),
            scheduler=AmusedScheduler(mask_token_id=32),
        )
        torch.nn.init.normal_(pipeline.vqvae.quantize.embedding.weight)
    pipeline.save_pretrained(folder / "model")
    return folder / "model"


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
