#!/bin/sh
# an asymmetric wire: the error that it must cause in clients and must not cause in the server; lost transmit timestamps
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ phc0_ppt 5000000
set_ phc0_wander_ppt 100
receiver
refclockd_conf extts >/tmp/wire.toml
refclockd_start wire
lock 60
sleep 60
namespace
labtool cert /tmp/pki 10.8.0.1
server_conf >/tmp/ntsserve.toml
server_start

# client NAME OPTIONS LOW HIGH runs chronyd behind lab1 with hardware timestamps. The
# mean true error of the machine's clock must end between LOW and HIGH, ns.
client() {
  chrony_conf "$2" "hwtimestamp lab1 minpoll 0"
  say "== $1"
  labtool step system 20us
  chrony_start
  sleep 90
  ntpdata
  asked "RX timestamping: Hardware"
  labtool truth sys_offset_ns -for 30s >/tmp/truth || fail "cannot read the true error"
  mean=$(sed -n 's/.* mean=\([-0-9.]*\) .*/\1/p' /tmp/truth)
  figure client-error $mean ns $3..$4
  echo "$mean" | awk -v a=$3 -v b=$4 '{ exit !($1 >= a && $1 <= b) }' || { fail "the error of the client is $mean ns, want $3 to $4"; tail -5 /tmp/c.log; }
  chrony_stop
}
server() { say "== server: $1"; covered 30s locked; settled 200 100 30s; }

set_ wire01_ns 4000; set_ wire10_ns 4000
client "4 us in each direction" "nts xleave" -200 200
set_ wire10_ns 54000
client "54 us to the server, 4 us back: half of the difference" "nts xleave" 24800 25200
server "54 us to the server, 4 us back"
set_ wire10_ns 4000; set_ wire01_ns 54000
client "4 us to the server, 54 us back" "nts xleave" -25200 -24800
server "4 us to the server, 54 us back"
set_ wire01_ns 4000

set_ nic_tx_drop_ppm 500000
client "half of the transmit timestamps lost" "nts xleave" -1000 1000
set_ nic_tx_drop_ppm 1000000
client "all transmit timestamps lost" "nts xleave" -30000 30000
server "all transmit timestamps lost"
grep nic0 $S/stats
set_ nic_tx_drop_ppm 0
labtool adj system 0

say "== carrier of lab0 lost for 10 s"
echo 0 >/sys/class/net/lab0/carrier
sleep 5
$N ntsquery -plain -json 10.8.0.1 >/tmp/lost.json 2>/dev/null && fail "an answer came without a carrier"
sleep 5
echo 1 >/sys/class/net/lab0/carrier
sleep 2
query carrier-back -ca /tmp/pki/ca.pem 10.8.0.1
covered 10s locked
hardware_stamps
refclockd_stop
server_stop
kill $receiver
ends
