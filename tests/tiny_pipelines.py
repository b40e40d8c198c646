"""Untrained pipelines of diffusers, a few pixels large: one of each kind that has a name here."""

from __future__ import annotations

import json

import torch


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


def stable_diffusion(folder):
    """A Stable Diffusion with random weights, 16 x 16 pixels, as `save_pretrained` leaves it."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel

    folder.mkdir(parents=True, exist_ok=True)
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


def deepfloyd(folder):
    """A DeepFloyd IF, first stage, with random weights and 16 x 16 pixels."""
    from diffusers import DDPMScheduler, IFPipeline, UNet2DConditionModel
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    folder.mkdir(parents=True, exist_ok=True)
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


def amused(folder):
    """An aMUSEd with random weights: 8 x 8 tokens of 32 kinds, one pixel each."""
    from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel, VQModel
    from transformers import CLIPTextModelWithProjection

    folder.mkdir(parents=True, exist_ok=True)
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
