# A thin front over meson and ninja. Every target installs the Debian packages it needs if they are
# missing (apt-get, with sudo for an ordinary user); nothing is run when all of them are there.

BUILD    ?= build
PREFIX   ?= /usr/local
DESTDIR  ?=
JOBS     ?= $(shell nproc)
# Debian's Python, whatever else comes first in PATH: python3-pytest belongs to it.
PYTHON   ?= /usr/bin/python3
MESON    ?= meson
NINJA    ?= ninja
# Seconds of fuzzing per target in `make fuzz`; `make check` gives each SHORT_FUZZ_SECONDS.
FUZZ_SECONDS       ?= 60
SHORT_FUZZ_SECONDS ?= 1

BUILD_PACKAGES = meson ninja-build gcc libc6-dev musl-tools linux-libc-dev libseccomp-dev \
	libcmocka-dev pkg-config python3
CHECK_PACKAGES = python3-pytest git make gcc g++ binutils procps redis-server redis-tools \
	busybox-static curl perl strace iputils-ping iproute2 python3-psutil \
	$(if $(wildcard /usr/bin/go /usr/local/go/bin/go),golang-github-vishvananda-netlink-dev)
LINT_PACKAGES  = clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev llvm-14 cppcheck
BENCH_PACKAGES = bubblewrap firejail redis-server redis-tools wrk

SOURCES = $(shell find src include tests bench tools -name '*.c' -o -name '*.h' 2>/dev/null | sort)

.PHONY: build demo check check-tests check-sources werror unit check-install integration faults sanitize build-faults \
	build-sanitize bench fuzz fuzz-short build-fuzz soak install uninstall clean format format-check lint packages-build packages-check packages-lint packages-bench

build: packages-build $(BUILD)/build.ninja
	$(NINJA) -C $(BUILD) -j $(JOBS)

$(BUILD)/build.ninja:
	$(MESON) setup $(BUILD) --prefix $(PREFIX) $(MESON_OPTIONS)

demo: build
	demo/run-demo $(abspath $(BUILD))/sandlock

# ---- Checks -------------------------------------------------------------------------------------

# The tests mostly wait and the rest computes, so the rest runs behind the tests with what they leave of
# the CPUs. All of both is run, also after a failure.
check: packages-check packages-lint werror build
	@log=$$(mktemp) || exit 1; trap 'kill $$sources 2>/dev/null; rm -f "$$log"' EXIT; trap 'exit 1' INT TERM; \
	nice -n 19 $(MAKE) --no-print-directory -k check-sources >"$$log" 2>&1 & sources=$$!; \
	$(MAKE) --no-print-directory -k check-tests; tests=$$?; \
	wait $$sources; code=$$?; sources=; cat "$$log"; \
	[ $$tests = 0 ] || echo "make check: FAILED: the tests" >&2; \
	[ $$code = 0 ] || echo "make check: FAILED: the static checks or fuzzing" >&2; \
	[ $$tests = 0 ] && [ $$code = 0 ] && echo "make check: all passed"

check-tests: unit check-install integration faults sanitize

# The builds that the tests need soon come first.
check-sources: build-faults build-sanitize lint fuzz-short

# Warnings are errors where a change is judged.
werror: packages-build $(BUILD)/build.ninja
	@$(MESON) configure $(BUILD) -Dwerror=true

unit: build
	$(MESON) test -C $(BUILD) --suite unit --print-errorlogs

check-install: packages-check build
	tests/check-install $(abspath $(PREFIX))

integration: packages-check build
	tests/run-integration $(BUILD)

# Injected faults: a build of its own, in which steps can be made to fail and the supervisor to misbehave.
faults: packages-check build-faults
	SANDLOCK_FAULTS=1 SANDLOCK_TESTS="tests/integration/test_faults.py tests/integration/test_net_*.py" \
		tests/run-integration $(BUILD)-faults -k "test_faults or fault_injection"

# Under AddressSanitizer and UndefinedBehaviorSanitizer: the unit tests, and the command line program in
# its tests and under attack. Programs without the sanitizers cannot load the library built with them.
sanitize: packages-check build-sanitize
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		$(MESON) test -C $(BUILD)-sanitize --suite unit --print-errorlogs
	SANDLOCK_TESTS="tests/integration/test_cli.py tests/attack/test_processes.py \
		tests/attack/test_sockets.py tests/attack/test_syscalls.py tests/attack/test_net_messages.py \
		tests/attack/test_net_responder.py tests/integration/test_net_send.py" \
		tests/run-integration $(BUILD)-sanitize

