"""The cards: which data sets exist, where each comes from, and what may be done with it.

The table is `cards.yaml`; cards of a user's own data stand beside it, one file each, in the folder
`cards/` of `paths.home()` (`dataworth data add` writes them). A card pins a data set twice: each
package provider has the version, size and sha256 of the archive it delivers, and the card has one
`content_sha256` of the decoded examples (`splits.content_sha256`, `documents.content_sha256`),
which is the same whichever provider served them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from dataworth.data.own import OwnData
from dataworth.errors import UserError, cannot_write
from dataworth.parameters import Value, faults
from dataworth.paths import home

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PackageSource(Value):
    """A data set inside a Debian, npm or PyPI package.

    `sha256` and `size` (bytes) are those of the archive (.deb, .tgz, wheel); `path` is the folder
    of the data inside it (npm puts everything under `package/`); `format` says how they are read
    (`store.READERS`, `text_formats.READERS`, or `datasets`). `component` is that of Debian's
    archive (main, contrib, non-free).
    """

    kind: Literal["debian", "npm", "pypi"]
    package: str
    version: str
    sha256: Sha256
    size: int = Field(gt=0)
    path: str = "."
    component: str = Field("main", pattern=r"^[a-z][a-z-]*$")
    format: Literal[
        "idx",
        "datasets",
        "iconify",
        "named-icons",
        "sotu",
        "brown",
        "mails",
        "sentences",
        "python",
        "wordnet",
        "phrases",
        "rfcs",
    ] = "datasets"


class IconPackage(PackageSource):
    """An npm package of SVG icons in Iconify's JSON, with the licence of its drawings."""

    kind: Literal["debian", "npm", "pypi"] = "npm"
    path: str = "package"
    format: Literal["iconify"] = "iconify"
    spdx: str
    attribution: str


class IconSource(Value):
    """Several icon packages that make up one data set; `icons.yaml` names the icons it takes."""

    kind: Literal["icons"]
    packages: tuple[IconPackage, ...] = Field(min_length=1)
    format: Literal["iconify"] = "iconify"

    @property
    def version(self) -> str:
        return " ".join(f"{p.package.rpartition('/')[2]}@{p.version}" for p in self.packages)

    @property
    def size(self) -> int:
        return sum(p.size for p in self.packages)


class HubSource(Value):
    """A data set repository of the Hugging Face hub; `version` is a git commit of it.

    The commit pins the files, so there is no checksum of an archive.
    """

    kind: Literal["hub"]
    repo: str
    version: str


class LocalSource(Value):
    """A folder that `datasets.load_dataset(folder)` reads: parquet files or an imagefolder."""

    kind: Literal["local"] = "local"
    folder: Path


class OwnSource(Value):
    """A user's own files or hub repository, read again as `dataworth data add` read them."""

    kind: Literal["own"] = "own"
    data: OwnData
    version: str


Source = PackageSource | IconSource | HubSource | LocalSource | OwnSource


class Licence(Value):
    spdx: str
    attribution: str
    redistribution: str


class Citation(Value):
    key: str
    bibtex: str


class ContentSplit(Value):
    """A rule that divides one source split by the content of its examples.

    Of the source split `divide`, exact copies are merged, and examples whose content also occurs
    in the source split `keep` are dropped, as are copies whose labels disagree. What remains is
    ranked by content hash within each class: the first `per_class` examples of every class go to
    the named splits in turn, the others to `rest`. `keep` (there may be none) stays whole, under
    its own name.
    """

    divide: str
    keep: str | None
    per_class: dict[str, Annotated[int, Field(gt=0)]]
    rest: str

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.per_class, self.rest, *([self.keep] if self.keep else []))


