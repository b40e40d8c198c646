"""Fetched data sets on disk: one folder per data set and content, complete or absent.

    <root>/fashion-mnist-1a2b3c4d/
        README.md                        dataset card, so that load_dataset(folder) works
        train-00000-of-00001.parquet     the published splits, as on the hub
        test-00000-of-00001.parquet
        source.json                      provider, versions, checksums, date
        arrays-5e6f7a8b/                 the splits of `load_images`, decoded

A folder is built under a temporary name, checked against the card, and renamed.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from dataworth import errors
from dataworth.data import documents, own_images, own_texts, sharded, text_formats
from dataworth.data import providers as provide
from dataworth.data.arrays import write_arrays
from dataworth.data.catalog import (
    Card,
    HubSource,
    LocalSource,
    OwnSource,
    Source,
    own,
    write_own,
)
from dataworth.data.catalog import card as find_card
from dataworth.data.documents import Document
from dataworth.data.formats import (
    FormatError,
    import_datasets,
    read_datasets,
    read_idx,
    readme,
    write_parquet,
)
from dataworth.data.icons import read_iconify
from dataworth.data.large import large_cards
from dataworth.data.large_texts import LargeTexts, large_texts
from dataworth.data.named_icons import read_named
from dataworth.data.splits import Decoded, content_sha256
from dataworth.errors import UserError, is_full
from dataworth.paths import data_dir

log = logging.getLogger(__name__)

MARK = "source.json"

Contents = Decoded | Sequence[Document]
"""The splits of a card of images, or the documents of one of texts."""

READERS = {"idx": read_idx, "iconify": read_iconify, "named-icons": read_named}
"""Readers of the formats that `datasets` does not know, by the name used on the cards."""


@dataclass(frozen=True)
class Status:
    """Whether a data set is on this machine: folder, bytes, and where it came from."""

    card_id: str
    present: bool
    folder: Path
    size: int = 0
    provider: str = ""
    version: str = ""
    note: str = ""

    def __str__(self) -> str:
        if not self.present:
            return f"missing (dataworth data fetch {self.card_id})"
        note = f", {self.note}" if self.note else ""
        return (
            f"present, {self.size / 1e6:.0f} MB in {self.folder}, "
            f"from {self.provider} {self.version}{note}"
        )


def folder_of(card: Card, root: Path | None = None) -> Path:
    """Where this data set lives, or would."""
    return (root or data_dir()) / f"{card.id}-{card.content_sha256[:8]}"


def status(card: Card | str, *, root: Path | None = None) -> Status:
    """Look, without reading the data: the completion mark and the sizes it names must agree."""
    card = find_card(card) if isinstance(card, str) else card
    folder = folder_of(card, root)
    absent = Status(card.id, False, folder)
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        if mark["content_sha256"] != card.content_sha256:
            return absent
        for name, size in mark["files"].items():
            if (folder / name).stat().st_size != size:
                return absent
        origin = {name: mark[name] for name in ("provider", "version", "note")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # absent or no such JSON
        return absent
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Status(card.id, True, folder, size, **origin)


def fetch(
    card_id: str,
    *,
    providers: Sequence[str] | None = None,
    folder: str | Path | None = None,
    root: Path | None = None,
) -> Path:
    """Make sure that a data set is on this machine; return its folder of parquet files.

    Providers are tried in the card's order, after a local folder if one is named by `folder` or by
    the variable `DATAWORTH_DATA_<ID>` (upper case, `-` as `_`). `providers` restricts and orders
    the chain by kind, for example `["hub", "debian"]`. `datasets.load_dataset(str(folder))` reads
    the result. Safe to call from several processes at once. UserError when every provider failed.
    """
    if card_id in large_cards():
        return sharded.fetch(card_id, root=root)
    if card_id in large_texts():
        return _fetch_texts(large_texts()[card_id], root or data_dir())
    card = find_card(card_id)
    chain = _chain(card, providers, folder)
    return _present(card, root, lambda where: _fetch_from(chain, card, where))


def _fetch_texts(large: LargeTexts, root: Path) -> Path:
    """The folder of a large corpus, read where it is not here yet or came from another place."""
    from filelock import FileLock

    source = OwnSource(data=large.data(), version=large.revision)

    def here() -> Path | None:
        found = fetched(large.id, root=root)
        return status(found, root=root).folder if found and source in found.providers else None

    if (folder := here()) is not None:
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{large.id}.reading.lock"):
            return here() or _read_texts(large, source, root)  # another process may have read it
    except OSError as error:
        raise cannot_write(root, error) from error


def _read_texts(large: LargeTexts, source: OwnSource, root: Path) -> Path:
    log.info("%s: reading %s", large.id, source.data.source)
    read = own_texts.read(source.data, large.id)
    about = {
        "id": large.id,
        "title": large.title,
        "licence": {
            "spdx": large.licence,
            "attribution": large.title,
            "redistribution": "nothing is said of it",
        },
        "citation": {"key": large.id, "bibtex": f"@misc{{{large.id},\n}}\n"},
        "note": large.note,
        "providers": [source.model_dump(mode="json")],
    }
    card = Card.model_validate(about | read.described)
    folder = keep(card, read.documents, root=root)
    write_own(card, f"dataworth data fetch {card.id}")
    return folder


def fetched(card_id: str, *, root: Path | None = None) -> Card | None:
    """The card of a large set that was fetched and is whole."""
    card = own().get(card_id)
    return card if isinstance(card, Card) and status(card, root=root).present else None


def keep(card: Card, data: Contents, *, root: Path | None = None) -> Path:
    """Store what a new card describes, as `fetch` would: whole, checked, or not at all.

    data: the splits of a card of images, the documents of one of texts.
    """
    source = card.providers[0]

    def build(where: Path) -> Path:
        with _scratch(card, where) as scratch:
            built = Path(scratch) / "built"
            built.mkdir()
            delivery = provide.Delivery("", "own", source.version)
            _mark(built, card, source, delivery, _write(built, card, data))
            return _put(built, card, where, Path(scratch))

    return _present(card, root, build)


def _present(card: Card, root: Path | None, build: Callable[[Path], Path]) -> Path:
    """The folder of a data set, built under a lock where it is not there yet."""
    root = root or data_dir()
    if (found := status(card, root=root)).present:
        return found.folder
    if card.modality == "image":
        import_datasets()  # UserError before any download where it is missing
    try:
        root.mkdir(parents=True, exist_ok=True)
        _require_space(card, root)
        from filelock import FileLock

        with FileLock(root / f".{card.id}.lock"):
            if (found := status(card, root=root)).present:  # another process was faster
                return found.folder
            # The lock is ours, so a scratch folder here was left by a process that was killed.
            for left in root.glob(f".{card.id}-*.tmp"):
                shutil.rmtree(left, ignore_errors=True)
            return build(root)
    except OSError as error:
        raise cannot_write(root, error) from error


def _chain(
    card: Card, kinds: Sequence[str] | None, folder: str | Path | None
) -> tuple[Source, ...]:
    named = folder or os.environ.get(_variable(card))
    local = (LocalSource(folder=Path(named).expanduser().absolute()),) if named else ()
    chain: tuple[Source, ...] = (*local, *card.providers)
    if kinds is None:
        return chain
    chosen = tuple(source for kind in kinds for source in chain if source.kind == kind)
    known = [source.kind for source in chain]
    if unknown := [kind for kind in kinds if kind not in known]:
        raise UserError(
            f"providers: '{unknown[0]}' does not provide {card.id}; it has {', '.join(known)}."
        )
    return chosen


def _variable(card: Card) -> str:
    return f"DATAWORTH_DATA_{card.id.upper().replace('-', '_')}"


def _fetch_from(chain: Sequence[Source], card: Card, root: Path) -> Path:
    reasons = []
    for source in chain:
        with _scratch(card, root) as scratch:
            log.info("%s: asking %s", card.id, provide.describe(source))
            try:
                built = _build(source, card, Path(scratch))
            except provide.ProviderError as error:
                log.info("%s: %s", card.id, error)
                reasons.append(str(error))
                continue
            return _put(built, card, root, Path(scratch))
    raise UserError(
        f"The data set {card.id} could not be fetched: {'. '.join(map(_capital, reasons))}. "
        f"A folder with the data can also be named by the variable {_variable(card)}."
    )


def _scratch(card: Card, root: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(
        prefix=f".{card.id}-", suffix=".tmp", dir=root, ignore_cleanup_errors=True
    )


def _put(built: Path, card: Card, root: Path, scratch: Path) -> Path:
    """A complete folder in its place."""
    target = folder_of(card, root)
    if target.exists():  # damaged, or `status` would have found it
        target.rename(scratch / "damaged")
    built.rename(target)
    return target


def _build(source: Source, card: Card, scratch: Path) -> Path:
    """A complete folder in `scratch`, or ProviderError."""
    incoming, built = scratch / "incoming", scratch / "built"
    incoming.mkdir()
    built.mkdir()
    delivery = provide.deliver(source, incoming)
    try:
        files = _convert(delivery, card, built)
    except (provide.ProviderError, UserError, MemoryError, ModuleNotFoundError):
        raise
    except FormatError as error:
        raise provide.ProviderError(source, str(error), "use another provider") from error
    except ConnectionError as error:  # how `datasets` reports a hub it may not or cannot reach
        reason = f"the hub was not reached ({provide.first_line(error)})"
        advice = "check the connection and the variable HF_HUB_OFFLINE"
        raise provide.ProviderError(source, reason, advice) from error
    except Exception as error:  # the loaders' own errors are many; the chain goes on
        if is_full(error):
            raise
        text = f"its data cannot be read ({provide.first_line(error)})"
        raise provide.ProviderError(source, text, "use another provider") from error
    _mark(built, card, source, delivery, files)
    return built


def _mark(
    built: Path, card: Card, source: Source, delivery: provide.Delivery, files: Sequence[Path]
) -> None:
    """Write where the files came from; a folder without it is not whole."""
    mark = {
        "card": card.id,
        "content_sha256": card.content_sha256,
        "provider": source.kind,
        "from": provide.describe(source),
        "version": delivery.version,
        "archive_sha256": delivery.sha256,
        "archive_size": delivery.size,
        "note": delivery.note,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {path.name: path.stat().st_size for path in files},
    }
    (built / MARK).write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")


def _convert(delivery: provide.Delivery, card: Card, built: Path) -> list[Path]:
    """Write the parquet files of a delivery into `built`; FormatError when it is other data."""
    if delivery.format == "own":
        found = _read_own(card)
        if card.modality == "image":
            _check(content_sha256(cast("Decoded", found)), card)
        return _write(built, card, found)
    if card.modality == "text":
        found = text_formats.read_delivery(delivery.format, Path(delivery.location), card)
    elif delivery.format == "datasets":
        revision = None if Path(delivery.location).is_dir() else delivery.version
        found = read_datasets(delivery.location, card, built.parent, revision=revision)
    else:
        found = READERS[delivery.format](Path(delivery.location), card)
    return _write(built, card, found)


def _read_own(card: Card) -> Contents:
    """A user's own data, read again as they were read when the card was made."""
    (source,) = (s for s in card.providers if isinstance(s, OwnSource))
    if card.modality == "text":
        return own_texts.read(source.data, card.id).documents
    return own_images.read(source.data).decoded


