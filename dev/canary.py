"""Builds the pages of an executed book on the newest Sphinx, without Jupyter Book around it.

Jupyter Book 1 holds Sphinx below 8. This says early what a newer one would break: it makes an
environment of its own (.venv-canary) with the newest Sphinx, MyST and theme that this Python has,
takes the source that the last build wrote, and holds the pages to the rules of every build. Run by
`make canary` and by the workflow, once a week; needs a network.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from dataworth.book.checks import check_html
from dataworth.book.layout import open_layout
from dataworth.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv-canary"
# What Jupyter Book 1 would hold back; everything else comes from pyproject.toml.
NEWEST = ["sphinx>=9", "myst-nb>=1.4", "myst-parser>=4", "sphinx-book-theme>=1.1", "docutils>=0.20"]
WRAPPER = {"jupyter_book", "sphinx_thebe", "sphinx_comments", "sphinx_jupyterbook_latex"}


def main(profile: str) -> None:
    layout = open_layout(profile)
    if not (layout.site / "_config.yml").is_file():
        raise UserError(f"{layout.show(layout.site)} is not there: make book PROFILE={profile}")
    work = layout.build / "canary"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(layout.site, work / "source")
    uv, python = ROOT / ".uv/bin/uv", VENV / "bin/python"
    newest = work / "newest.txt"
    newest.write_text("\n".join(NEWEST))
    _run([uv, "venv", "--quiet", "--clear", VENV, "--python", sys.executable])
    _run([uv, "pip", "install", "--quiet", "--upgrade", "--python", python,
          "--override", newest, "-e", f"{ROOT}[read]"])  # fmt: skip
    _run([VENV / "bin/jupyter-book", "config", "sphinx", work / "source"])
    with (work / "source" / "conf.py").open("a", encoding="utf-8") as conf:
        conf.write(f"extensions = [e for e in extensions if e not in {sorted(WRAPPER)!r}]\n")
    html = work / "html"
    _run([python, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", work / "source", html])
    if faults := check_html(html):
        raise UserError("\n".join(faults[:20]))
    version = subprocess.check_output([python, "-m", "sphinx", "--version"], text=True).strip()
    print(f"{version}: {len(list(html.rglob('*.html')))} pages, no warning, checks pass")


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(list(map(str, command)), cwd=ROOT, check=False)
    if done.returncode:
        raise UserError(f"{Path(str(command[0])).name} failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "quick")
    except UserError as error:
        sys.exit(str(error))