# Two parts of `make check` may come to a build at the same time.
build-faults: packages-build
	@flock Makefile sh -ec '[ -f $(BUILD)-faults/build.ninja ] || \
		$(MESON) setup $(BUILD)-faults -Dwerror=true -Dfault_injection=true -Dcli_libc=glibc -Dtests=false \
			-Doptimization=0 -Ddebug=false; \
		$(NINJA) -C $(BUILD)-faults -j $(JOBS) sandlock libsandlock_ffi.so'

build-sanitize: packages-build
	@flock Makefile sh -ec '[ -f $(BUILD)-sanitize/build.ninja ] || \
		$(MESON) setup $(BUILD)-sanitize -Dwerror=true -Db_sanitize=address,undefined -Dcli_libc=glibc \
			-Doptimization=1 -Dc_args=-g1; \
		$(NINJA) -C $(BUILD)-sanitize -j $(JOBS)'

lint: packages-lint format-check
	tools/lint $(BUILD)

format-check: packages-lint
	@clang-format-14 --dry-run --Werror $(SOURCES)

format: packages-lint
	clang-format-14 -i $(SOURCES)

# ---- Longer runs --------------------------------------------------------------------------------

bench: packages-bench build
	SANDLOCK_BUILD=$(abspath $(BUILD)) SANDLOCK_BIN=$(abspath $(BUILD))/sandlock \
		$(PYTHON) bench/run --check

fuzz: build-fuzz
	tests/fuzz/run $(BUILD)-clang $(FUZZ_SECONDS)

fuzz-short: build-fuzz
	tests/fuzz/run $(BUILD)-clang $(SHORT_FUZZ_SECONDS)

# In the build directory of `make lint`.
build-fuzz: packages-lint packages-build
	tools/configure-clang $(BUILD)-clang
	$(NINJA) -C $(BUILD)-clang -j $(JOBS) fuzz-targets

soak: packages-check build
	SANDLOCK_BUILD=$(abspath $(BUILD)) SANDLOCK_BIN=$(abspath $(BUILD))/sandlock tests/soak

# ---- Installation -------------------------------------------------------------------------------

# The prefix is part of the build (the library's pkg-config file, the place of the profiles).
install: packages-build $(BUILD)/build.ninja
	$(MESON) configure $(BUILD) -Dprefix=$(abspath $(PREFIX))
	$(NINJA) -C $(BUILD) -j $(JOBS)
	@dir="$(DESTDIR)$(abspath $(PREFIX))"; while [ ! -e "$$dir" ]; do dir=$$(dirname "$$dir"); done; \
		[ -w "$$dir" ] || { echo "make install: $$dir is not writable: use sudo, or PREFIX=DIR" >&2; exit 1; }
	DESTDIR=$(DESTDIR) $(MESON) install -C $(BUILD) --no-rebuild --quiet

uninstall:
	$(NINJA) -C $(BUILD) uninstall

clean:
	rm -rf $(BUILD) $(BUILD)-faults $(BUILD)-sanitize $(BUILD)-clang

# ---- Packages -----------------------------------------------------------------------------------

# $(call need,PACKAGES): installs what dpkg does not know as installed.
define need
	@installed=" $$(dpkg-query -W -f '$${db:Status-Status}=$${Package} ' $(1) 2>/dev/null)"; \
	missing=; for package in $(1); do case "$$installed" in \
		*" installed=$$package "*) ;; *) missing="$$missing $$package";; esac; done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
		$$sudo apt-get install -y --no-install-recommends $$missing || \
			{ $$sudo apt-get update && \
			  $$sudo apt-get install -y --no-install-recommends $$missing; }; \
	fi
endef

packages-build:
	$(call need,$(BUILD_PACKAGES))

packages-check:
	$(call need,$(CHECK_PACKAGES))

packages-lint:
	$(call need,$(LINT_PACKAGES))

packages-bench:
	$(call need,$(BENCH_PACKAGES))
