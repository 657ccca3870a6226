#!/bin/sh
# external timestamps with 50 ns of jitter and a sawtooth, without and with UBX-TIM-TP
. /lab/common.sh
load
set_ phc0_ppt 50000000
set_ phc0_wander_ppt 100
one() { # NAME RECEIVER-OPTION MAX RMS
  say "== $1"
  receiver 150ms ${2:+-timtp=$2}
  labtool step /dev/ptp0 1234567891ns
  rm -rf /run/state
  refclockd_conf extts >/tmp/saw.toml
  refclockd_start saw
  lock 60
  sleep 240
  covered 60s locked
  settled $3 $4 120s
  refclockctl status -json >/tmp/status.json
  noise=$(number /tmp/status.json noise_ns)
  figure measured-noise $(printf %.1f $noise) ns
  refclockd_stop
  kill $receiver; sleep 1
}
set_ pulse_jitter_ns 50; set_ pulse_saw_ns 21
one "50 ns of jitter, sawtooth of 21 ns" "" 200 100
one "the same with TIM-TP" 1 200 100
set_ pulse_jitter_ns 2; set_ pulse_saw_ns 60
one "2 ns of jitter, sawtooth of 60 ns" "" 100 50; without=$noise
one "the same with TIM-TP" 1 60 20; with=$noise
one "the same with TIM-TP of the wrong sign" -1 100 50; wrong=$noise
say "noise: $without ns without TIM-TP, $with ns with it, $wrong ns with the wrong sign"
# The sign is learned from the first half minute of pulses. Their noise is still part of the last figure.
echo "$without $with $wrong" | awk '{ exit !($2 < $1/3 && $3 < $1*3/4) }' || fail "TIM-TP does not reduce the noise enough"
ends
