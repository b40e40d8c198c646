"""One picture file, of whatever mode, as 8-bit pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUND = 255
"""Transparent pixels show this white ground: what lies hidden under them was never seen."""


class OddPicture(ValueError):
    """A picture that cannot be used; the text says why, in words that can be counted."""


@contextmanager
def opened(file: Path | bytes) -> Iterator[Any]:
    """A PIL image of a file or its bytes, not decoded yet. Raises OddPicture."""
    from PIL import Image, UnidentifiedImageError

    source = io.BytesIO(file) if isinstance(file, bytes) else file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that we do not read
        try:
            with Image.open(source) as picture:
                yield picture
        except UnidentifiedImageError as error:
            raise OddPicture("no picture that can be read") from error
        except Image.DecompressionBombError as error:
            raise OddPicture("larger than 179 million pixels") from error
        except (OSError, SyntaxError, EOFError, ValueError, IndexError, TypeError) as error:
            if isinstance(error, OddPicture):
                raise
            raise OddPicture("truncated or damaged") from error


def size(file: Path | bytes) -> tuple[int, int]:
    """(height, width) in pixels as shown, that is, turned as its EXIF says; read from the header
    alone. Raises OddPicture."""
    with opened(file) as picture:
        width, height = picture.size
        sideways = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (width, height) if sideways else (height, width)


def upright(picture: Any) -> tuple[Any, tuple[str, ...]]:
    """A PIL image turned as its EXIF says, of mode L or RGB, and what was done to it in words.

    The first frame of an animation; 16 bits by their upper byte; alpha composed on `GROUND`.
    Raises OddPicture for pixels that have no such reading, OSError for a damaged file.
    """
    from PIL import Image, ImageOps

    done = []
    if getattr(picture, "n_frames", 1) > 1:
        picture.seek(0)
        done.append("animated: the first frame taken")
    turned = picture.getexif().get(0x0112, 1) not in (0, 1)
    picture.load()
    if turned:
        done.append("turned as EXIF says")
        picture = ImageOps.exif_transpose(picture)
    mode = picture.mode
    if mode == "F":
        raise OddPicture("pixels of floating point, of which nobody knows the range")
    if mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise OddPicture("pixels of more than 16 bits")
        done.append("16 bits a pixel: the upper 8 taken")
        return Image.fromarray((values >> 8).astype(np.uint8)), tuple(done)
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        done.append("transparent: shown on white")
        layer = picture.convert("RGBA")
        picture = Image.new("RGBA", layer.size, (GROUND, GROUND, GROUND, 255))
        picture.alpha_composite(layer)
        return picture.convert("RGB"), tuple(done)
    if mode in ("L", "RGB"):
        return picture, tuple(done)
    if mode == "1":
        return picture.convert("L"), tuple(done)
    if mode != "P":
        done.append(f"{mode} turned into RGB")
    return picture.convert("RGB"), tuple(done)


def pixels(picture: Any, *, grey: bool) -> NDArray[np.uint8]:
    """The pixels (H, W) or (H, W, 3) of a PIL image, see `upright`."""
    made, _ = upright(picture)
    mode = "L" if grey else "RGB"
    return np.asarray(made if made.mode == mode else made.convert(mode))


def fitted(picture: Any, side: int) -> Any:
    """An upright PIL image as a square: the middle of its longer side, then resized (Lanczos)."""
    from PIL import Image

    width, height = picture.size
    edge = min(width, height)
    left, top = (width - edge) // 2, (height - edge) // 2
    if width != height:
        picture = picture.crop((left, top, left + edge, top + edge))
    if edge != side:
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    return picture
