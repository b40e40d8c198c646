"""`jupyter-book build` with several processes, for which its command line has no option.

python -m dataworth.book.pages build SOURCE --path-output FOLDER ...
"""

from __future__ import annotations

import sys
from functools import partial

import joblib

MOST = 4  # a process has all pages in memory


def main() -> None:
    import jupyter_book.sphinx
    import sphinx_multitoc_numbering
    from jupyter_book.cli import main as cli

    setup = sphinx_multitoc_numbering.setup
    # It does not say whether it may run in several processes, so that Sphinx would read in one; it
    # numbers tables of contents that ask for it, and ours does not.
    sphinx_multitoc_numbering.setup = lambda app: {
        **(setup(app) or {}),
        "parallel_read_safe": True,
    }
    # Sphinx forks, which only Linux does safely.
    jobs = min(joblib.cpu_count(), MOST) if sys.platform == "linux" else 1
    jupyter_book.sphinx.build_sphinx = partial(jupyter_book.sphinx.build_sphinx, jobs=jobs)
    cli.main()


if __name__ == "__main__":
    main()
