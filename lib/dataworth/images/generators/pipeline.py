"""Any diffusers text-to-image pipeline behind the protocol, from a hub id or a local folder."""

from __future__ import annotations

import hashlib
import inspect
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth import compute
from dataworth.errors import UserError
from dataworth.images.generators.base import check_request, random_numbers
from dataworth.paths import hub_copy

log = logging.getLogger(__name__)

# A safety checker hands out black images, and half precision overflows to NaN (black once cast):
# neither may be trained on. Single ones are drawn again; where many fail, the pipeline does not
# fit its task, and drawing again would only hide that and bend the distribution.
DRAWS = 10  # at most, for one image
# Images of 512 pixels a side at a time to begin with; more of smaller ones, at most LARGEST.
BATCHES, LARGEST = {"cpu": 8, "cuda": 64}, 256
FAILED = 0.25  # largest fraction of a request's first draws that may fail (one always may)


def is_pipeline(folder: Path) -> bool:
    """Whether a folder holds a pipeline as diffusers saves it."""
    return (folder / "model_index.json").is_file()


class PipelineGenerator:
    """A text-to-image pipeline of diffusers: Stable Diffusion, DeepFloyd IF, aMUSEd, PixArt, ...

    source: a folder, or a hub id, after which `@` and a commit may stand; of a hub id the user's
    own copy is taken where there is a folder of copies (`paths.hub_copy`). batch: images drawn at
    a time, halved where the device's memory is too small for as many.

    An image that is not finite, that the pipeline's safety checker flags, or that is of one colour
    is drawn again from a seed derived from its own; `redrawn` counts such images of the last
    request. about: what `made_by` says.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        steps: int = 50,
        batch: int | None = None,
        size: int | None = None,
    ) -> None:
        import torch
        from diffusers import DiffusionPipeline

        self.device = compute.device()
        on_gpu = self.device.type == "cuda"
        name, _, commit = str(source).partition("@")
        if Path(source).is_dir():
            name, commit = str(source), ""
        elif (copy := hub_copy(name)) is not None:
            name, commit = str(copy), ""
        # Not AutoPipelineForText2Image, which does not know aMUSEd.
        self.pipeline: Any = DiffusionPipeline.from_pretrained(
            name,
            revision=commit or None,
            dtype=compute.inference_dtype() if on_gpu else torch.float32,
        ).to(self.device)
        self.about = made_by(str(source))  # after it: a hub that cannot be reached is asked once
        self.pipeline.set_progress_bar_config(disable=True)
        # aMUSEd draws the tokens of a batch from one generator: image by image, then.
        self.alone = type(self.pipeline).__name__.startswith("Amused")
        self.name, self.steps, self.size = str(source), steps, size
        pixels = 512**2 * BATCHES[self.device.type]
        fitting = max(1, min(LARGEST, pixels // (size or side_of(self.pipeline)) ** 2))
        self.batch = 1 if self.alone else batch or fitting
        self.redrawn, self.sliced = 0, False
        # PixArt would draw at another side, of a table of its own, and resize.
        asked = inspect.signature(self.pipeline.__call__).parameters
        self.options = {name: False for name in ("use_resolution_binning",) if name in asked}

    def generate(
        self, prompts: Sequence[str], guidance: float, seeds: Sequence[int]
    ) -> NDArray[np.uint8]:
        """uint8 images (N, H, W, 3); see `Generator.generate`.

        Raises UserError also if more than `FAILED` of the first draws fail, or one image fails
        `DRAWS` times.
        """
        import torch

        check_request(prompts, guidance, seeds)
        if guidance < 1:  # diffusers would silently sample without guidance
            raise UserError(f"guidance is {guidance}; a diffusers pipeline needs 1 or more.")
        images: dict[int, NDArray[np.uint8]] = {}
        pending = list(range(len(prompts)))
        allowed = max(1, int(FAILED * len(prompts)))
        for attempt in range(DRAWS):
            failed: dict[int, str] = {}
            waiting = list(pending)
            while waiting:
                rows = waiting[: self.batch]
                given = [derived_seed(seeds[row], attempt) for row in rows]
                try:
                    drawn = self._draw([prompts[row] for row in rows], guidance, given)
                except torch.OutOfMemoryError as error:
                    self._take_less(error)
                    continue
                waiting = waiting[len(rows) :]
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

    def _take_less(self, error: Exception) -> None:
        """After the device's memory was too small: half as many at a time, then slice by slice.
        An image does not depend on its batch but for a grey level of rounding."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.batch > 1:
            self.batch //= 2
            log.info("%s: %d images at a time from now on", self.name, self.batch)
        elif not self.sliced:
            self.sliced = True
            self.pipeline.enable_attention_slicing()
        else:
            raise UserError(
                f"{self.name} needs more memory for one image than {self.device} has: a smaller "
                "pipeline or another device is needed."
            ) from error

    def _draw(
        self, prompts: list[str], guidance: float, seeds: list[int]
    ) -> list[NDArray[np.uint8] | str]:
        """One batch: for each prompt an image uint8 (H, W, 3), or why it must not be used."""

        noise = [random_numbers(seed) for seed in seeds]
        result = self.pipeline(
            prompt=prompts,
            guidance_scale=guidance,
            generator=noise[0] if self.alone else noise,
            num_inference_steps=self.steps,
            height=self.size,
            width=self.size,
            output_type="np",
            **self.options,
        )
        flags = (getattr(result, name, None) for name in ("nsfw_content_detected", "nsfw_detected"))
        flagged = next((given for given in flags if given is not None), [False] * len(prompts))
        return [
            checked(image, bool(flag)) for image, flag in zip(result.images, flagged, strict=True)
        ]


def made_by(source: str) -> str:
    """A pipeline's name, its commit (of a folder: the digest of its files) and its licence, as the
    `license` of its README says it."""
    from dataworth.weights import digest

    name, _, revision = source.partition("@")
    folder = Path(source) if Path(source).is_dir() else hub_copy(name)
    file = folder and folder / "README.md"
    if folder is None:
        from huggingface_hub import hf_hub_download

        with suppress(Exception):  # any of several: no network, no such file
            file = Path(hf_hub_download(name, "README.md", revision=revision or None))
    text = file.read_text(encoding="utf-8") if file and file.is_file() else ""
    said = re.search(r"^license:[ \t]*(\S.*)$", text.partition("\n---")[0], re.MULTILINE)
    commit = (digest(source) or "not known")[:12]
    return f"{name} at {commit}, licence {said[1].strip() if said else 'not stated'}"


def side_of(pipeline: Any) -> int:
    """The side in pixels that a pipeline draws where nothing else is asked for."""
    network = getattr(pipeline, "unet", None) or pipeline.transformer
    return int(network.config.sample_size) * int(getattr(pipeline, "vae_scale_factor", 1))


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
    return int.from_bytes(digest[:4], "big")  # all that torch reads
