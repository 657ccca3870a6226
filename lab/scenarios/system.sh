#!/bin/sh
# the system clock steered by kernel pulses, from 0.3 s and 1 h off
. /lab/common.sh
load
set_ pulse_jitter_ns 200
set_ ref_ppt -20000000
set_ ref_wander_ppt 100
truth=sys_offset_ns
receiver
# The receiver sends NMEA only, and no clock here shows the second: without this line
# refclockd waits 13 minutes for evidence of the leap seconds.
{ refclockd_conf kernel system; printf '[leap]\nprove = "never"\n'; } >/tmp/system.toml
for off in 300ms -1h; do
  say "== system clock off by $off"
  labtool step system $off
  rm -rf /run/state
  refclockd_start system
  lock 90
  sleep 60
  settled 1000 400
  refclockd_stop
done
kill $receiver
ends
