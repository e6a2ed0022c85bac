# Two commands do everything on a fresh Debian 12 or Ubuntu with Swift: `make demo` and `make test`.

SWIFT ?= swift
# The Swift libraries inside: one file to install, a few MiB less memory, and no jump through tables for each retain.
RELEASE = $(SWIFT) build -c release --product spate --static-swift-stdlib -Xlinker --gc-sections
PACKAGES = libevent-dev libssl-dev pkg-config


.PHONY: all build release demo test unit interop test-packages lint format fuzz sanitize perf perf-packages perf-test perf-check perf-table docs clean packages

all: release

# The two system packages (and pkg-config, with which SwiftPM finds them), only if missing.
packages:
	@missing=""; for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing"; \
	  SUDO=""; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	  $$SUDO apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq $$missing; \
	fi

build: packages
	$(SWIFT) build

release: packages
	$(RELEASE)

# A local tracker, two seeders and a download of a generated 1 GiB torrent through real sockets.
demo: release
	bash Tests/demo.sh "$$($(SWIFT) build -c release --show-bin-path)/spate"

# Other clients for the interoperability tests; skipped with a clear line where they cannot be installed.
test-packages: packages
	bash Tests/Interop/install.sh

# Everything: rooms, simulation, house rules, and real clients and trackers in network namespaces. One test at a time:
# many of them count on time, which a busy machine would blur.
test: test-packages
	SPATE_STRICT=1 $(SWIFT) build --build-tests
	SPATE_STRICT=1 bash Tests/run.sh $(SWIFT) test --skip-build --no-parallel

# Without other clients: a few minutes.
unit: packages
	SPATE_STRICT=1 $(SWIFT) build --build-tests
	SPATE_STRICT=1 bash Tests/run.sh $(SWIFT) test --skip-build --no-parallel --skip '^Interop'

interop: test-packages
	SPATE_STRICT=1 $(SWIFT) build --build-tests
	SPATE_STRICT=1 bash Tests/run.sh $(SWIFT) test --skip-build --no-parallel --filter '^Interop'

lint: packages
	$(SWIFT) format lint --strict --recursive --configuration .swift-format Package.swift Sources Tests Perf
	SPATE_STRICT=1 $(SWIFT) build --build-tests

format:
	$(SWIFT) format --in-place --recursive --configuration .swift-format Package.swift Sources Tests Perf

# libFuzzer with the address sanitizer, SECONDS for each target, from the corpus in the tree.
SECONDS ?= 60
fuzz: packages
	bash Tests/Fuzz/run.sh $(SECONDS)

# Swift 6.3.1 writes a bitcast where it instruments some accesses for the thread sanitizer that its own verifier then
# refuses; the code is right.
TSAN = -Xswiftc -Xfrontend -Xswiftc -disable-llvm-verify -Xswiftc -DTHREAD_SANITIZER

# Unit and simulation tests under the address and the thread sanitizer.
sanitize: packages
	LSAN_OPTIONS=suppressions=$(CURDIR)/Tests/Sanitizers/lsan.supp \
	  $(SWIFT) test --no-parallel --sanitize address --scratch-path .build-asan --skip '^Interop'
	$(SWIFT) test --no-parallel --sanitize thread --scratch-path .build-tsan $(TSAN) --skip '^Interop'

# The clients and tools the harness measures with; see Perf/README.md.
perf-packages: packages
	bash Perf/install.sh

# All scenarios against the best other clients, in a few minutes.
perf: release
	$(SWIFT) run --package-path Perf -c release perf all --quick

# The harness's own tests.
perf-test: release
	$(SWIFT) test --package-path Perf

# For CI: every scenario briefly, and the counts that noise does not touch held against a stored report. Never times.
# After a change that is meant to move them: make perf-check PERF_CHECK=--save
PERF_CHECK ?= --compare
perf-check: release perf-packages
	SPATE_DISK_WRITES=direct $(SWIFT) run --package-path Perf -c release perf all --quick --size 128M --items 1000 --warm 1 --peer spate --runs 1 --gate counts \
	  $(PERF_CHECK) Perf/baseline.json

# The README's tables: medians of five runs in turn. Takes three quarters of an hour, on a machine that does nothing else.
perf-table: release perf-packages
	$(SWIFT) build -c release --package-path Perf
	bash Perf/table.sh

docs:
	$(SWIFT) package dump-symbol-graph --minimum-access-level public

clean:
	rm -rf .build .build-* Perf/.build Perf/out
