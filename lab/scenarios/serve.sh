#!/bin/sh
# ntsserve on lab0: ntsquery, chronyd with NTS, with hardware stamps and interleaved mode behind lab1
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
labtool step system -$(get sys_offset_ns)ns

# chrony NAME OPTIONS HWTIMESTAMP LIMIT runs a client behind lab1 that steers the
# machine's clock, whose true error is then the client's.
chrony() {
  mkdir -p /run/c /var/lib/chrony; chmod 770 /run/c
  cat >/tmp/c.conf <<F
server 10.8.0.1 iburst minpoll 0 maxpoll 0 $2
ntstrustedcerts /tmp/pki/ca.pem
nosystemcert
${3:+hwtimestamp lab1 minpoll 0}
bindcmdaddress /run/c/s
pidfile /run/c/pid
cmdport 0
F
  say "== chronyd $1"
  labtool step system 20us
  $N chronyd -U -u root -f /tmp/c.conf -L 0 -d >/tmp/c.log 2>&1 & c=$!
  sleep 90
  chronyc -h /run/c/s -n sources | tail -1
  chronyc -h /run/c/s -n authdata | tail -1
  chronyc -h /run/c/s -n ntpdata | grep -E '^(Peer delay|Response time|Interleaved|TX time|RX time|Authenticated)'
  labtool truth sys_offset_ns -for 30s -max $4 || { fail "chronyd $1 is off"; tail -5 /tmp/c.log; }
  kill $c; wait $c
}
chrony "plain" "" "" 30000
chrony "NTS" nts "" 30000
chrony "NTS, hardware stamps" nts yes 30000
# The server knows its transmit stamps by software: half of the way to the wire is left.
chrony "NTS, hardware stamps, interleaved" "nts xleave" yes 2000
chrony "plain, hardware stamps, interleaved" "xleave" yes 2000
labtool adj system 0
hardware_stamps
covered 30s locked
refclockd_stop
server_stop
kill $receiver
ends