class HeldOut(Value):
    """A rule that divides the documents of a text set by their content.

    Within each domain (and decade, where documents are dated) documents are ranked by content
    hash; these shares of them go to `test` and `validation`, at least one to each where there are
    three or more; the others are `train`. No document is cut, and near-duplicates were removed
    before (`duplicates`), so no text stands on both sides. `apart`: a label whose values go to one
    split each, with all their documents, in the order of their own hash: no such value (an author)
    is on two sides; domains and decades then have these shares about.
    """

    validation: float = Field(gt=0, lt=0.5)
    test: float = Field(gt=0, lt=0.5)
    apart: str | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Without `apart` where there is none: keys of older cards stay."""
        return {k: v for k, v in handler(self).items() if k != "apart" or v}


class Card(Value):
    """One data set, of images or of texts.

    Images: `image_shape` is (H, W) or (H, W, 3); `described` ones have a text and an origin each;
    `words` are those that name a class in prompts and
    captions, the first of them in prompts (of a class without: its name). `source_splits` are the
    splits as published, with their sizes; `split_names` are the ones that `load_images` offers:
    those of `content_split`, or the published ones where there is no such rule.

    Texts: `domains` as they occur; `years` are the first and last, None where documents are not
    dated; `labels` names the further columns; `characters` is their total number; `note` says how
    documents were made of what the package holds.
    The one source split is `documents`, after removal of duplicates; `load_corpus` offers what
    `held_out` names, or everything where there is no such rule.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    modality: Literal["image", "text"]
    image_shape: tuple[int, int] | tuple[int, int, Literal[3]] | None = None
    classes: tuple[str, ...] = ()
    words: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    described: bool = False
    domains: tuple[str, ...] = ()
    years: tuple[int, int] | None = None
    labels: tuple[str, ...] = ()
    characters: int = Field(default=0, ge=0)
    held_out: HeldOut | None = None
    note: str = ""
    source_splits: dict[str, int]
    content_sha256: Sha256
    licence: Licence
    citation: Citation
    content_split: ContentSplit | None = None
    providers: tuple[
        Annotated[PackageSource | IconSource | HubSource | OwnSource, Field(discriminator="kind")],
        ...,
    ]

    @model_validator(mode="after")
    def _split_rule_fits(self) -> Card:
        rule = self.content_split
        if rule and {rule.divide, rule.keep} - {None, *self.source_splits}:
            raise ValueError(f"content_split names a split that is not in {self.source_splits}")
        if rule and len(set(rule.names)) < len(rule.names):
            raise ValueError(f"content_split names one split twice: {rule.names}")
        if self.modality == "image" and (not self.image_shape or len(self.classes) < 2):
            raise ValueError("a card of images has an image_shape and two classes or more")
        if unknown := set(self.words) - set(self.classes):
            raise ValueError(f"words names {min(unknown)!r}, which is no class of {self.classes}")
        if self.described and (self.modality == "text" or self.content_split):
            raise ValueError("described are images, of splits as published")
        if self.modality == "text" and (
            not self.domains or not self.characters or set(self.source_splits) != {"documents"}
        ):
            raise ValueError("a card of texts has domains, characters and the split 'documents'")
        if self.held_out and self.held_out.apart not in (None, *self.labels):
            raise ValueError(f"held_out.apart is {self.held_out.apart!r}, none of {self.labels}")
        return self

    @property
    def shape(self) -> tuple[int, int] | tuple[int, int, Literal[3]]:
        """The shape of an image; ValueError for a card of texts."""
        if self.image_shape is None:
            raise ValueError(f"{self.id} holds no images")
        return self.image_shape

    @property
    def class_words(self) -> tuple[tuple[str, ...], ...]:
        """The words for each class, in the order of labels."""
        return tuple(self.words.get(name) or (name.replace("_", " "),) for name in self.classes)

    def given_to(self, split: str) -> int | None:
        """Number of images that `content_split` gives to a split; None where no rule says it."""
        rule = self.content_split
        each = rule.per_class.get(split) if rule else None
        return each and each * len(self.classes)

    @property
    def split_names(self) -> tuple[str, ...]:
        if self.modality == "text":
            return ("train", "validation", "test") if self.held_out else ("documents",)
        if (rule := self.content_split) is None:
            return tuple(self.source_splits)
        others = (n for n in self.source_splits if n not in (rule.divide, rule.keep))
        return (*rule.names, *others)

    @property
    def decoded_size(self) -> int:
        """Bytes of all images and labels as arrays, or of all texts in memory."""
        if self.modality == "text":
            return 4 * self.characters
        pixels = 1
        for side in self.shape:
            pixels *= side
        return sum(self.source_splits.values()) * (pixels + 8)

    @property
    def key(self) -> str:
        """Hash of what decides what is loaded: content, class words and split rule."""
        rule = {"image": {"classes", "content_split"}, "text": {"held_out"}}[self.modality]
        words = {"words"} if self.words else set()
        decides = self.model_dump(include={"content_sha256", *rule, *words})
        return hashlib.sha256(json.dumps(decides, sort_keys=False).encode()).hexdigest()[:16]


