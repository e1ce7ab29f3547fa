# make run            install, set up, and start the product at http://127.0.0.1:8000
# make run-judge      the same with a judge that needs no key: a simulation that answers from the demo's true labels
# make test           install, lint, type-check, and run all tests but the slow ones
# make test-postgres  on PostgreSQL: the tests that depend on the database, 100,000 rows, and the migrations
# make test-slow      the long checks: worker killed at every step, real data; those that measure load one at a time
# make test-faults    of those, what breaks: database, disk, files, judge, worker, network; a table says what became of it
# make measure        the figures of the README, on the banking77 data set
# make measure-loop   whole loops through the product on banking77, the benchmark of the same deal beside them
# make measure-encoder  speed, memory and accuracy of the encoder, beside sentence-transformers in 32-bit floats
# make measure-files  processor and memory for 97,407 rows in and out, in each format
# make measure-archive  banking77's project of eight rounds from SQLite to PostgreSQL: the same export, certificate, predictions
# make measure-desk   milliseconds for each filter, sort and search among 100,000 documents
# make measure-round  two rounds on 100,000 and on a million documents whose vectors are at hand: seconds, memory, bytes
# make measure-suggesting  milliseconds for one text and for 32 at once, and a file beside the encoder alone
# make load           eight reviewers without pause on 100,000 documents: decisions a second, and nothing lost
# make benchmark      R.E.D. against the article and a flat classifier on all data sets: hours; goes on where it stopped
# make lock           pin anew everything that is installed

PYTHON ?= python3
PORT ?= 8000
JUDGE_PORT ?= 8090
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Compiled modules are kept: the tests start dozens of processes.
unexport PYTHONDONTWRITEBYTECODE

# On all cores, each with a database of its own; a file's tests share what its first one sets up. Each core has a process:
# more threads in one would only wait for each other.
PYTEST := OMP_NUM_THREADS=1 pytest -n auto --dist loadfile --no-loadscope-reorder

POSTGRES_URL ?= postgres://postgres@127.0.0.1:5432/postgres

.PHONY: run run-judge test lint pytest test-postgres test-slow test-faults measure measure-loop measure-encoder measure-files measure-archive measure-desk measure-round measure-suggesting load benchmark lock clean

run: .venv/installed .env
	@python manage.py migrate --verbosity 0
	@python manage.py collectstatic --no-input --verbosity 0
	@echo
	@python manage.py load_demo --once
	@echo "Open http://127.0.0.1:$(PORT) (Ctrl-C stops web server and worker)"
	@echo
	@honcho start --port $(PORT) $(HONCHO) || test $$? -eq 130 # 130: stopped by Ctrl-C

# A database of its own: no simulated verdict gets into anybody's work. Honcho lets .env win over the environment, which
# would undo that; the settings read .env themselves, and there the environment wins.
SIMULATION := $(CURDIR)/var/simulation
run-judge: export SIMULATED_JUDGE = 0.95
run-judge: export DATABASE_URL = sqlite:///$(SIMULATION)/db.sqlite3
run-judge: export MEDIA_ROOT = $(SIMULATION)/media
run-judge: export REDIS_URL =
run-judge: export JUDGE_PORT := $(JUDGE_PORT)
run-judge: export JUDGE_BASE_URL = http://127.0.0.1:$(JUDGE_PORT)
run-judge: export ANTHROPIC_API_KEY = none
run-judge: export JUDGE_MODEL = simulation
run-judge: export DEFINITION_MODEL = simulation
run-judge: HONCHO = --env /dev/null --procfile var/simulation/Procfile
run-judge: var/simulation/Procfile run

var/simulation/Procfile: Procfile Procfile.judge
	@mkdir -p $(@D) && cat $^ >$@

# Side by side: the type checker works on one core.
test: .venv/installed-dev
	@$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: .venv/installed-dev
	$(PYTEST)

# mypy's Django plugin loads the settings, which ask for a secret key unless DEBUG is on.
lint: .venv/installed-dev
	ruff check .
	ruff format --check .
	DEBUG=true mypy .

test-postgres: .venv/installed-dev
	DATABASE_URL=$(POSTGRES_URL) $(PYTEST) -m "not slow and (django_db or browser) and not any_database"
	DATABASE_URL=$(POSTGRES_URL) $(PYTEST) -m slow tests/slow/test_scale.py tests/slow/test_packing.py tests/labelling/test_migrations.py

