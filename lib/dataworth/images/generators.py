"""Text-to-image generators behind one protocol: `generate(prompts, guidance, seeds) -> images`.

`PixelDiffusion` is our own small model (the Imagen row of Fan et al. 2023: diffusion in pixel
space, text encoder beside it). `PipelineGenerator` is any diffusers text-to-image pipeline, from a
hub id or a local folder.

Guidance follows diffusers: v = v_uncond + w (v_cond - v_uncond), so w = 1 means none. The
logit form of the slides, l_g = (1 + t) l_c - t l_u, is the same with w = 1 + t.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError
from dataworth.runs import compute

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

WEIGHTS = Path(__file__).parent / "weights"
TILE = 64  # images per forward; always padded to this, so an image never depends on its neighbours


class Generator(Protocol):
    """Draws one image for each prompt; image i depends on prompt i, seed i and guidance alone."""

    name: str

    def generate(
        self, prompts: Sequence[str], guidance: float, seeds: Sequence[int]
    ) -> NDArray[np.uint8]:
        """uint8 images (N, H, W) or (N, H, W, 3) for N prompts and N seeds.

        Raises UserError if the lengths differ or guidance is negative.
        """
        ...


def check_request(prompts: Sequence[str], guidance: float, seeds: Sequence[int]) -> None:
    """Raise UserError for a request that no generator can serve."""
    if len(prompts) != len(seeds):
        raise UserError(
            f"seeds has {len(seeds)} entries for {len(prompts)} prompts; give one seed per prompt."
        )
    if not 0 <= guidance < float("inf"):
        raise UserError(
            f"guidance is {guidance}; it must be 0 or more and finite (1 means no guidance)."
        )


@dataclass(frozen=True)
class PixelDiffusionConfig:
    """Architecture of `PixelDiffusion`: a PixArt transformer on pixels, a T5 text encoder."""

    image_size: int = 28
    patch_size: int = 4
    layers: int = 4
    width: int = 128
    heads: int = 4
    text_layers: int = 2
    text_width: int = 64
    text_heads: int = 4
    text_tokens: int = 20
    vocabulary: int = 512


def build(config: PixelDiffusionConfig) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Untrained (transformer, text encoder) of a configuration."""
    from diffusers import PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    transformer: Any = PixArtTransformer2DModel(
        num_attention_heads=config.heads,
        attention_head_dim=config.width // config.heads,
        in_channels=1,
        out_channels=1,
        num_layers=config.layers,
        cross_attention_dim=config.width,
        sample_size=config.image_size,
        patch_size=config.patch_size,
        caption_channels=config.text_width,
        use_additional_conditions=False,
        norm_num_groups=1,
        interpolation_scale=1,
    )
    encoder: Any = T5EncoderModel(
        T5Config(
            vocab_size=config.vocabulary,
            d_model=config.text_width,
            d_kv=config.text_width // config.text_heads,
            d_ff=2 * config.text_width,
            num_heads=config.text_heads,
            num_layers=config.text_layers,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
        )
    )
    return transformer, encoder


