# The verbs. CI calls these and nothing else; so can you.
.PHONY: help develop test test-native loom lint format stubs wheel bench stress soak differential docs surface fuzz integration detection early

WHEEL_DIR ?= dist
FUZZ_SECONDS ?= 60

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

develop:  ## build the native module into the current environment
	maturin develop --release

test:  ## the Python suite, on the build in the current environment
	python -m pytest

test-native:  ## Rust unit, property, hostile-peer and crash tests
	cargo test --workspace --exclude shmzmq-python --quiet
	cargo test --manifest-path native/fuzz/Cargo.toml --target-dir target --locked --quiet

loom:  ## model checking of rings, ready words, returns, both waits, hand-over and close (bounded)
	RUSTFLAGS="--cfg loom" cargo test -p shmzmq-shm --release --quiet --target-dir target/loom --test 'loom_*'

lint:  ## formatters in check mode, linters with warnings as errors, types, stubs
	ruff format --check .
	ruff check .
	mypy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo fmt --manifest-path native/fuzz/Cargo.toml --check
	cargo clippy --manifest-path native/fuzz/Cargo.toml --target-dir target --locked --all-targets -- -D warnings
	$(MAKE) stubs

stubs:  ## the stub of the native module against the module
	python -m mypy.stubtest shmzmq._native --allowlist tests/stubtest-allowlist.txt

format:  ## write what lint would want
	ruff format .
	ruff check --fix .
	cargo fmt --all
	cargo fmt --manifest-path native/fuzz/Cargo.toml

docs:  ## write the pages of docs/reference and the types of options from the sources
	python -m tools.reference

surface:  ## read the names of the installed pyzmq into tools/pyzmq-surface.json
	python -m tools.surface

wheel:  ## build a wheel into WHEEL_DIR
	maturin build --release --compression-level 9 --out $(WHEEL_DIR)

bench:  ## the full benchmark, rivals beside us in the same run (about a quarter of an hour)
	python -m benchmarks

stress:  ## the long runs: ten million messages, two hundred kills, a thousand peers; see tests/stress/SCENARIOS.md and LEDGER.md
	SHMZMQ_STRESS_MESSAGES=10000000 SHMZMQ_STRESS_KILLS=200 SHMZMQ_STRESS_LOANS=1000000 SHMZMQ_SOAK_SECONDS=300 SHMZMQ_STRESS_HUGE=1 \
	python -m pytest -m "stress or slow or not slow" tests/stress tests/crash tests/transports/test_loans.py --timeout 1800

fuzz:  ## new inputs for every fuzz target, FUZZ_SECONDS (60) each; see native/fuzz/TARGETS.md
	python -m tools.fuzz --seconds $(FUZZ_SECONDS)

early:  ## compile what test-native, loom, lint and fuzz will need, one file at a time
	CARGO_BUILD_JOBS=1 cargo test --workspace --exclude shmzmq-python --quiet --no-run
	CARGO_BUILD_JOBS=1 RUSTFLAGS="--cfg loom" cargo test -p shmzmq-shm --release --quiet --target-dir target/loom --test 'loom_*' --no-run
	CARGO_BUILD_JOBS=1 python3 -m tools.fuzz --build
	CARGO_BUILD_JOBS=1 cargo clippy --workspace --all-targets --quiet

detection:  ## how soon a peer that went silent is noticed, here and by libzmq: half-open peers, then (as root) partitions
	PYTHONPATH=tests python tests/interop/detection.py half-open 50 shmzmq
	PYTHONPATH=tests python tests/interop/detection.py half-open 50 zmq
	PYTHONPATH=tests python tests/interop/detection.py partitions 20 shmzmq
	PYTHONPATH=tests python tests/interop/detection.py partitions 20 zmq

integration:  ## Jupyter, tornado, ipyparallel and others on the wheel in WHEEL_DIR, in an environment without pyzmq
	python -m tools.integration $(WHEEL_DIR)

soak:  ## an hour of mixed sizes up to 64 MiB with kills and held frames; the ledger goes to soak.json
	python tests/stress/mixed_sizes.py --seconds 3600 --report soak.json

differential:  ## twenty thousand random programs on pyzmq and on shmzmq: the same values, the same errors
	SHMZMQ_DIFFERENTIAL_PROGRAMS=20000 python -m pytest tests/compat/test_differential.py