def _write(built: Path, card: Card, found: Contents) -> list[Path]:
    """Write the parquet files, and check them as a later load will read them."""
    if card.modality == "text":
        files = text_formats.write_documents(built, card, cast("Sequence[Document]", found))
        (built / "README.md").write_text(readme(card), encoding="utf-8")
        _check(documents.content_sha256(text_formats.read_documents(built, card)), card)
        return files
    files = write_parquet(built, card, cast("Decoded", found))
    decoded = read_datasets(built, card, built.parent)
    check_content(decoded, card)
    with suppress(OSError):  # a full disk; `load_images` need not read them again, but it can
        write_arrays(built, card, decoded)
    return files


def check_content(decoded: Decoded, card: Card) -> None:
    """FormatError unless images and labels are those of the card."""
    _check(content_sha256(decoded), card)


def _check(found: str, card: Card) -> None:
    if found != card.content_sha256 and any(isinstance(p, OwnSource) for p in card.providers):
        raise FormatError("they are no longer the data that were added: add them again")
    if found != card.content_sha256:
        what = "images" if card.modality == "image" else "texts"
        raise FormatError(
            f"its {what} and labels have the checksum {found[:12]}..., "
            f"not {card.content_sha256[:12]}... as on the card"
        )


def _require_space(card: Card, root: Path) -> None:
    """Room for the archive and its content, the parquet files, the arrays, and as much again."""
    archives = [
        source.size for source in card.providers if not isinstance(source, HubSource | OwnSource)
    ]
    needed = 2 * (max(archives, default=0) + 2 * card.decoded_size)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise UserError(
            f"The data set {card.id} needs {needed / 1e6:.0f} MB of disk space and {root} has "
            f"{free / 1e6:.0f} MB: free some, or set DATAWORTH_HOME to a folder on another disk."
        )


def cannot_write(folder: Path, error: OSError) -> UserError:
    """The sentence for a folder of data that is full or read-only."""
    return errors.cannot_write(folder, error, "DATAWORTH_HOME")


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