def encode(
    tokenizer: Tokenizer, texts: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and mask, each int64 (N, text_tokens); the empty text is one end token."""
    rows = tokenizer.encode_batch(list(texts))
    return (
        np.array([row.ids for row in rows], dtype=np.int64),
        np.array([row.attention_mask for row in rows], dtype=np.int64),
    )


class PixelDiffusion:
    """Flow-matching diffusion transformer in pixel space with classifier-free guidance.

    Training: x_t = (1 - t) x + t e, the model predicts v = e - x (Lipman et al. 2023). Sampling:
    DPM-Solver++ 2M of diffusers on the flow's sigmas, guidance by one forward of a doubled batch.
    """

    def __init__(
        self,
        transformer: torch.nn.Module,
        encoder: torch.nn.Module,
        tokenizer: Tokenizer,
        config: PixelDiffusionConfig,
        *,
        name: str = "pixel-diffusion",
        steps: int = 8,
    ) -> None:
        self.device, self.dtype = compute.device(), compute.inference_dtype()
        # Weights and activations in one dtype: on a CPU a tenth faster than autocast.
        self.transformer = transformer.to(self.device, self.dtype).eval()
        self.encoder = encoder.to(self.device).eval()
        self.tokenizer, self.config, self.name, self.steps = tokenizer, config, name, steps

    @classmethod
    def load(
        cls, folder: str | Path = WEIGHTS / "pixel-diffusion", *, steps: int = 8
    ) -> PixelDiffusion:
        """Load `config.json`, `tokenizer.json` and `model.safetensors` from a folder."""
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        folder = Path(folder)
        if not (folder / "model.safetensors").is_file():
            raise UserError(
                f"generator weights {folder} not found; train them with "
                "`python -m dataworth.images.train_generator` or name a folder that holds them."
            )
        config = PixelDiffusionConfig(**json.loads((folder / "config.json").read_text()))
        transformer, encoder = build(config)
        state = load_file(folder / "model.safetensors")
        for prefix, module in (("transformer.", transformer), ("encoder.", encoder)):
            part = {
                k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)
            }
            missing, unexpected = module.load_state_dict(part, strict=False)
            # T5 ties embed_tokens to `shared`; safetensors stores it once.
            if unexpected or any(not key.endswith("embed_tokens.weight") for key in missing):
                raise UserError(f"generator weights {folder} do not fit their config.json.")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return cls(transformer, encoder, tokenizer, config, name=folder.name, steps=steps)

    def save(self, folder: str | Path) -> None:
        """Write what `load` reads; weights are rounded to bfloat16, once for every machine."""
        import torch
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {}
        for prefix, module in (("transformer.", self.transformer), ("encoder.", self.encoder)):
            for key, value in module.state_dict().items():
                if not key.endswith("embed_tokens.weight"):
                    state[prefix + key] = value.detach().to("cpu", torch.bfloat16).contiguous()
        save_file(state, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=1) + "\n")
        self.tokenizer.save(str(folder / "tokenizer.json"))

    def generate(
        self,
        prompts: Sequence[str],
        guidance: float,
        seeds: Sequence[int],
    ) -> NDArray[np.uint8]:
        """uint8 images (N, 28, 28); see `Generator.generate`."""
        import torch

        check_request(prompts, guidance, seeds)
        size = self.config.image_size
        out = np.empty((len(prompts), size, size), dtype=np.uint8)
        with torch.inference_mode():
            texts = {text: i for i, text in enumerate(dict.fromkeys([*prompts, ""]))}
            hidden, mask = self._encode(list(texts))
            index = np.array([texts[p] for p in prompts], dtype=np.int64)
            for start in range(0, len(prompts), TILE):
                chosen = index[start : start + TILE]
                count = len(chosen)
                pad = TILE - count
                rows = torch.from_numpy(np.pad(chosen, (0, pad), mode="edge")).to(self.device)
                noise = torch.stack([self._noise(s) for s in seeds[start : start + TILE]])
                noise = torch.cat([noise, noise[-1:].expand(pad, -1, -1, -1)])
                x = self._solve(
                    noise.to(self.device),
                    hidden,
                    mask,
                    rows,
                    texts[""],
                    guidance,
                )
                pixels = ((x[:count, 0].clamp(-1, 1) + 1) * 127.5).round()
                out[start : start + count] = pixels.to("cpu", torch.uint8).numpy()
        return out

    def _noise(self, seed: int) -> torch.Tensor:
        import torch

        size = self.config.image_size
        generator = torch.Generator("cpu").manual_seed(int(seed))  # CPU: the same on any device
        return torch.randn(1, size, size, generator=generator)

    def _encode(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Text features (T, tokens, text_width) and mask (T, tokens) of distinct texts."""
        import torch

        features, masks = [], []
        for start in range(0, len(texts), TILE):
            chunk = texts[start : start + TILE]
            ids, mask = encode(self.tokenizer, chunk + [""] * (TILE - len(chunk)))
            ids_t, mask_t = (
                torch.from_numpy(ids).to(self.device),
                torch.from_numpy(mask).to(self.device),
            )
            hidden = self.encoder(input_ids=ids_t, attention_mask=mask_t).last_hidden_state
            features.append(hidden[: len(chunk)])
            masks.append(mask_t[: len(chunk)])
        return torch.cat(features), torch.cat(masks)

    def _solve(
        self,
        x: torch.Tensor,
        hidden: torch.Tensor,
        mask: torch.Tensor,
        rows: torch.Tensor,
        null: int,
        guidance: float,
    ) -> torch.Tensor:
        """Integrate noise x (B, 1, H, W) to images in [-1, 1] under text rows (B,)."""
        import torch

        guided = guidance != 1.0
        if guided:
            rows = torch.cat([rows, torch.full_like(rows, null)])  # (2B,)
        text, text_mask = hidden[rows].to(self.dtype), mask[rows]
        scheduler = flow_scheduler()
        scheduler.set_timesteps(self.steps)
        for t in scheduler.timesteps:
            both = torch.cat([x, x]) if guided else x  # (2B, 1, H, W)
            v = self.transformer(
                both.to(self.dtype),
                encoder_hidden_states=text,
                encoder_attention_mask=text_mask,
                timestep=t.to(self.device).expand(len(both)),
                return_dict=False,
            )[0].float()
            if guided:
                conditional, unconditional = v.chunk(2)
                v = unconditional + guidance * (conditional - unconditional)
            x = scheduler.step(v, t, x, return_dict=False)[0]
        return x


def flow_scheduler() -> Any:
    """DPM-Solver++ 2M (Lu et al. 2022) for a model that predicts the flow-matching velocity."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=1.0,
        algorithm_type="dpmsolver++",
        solver_order=2,
        final_sigmas_type="zero",
    )


class PipelineGenerator:
    """Any diffusers text-to-image pipeline (Stable Diffusion, ...), from a hub id or a folder."""

    def __init__(
        self, source: str | Path, *, steps: int = 50, batch: int = 8, size: int | None = None
    ) -> None:
        import torch
        from diffusers import AutoPipelineForText2Image

        self.device = compute.device()
        on_gpu = self.device.type == "cuda"
        self.pipeline = AutoPipelineForText2Image.from_pretrained(
            str(source), torch_dtype=compute.inference_dtype() if on_gpu else torch.float32
        ).to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)
        self.name, self.steps, self.batch, self.size = str(source), steps, batch, size

    def generate(
        self, prompts: Sequence[str], guidance: float, seeds: Sequence[int]
    ) -> NDArray[np.uint8]:
        """uint8 images (N, H, W, 3); see `Generator.generate`."""
        import torch

        check_request(prompts, guidance, seeds)
        if guidance < 1:  # diffusers would silently sample without guidance
            raise UserError(f"guidance is {guidance}; a diffusers pipeline needs 1 or more.")
        images = []
        for start in range(0, len(prompts), self.batch):
            noise = [
                torch.Generator("cpu").manual_seed(int(s))
                for s in seeds[start : start + self.batch]
            ]
            result = self.pipeline(
                prompt=list(prompts[start : start + self.batch]),
                guidance_scale=guidance,
                generator=noise,
                num_inference_steps=self.steps,
                height=self.size,
                width=self.size,
                output_type="np",
            )
            images.append((result.images * 255).round().astype(np.uint8))
        return np.concatenate(images)
