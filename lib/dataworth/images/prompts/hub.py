"""Models of a hub that write prompts."""

from __future__ import annotations

from functools import cache
from typing import Any

from dataworth import compute
from dataworth.errors import UserError
from dataworth.paths import hub_copy


@cache
def loaded(model: str, reader: str, network: str, kind: str) -> tuple[Any, Any]:
    """A model and what prepares its input, by the names of their classes in transformers.

    model: a hub id, or a folder for `from_pretrained`. Raises UserError, with `kind` in words, if
    it cannot be loaded.
    """
    import transformers

    try:
        place = hub_copy(model) or model
        prepare = getattr(transformers, reader).from_pretrained(place)
        found = getattr(transformers, network).from_pretrained(place)
    except (OSError, ValueError) as error:
        raise UserError(
            f"prompt_set names the {kind} {model!r}, which cannot be loaded "
            f"({str(error).splitlines()[0].rstrip('.')}); it must be the hub id or folder of a "
            f"{kind}."
        ) from error
    return prepare, found.to(compute.device()).eval()