@cache
def shipped() -> tuple[Card, ...]:
    """The cards of the package, in the order of the table."""
    table = yaml.safe_load(Path(__file__).with_name("cards.yaml").read_text(encoding="utf-8"))
    return tuple(Card.model_validate(entry) for entry in table)


def own_folder() -> Path:
    """Where the cards of the user's own data stand."""
    return home() / "cards"


def own() -> dict[str, Card | str]:
    """The user's own cards by id; in the place of one that does not read, why."""
    try:
        found = [(path, path.stat()) for path in sorted(own_folder().glob("*.yaml"))]
    except (OSError, UserError):  # no such folder, or nobody's home
        return {}
    return {path.stem: _own(path, state.st_mtime_ns, state.st_size) for path, state in found}


@lru_cache(maxsize=256)
def _own(path: Path, changed_at: int, size: int) -> Card | str:
    try:
        entry: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Card.model_validate({**entry, "id": path.stem})
    except ValidationError as error:
        return faults(error)
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        return str(error).splitlines()[0]


def write_own(card: Card, command: str) -> Path:
    """The file of a card of the user's own, written whole or not at all; `command` made it."""
    said = card.model_dump(mode="json", exclude_defaults=True, exclude={"id", "providers"})
    said["providers"] = [
        {"kind": source.kind, "version": source.version, "data": source.data.said()}
        if isinstance(source, OwnSource)
        else source.model_dump(mode="json")
        for source in card.providers
    ]
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
    path = own_folder() / f"{card.id}.yaml"
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(
            f"# Written by {command}; card={card.id} names it in parameters.\n{text}",
            encoding="utf-8",
        )
        aside.replace(path)
    except OSError as error:
        raise cannot_write(path.parent, error, "DATAWORTH_HOME") from error
    finally:
        aside.unlink(missing_ok=True)
    return path


def cards() -> tuple[Card, ...]:
    """All cards: those of the package, then the user's own."""
    return (*shipped(), *(found for found in own().values() if isinstance(found, Card)))


def card(card_id: str) -> Card:
    """The card with this id; UserError when there is none."""
    for candidate in cards():
        if candidate.id == card_id:
            return candidate
    from dataworth.data.large import large_cards
    from dataworth.data.large_texts import large_texts

    if isinstance(fault := own().get(card_id), str):
        raise UserError(
            f"The card {own_folder() / card_id}.yaml does not read ({fault.rstrip('.')}): "
            "add the data again (dataworth data add)."
        )
    known = ", ".join(c.id for c in cards())
    if card_id in large_cards() or card_id in large_texts():
        raise UserError(
            f"The data set '{card_id}' is not here yet: dataworth data fetch {card_id} brings it "
            "(from copies in a folder with --hub FOLDER)."
        )
    raise UserError(
        f"There is no data set '{card_id}'; the data sets are: {known}. Your own becomes one by "
        "dataworth data add."
    )


def keys_of(code: Collection[str], values: Collection[str] = ()) -> dict[str, str]:
    """Content keys of the cards that are named, by card id (no file is read but the cards).

    code: texts of the package, which names its own cards alone; values: texts of parameters, specs
    and a user's code, which may name any.
    """
    mine = own()
    return {c.id: c.key for c in cards() if c.id in values or (c.id in code and c.id not in mine)}
