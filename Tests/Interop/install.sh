#!/bin/sh
# Installs the other clients and trackers that Tests/Interop runs against. Quick when all is there; changes nothing
# that was installed before; starts nothing: the tests start clients only inside their own network namespaces.
#
#   Tests/Interop/install.sh           install what is missing
#   Tests/Interop/install.sh --check   say what is missing, install nothing; exit 1 if something is
set -eu

packages='aria2 transmission-daemon transmission-cli python3-libtorrent opentracker mktorrent iproute2 util-linux openssl'
# Units and process names of the packages above that would start by themselves on a normal machine.
units='transmission-daemon.service opentracker.service'
daemons='transmission-da transmission-daemon opentracker aria2c'

say() { printf 'interop: %s\n' "$*"; }

missing=''
for package in $packages; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
  say 'all clients are installed'
  exit 0
fi
if [ "${1:-}" = --check ]; then
  say "missing:$missing"
  exit 1
fi
if ! command -v apt-get >/dev/null; then
  say "no apt-get here; please install by hand:$missing" >&2
  exit 1
fi
root=''
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    say "not root and no sudo; please install by hand:$missing" >&2
    exit 1
  fi
  root=sudo
fi

# Ids of running daemons of those names in our own network namespace, one a line. Those in another one belong to a
# test that runs now.
running() {
  here=$(readlink /proc/self/ns/net)
  for comm in /proc/[0-9]*/comm; do
    { read -r name <"$comm"; } 2>/dev/null || continue
    for daemon in $daemons; do
      if [ "$name" = "$daemon" ]; then
        pid=${comm#/proc/}
        pid=${pid%/comm}
        if [ "$($root readlink "/proc/$pid/ns/net" 2>/dev/null)" = "$here" ]; then echo "$pid"; fi
      fi
    done
  done
}

policy=/usr/sbin/policy-rc.d
own_policy=''
cleanup() { [ -z "$own_policy" ] || $root rm -f "$policy"; }
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

before=" $(running | tr '\n' ' ')"
if [ ! -e "$policy" ]; then
  # 101 is "action forbidden by policy": maintainer scripts then do not start services.
  printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
  $root chmod 755 "$policy"
  own_policy=yes
fi

say "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
install() {
  # shellcheck disable=SC2086 # a list of words on purpose
  $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o Dpkg::Use-Pty=0 $missing
}
# The lists may be old or absent on a fresh machine: try, refresh once, try again.
if ! install >/dev/null 2>&1; then
  $root apt-get update -q
  install
fi

# Nor may they start at the next boot, where systemd runs. Only units of packages we installed ourselves.
if [ -d /run/systemd/system ]; then
  for unit in $units; do
    case "$missing " in
      *" ${unit%.service} "*) $root systemctl disable --now "$unit" >/dev/null 2>&1 || true ;;
    esac
  done
fi

# A daemon started all the same is ended, by its id; those that ran before are someone else's.
for pid in $(running); do
  case "$before" in
    *" $pid "*) ;;
    *)
      say "ending process $pid, started by its package"
      $root kill "$pid" || true
      ;;
  esac
done
say 'done'
