#!/bin/sh
# ntsserve on lab0; behind lab1 ntsquery and chronyd, with NTS, hardware timestamps and interleaved mode
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ phc0_ppt 5000000
set_ phc0_wander_ppt 100
set_ phc1_ppt -3000000
set_ wire01_ns 4000
set_ wire10_ns 4000
receiver
refclockd_conf extts >/tmp/serve.toml
refclockd_start serve
lock 60
sleep 60
namespace
labtool cert /tmp/pki 10.8.0.1
server_conf >/tmp/ntsserve.toml
server_start

say "== ntsquery"
labtool step system 1500us
query nts -ca /tmp/pki/ca.pem -n 8 10.8.0.1
query interleaved -ca /tmp/pki/ca.pem -n 8 -interleaved 10.8.0.1
query plain -plain -n 8 10.8.0.1
for n in nts interleaved plain; do server_error $n; done
labtool step system -$(get sys_offset_ns)ns

# chrony NAME OPTIONS HWTIMESTAMP LIMIT runs a client behind lab1 that steers the
# machine's clock. The true error of that clock must stay within LIMIT ns and
# within the client's root distance.
chrony() {
  chrony_conf "$2" ${3:+"hwtimestamp lab1 minpoll 0"}
  say "== chronyd $1"
  labtool step system 20us
  chrony_start
  sleep 90
  ask sources | tail -1
  ask authdata | tail -1
  ntpdata
  [ ! "$3" ] || asked "TX timestamping: Hardware" "RX timestamping: Hardware"
  case $2 in *nts*) asked "Authenticated: Yes" ;; *) asked "Authenticated: No" ;; esac
  case $2 in *xleave*) asked "Interleaved: Yes" ;; *) asked "Interleaved: No" ;; esac
  claim=$(ask -c tracking | awk -F, '{ printf "%.0f", ($11 / 2 + $12) * 1e9 }')
  labtool truth sys_offset_ns -for 30s -max $4 >/tmp/truth || { fail "chronyd $1 is off"; tail -5 /tmp/c.log; }
  cat /tmp/truth
  sed -n 's/^figure true-error-max \([0-9.]*\) .*/\1/p' /tmp/truth | awk -v c="$claim" '{ printf "figure error-within-root-distance %.0f ns %s\n", $1, c; exit !($1 <= c) }' || fail "chronyd $1: root distance does not contain the true error"
  chrony_stop
}
chrony "plain" "" "" 30000
chrony "NTS" nts "" 30000
chrony "NTS, hardware timestamps" nts yes 30000
# In interleaved mode the answer carries the card's transmit timestamp.
chrony "NTS, hardware timestamps, interleaved" "nts xleave" yes 2000
chrony "plain, hardware timestamps, interleaved" "xleave" yes 2000
labtool adj system 0
hardware_stamps
covered 30s locked
refclockd_stop
server_stop
kill $receiver
ends
