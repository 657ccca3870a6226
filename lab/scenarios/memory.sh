#!/bin/sh
# the kernel ends the NTS-KE process when a control group of version 2 has no memory left: NTP is answered all the time, and keys are given again
. /lab/common.sh
g=/sys/fs/cgroup/ntsserve
mount -t cgroup2 cgroup2 /sys/fs/cgroup || fail "no control groups of version 2"
echo +memory >/sys/fs/cgroup/cgroup.subtree_control || fail "the memory of control groups cannot be limited"
mkdir $g
echo 40M >$g/memory.max # as MemoryMax= of a unit
killed() { awk '$1 == "oom_kill" { print $2 }' $g/memory.events; }
# process NAME prints the number of the process of that name.
process() { for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" != $1 ] || echo ${p#/proc/}; done; }
# keys NAME waits until a client gets keys and an authenticated answer.
keys() {
  i=0
  until $N ntsquery -json -ca /tmp/pki/ca.pem 10.8.0.1 >/tmp/$1.json 2>/tmp/$1.err; do
    i=$((i + 1)); [ $i -lt 60 ] || { fail "$1: no keys"; cat /tmp/$1.err; tail -20 /tmp/ntsserve.log; return; }
    sleep 1
  done
  figure $1 $i failures
}

load
receiver
refclockd_conf extts >/tmp/memory.toml
refclockd_start memory
lock 60
namespace
labtool cert /tmp/pki 10.8.0.1
server_conf | sed 's/^listen = "10.8.0.1:4460"/listen = "0.0.0.0:4460"\nmax_connections = 16384\ntimeout = "30s"/' >/tmp/ntsserve.toml
echo $$ >$g/cgroup.procs
server_start
echo $$ >/sys/fs/cgroup/cgroup.procs

say "== before"
keys first-keys
grep -q 'ke.max_connections: 16384 connections need up to .*memory.max allows 40 MB' /tmp/ntsserve.log || { fail "no warning that the limit is too low"; cat /tmp/ntsserve.log; }
before=$(process ntsserve-ke)
[ "$(killed)" = 0 ] || fail "$(killed) processes have ended already"

say "== strangers use the memory up"
$N labtool load 10.8.0.1 -rate 20 -for 60s >/tmp/load 2>&1 & load=$!
labtool hellos 127.0.0.1:4460 4096 >/tmp/hellos 2>&1 & hellos=$!
i=0
until [ "$(killed)" -gt 0 ]; do
  i=$((i + 1)); [ $i -lt 300 ] || { fail "nothing has ended"; cat /tmp/hellos; break; }
  sleep 0.2
done
kill $hellos; wait $hellos
wait $load || fail "the stream of NTP requests"
cat /tmp/load
figure ended-processes $(killed) processes
grep -q 'nts-ke process has ended: signal: killed' /tmp/ntsserve.log || { fail "the log does not say so"; tail -20 /tmp/ntsserve.log; }

say "== after"
keys keys-again
after=$(process ntsserve-ke)
[ -n "$before" ] && [ -n "$after" ] && [ "$before" != "$after" ] || fail "NTS-KE processes: '$before', then '$after'"
kill -0 $ntsserve || fail "ntsserve has ended"
server_stop
refclockd_stop
kill $receiver; wait $receiver 2>/dev/null
ends
