#!/bin/sh
# failures: an hour without pulses, steps by other programs, kills, no receiver
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ ref_ppt -20000000
set_ phc0_ppt 5000000
set_ phc0_wander_ppt 100
receiver
refclockd_conf kernel >/tmp/break.toml
refclockd_start break
lock 60
sleep ${SETTLE:-300}
covered 60s locked

say "== another process steps the PHC by 1 s, and by 3 us"
labtool step /dev/ptp0 1s
sleep 1
labtool covers -for 5s || fail "a step by another program is served"
lock 60; sleep 30
settled 200 100
labtool step /dev/ptp0 3us
sleep 60
settled 200 100

say "== the system clock is stepped by 0.3 s"
labtool step system 300ms
covered 30s locked

say "== the receiver's port disappears for 60 s"
kill $receiver; wait $receiver 2>/dev/null
[ ! -e /dev/gps0 ] || fail "the port is still there"
labtool covers -for 60s || fail "the bound does not hold without a receiver"
note "without a port: $(state)"
grep -q "port_gone" /tmp/break.log || fail "the log does not report the lost port"
receiver
lock 60
covered 30s locked

say "== the pulses drift away, 100 ns a second"
(i=0; while [ $i -lt 60 ]; do i=$((i + 1)); echo $((i * 100)) >$S/pulse_offset_ns; sleep 1; done) & pull=$!
labtool covers -for 65s || fail "the bound does not hold while the pulses drift"
wait $pull
note "after a drift of 6 us: $(state), offset of the clock $(get phc0_offset_ns) ns"
set_ pulse_offset_ns 0
lock 120
sleep 60
settled 200 100

say "== refclockd killed: the bound grows, then the snapshot is unusable"
kill -9 $refclockd; wait $refclockd 2>/dev/null
labtool covers -for 60s || fail "the bound does not hold after the daemon died"
refclockd_start break
lock 60
sleep 60
covered 30s locked

say "== an hour without pulses"
sleep $((2 * ${SETTLE:-300}))
set_ pulse_on 0
picture holdover log "Without pulses, after ten minutes with them"
RECORD=holdover; covered ${HOUR:-3600s}; RECORD=
set_ pulse_on 1
lock 120
sleep 60
covered 60s locked
refclockd_stop
kill $receiver
ends
