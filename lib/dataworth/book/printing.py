"""Pages on paper: PDF of the book, its chapters, decks and sheets, by the machine's Chromium."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from dataworth.errors import UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120.0


def browser() -> str:
    """Raises UserError where there is none."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise UserError(
            f"Printing needs a browser of the Chromium family on the PATH: {', '.join(BROWSERS)}."
        )
    return found


def pdf(html: Path, target: Path, *, deck: bool = False, seconds: float = SECONDS) -> Path:
    """Print a page from disk, without a network; a deck with one slide a page.

    Raises UserError where the browser writes no PDF.
    """
    address = html.resolve().as_uri() + ("?print-pdf" if deck else "")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        made = Path(profile) / "made.pdf"
        command = [
            browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
            "--no-pdf-header-footer", "--generate-pdf-document-outline",
            "--run-all-compositor-stages-before-draw", "--virtual-time-budget=20000",
            f"--print-to-pdf={made}", address,
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise UserError(f"The browser did not print {html.name} in {seconds:g} s.") from None
        if done.returncode != 0 or not made.is_file() or made.read_bytes()[:4] != b"%PDF":
            tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise UserError(f"The browser could not print {html.name}: {' '.join(tail)}.")
        shutil.move(made, target)
    return target
