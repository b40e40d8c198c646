"""Two whole books beside one another: profiles, recorded runs, commits, machines."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataworth.book import variants
from dataworth.book.chapters import Chapter
from dataworth.book.compare import compare, moved
from dataworth.book.layout import profiles
from dataworth.book.variants import RECORDED, Run
from dataworth.claims import Ledger, estimated, read_ledger, told
from dataworth.display import folded
from dataworth.errors import UserError, quoted


def side(root: Path, chapters: Sequence[Chapter], name: str) -> dict[str, Run]:
    """The runs that a name stands for, by chapter: a profile, `recorded:PROFILE`, the same with
    `@COMMIT`, or a folder of results (build/PROFILE/results of another clone or machine).

    Raises UserError for another name and where it has no result at all.
    """
    kind, _, commit = name.partition("@")
    if kind.startswith(RECORDED) and commit:
        found = _of_commit(root, chapters, kind.removeprefix(RECORDED), commit)
    elif name in profiles(root) or name.startswith(RECORDED):
        every = {c.id: [r for r in variants.runs(root, c) if r.name == name] for c in chapters}
        found = {id: runs[0] for id, runs in every.items() if runs}
    elif Path(name).is_dir():
        found = _of_folder(Path(name), chapters, name)
    else:
        raise UserError(
            f"{quoted(name)} is neither a profile ({', '.join(profiles(root))}), recorded:PROFILE, "
            "recorded:PROFILE@COMMIT nor a folder of results (build/PROFILE/results)."
        )
    if not found:
        raise UserError(f"{quoted(name)} has no result of a chapter of this book yet.")
    return found


def _of_folder(folder: Path, chapters: Sequence[Chapter], name: str) -> dict[str, Run]:
    paths = {c.id: folder / f"{c.id}.json" for c in chapters}
    return {id: _run(name, read_ledger(p)) for id, p in paths.items() if p.is_file()}


def _of_commit(
    root: Path, chapters: Sequence[Chapter], profile: str, commit: str
) -> dict[str, Run]:
    """The recorded runs as they stood at a commit."""
    with tempfile.TemporaryDirectory() as folder:
        for chapter in chapters:
            path = f"book/recorded/{profile}/{chapter.id}.json"
            done = subprocess.run(
                ["git", "show", f"{commit}:{path}"], cwd=root, capture_output=True, check=False
            )
            if done.returncode == 0:
                (Path(folder) / f"{chapter.id}.json").write_bytes(done.stdout)
        return _of_folder(Path(folder), chapters, f"{RECORDED}{profile}@{commit}")


def _run(name: str, ledger: Ledger) -> Run:
    made = ledger.get("run")
    return Run(
        name, "recorded", ledger["profile"], made["finished"] if made else "",
        made.get("parameters") if made else None, made.get("key") if made else None, ledger, None,
    )  # fmt: skip


def diff(chapters: Sequence[Chapter], a: Mapping[str, Run], b: Mapping[str, Run]) -> dict[str, Any]:
    """What two books say (`compare.compare` of each chapter that both have), and the chapters that
    only one of them has, as plain JSON."""
    both = [c for c in chapters if c.id in a and c.id in b]
    return {
        "chapters": [compare(c, a[c.id], b[c.id]) for c in both],
        "only one": [c.id for c in chapters if (c.id in a) != (c.id in b)],
    }


def text(found: Mapping[str, Any], names: Sequence[str], width: int) -> Iterator[str]:
    """Parameters that differ and verdicts that moved, by chapter, in lines of at most `width`."""
    wide = max(map(len, names))
    every = []
    for chapter in found["chapters"]:
        every += chapter["claims"]
        yield f"{chapter['chapter']}: {moved(chapter)}"
        for differs in chapter["parameters"] or []:
            values = (json.dumps(v) for v in differs["values"])
            yield folded(f"  {differs['name']}: {' | '.join(values)}", width, 4)
        for claim in chapter["claims"]:
            if not claim["moved"]:
                continue
            yield folded(f"  {claim['statement']}", width, 4)
            for name, line in zip(names, claim["lines"], strict=True):
                yield folded(f"    {name:{wide}}  {told(line)}: {estimated(line)}", width, wide + 6)
    if found["only one"]:
        yield folded(f"in one of the two only: {', '.join(found['only one'])}", width, 2)
    yield f"all chapters: {moved({'claims': every})}"