# The faults are named, so that what became of them is told and counted.
test-slow: .venv/installed-dev
	$(PYTEST) -m "slow and not alone" tests tests/faults
	pytest -m "slow and alone"

test-faults: .venv/installed-dev
	$(PYTEST) -m slow tests/faults

measure: .venv/installed-dev
	python -m tests.measure banking77

measure-encoder: .venv/installed-dev
	python -m tests.measure_encoder

measure-files: .venv/installed-dev
	python -m tests.measure_files arxiv

measure-archive: .venv/installed-dev
	RED_DATA=$(RED_DATA) DATABASE_URL=$(POSTGRES_URL) pytest -s -m slow tests/slow/test_packing.py -k banking77

measure-desk: .venv/installed-dev
	python -m tests.measure_desk arxiv

measure-round: .venv/installed-dev
	python -m tests.measure_round

measure-suggesting: .venv/installed-dev
	python -m tests.measure_suggesting banking77

load: .venv/installed-dev
	python -m tests.load_review --documents 100000 --labels 943 --reviewers 8 --seconds 60

# One file for each run; what is there is not run again.
RED_DATA ?= ../shared/data
FIGURES := var/benchmark
SETS := banking77 clinc150 onet
LABELS := 118 236 472 943
TEXTS := 12500 25000 50000 100000
comma := ,
mixed = $(subst $() ,$(comma),$(foreach set,$(SETS) arxiv,$(RED_DATA)/$(set)/$(1).csv))
benchmarked = mkdir -p $(FIGURES) && python manage.py benchmark $(1) --json $@.part >$(@:.json=.md) && mv $@.part $@
on_set = $(call benchmarked,$(RED_DATA)/$*/train.csv $(RED_DATA)/$*/test.csv $(1))
on_mix = $(call benchmarked,$(call mixed,train) $(call mixed,test) --no-loop --arms red $(1))

benchmark: $(SETS:%=$(FIGURES)/%.json) $(SETS:%=$(FIGURES)/%-10-seeds.json) $(SETS:%=$(FIGURES)/%-choose.json) \
	$(SETS:%=$(FIGURES)/%-weak-judge.json) $(SETS:%=$(FIGURES)/%-credulous-judge.json) $(FIGURES)/clinc150-oos.json \
	$(LABELS:%=$(FIGURES)/mix-%-labels.json) $(TEXTS:%=$(FIGURES)/mix-%-texts.json)

$(FIGURES)/%.json: | .venv/installed .env
	$(call on_set,--plot $(@:.json=.png))
$(FIGURES)/%-10-seeds.json: | .venv/installed .env
	$(call on_set,--seeds-per-label 10 --no-loop)
$(FIGURES)/%-choose.json: | .venv/installed .env
	$(call on_set,--arms red --question choose)
$(FIGURES)/%-weak-judge.json: | .venv/installed .env
	$(call on_set,--arms red --judge-sensitivity 0.85 --judge-specificity 0.85)
$(FIGURES)/%-credulous-judge.json: | .venv/installed .env
	$(call on_set,--arms red --judge-sensitivity 0.98 --judge-specificity 0.3)
$(FIGURES)/%-one-deal.json: | .venv/installed .env
	$(call on_set,--arms red people --random-state 0 --judge-calls-per-round 320)
$(FIGURES)/%-oos.json: | .venv/installed .env
	$(call on_set,--arms red --oos $(RED_DATA)/$*/oos.csv)
$(FIGURES)/mix-%-labels.json: | .venv/installed .env
	$(call on_mix,--labels $* --pool 10000)
$(FIGURES)/mix-%-texts.json: | .venv/installed .env
	$(call on_mix,--pool $*)

measure-loop: .venv/installed-dev $(FIGURES)/banking77-one-deal.json
	python -m tests.measure_loop banking77 --judge none --beside $(FIGURES)/banking77-one-deal.json
	python -m tests.measure_loop banking77 --judge anthropic --beside $(FIGURES)/banking77-one-deal.json

lock:
	rm -rf .venv && $(PYTHON) -m venv .venv && : > constraints.txt
	pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	(echo "# Every package that is installed, pinned; made by \`make lock\` from the requirements files."; \
		pip freeze | sed 's/+cpu//') > constraints.txt

.venv/installed: requirements.txt constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

# This installation's own settings. The key is made here and never leaves the machine.
.env:
	@umask 077 && echo "SECRET_KEY=$$(python -c 'import secrets; print(secrets.token_urlsafe(50))')" > .env

clean:
	rm -rf .venv var staticfiles .mypy_cache .pytest_cache .ruff_cache
