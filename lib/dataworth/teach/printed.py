"""Pages on paper: PDF of decks, sheets and chapters, by the Chromium of the machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dataworth.errors import UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120


def browser() -> str:
    """Raises UserError where there is none."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise UserError(
            f"Printing needs a browser of the Chromium family on the PATH: {', '.join(BROWSERS)}."
        )
    return found


def pdf(html: Path, target: Path, *, deck: bool = False) -> Path:
    """Print a page from disk, without a network; a deck with one slide a page.

    Raises UserError where the browser writes no PDF.
    """
    address = html.resolve().as_uri() + ("?print-pdf" if deck else "")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        made = Path(profile) / "made.pdf"
        command = [
            browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
            "--no-pdf-header-footer", "--run-all-compositor-stages-before-draw",
            "--virtual-time-budget=20000", f"--print-to-pdf={made}", address,
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise UserError(f"The browser did not print {html.name} in {SECONDS} s.") from None
        if done.returncode != 0 or not made.is_file() or made.read_bytes()[:4] != b"%PDF":
            tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise UserError(f"The browser could not print {html.name}: {' '.join(tail)}.")
        shutil.move(made, target)
    return target


def sheets(folder: Path, stem: str | None) -> Iterator[Path]:
    """Print the decks and sheets of a class, of all chapters or of one."""
    own = (stem or "").replace("-", "_")
    for place in ("slides", "student", "instructor"):
        for html in sorted((folder / place).glob(f"{own}*.html")):
            yield pdf(html, html.with_suffix(".pdf"), deck=place == "slides")
