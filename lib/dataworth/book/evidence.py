"""Hand-written pages that quote results: a line names a claim, the build puts its numbers there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dataworth.book.chapters import Chapter
from dataworth.claims import Ledger, badge, comparable, estimated
from dataworth.errors import UserError
from dataworth.markdown import literal
from dataworth.tables import signed


def evidence(
    chapter: str,
    claim: str,
    chapters: Iterable[Chapter],
    results: Mapping[str, Ledger],
    recorded: Mapping[str, Sequence[Ledger]],
) -> str:
    """What this run and the recorded ones found on a claim, a line. chapters: of the book, rendered
    now or not.

    Raises UserError for a chapter or a claim that does not exist.
    """
    known = {chapter.id: chapter for chapter in chapters}
    if chapter not in known:
        raise UserError(f"'{chapter}', of which evidence is asked for, is no chapter.")
    if chapter not in results:
        return f"- [Not executed in this build](/{known[chapter].docname})."
    lines = {one["id"]: one for one in results[chapter]["claims"]}
    if claim not in lines:
        raise UserError(f"'{chapter}' has no claim '{claim}'; it has {', '.join(lines)}.")
    one = lines[claim]
    told = (
        f"- [{literal(one['statement'])}](/{known[chapter].docname}) This run: {badge(one)} "
        f"{literal(estimated(one))}; {literal(signed(one['effect']))}."
    )
    for kept in recorded.get(chapter, ()):
        if past := comparable([one], kept)[0]:
            told += f" Recorded ({literal(kept['profile'])}): {badge(past[0])} "
            told += f"{literal(estimated(past[0]))}."
    if one["published"]:
        told += f" Published: {literal(signed(one['published']))} ({literal(one['source'])})."
    return told
