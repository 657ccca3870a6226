#!/bin/sh
# kernel pulses: locks with the clock 30 s, 1 h and 50 years off and 50 ppm fast, then runs for an hour
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ ref_ppt -20000000
set_ phc0_ppt 50000000
set_ phc0_wander_ppt 100
receiver
for off in 30s -30s 1h -1h 438000h -438000h; do
  say "== PHC off by $off"
  labtool adj /dev/ptp0 0
  labtool step /dev/ptp0 $off
  refclockd_conf kernel >/tmp/$off.toml
  rm -rf /run/state
  refclockd_start $off
  lock 60
  sleep 20
  settled 200 100 30s
  [ $off = -438000h ] || refclockd_stop
done
say "== an hour"
picture hour lin "The card's clock, disciplined by kernel pulses with 50 ns of jitter"
RECORD=hour covered ${HOUR:-3600s} locked >/tmp/hour & hour=$!
settled 200 50 ${HOUR:-3600s}
wait $hour
cat /tmp/hour
grep -q " FAIL " /tmp/hour && failed=1
refclockd_stop
kill $receiver
ends
