# make book and make test set up everything themselves; the only thing asked for is python3.
PROFILE ?= quick
PYTHON3 ?= python3
# Any of these; every pinned package has wheels for them. DATAWORTH_PYTHON=3.12 chooses one.
DATAWORTH_PYTHON ?= >=3.11,<3.15
UV := .uv/bin/uv
READY := .venv/.ready
LIGHT := .venv-read/.ready
# Processes with one thread each: with more threads, two processes take three times as long. One
# more than there are cores, for many tests wait for a kernel or a killed process; four at most.
CORES := $(shell getconf _NPROCESSORS_ONLN)
TESTS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 .venv/bin/python -m pytest -n $(shell echo $$(($(CORES) < 3 ? $(CORES) + 1 : 4)))
# Every kernel and worker imports torch: with its bytecode kept, in a second or two, not in twenty.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help read book chapter class slides check test hub soak canary lab clean distclean

help:
	@echo "make read                  the book from kept runs (dataworth record --read): analyses executed, nothing trained"
	@echo "make book [PROFILE=quick]  run what changed, render the book, print the path of its first page"
	@echo "                           profiles: smoke, quick (default), full, gpu"
	@echo "make chapter C=<chapter> [PROFILE=smoke]"
	@echo "                           execute and render one chapter alone, print the path of its page"
	@echo "make class [PROFILE=quick] what a class needs: student copies, slides, lessons, quizzes, assignments"
	@echo "make slides                only the slides"
	@echo "make check                 lint, types, the fast tests: under a minute, before every commit"
	@echo "make test                  lint, types, the smoke book with warnings as errors, all tests"
	@echo "make hub                   all chapters of the profiles lab and paper on a hub of tiny repositories"
	@echo "make soak                  the fault suites in full (hours)"
	@echo "make canary                the pages of the last build on the newest Sphinx"
	@echo "make lab [LAB_OPTIONS=...] JupyterLab with the chapters as notebooks; their outputs are kept in build/lab/"
	@echo "                           options are JupyterLab's own: LAB_OPTIONS='--no-browser --port=8899'"
	@echo "make clean                 delete build/, variants too (finished runs and data in .dataworth/ are kept)"
	@echo "make distclean             delete .venv/ and .uv/ too"

# With the light part of the pinned tree alone (no PyTorch), unless the whole one is there.
read: $(if $(wildcard $(READY)),$(READY),$(LIGHT))
	@$(dir $<)bin/dataworth read

book: $(READY)
	@.venv/bin/dataworth book --profile $(PROFILE)

chapter: PROFILE = smoke
chapter: $(READY)
	@test -n "$(C)" || { echo "make chapter needs C=<chapter>; the chapters are:"; .venv/bin/dataworth list --profile $(PROFILE); exit 2; }
	@.venv/bin/dataworth run "$(C)" --profile $(PROFILE) --page

class: book
	@.venv/bin/dataworth class --profile $(PROFILE) --book

slides: book
	@.venv/bin/dataworth class --profile $(PROFILE) --slides

check: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(TESTS) -m "not slow" --durations=3

test: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	@# Types are checked while the book is built: each leaves a core idle at times.
	.venv/bin/mypy & .venv/bin/dataworth book --profile smoke; book=$$?; wait $$! && exit $$book
	$(TESTS)
	@test ! -e /dev/nvidiactl || .venv/bin/python -m pytest tests/test_gpu.py

# All chapters of the profiles lab and paper on a hub of tiny repositories.
hub: $(READY)
	DATAWORTH_SOAK=full $(TESTS) tests/test_tiny_hub.py --durations=10

# The fault suites in full: thousands of kills, damages, second processes and mutated inputs. Hours.
soak: $(READY)
	DATAWORTH_SOAK=full $(TESTS) tests/soak tests/fit/test_properties.py tests/book/test_every_way.py tests/book/test_kept_chapters.py

# The pages of the last build on the newest Sphinx, without Jupyter Book: what an update would break.
canary: $(READY)
	@.venv/bin/python dev/canary.py $(PROFILE)

lab: $(READY)
	@mkdir -p .venv/etc/jupyter/labconfig
	@echo '{"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"python": "Jupytext Notebook"}},' \
	  '"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' \
	  > .venv/etc/jupyter/labconfig/default_setting_overrides.json
	@root=; if [ "$$(id -u)" = 0 ]; then root=--allow-root; \
	  echo "JupyterLab as root (--allow-root): whoever has its address can do everything on this machine"; fi; \
	.venv/bin/jupyter lab $$root \
	  --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/book $(LAB_OPTIONS)

clean:
	rm -rf build

distclean: clean
	rm -rf .venv .venv-read .venv-canary .uv

# A private uv, pinned by version and hash.
$(UV): requirements-uv.lock
	@command -v $(PYTHON3) >/dev/null || { echo "python3 is missing: install it and run make again"; exit 2; }
	@$(PYTHON3) -m venv --clear .uv >/dev/null || { echo "python3 cannot make a virtual environment: install its venv and pip modules (Debian and Ubuntu: apt-get install python3-venv) and run make again"; exit 2; }
	@.uv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@touch $@

define install
	@test -x $(@D)/bin/python || $(UV) venv --quiet --python '$(DATAWORTH_PYTHON)' $(@D)
	@echo "installing $(1): as long as its download takes, in silence"
	@start=$$(date +%s) \
	  && $(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes $(2) \
	  && $(UV) pip install --quiet --python $(@D)/bin/python --offline --no-deps --no-build-isolation --editable . \
	  && echo "installed in $$(($$(date +%s) - start)) s"
	@touch $@
endef

# The pinned tree, then this package, built by the pinned hatchling: nothing is installed without
# its hash. Done again only when one of these files changes (`__init__.py` holds the version).
$(READY): $(UV) requirements.lock pyproject.toml lib/dataworth/__init__.py
	$(call install,the pinned environment into .venv (once): 6.5 GB when unpacked on Linux; half of it PyTorch's,requirements.lock)

$(LIGHT): $(UV) requirements-read.lock pyproject.toml lib/dataworth/__init__.py
	$(call install,the part that reading needs into .venv-read (once): 0.5 GB when unpacked,requirements-read.lock)
