"""Any diffusers text-to-image pipeline behind the protocol, from a hub id or a local folder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth import compute
from dataworth.errors import UserError
from dataworth.images.generators.base import check_request

log = logging.getLogger(__name__)

# A safety checker hands out black images, and half precision overflows to NaN (black once cast):
# neither may be trained on. Single ones are drawn again; where many fail, the pipeline does not
# fit its task, and drawing again would only hide that and bend the distribution.
DRAWS = 10  # at most, for one image
FAILED = 0.25  # largest fraction of a request's first draws that may fail (one always may)


class PipelineGenerator:
    """A text-to-image pipeline of diffusers: Stable Diffusion, DeepFloyd IF, aMUSEd, ...

    source: a folder, or a hub id, after which `@` and a commit may stand.

    An image that is not finite, that the pipeline's safety checker flags, or that is of one colour
    is drawn again from a seed derived from its own; `redrawn` counts such images of the last
    request.
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
        self.redrawn = 0

    def generate(
        self, prompts: Sequence[str], guidance: float, seeds: Sequence[int]
    ) -> NDArray[np.uint8]:
        """uint8 images (N, H, W, 3); see `Generator.generate`.

        Raises UserError also if more than `FAILED` of the first draws fail, or one image fails
        `DRAWS` times.
        """
        check_request(prompts, guidance, seeds)
        if guidance < 1:  # diffusers would silently sample without guidance
            raise UserError(f"guidance is {guidance}; a diffusers pipeline needs 1 or more.")
        images: dict[int, NDArray[np.uint8]] = {}
        pending = list(range(len(prompts)))
        allowed = max(1, int(FAILED * len(prompts)))
        for attempt in range(DRAWS):
            failed: dict[int, str] = {}
            for start in range(0, len(pending), self.batch):
                rows = pending[start : start + self.batch]
                given = [derived_seed(seeds[row], attempt) for row in rows]
                drawn = self._draw([prompts[row] for row in rows], guidance, given)
                for row, found in zip(rows, drawn, strict=True):
                    if isinstance(found, str):
                        failed[row] = found
                    else:
                        images[row] = found
                if len(failed) > allowed:
                    reasons = ", ".join(sorted(set(failed.values())))
                    raise UserError(
                        f"{self.name} fails on more than {allowed} of {len(prompts)} images "
                        f"({reasons}); allowed is {FAILED:.0%}: another precision, guidance, "
                        "prompt set or pipeline is needed."
                    )
            if attempt == 0:
                self.redrawn = len(failed)
            pending = list(failed)
            if not pending:
                break
        else:
            row, fault = next(iter(failed.items()))
            raise UserError(
                f"{self.name} drew {prompts[row]!r} with seed {seeds[row]} {DRAWS} times and never "
                f"well ({fault}); another prompt, precision or pipeline is needed."
            )
        if self.redrawn:
            log.warning("%s: %d of %d images drawn again", self.name, self.redrawn, len(prompts))
        return np.stack([images[row] for row in range(len(prompts))])

    def _draw(
        self, prompts: list[str], guidance: float, seeds: list[int]
    ) -> list[NDArray[np.uint8] | str]:
        """One batch: for each prompt an image uint8 (H, W, 3), or why it must not be used."""
        import torch

        noise = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        result = self.pipeline(
            prompt=prompts,
            guidance_scale=guidance,
            generator=noise[0] if self.alone else noise,
            num_inference_steps=self.steps,
            height=self.size,
            width=self.size,
            output_type="np",
        )
        flags = (getattr(result, name, None) for name in ("nsfw_content_detected", "nsfw_detected"))
        flagged = next((given for given in flags if given is not None), [False] * len(prompts))
        return [
            checked(image, bool(flag)) for image, flag in zip(result.images, flagged, strict=True)
        ]


def checked(pixels: NDArray[np.floating], flagged: bool) -> NDArray[np.uint8] | str:
    """Pixels (H, W, 3) in 0 to 1 as bytes, or why the image must not be used."""
    if flagged:
        return "flagged by the safety checker"
    if not np.isfinite(pixels).all():
        return "pixels that are not numbers"
    image = (pixels * 255).round().astype(np.uint8)
    return "images of one colour" if image.min() == image.max() else image


def derived_seed(seed: int, attempt: int) -> int:
    """The seed of an image's draw number `attempt`: its own, then hashes of it."""
    if attempt == 0:
        return int(seed)
    digest = hashlib.sha256(f"{int(seed)} {attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
