#!/bin/sh
# the machine sleeps (S3) while the true time advances by an hour; card and CLOCK_MONOTONIC_RAW both stand still, so a comparison of the two shows nothing
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ ref_ppt -20000000
set_ phc0_ppt 5000000
receiver
# The receiver sends NMEA only, and no clock here shows the second: without this line
# refclockd waits 13 minutes for evidence of the leap seconds.
{ refclockd_conf kernel; printf '[leap]\nprove = "never"\n'; } >/tmp/sleep.toml
refclockd_start sleep
lock 120
sleep 20
covered 20s locked

say "== asleep, woken by the alarm of the real-time clock"
# The alarm wakes QEMU's machine from S3 only if the clock has the host's time (lab/scenario).
rtc=/sys/class/rtc/rtc0/wakealarm
echo 0 >$rtc
echo +8 >$rtc
echo +3600000000000 >$S/true_ns || fail "cannot move the true time"
echo mem >/sys/power/state || fail "cannot sleep"
labtool covers -for 20s || fail "a wrong time was served after waking"
grep -q 'reason=machine_slept' /tmp/sleep.log || { fail "the log does not report the sleep"; tail -20 /tmp/sleep.log; }
note "$(sed -n 's/.*reason=machine_slept for=\(.*\)/refclockd reports a sleep of \1/p' /tmp/sleep.log | head -1)"
[ "$(state)" = locked ] || { fail "not locked 20 s after waking"; tail -20 /tmp/sleep.log; }
sleep 20
settled 200 100
refclockd_stop
ends
