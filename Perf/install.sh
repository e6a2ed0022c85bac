#!/bin/sh
# Installs the clients the harness measures Spate against; only what is missing, all of it by name.
#
#   aria2, transmission-cli, rtorrent, mktorrent   from Debian's or Ubuntu's packages
#   libtorrent 2.1.1                               from PyPI, into Perf/.build-clients
#   perf, strace                                   for counting; the harness does without either
set -eu
here=$(cd "$(dirname "$0")" && pwd)
libtorrent=${LIBTORRENT_VERSION:-2.1.1}

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need aria2c aria2
need transmission-cli transmission-cli
need rtorrent rtorrent
need mktorrent mktorrent
need strace strace
need python3 python3
need perf linux-perf
python3 -c 'import ensurepip' >/dev/null 2>&1 || missing="$missing python3-venv"

if [ -n "$missing" ]; then
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -q || true
  # One by one: a package that a distribution does not have (linux-perf on Ubuntu) must not keep the others out.
  for package in $missing; do
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qy --no-install-recommends "$package" ||
      echo "install: $package could not be installed; the harness does without it" >&2
  done
fi

python=$here/.build-clients/bin/python
if ! "$python" -c "import libtorrent; assert libtorrent.__version__.startswith('$libtorrent')" 2>/dev/null; then
  python3 -m venv "$here/.build-clients" &&
    "$python" -m pip install --quiet "libtorrent==$libtorrent" ||
    echo "install: libtorrent $libtorrent could not be installed from PyPI" >&2
fi
