#!/bin/sh
# external timestamps as real cards give them: both edges, late, replayed, lost, sawtooth
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ phc0_ppt 50000000
set_ phc0_wander_ppt 100
receiver
once() { # NAME MAX RMS
  say "== $1"
  labtool step /dev/ptp0 1234567891ns
  refclockd_conf extts >/tmp/$1.toml
  refclockd_start $1
  lock 60
  sleep 30
  settled $2 $3
  refclockd_stop
}
once plain 200 100
set_ extts_v1_only 1; once version-1 200 100; set_ extts_v1_only 0
set_ extts_both 1

say "== both edges of a pulse of unknown width: no guess"
rm -rf /run/state /run/refclock # nor is the clock known that an earlier run has kept
refclockd_conf extts >/tmp/nowidth.toml
refclockd_start nowidth
sleep 30
[ "$(state)" != locked ] || fail "locked to a guessed edge"
grep -q 'reason=ambiguous_edge' /tmp/nowidth.log || { fail "the log does not report the ambiguous edges"; tail -20 /tmp/nowidth.log; }
note "$(sed -n 's/.*reason=ambiguous_edge remedy=/remedy in the log: /p' /tmp/nowidth.log | head -1)"
refclockd_stop
WIDTH=100ms
once both-edges 200 100
set_ extts_delay_ns 250000000; set_ extts_replay 3; once both-late-replayed 200 100
set_ extts_delay_ns 0; set_ extts_replay 0
set_ pulse_drop_ppm 200000; once a-fifth-lost 250 120
set_ extts_both 0
WIDTH=
set_ pulse_drop_ppm 0; set_ pulse_saw_ns 21; once sawtooth 200 100; set_ pulse_saw_ns 0

say "== carrier lost: no pulses, the last timestamp is repeated"
refclockd_start plain
lock 60
sleep 20
ip link set lab0 up; echo 0 >/sys/class/net/lab0/carrier
set_ extts_stuck 4; set_ pulse_on 0
sleep 20
[ "$(state)" = holdover ] || fail "state $(state) without pulses, want holdover"
labtool truth phc0_offset_ns -for 60s -max 2000 || fail "holdover drifts"
set_ extts_stuck 0; set_ pulse_on 1; echo 1 >/sys/class/net/lab0/carrier
lock 60
sleep 20
settled 200 100

say "== another program takes the pin: refclockd opens it again without a restart"
pin=$(ls /sys/class/ptp/ptp0/pins | head -1)
echo '0 0' >/sys/class/ptp/ptp0/pins/$pin
sleep 8
[ "$(state)" = holdover ] || fail "state $(state) without a pin, want holdover"
lock 150 # after ten waits of ten seconds it opens the pin again
sleep 20
settled 200 100
refclockd_stop
kill $receiver
ends
