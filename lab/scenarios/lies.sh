#!/bin/sh
# a receiver that is wrong by a second, a week, 1024 weeks, and its return
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ ref_ppt -20000000
set_ phc0_ppt 5000000
set_ phc0_wander_ppt 100
receiver
refclockd_conf kernel >/tmp/lies.toml
refclockd_start lies
lock 60
sleep ${SETTLE:-300}
labtool step system 300ms

say "== the receiver is wrong by a second, a week, 1024 weeks"
for lie in 1s -1s 168h -172032h; do
  kill $receiver
  labtool nmea /dev/gps0 -lie $lie & receiver=$!
  sleep 60
  say "$lie: $(state)"
  settled 2000 1000 30s
done
kill $receiver
receiver
# The clock was contradicted, and the system clock is 0.3 s off: neither confirms, so the
# receiver is tracked for 13 minutes.
lock 900
refclockd_stop
kill $receiver
ends
