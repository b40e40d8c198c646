"""From chapters to a book: jupytext -> papermill -> post-process -> Jupyter Book -> checks.

Each step is a module: `chapters` and `parameters` read what to run, `keys` says whether it must
run, `lock` keeps two builds of one chapter apart, `execute` and `worker` run it, `record` is what
is kept of a run, `page` and `site` write the Sphinx source, `pages` runs Jupyter Book on it,
`checks` reads the built HTML, `tasks` ties them together; `formats` makes one file of a built book,
which `printing` prints.
"""
