#!/usr/bin/env bash
# The README's tables, as Markdown: medians of five runs in turn, Spate beside the clients that come nearest to it. Whoever
# wants all clients at all points asks for `perf all`, and has half a day.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p out
failed=0
bin=$(${SWIFT:-swift} build -c release --show-bin-path)

# name, then what to measure
measure() {
  local name=$1
  shift
  echo
  echo "## $name"
  # A client that fails is told of, and is no reason to measure nothing more.
  "$bin/perf" "$@" --no-counts --markdown --save "out/table-$name.json" || failed=1
}

best=spate,libtorrent,libtorrent-tuned
measure download download --runs 5 --connections 20 --piece 1M --peer $best,aria2
measure connections download --runs 5 --connections 20,1,200 --piece 1M --peer spate
measure small-pieces download --runs 5 --connections 20 --piece 16K --size 512M --peer $best
measure large-pieces download --runs 5 --connections 20 --piece 16M --size 2G --peer $best
measure seed seed --runs 5 --connections 20 --piece 1M --size 4G --peer spate,rtorrent,libtorrent-tuned
measure check-create check create --runs 5 --piece 1M --peer spate,libtorrent,libtorrent-tuned,mktorrent
for kernel in avx2 shani; do
  SPATE_HASH=$kernel measure $kernel check create --runs 5 --piece 1M --peer spate,libtorrent,libtorrent-tuned,mktorrent
done
measure idle connections --connections 1000 --runs 3 --peer spate,libtorrent
# More than libtorrent takes in within a minute.
measure idle-many connections --connections 5000 --runs 3 --peer spate
measure idle-torrents torrents --runs 3 --peer spate,libtorrent
measure others both stall --runs 3 --peer spate --connections 20 --piece 1M
# Once: ext4 looks at each inode that was deleted in the last minutes before it makes a new one.
measure small-files small-files --runs 1 --peer spate --connections 20 --piece 1M
# A hot set of 100 MiB too, and what a block costs.
measure hot seed --runs 1 --connections 20 --piece 1M --peer spate
echo
echo "## counts"
"$bin/perf" seed download --quick --runs 1 --connections 20 --piece 1M --markdown --peer spate || failed=1
exit $failed
