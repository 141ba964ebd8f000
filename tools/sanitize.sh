#!/usr/bin/env bash
# Runs the kernel, graph and fuzz tests under AddressSanitizer and UndefinedBehaviorSanitizer, and what several
# threads do at once under ThreadSanitizer. Needs GCC's sanitizer runtimes, cmake, ninja, and the test requirements.
#
#   tools/sanitize.sh                 both
#   tools/sanitize.sh address         or: thread
#   KCORE_FUZZ=600 tools/sanitize.sh address     fuzzes for ten minutes a test instead of half a one
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
which=${1:-both}

build() {  # name, sanitizers: leaves a package with a sanitized extension in build/NAME/package
  local dir=build/$1
  cmake -S . -B "$dir" -DCMAKE_BUILD_TYPE=None -DKCORE_SANITIZE="$2" \
    -DPython_EXECUTABLE="$(command -v "$python")" -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" > "$dir.log" 2>&1 \
    || { cat "$dir.log"; exit 1; }
  cmake --build "$dir" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-2}" > "$dir.log" 2>&1 || { cat "$dir.log"; exit 1; }
  rm -rf "$dir/package" && mkdir -p "$dir/package"
  cp -r python/kcore "$dir/package/" && rm -f "$dir"/package/kcore/_core*.so && cp "$dir"/_core*.so "$dir/package/kcore/"
}

stress() {  # name, sanitizers: the thread team alone, whose threads a sanitized process has all to itself
  "${CXX:-g++}" -g -O1 -std=c++17 -fopenmp -fsanitize="$2" -Icpp \
    tests/kernels/team_stress.cpp cpp/simd/team.cpp cpp/simd/parallel.cpp -o "build/$1/team_stress"
  "build/$1/team_stress"
}

runtime() { "${CXX:-g++}" -print-file-name="lib$1.so"; }

mkdir -p build
if [ "$which" != thread ]; then
  build asan address,undefined
  stress asan address,undefined
  # The interpreter's own allocations at exit are not leaks of ours. Sizes that no machine has must raise.
  KCORE_FUZZ=${KCORE_FUZZ:-30} KCORE_FUZZ_LOG=build/asan/mutant \
    LD_PRELOAD="$(runtime asan):$(runtime ubsan)" PYTHONPATH=build/asan/package PYTHONMALLOC=malloc \
    ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1 \
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    "$python" -m pytest -x -q -s -p no:cacheprovider tests/kernels tests/fuzz tests/graph \
    -k 'not test_kernels_under and not forked'
fi
if [ "$which" != address ]; then
  build tsan thread
  stress tsan thread
  # Kernels stay on one thread: what is tested here is concurrent runs. At a report the process ends with status 66.
  LD_PRELOAD="$(runtime tsan)" PYTHONPATH=build/tsan/package OMP_NUM_THREADS=1 \
    TSAN_OPTIONS="suppressions=$PWD/tools/thread_sanitizer.supp:halt_on_error=1:second_deadlock_stack=1" \
    "$python" -m pytest -x -q -s -p no:cacheprovider tests/graph/test_threads.py tests/models/test_model_threads.py \
    tests/graph/test_prepared.py tests/training/test_native_epochs.py \
    -k 'not forked and (threads or prepared or feed)'
fi
