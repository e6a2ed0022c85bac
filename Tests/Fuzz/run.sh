#!/usr/bin/env bash
# Builds the fuzz targets with libFuzzer and the address sanitizer, and runs each for SECONDS from its corpus.
# Fails when a target traps, is caught by the sanitizer, takes longer than 10 s for an input or 2 GiB of memory; the
# input is then in the folder that is printed.
#
#   Tests/Fuzz/run.sh [SECONDS] [TARGET…]      for example: Tests/Fuzz/run.sh 60 Bencode
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-60}
case $seconds in '' | *[!0-9]*) echo "usage: run.sh [SECONDS] [TARGET…]" >&2; exit 64 ;; esac
shift || true
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  for main in Sources/Fuzz*/main.swift; do
    name=$(basename "$(dirname "$main")")
    targets+=("${name#Fuzz}")
  done
fi

scratch=${FUZZ_SCRATCH:-../../.build-fuzz}
build=(${SWIFT:-swift} build -c release --scratch-path "$scratch"
  -Xswiftc -sanitize=fuzzer,address -Xcc -fsanitize=address,fuzzer-no-link)
for target in "${targets[@]}"; do "${build[@]}" --product "Fuzz$target"; done
binaries=$("${build[@]}" --show-bin-path)

findings=$(mktemp -d "${TMPDIR:-/tmp}/spate-fuzz.XXXXXX")
failed=()
for target in "${targets[@]}"; do
  echo "== $target: $seconds s from $(ls "Corpus/$target" | wc -l) inputs"
  mkdir -p "$findings/$target/new"
  options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -verbosity=0
    -print_final_stats=1 -artifact_prefix="$findings/$target/")
  [ ! -f "Corpus/$target.dict" ] || options+=(-dict="Corpus/$target.dict")
  # New inputs go to the first folder, so that the corpus in the tree stays as it is.
  if "$binaries/Fuzz$target" "${options[@]}" "$findings/$target/new" "Corpus/$target" 2>"$findings/$target/log"; then
    grep -E 'number_of_executed_units|peak_rss' "$findings/$target/log"
  else
    failed+=("$target")
    cat "$findings/$target/log"
  fi
done

if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}; inputs and logs are in $findings" >&2
  exit 1
fi
rm -rf "$findings"
