"""Any diffusers text-to-image pipeline behind the protocol, from a hub id or a local folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError
from dataworth.images.generators.base import check_request
from dataworth.runs import compute


class PipelineGenerator:
    """A text-to-image pipeline of diffusers: Stable Diffusion, DeepFloyd IF, aMUSEd, ...

    source: a folder, or a hub id, after which `@` and a commit may stand.
    """

    def __init__(
        self, source: str | Path, *, steps: int = 50, batch: int = 8, size: int | None = None
    ) -> None:
        import torch
        from diffusers import DiffusionPipeline

        self.device = compute.device()
        on_gpu = self.device.type == "cuda"
        name, _, commit = str(source).partition("@")
        if Path(source).is_dir():
            name, commit = str(source), ""
        # Not AutoPipelineForText2Image, which does not know aMUSEd.
        self.pipeline: Any = DiffusionPipeline.from_pretrained(
            name,
            revision=commit or None,
            dtype=compute.inference_dtype() if on_gpu else torch.float32,
        ).to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)
        # aMUSEd draws the tokens of a batch from one generator: image by image, then.
        self.alone = type(self.pipeline).__name__.startswith("Amused")
        self.name, self.steps, self.size = str(source), steps, size
        self.batch = 1 if self.alone else batch

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
                generator=noise[0] if self.alone else noise,
                num_inference_steps=self.steps,
                height=self.size,
                width=self.size,
                output_type="np",
            )
            images.append((result.images * 255).round().astype(np.uint8))
        return np.concatenate(images)
