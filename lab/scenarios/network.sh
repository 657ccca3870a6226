#!/bin/sh
# hardware timestamps of ntsserve on a VLAN, a bridge and a bond over the card; after another program has switched them off; after the card came back with another index
. /lab/common.sh
for m in llc stp garp mrp 8021q bridge; do insmod /lab/mod/$m.ko || fail "cannot load $m"; done
insmod /lab/mod/tls.ko # newer kernels need it for the next
insmod /lab/mod/bonding.ko max_bonds=0 || fail "cannot load bonding"

# setting starts the card, its receiver and refclockd.
setting() {
  load
  set_ phc0_ppt 5000000
  set_ wire01_ns 4000
  set_ wire10_ns 4000
  receiver
  refclockd_conf extts >/tmp/network.toml
  refclockd_start network
  lock 60
  namespace
}
# unsetting stops refclockd and the receiver, and removes the card.
unsetting() {
  refclockd_stop
  kill $receiver; wait $receiver 2>/dev/null
  kill $ns; wait $ns 2>/dev/null
  sleep 0.5
  rmmod labclock || fail "labclock is still in use"
}

# wan ADDRESS INTERFACE prints an endpoint.
wan() { printf '[[endpoint]]\naddress = "%s:123"\ninterface = "%s"\ntimestamps = "hardware"\nworkers = 1\n' $1 $2; }
# metric NAME prints a metric; stamps ENDPOINT KIND the number of its receive timestamps.
metric() { wget -q -O - 127.0.0.1:9124/metrics | awk -v n="$1" '$1 == n { printf "%.0f\n", $2 }'; }
stamps() { metric "noonmark_ntp_receive_stamps_total{endpoint=\"$1\",stamp=\"$2\"}"; }
state() { if [ $# = 0 ]; then sed -n 's/.* msg=state state=\([a-z]*\).*/\1/p' /tmp/$daemon.log | tail -1; else metric "noonmark_ntp_endpoint_state{endpoint=\"$1\",state=\"$2\"}"; fi; }

# becomes ENDPOINT STATE waits for a state of an endpoint.
becomes() {
  i=0
  until [ "$(state $1 $2)" = 1 ]; do
    i=$((i + 1)); [ $i -lt 60 ] || { fail "$1 does not become $2"; grep " endpoint=$1 " /tmp/ntsserve.log | tail -5; return; }
    sleep 0.5
  done
}
# stamped NAME ADDRESS INTERFACE asks, and requires that the card dated every request.
stamped() {
  e=$2:123%$3
  becomes $e serving
  h=$(stamps $e hardware) s=$(stamps $e software)
  query $1 -plain -n 8 $2
  h=$(($(stamps $e hardware) - h)) s=$(($(stamps $e software) - s))
  figure $1-hardware-timestamps $h requests
  [ $h -ge 8 ] && [ $s = 0 ] || fail "$1: $h requests have a timestamp of the card, $s one of the kernel"
}

setting
{ printf '[source]\npath = "/run/refclock/status"\n[metrics]\nlisten = "127.0.0.1:9124"\n'
  wan 10.8.0.1 lab0; wan 10.8.10.1 lab0.10; wan 10.8.20.1 bridge0; wan 10.8.30.1 bond0; wan 10.8.40.1 dummy0; } >/tmp/ntsserve.toml
ip link add dummy0 type bridge && ip link set dummy0 up # a bridge without a card
server_start

say "== the card"
stamped card 10.8.0.1 lab0
for i in lab0.10 bridge0 bond0; do grep -q "no such device" /tmp/ntsserve.log || fail "$i does not wait for its interface"; done

say "== a VLAN"
ip link add link lab0 name lab0.10 type vlan id 10
ip addr add 10.8.10.1/24 dev lab0.10; ip link set lab0.10 up
$N ip link add link lab1 name lab1.10 type vlan id 10
$N ip addr add 10.8.10.2/24 dev lab1.10; $N ip link set lab1.10 up
stamped vlan 10.8.10.1 lab0.10

say "== no card beneath"
becomes 10.8.40.1:123%dummy0 no_hardware_timestamps
grep -q 'no hardware receive timestamps for UDP on dummy0' /tmp/ntsserve.log || fail "the log does not say what dummy0 lacks"

say "== another program switches the timestamps off"
labtool hwtstamp lab0 off || fail "cannot switch them off"
i=0
until [ "$(metric 'noonmark_ntp_card_events_total{endpoint="10.8.0.1:123%lab0",event="reset"}')" -ge 1 ]; do
  i=$((i + 1)); [ $i -lt 40 ] || { fail "they are not switched on again"; tail -5 /tmp/ntsserve.log; break; }
  sleep 0.5
done
figure switched-on-again $((i / 2)) s 12
grep 'switched on again' /tmp/ntsserve.log || fail "the log does not say so"
stamped again 10.8.0.1 lab0
grep -E '^Cap(Eff|Prm)' /proc/$ntsserve/status
grep -q '^CapEff:.*0000000000000400$' /proc/$ntsserve/status || fail "the process that answers has more than CAP_NET_BIND_SERVICE"

say "== a bridge"
$N ip addr add 10.8.20.2/24 dev lab1
ip link add bridge0 type bridge
ip link set lab0 master bridge0
ip addr add 10.8.20.1/24 dev bridge0; ip link set bridge0 up
sleep 1
stamped bridge 10.8.20.1 bridge0
ip link set lab0 nomaster; ip link del bridge0
becomes 10.8.20.1:123%bridge0 no_interface

say "== a bond"
$N ip addr add 10.8.30.2/24 dev lab1
echo +bond0 >/sys/class/net/bonding_masters
echo 1 >/sys/class/net/bond0/bonding/mode
ip link del lab0.10; ip link set lab0 down
echo 100 >/sys/class/net/bond0/bonding/miimon
echo +lab0 >/sys/class/net/bond0/bonding/slaves || fail "cannot bond lab0"
ip addr add 10.8.30.1/24 dev bond0; ip link set bond0 up
sleep 1
stamped bond 10.8.30.1 bond0
echo -bond0 >/sys/class/net/bonding_masters
becomes 10.8.10.1:123%lab0.10 no_interface
becomes 10.8.30.1:123%bond0 no_interface

say "== the card leaves and comes back"
before=$(cat /sys/class/net/lab0/ifindex)
unsetting
becomes 10.8.0.1:123%lab0 no_interface
setting
note "index $before, then $(cat /sys/class/net/lab0/ifindex)"
[ "$(cat /sys/class/net/lab0/ifindex)" != $before ] || fail "the card has the index that it had"
stamped replugged 10.8.0.1 lab0
grep -c . /tmp/ntsserve.log
server_stop
refclockd_stop
kill $receiver
ends
