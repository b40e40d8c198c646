"""JSON files that hold their own checksum: what comes back is what was written, or a reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dataworth.errors import quoted

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SEAL = "sha256"
T = TypeVar("T")


class Damaged(ValueError):
    """The content is not what was written, or not of its model; the text is a part of a sentence:
    "it ..."."""


def seal(content: Mapping[str, Any], model: TypeAdapter[Any]) -> str:
    """The text of a file that holds `content` (plain JSON) and, last, its checksum.

    Raises Damaged where the content is not of its model: a file is checked before it is written.
    """
    plain = json.loads(json.dumps(dict(content), allow_nan=False))
    plain.pop(SEAL, None)
    _validate(plain, model)
    return json.dumps({**plain, SEAL: checksum(plain)}, indent=1) + "\n"


def read_sealed(path: Path, model: TypeAdapter[T]) -> T:
    """The content of a file that `seal` made. Raises Damaged, OSError."""
    return unseal(path.read_bytes(), model)


def unseal(text: bytes, model: TypeAdapter[T]) -> T:
    """The content of such a text. Raises Damaged."""
    try:
        content = json.loads(text.decode(), parse_constant=_refuse)
    except RecursionError:
        raise Damaged("it is nested too deep") from None
    except ValueError as error:  # not UTF-8, not JSON, a number of too many digits
        raise Damaged(f"it is not JSON in UTF-8 ({quoted(str(error))[1:-1]})") from None
    if not isinstance(content, dict):
        raise Damaged(f"it holds {_KINDS[type(content)]}, not a mapping")
    if (stored := content.pop(SEAL, None)) is None:
        raise Damaged(f"it has no checksum '{SEAL}'")
    if stored != checksum(content):
        raise Damaged("it has changed since it was written (its checksum differs)")
    _validate(content, model)
    return content  # type: ignore[return-value]


def checksum(content: Mapping[str, Any]) -> str:
    """Of the values, whatever the order of keys and the spacing."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _validate(content: Any, model: TypeAdapter[Any]) -> None:
    from pydantic import ValidationError

    try:
        model.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise Damaged(f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


_KINDS = {
    list: "a list", str: "a text", int: "a number", float: "a number", bool: "a truth value",
    type(None): "nothing",
}  # fmt: skip
