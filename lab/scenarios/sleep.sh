#!/bin/sh
# the machine sleeps (S3) while true time goes on by an hour; card and CLOCK_MONOTONIC_RAW stand still, so nothing shows between them
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ ref_ppt -20000000
set_ phc0_ppt 5000000
receiver
refclockd_conf kernel >/tmp/sleep.toml
refclockd_start sleep
lock 120
sleep 20
covered 20s locked

say "== asleep, woken by the real-time clock"
# Its alarm wakes QEMU's machine from S3; its time has to be the host's for that (lab/scenario).
rtc=/sys/class/rtc/rtc0/wakealarm
echo 0 >$rtc
echo +8 >$rtc
echo +3600000000000 >$S/true_ns || fail "cannot move the truth"
echo mem >/sys/power/state || fail "cannot sleep"
labtool covers -for 20s || fail "a wrong time was served after waking"
grep -q 'reason=machine_slept' /tmp/sleep.log || { fail "no word of the sleep"; tail -20 /tmp/sleep.log; }
note "$(sed -n 's/.*reason=machine_slept for=\(.*\)/the machine says that it slept for \1/p' /tmp/sleep.log | head -1)"
[ "$(state)" = locked ] || { fail "not locked 20 s after waking"; tail -20 /tmp/sleep.log; }
sleep 20
settled 200 100
refclockd_stop
ends
