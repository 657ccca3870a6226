#!/bin/sh
# refclockctl calibrate: the delay of kernel timestamps against external timestamps of the same pulse
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ phc0_ppt 20000000

# bias NAME MIN MAX [OPTION...] calibrates; the bias must be between MIN and MAX ns.
bias() {
  name=$1; min=$2; max=$3; shift 3
  say "== $name"
  refclockctl calibrate -clock lab0 -pulses 60 "$@" >/tmp/out 2>/tmp/err || { fail "calibrate ended with $?"; cat /tmp/err; }
  cat /tmp/out
  refclockctl calibrate -clock lab0 -pulses 40 -json "$@" >/tmp/json 2>/tmp/err || { fail "calibrate -json ended with $?"; cat /tmp/json /tmp/err; }
  ns=$(sed -n 's/.*"bias_ns":\(-\{0,1\}[0-9]*\),.*/\1/p' /tmp/json)
  figure bias-$name "$ns" ns "$max"
  [ -n "$ns" ] && [ "$ns" -ge "$min" ] && [ "$ns" -le "$max" ] || fail "bias of $ns ns, want $min to $max"
  grep -q '^bias = "' /tmp/out || fail "calibrate prints no line for the configuration"
}
bias exact -150 150
set_ pps_mode 1
bias interrupt 400 4000
set_ extts_both 1
bias both-edges 400 4000 -width 100ms
set_ extts_both 0

say "== calibrate refuses while refclockd uses the devices"
receiver
refclockd_conf extts >/tmp/owner.toml
cat >>/tmp/owner.toml <<F
[[pulse.compare]]
source = "kernel"
device = "/dev/pps0"
limit = "100ns"
F
refclockd_start owner
lock 60
sleep 60
if refclockctl calibrate -clock lab0 -pulses 20 >/tmp/out 2>&1; then fail "calibrate ran while refclockd used the devices"; fi
grep -q 'refclockd.*is running' /tmp/out || { fail "the error does not name refclockd"; cat /tmp/out; }

say "== refclockd compares the kernel's pulse"
refclockctl status
refclockctl status -json >/tmp/json
grep -q '"pulses":\[{"source":"/dev/pps0","offset_ns":' /tmp/json || { fail "no compared pulse in the status"; cat /tmp/json; }
mean=$(sed -n 's/.*"mean_ns":\(-\{0,1\}[0-9]*\).*/\1/p' /tmp/json)
figure compared-mean "$mean" ns 4000
[ -n "$mean" ] && [ "$mean" -ge 400 ] && [ "$mean" -le 4000 ] || fail "compared pulse is $mean ns late, want 400 to 4000"
grep -q 'pulse_disagrees' /tmp/owner.log || fail "no alarm for a pulse that is late by more than 100 ns and the bound"
refclockd_stop

say "== no pulses"
set_ pulse_on 0
if refclockctl calibrate -clock lab0 -pulses 20 >/tmp/out 2>&1; then fail "calibrate succeeded without pulses"; fi
grep -q 'no pulse' /tmp/out || { fail "the error does not say that there is no pulse"; cat /tmp/out; }
set_ pulse_on 1
kill $receiver
ends
