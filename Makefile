# Each target is one line over nox (see noxfile.py); .venv holds nox and uv, and is made from any python3 >= 3.10.
# make itself ends with 2 whenever a recipe fails. The documented exit statuses (docs/errors.md) come from
#   .venv/bin/nox -s migrate -- MODEL      and      python -m harness migrate MODEL
.DEFAULT_GOAL := help
.PHONY: help tf1-to-tf2 tf2-to-tf1 test nightly lint lock clean
.SUFFIXES:
MAKEFLAGS += --no-print-directory
NOX := .venv/bin/nox

help:  ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*  ## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r t d; do printf '  make %-12s %s\n' "$$t" "$$d"; done

# MODEL is a shell variable in the recipes: make exports what its command line sets, and no quoting is lost.
tf1-to-tf2: .venv/ready  ## Show a migration; or migrate yours: make tf1-to-tf2 MODEL=model.h5 [ARGS='--out DIR']
	@if [ -n "$$MODEL" ]; then $(NOX) -s migrate -- "$$MODEL" $(ARGS); else $(NOX) -s demo -- $(ARGS); fi

tf2-to-tf1: .venv/ready  ## Migrate a model back to TensorFlow 1.12: make tf2-to-tf1 MODEL=model.h5 [ARGS='--to tf1.15']
	@if [ -z "$$MODEL" ]; then echo "make tf2-to-tf1 needs a model: make tf2-to-tf1 MODEL=model.h5" >&2; exit 2; fi
	@$(NOX) -s migrate -- "$$MODEL" --to tf1.12 $(ARGS)

test: .venv/ready  ## Run all tests, with real TensorFlow [ARGS='-k name']
	@$(NOX) -s tests -- $(ARGS)

nightly: .venv/ready  ## Run the whole matrix against its baseline, beside plain loads [ARGS='--pair tf1.15:tf2.21']
	@$(NOX) -s regress -- --naive $(ARGS)

lint: .venv/ready  ## Check style and types
	@$(NOX) -s lint -- $(ARGS)

lock: .venv/ready  ## Resolve the pins of envs/*.toml into envs/locks
	@$(NOX) -s lock -- $(ARGS)

clean:  ## Remove what was made in this checkout (environments in the cache stay: see `envs remove`)
	@rm -rf .venv .nox build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/ready:
	@.ci/bootstrap
