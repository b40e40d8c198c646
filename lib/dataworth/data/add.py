"""A user's own data become a card: read once, stored as every data set is, listed beside them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from dataworth import strict_yaml
from dataworth.data import own_images, own_texts, store
from dataworth.data.catalog import Card, OwnSource, own_folder, shipped, write_own
from dataworth.data.own import OwnData
from dataworth.data.report import Report
from dataworth.data.splits import content_sha256 as sha256_of_images
from dataworth.errors import UserError, did_you_mean
from dataworth.parameters import faults

ID = re.compile(r"[a-z0-9][a-z0-9-]*")
LONGEST_ID = 60


class Request(OwnData):
    """`OwnData`, and what the card says of it beside."""

    id: str | None = Field(None, description="how parameters name it: card=ID")
    title: str | None = None
    licence: str = "not stated"
    attribution: str = "your own data"


@dataclass(frozen=True)
class Added:
    """A new card, where its file and its data lie, and what was found. replaced: whether a card of
    this id with other data stood there before."""

    card: Card
    path: Path
    folder: Path
    report: Report
    replaced: bool


def request(values: Mapping[str, Any], file: Path | None = None) -> Request:
    """What a YAML file says, and `values` over it. Relative paths of the file are meant from where
    it lies. UserError for a field that does not exist or a value that is not allowed."""
    said: dict[str, Any] = {}
    if file is not None:
        document = strict_yaml.read(file, str(file)).value
        if not isinstance(document, dict):
            raise UserError(f"{file} must be fields with values, such as images: FOLDER.")
        said |= document
        for name in ("images", "text"):
            if isinstance(path := said.get(name), str) and (file.parent / path).exists():
                said[name] = str((file.parent / path).absolute())
    said |= {name: value for name, value in values.items() if value is not None}
    if unknown := [name for name in said if name not in Request.model_fields]:
        near = did_you_mean(str(unknown[0]), Request.model_fields)
        raise UserError(
            f"{unknown[0]} is no field of a card; they are {', '.join(Request.model_fields)}.{near}"
        )
    if isinstance(words := said.get("words"), dict):  # one word needs no list
        said["words"] = {k: [v] if isinstance(v, str) else v for k, v in words.items()}
    try:
        return Request.model_validate(said)
    except ValidationError as error:
        raise UserError(f"{faults(error)}.") from None


def add(asked: Request, *, root: Path | None = None) -> Added:
    """Read the data, store them and write their card; nothing of the source is changed.

    UserError, one sentence, where they make no data set; then nothing is written.
    """
    card_id = _id(asked)
    data = OwnData.model_validate(asked.model_dump(include=set(OwnData.model_fields)))
    if Path(data.source).expanduser().exists():
        absolute = str(Path(data.source).expanduser().absolute())
        data = data.model_copy(update={"images" if data.images else "text": absolute})
    source = OwnSource(data=data, version=datetime.now(UTC).isoformat(timespec="seconds"))
    title = asked.title or card_id
    about = {
        "id": card_id,
        "title": title,
        "licence": {
            "spdx": asked.licence,
            "attribution": asked.attribution,
            "redistribution": "nothing is said of it",
        },
        "citation": {"key": card_id, "bibtex": f"@misc{{{card_id},\n  title = {{{title}}},\n}}\n"},
        "providers": [source.model_dump(mode="json")],
    }
    found: own_images.OwnImages | own_texts.OwnTexts
    contents: store.Contents
    if data.images:
        found = own_images.read(data)
        contents = found.decoded
        described = _of_images(found)
    else:
        found = own_texts.read(data, card_id)
        contents = found.documents
        described = found.described
    card = Card.model_validate(about | described)
    folder = store.keep(card, contents, root=root)
    path = own_folder() / f"{card_id}.yaml"
    before = _content(path)
    write_own(card, "dataworth data add")
    return Added(card, path, folder, found.report, before not in (None, card.content_sha256))


def _of_images(found: own_images.OwnImages) -> dict[str, Any]:
    return {
        "modality": "image",
        "image_shape": found.shape,
        "classes": found.classes,
        "words": found.words,
        "source_splits": {name: len(split.labels) for name, split in found.decoded.items()},
        "content_sha256": sha256_of_images(found.decoded),
        "content_split": found.rule.model_dump(),
    }


def _id(asked: Request) -> str:
    """The id that was asked for, or one made of the name of the folder, file or repository."""
    if asked.id is None:
        stem = Path(asked.source.partition("@")[0].rstrip("/")).name.partition(".")[0]
        plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
        made = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_ID].rstrip("-")
        if not made:
            raise UserError(f"id: no id can be made of '{stem}'; name one (--id my-data).")
    elif not ID.fullmatch(asked.id) or len(asked.id) > LONGEST_ID:
        raise UserError(
            f"id: '{asked.id[:LONGEST_ID]}' must be small letters, digits and hyphens, at most "
            f"{LONGEST_ID}."
        )
    else:
        made = asked.id
    from dataworth.data.large import large_cards
    from dataworth.data.large_texts import large_texts

    if made in {*(c.id for c in shipped()), *large_cards(), *large_texts()}:
        raise UserError(f"id: '{made}' is a card of the package; name another (--id my-{made}).")
    return made


def _content(path: Path) -> str | None:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))["content_sha256"]
        return str(found)
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return None
