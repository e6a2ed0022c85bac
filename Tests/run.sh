#!/usr/bin/env bash
# Runs the test command given. When something fails, says at the end once more what it was: of a long log, often only the
# end is looked at.
set -uo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
if [ "$status" != 0 ]; then
  echo "what failed:"
  # The runner's own lines: each issue with where it was recorded, each failed test, and what ended the process.
  grep -E '^✘|^error:|Fatal error|signal code' "$log" | grep -v '^✘ Suite' | tail -60
fi
exit "$status"
