"""Commands `dataworth store list`, `size` and `prune`: what is stored, and what may go."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dataworth.display import say
from dataworth.errors import UserError
from dataworth.runs import leases
from dataworth.runs.spec import key_of, spec_of
from dataworth.runs.store import DAMAGED, Store, folders, told

IN_USE_S = 2 * 3600.0
"""What was stored or read within two hours is kept: a process at work may still need it."""

UNITS_S = {"m": 60, "h": 3600, "d": 86400}

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(
    no_args_is_help=True, help="The store of finished runs: what it holds, and making room."
)


@dataclass(frozen=True)
class Entry:
    """A stored run, or one moved aside as damaged. used: when it was last stored or read, seconds
    since 1970."""

    path: Path
    bytes: int
    used: float


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the stored runs by kind: how many, their size, when the oldest and newest were used."""
    store = Store()
    rows: list[dict[str, Any]] = []
    for kind, entries in _by_kind(store).items():
        used = [entry.used for entry in entries]
        rows.append(
            {
                "kind": kind,
                "entries": len(entries),
                "bytes": sum(entry.bytes for entry in entries),
                "oldest": _day(min(used)),
                "newest": _day(max(used)),
            }
        )
    left = len(store.left_over())
    if as_json:
        print(json.dumps({"store": str(store.root), "kinds": rows, "left_over": left}, indent=1))
        return
    for row in rows:
        what = "damaged, moved aside" if row["kind"] == DAMAGED else "runs"
        say(
            f"{row['kind']}: {row['entries']:,} {what}, {size(row['bytes'])}, "
            f"last used {row['oldest']} to {row['newest']}"
        )
    if left:
        say(f"{left} files of processes that ended; the next run removes them")
    say(_total(store, rows))


@app.command("size")
def size_command(as_json: AsJson = False) -> None:
    """Print how much the store holds."""
    store = Store()
    rows = [
        {"entries": len(entries), "bytes": sum(entry.bytes for entry in entries)}
        for entries in _by_kind(store).values()
    ]
    if as_json:
        sums = {name: sum(row[name] for row in rows) for name in ("entries", "bytes")}
        print(json.dumps({"store": str(store.root), **sums}, indent=1))
        return
    say(_total(store, rows))


@app.command("prune")
def prune_command(
    unreferenced: Annotated[
        bool,
        typer.Option(
            "--unreferenced",
            help="Runs that today's code, libraries, data sets and machine cannot ask for.",
        ),
    ] = False,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Runs that were moved aside as damaged.")
    ] = False,
    older_than: Annotated[
        str, typer.Option(help="Only what was not used for so long, such as 30d or 12h.")
    ] = "30d",
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete; else only say what would go.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what could be deleted and why; delete it with --yes."""
    age = max(_seconds(older_than), IN_USE_S)
    if not (unreferenced or damaged):
        raise UserError("say what to prune: --unreferenced, --damaged, or both.")
    store = Store()
    reasons: Counter[str] = Counter()
    going: list[Entry] = []
    for kind, entries in _by_kind(store).items():
        for entry in entries:
            if time.time() - entry.used < age:
                continue
            if kind == DAMAGED:
                reason = "damaged" if damaged else None
            else:
                reason = _unreferenced(entry.path) if unreferenced else None
            if reason is not None:
                going.append(entry)
                reasons[f"{kind}: {reason}"] += 1
    gone = [entry for entry in going if _delete(store, entry.path)] if yes else []
    total, freed = (sum(entry.bytes for entry in entries) for entries in (going, gone))
    if as_json:
        found = {
            "store": str(store.root),
            "reasons": dict(sorted(reasons.items())),
            "entries": len(going),
            "bytes": total,
            "deleted": len(gone),
            "freed_bytes": freed,
        }
        print(json.dumps(found, indent=1))
        return
    for reason, count in sorted(reasons.items()):
        say(f"{reason}: {count:,}")
    if not yes:
        hint = "; nothing was deleted, add --yes to delete them" if going else ""
        say(f"{len(going):,} entries of {size(total)} would go{hint}")
        return
    say(f"{len(gone):,} entries of {size(freed)} deleted")
    if len(gone) < len(going):
        say(f"{len(going) - len(gone):,} were kept: a process is at work on them")


def _by_kind(store: Store) -> dict[str, list[Entry]]:
    """Everything stored, by kind, what is damaged last; other files in the store are left out."""
    with told(store.root):
        found = {folder.name: folder for folder in folders(store.root)}
        if (store.root / DAMAGED).is_dir():
            found[DAMAGED] = store.root / DAMAGED
        entries = {
            kind: [
                entry
                for path in sorted(folder.iterdir())
                if kind == DAMAGED or re.fullmatch("[0-9a-f]{32}", path.name)
                if (entry := _entry(path)) is not None
            ]
            for kind, folder in found.items()
        }
    return {kind: found for kind, found in entries.items() if found}


def _entry(path: Path) -> Entry | None:
    """None for what is gone meanwhile."""
    try:
        used = path.lstat().st_mtime
        files = [path, *path.rglob("*")] if path.is_dir() else [path]
        held = 0
        for file in files:
            with suppress(FileNotFoundError):
                held += file.lstat().st_size if not file.is_dir() else 0
        return Entry(path, held, used)
    except FileNotFoundError:
        return None


def _unreferenced(path: Path) -> str | None:
    """Why no chapter of today can ask for a stored run; None if one can, or if it cannot be told
    (its class is of another package, or needs a library that is not installed)."""
    never = "its content is not that of its key (an older form, or damaged)"
    try:
        content = json.loads((path / "spec.json").read_bytes())
        if key_of(content) != path.name:
            return never
        package = content["class"].partition(".")[0]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return never
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return never
    if package != "dataworth":  # nothing else is imported on a file's word
        return None
    try:
        current = spec_of(content).content
    except UserError as error:
        missing = error.__context__
        here = not isinstance(missing, ImportError) or _ours(missing)
        return str(error).rstrip(".") if here else None
    except Exception:  # what cannot be told is kept
        return None
    if key_of(current) == path.name:
        return None
    parts = [part for part in {**content, **current} if content.get(part) != current.get(part)]
    return f"another state of {', '.join(sorted(parts))}"


def _ours(error: ImportError) -> bool:
    """Whether a module of this package is missing: then today's code has no such class."""
    return (error.name or "").partition(".")[0] == "dataworth"


def _delete(store: Store, path: Path) -> bool:
    """Remove an entry as a whole, unless a process is at work on it."""
    aside = leases.temporary(path)
    with told(store.root):
        if path.parent.name == DAMAGED:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            return True
        lease = store.claim(path)
        if lease is None:
            return False
        try:
            if time.time() - path.lstat().st_mtime < IN_USE_S:
                return False
            path.rename(aside)
        except FileNotFoundError:
            return False
        finally:
            lease.release()
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
    return True


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if match is None:
        raise UserError(
            f"--older-than is {text[:40]!r}; it must be a number with m (minutes), h (hours) or "
            "d (days), such as 30d."
        )
    return int(match[1]) * UNITS_S[match[2]]


def size(count: float) -> str:
    """Bytes in words: 12 kB, 3.4 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _total(store: Store, rows: list[dict[str, Any]]) -> str:
    count = sum(row["entries"] for row in rows)
    return f"{count:,} entries, {size(sum(row['bytes'] for row in rows))}, in {store.root}"


def _day(stamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(stamp))


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="store")
