#!/bin/bash
# Shows Spate at work: `demo.sh BINARY` makes a torrent of 1 GiB of random files, starts a tracker and two seeders on the
# loopback interface, downloads the torrent through real sockets, and checks every byte.
#
# DEMO_MIB=256 makes it smaller. Everything lies in a temporary folder that is removed at the end; only processes that
# were started here are ended, and nothing takes longer than a few minutes.
set -euo pipefail

spate=$(realpath "${1:?usage: demo.sh BINARY}")
mib=${DEMO_MIB:-1024}
limit=${DEMO_SECONDS:-300}

folder=$(mktemp -d "${TMPDIR:-/tmp}/spate-demo.XXXXXX")
pids=()

finish() {
  status=$?
  trap - EXIT INT TERM
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  # Each leaves within five seconds of the signal.
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }

# Nothing of the user's own settings plays a part, and no records are left behind.
export HOME="$folder" XDG_CONFIG_HOME="$folder/config" XDG_STATE_HOME="$folder/state"
unset SPATE_CONFIG
# The tracker is all that is needed to find each other; nobody outside is asked.
export SPATE_DHT=false SPATE_LSD=false

# Waits until a command succeeds, for 30 s at most.
await() {
  local what=$1 end=$((SECONDS + 30))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "$what: waited too long"
    sleep 0.1
  done
}

space=$(df --output=avail -k "$folder" | tail -1)
[ "$space" -gt $((mib * 1024 * 2 + 65536)) ] || fail "$folder needs $((mib * 2 + 64)) MiB of free space; set TMPDIR"

say "1. $mib MiB of random data in folders and files of all sizes"
source="$folder/source/demo"
mkdir -p "$source/large" "$source/small/deep/er"
big=$((mib * 1024 * 1024 * 7 / 8))
head -c $((big / 2 + 12345)) /dev/urandom >"$source/large/one.bin"
head -c $((big / 2 - 12345)) /dev/urandom >"$source/large/two.bin"
rest=$((mib * 1024 * 1024 - big))
for n in $(seq 1 40); do head -c $((rest / 41 + n)) /dev/urandom >"$source/small/file $n.dat"; done
head -c $((rest - 40 * (rest / 41) - 820)) /dev/urandom >"$source/small/deep/er/größe – 大きさ.dat"
: >"$source/empty"
du -sh --apparent-size "$source"

say "2. A tracker, on a free port"
"$spate" tracker --bind 127.0.0.1 --port 0 --interval 1m >"$folder/tracker.out" 2>"$folder/tracker.err" &
pids+=($!)
await "the tracker" grep -q announce "$folder/tracker.out"
cat "$folder/tracker.out"
announce=$(grep -m1 '^http:' "$folder/tracker.out")

say "3. The torrent"
"$spate" create "$source" -a "$announce" -o "$folder/demo.torrent"

say "4. Two seeders"
for n in 1 2; do
  "$spate" seed "$folder/demo.torrent" -d "$folder/source" --bind 127.0.0.1 --progress json \
    >"$folder/seed$n.out" 2>"$folder/seed$n.err" &
  pids+=($!)
done
for n in 1 2; do await "seeder $n" grep -q '"state":"seeding"' "$folder/seed$n.err"; done
await "both seeders at the tracker" sh -c "'$spate' scrape '$folder/demo.torrent' | grep -q ': 2 seeds'"
"$spate" scrape "$folder/demo.torrent"

say "5. The download"
mkdir "$folder/target"
start=$(date +%s%N)
# In the background, so that its memory can be watched; the bar is drawn all the same.
timeout "$limit" "$spate" download "$folder/demo.torrent" -d "$folder/target" --bind 127.0.0.1 --json \
  >"$folder/download.json" &
runner=$!
pids+=("$runner")
peak=0
while kill -0 "$runner" 2>/dev/null; do
  # `timeout` runs the program as its only child.
  child=$(cat "/proc/$runner/task/$runner/children" 2>/dev/null || true)
  high=$(awk '/^VmHWM/ { print $2 }' "/proc/${child%% *}/status" 2>/dev/null || true)
  [ "${high:-0}" -le "$peak" ] || peak=$high
  sleep 0.05
done
status=0
wait "$runner" || status=$?
stop=$(date +%s%N)
[ "$status" = 0 ] || fail "the download ended with $status"

say "6. Every byte"
"$spate" verify "$folder/demo.torrent" -d "$folder/target" -q
(cd "$source" && find . -type f -print0 | sort -z) |
  while IFS= read -r -d '' file; do cmp "$source/$file" "$folder/target/demo/$file"; done
[ "$(cd "$source" && find . | wc -l)" = "$(cd "$folder/target/demo" && find . | wc -l)" ] || fail "files too many or too few"
echo "all files are the same"

say "7. The figures"
grep -m1 '"seconds"' "$folder/download.json" | tr -d ' ,"' | sed 's/:/ in the session: /'
awk -v ns=$((stop - start)) -v mib="$mib" -v peak="$peak" 'BEGIN {
  printf "downloaded and verified %d MiB in %.1f s: %.0f MiB/s, start and end of the program counted\n", mib, ns / 1e9, mib / (ns / 1e9)
  printf "peak memory of the downloader: %.0f MiB\n", peak / 1024
}'
