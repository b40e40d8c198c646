"""What every generator shares: the protocol, the text encoder, the network, tiles of fixed size.

Guidance follows diffusers: y = y_uncond + w (y_cond - y_uncond), so w = 1 means none. The logit
form of Muse, l_g = (1 + t) l_c - t l_u, is the same with w = 1 + t.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dataworth import compute
from dataworth.errors import UserError
from dataworth.images.generators.guided import Guided

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

WEIGHTS = Path(__file__).parents[1] / "weights"
# Images per forward; always padded to this, so an image never depends on its neighbours. A GPU has
# too little to do with 64 of these.
TILES = {"cpu": 64, "cuda": 256}


class Generator(Protocol):
    """Draws one image for each prompt; image i depends on prompt i, seed i and guidance alone.

    redrawn: images of the last request whose first draw could not be used.
    """

    name: str
    redrawn: int

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
class NetworkConfig:
    """A PixArt transformer over a square grid of tokens, and a T5 text encoder beside it.

    A family adds its own fields and says what the grid holds: `grid` = (channels in, channels out,
    side, patch side).
    """

    prediction: ClassVar[str] = "velocity"  # what a diffusion transformer gives
    time_shift: ClassVar[float] = 1.0  # how far its times lie towards noise
    image_size: int = 28
    image_channels: int = 1
    layers: int = 4
    width: int = 128
    heads: int = 4
    text_layers: int = 2
    text_width: int = 64
    text_heads: int = 4
    text_tokens: int = 20
    vocabulary: int = 512

    @property
    def grid(self) -> tuple[int, int, int, int]:
        raise NotImplementedError


def random_numbers(seed: int) -> torch.Generator:
    """torch's random numbers of a seed on the CPU. torch reads 32 bits of a seed and forgets the
    rest, so that pools of two base seeds (`parts.image_seed`) would have one noise: what is above
    is folded in, by steps of the golden ratio, and smaller seeds stay as they are."""
    import torch

    high, low = divmod(int(seed), 2**32)
    return torch.Generator("cpu").manual_seed((low + 0x9E3779B1 * high) % 2**32)


def build(config: NetworkConfig) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Untrained (transformer, text encoder) of a configuration."""
    from diffusers import PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    channels_in, channels_out, side, patch = config.grid
    transformer: Any = PixArtTransformer2DModel(
        num_attention_heads=config.heads,
        attention_head_dim=config.width // config.heads,
        in_channels=channels_in,
        out_channels=channels_out,
        num_layers=config.layers,
        cross_attention_dim=config.width,
        sample_size=side,
        patch_size=patch,
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


class TextToImage:
    """One of our families: weights in a folder, sampling in tiles, classifier-free guidance.

    A family says what its noise is (`_noise`) and how noise becomes an image (`_sample`).
    """

    family: ClassVar[str]
    config_class: ClassVar[type[NetworkConfig]]
    default_steps: ClassVar[int] = 8
    redrawn: int = 0  # a NaN of ours is refused: the same weights give it again

    def __init__(
        self,
        transformer: torch.nn.Module,
        encoder: torch.nn.Module,
        tokenizer: Tokenizer,
        config: Any,
        *,
        autoencoder: torch.nn.Module | None = None,
        name: str | None = None,
        steps: int | None = None,
    ) -> None:
        self.device, self.dtype = compute.device(), compute.inference_dtype()
        self.tile = TILES[self.device.type]
        # Weights and activations in one dtype: on a CPU a tenth faster than autocast.
        self.transformer = transformer.to(self.device, self.dtype).eval()
        self.encoder = encoder.to(self.device).eval()
        self.autoencoder = (
            None if autoencoder is None else autoencoder.to(self.device, self.dtype).eval()
        )
        self.tokenizer, self.config = tokenizer, config
        self.name, self.steps = name or self.family, steps or self.default_steps

    @classmethod
    def autoencoder_of(cls, config: Any) -> torch.nn.Module | None:
        """The untrained autoencoder of a configuration; None where images are not encoded."""
        return None

    @abstractmethod
    def _noise(self, seed: int) -> torch.Tensor:
        """All random numbers of one image, drawn on the CPU: the same on any device."""

    @abstractmethod
    def _sample(
        self, noise: torch.Tensor, predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Pixels (B, C, H, W) in [-1, 1] from noise (B, ...).

        `predict(x, t)` is the guided prediction, float32, for a grid x (B, C, h, w) at time t in
        0-1000.
        """

    def _modules(self) -> dict[str, torch.nn.Module]:
        modules = {"transformer.": self.transformer, "encoder.": self.encoder}
        return modules | ({"autoencoder.": self.autoencoder} if self.autoencoder else {})

    @classmethod
    def load(cls, folder: str | Path | None = None, *, steps: int | None = None) -> Self:
        """Load `config.json`, `tokenizer.json` and `model.safetensors` from a folder."""
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        folder = WEIGHTS / cls.family if folder is None else Path(folder)
        written = read_config(folder)
        written.pop("family", None)
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in written.items()
        }
        config = cls.config_class(**fields)
        transformer, encoder = build(config)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        made = cls(
            transformer.float(),
            encoder,
            tokenizer,
            config,
            autoencoder=cls.autoencoder_of(config),
            name=folder.name,
            steps=steps,
        )
        state = load_file(folder / "model.safetensors")
        for prefix, module in made._modules().items():
            part = {
                key.removeprefix(prefix): value
                for key, value in state.items()
                if key.startswith(prefix)
            }
            try:
                missing, unexpected = module.load_state_dict(part, strict=False)
            except RuntimeError:  # a shape differs
                missing, unexpected = [prefix], []
            # T5 ties embed_tokens to `shared`; safetensors stores it once.
            if unexpected or any(not key.endswith("embed_tokens.weight") for key in missing):
                raise UserError(f"generator weights {folder} do not fit their config.json.")
        return made

    def save(self, folder: str | Path) -> None:
        """Write what `load` reads; weights are rounded to bfloat16, once for every machine."""
        import torch
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {}
        for prefix, module in self._modules().items():
            for key, value in module.state_dict().items():
                if not key.endswith("embed_tokens.weight"):
                    state[prefix + key] = value.detach().to("cpu", torch.bfloat16).contiguous()
        save_file(state, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(self.architecture(), indent=1) + "\n")
        self.tokenizer.save(str(folder / "tokenizer.json"))

    def architecture(self) -> dict[str, Any]:
        """What `config.json` and the model card say: the family and its configuration."""
        return describe_config(self.family, self.config)

    def generate(
        self,
        prompts: Sequence[str],
        guidance: float,
        seeds: Sequence[int],
    ) -> NDArray[np.uint8]:
        """uint8 images (N, H, W) or (N, H, W, 3); see `Generator.generate`."""
        import torch

        check_request(prompts, guidance, seeds)
        size = self.config.image_size
        channels = self.config.image_channels
        out = np.empty((len(prompts), channels, size, size), dtype=np.uint8)
        with torch.inference_mode():
            texts = {text: i for i, text in enumerate(dict.fromkeys([*prompts, ""]))}
            hidden, mask = self._encode(list(texts))
            index = np.array([texts[p] for p in prompts], dtype=np.int64)
            for start in range(0, len(prompts), self.tile):
                chosen = index[start : start + self.tile]
                count = len(chosen)
                pad = self.tile - count
                rows = torch.from_numpy(np.pad(chosen, (0, pad), mode="edge")).to(self.device)
                noise = torch.stack([self._noise(s) for s in seeds[start : start + self.tile]])
                noise = torch.cat([noise, noise[-1:].expand(pad, *noise.shape[1:])])
                predict = self._guided(hidden, mask, rows, texts[""], guidance)
                x = self._sample(noise.to(self.device), predict)
                self._check_finite(x, guidance)
                pixels = ((x[:count].float().clamp(-1, 1) + 1) * 127.5).round()
                out[start : start + count] = pixels.to("cpu", torch.uint8).numpy()
        return out[:, 0] if channels == 1 else np.ascontiguousarray(out.transpose(0, 2, 3, 1))

    def _encode(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Text features (T, tokens, text_width) and mask (T, tokens) of distinct texts."""
        import torch

        features, masks = [], []
        for start in range(0, len(texts), self.tile):
            chunk = texts[start : start + self.tile]
            ids, mask = encode(self.tokenizer, chunk + [""] * (self.tile - len(chunk)))
            ids_t, mask_t = (
                torch.from_numpy(ids).to(self.device),
                torch.from_numpy(mask).to(self.device),
            )
            hidden = self.encoder(input_ids=ids_t, attention_mask=mask_t).last_hidden_state
            features.append(hidden[: len(chunk)])
            masks.append(mask_t[: len(chunk)])
        return torch.cat(features), torch.cat(masks)

    def _guided(
        self,
        hidden: torch.Tensor,
        mask: torch.Tensor,
        rows: torch.Tensor,
        null: int,
        guidance: float,
    ) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """`predict(x, t)` under text rows (B,) of the texts' features and masks."""
        text, blind = hidden[rows].to(self.dtype), None
        if guidance != 1.0:
            blind = hidden[null, : int(mask[null].sum())].to(self.dtype)
        guided = Guided(self.transformer, text, mask[rows], blind)

        def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            y = guided(x, t.to(self.device), guidance)
            self._check_finite(y, guidance)  # a code drawn from NaN would look like any other
            return y

        return predict

    def _check_finite(self, values: torch.Tensor, guidance: float) -> None:
        """UserError where a NaN would become a black pixel."""
        if not bool(values.isfinite().all()):
            raise UserError(
                f"generator {self.name} gives values that are not numbers at guidance {guidance} "
                f"with {self.steps} steps; lower the guidance or train the generator again."
            )


def read_config(folder: Path) -> dict[str, Any]:
    """A weights folder's `config.json`; UserError if the folder holds no weights."""
    if not (folder / "model.safetensors").is_file():
        raise UserError(
            f"generator weights {folder} not found; train them with "
            "`python -m dataworth.images.train_generator` or name a folder that holds them."
        )
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def describe_config(family: str, config: NetworkConfig) -> dict[str, Any]:
    """Family and configuration as plain values."""
    return json.loads(json.dumps({"family": family} | asdict(config)))
