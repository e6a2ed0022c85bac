#!/bin/sh
# Run by the tests as the first process of new network, mount and process namespaces: brings up loopback with the
# tests' addresses, keeps names from leaving, says "ready <process id seen from outside>", and waits. When its standard
# input closes, because the test is over or the test process died, it ends, and the kernel ends everything inside.
#
#   unshare --net --mount --pid --fork --kill-child namespace.sh HOSTS RESOLV OUTER
set -eu
ip link set lo up
for n in 1 2 3 4 5 6; do
  ip addr add "10.77.0.$n/24" dev lo
  ip -6 addr add "fd77::$n/64" dev lo nodad
done
# Names come from our own hosts file; the name server is one that refuses at once instead of timing out.
mount --bind "$1" /etc/hosts
if [ -e /etc/resolv.conf ]; then
  mount --bind "$2" /etc/resolv.conf
fi
# The outer /proc moves to OUTER: the ids read there are those by which the tests can enter and signal. Programs inside
# find themselves in a /proc of their own; some end when they look for their threads in another.
mount --rbind /proc "$3"
mount -t proc proc /proc
read -r pid _ <"$3/self/stat"
echo "ready $pid"
while read -r _; do :; done
