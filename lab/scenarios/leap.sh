#!/bin/sh
# an inserted and a deleted leap second, under a stream of requests: announced, executed, served
. /lab/common.sh
for sign in 1 -1; do
  [ $sign = 1 ] && what=inserted code=1 || what=deleted code=2
  say "== a second is $what"
  leap_begin $sign 90
  labtool adj system 0
  labtool step system 1500us
  until_leap -31
  query before -ca /tmp/pki/ca.pem 10.8.0.1
  [ "$(number /tmp/before.json leap)" = $code ] || fail "leap indicator $(number /tmp/before.json leap) before, want $code"
  load_start 50s
  # From 3 s before to 3 s after the leap second, away from the instants at which TAI-UTC changes.
  for at in -3.2 -2.7 -2.2 -1.7 -1.2 -0.7 -0.2 0.3 0.8 1.3 1.8 2.3; do
    until_leap $at
    $N ntsquery -json -ca /tmp/pki/ca.pem 10.8.0.1 >/tmp/in.json || { fail "ntsquery at $at"; cat /tmp/in.json; }
    l=$(number /tmp/in.json leap); o=$(number /tmp/in.json offset_ns)
    # A server gives an inserted second the same label as the next one, and announces
    # it until it is over.
    want=$(echo "$at $sign $code" | awk '{ over = $2 > 0 ? $1 >= 1 : $1 >= -1; print over ? 0 : $3, 1500000 + (over ? $2 * 1e9 : 0) }')
    echo "$l $o $want" | awk '{ e=$2-$4; exit !($1==$3 && e>-50000 && e<50000) }' || fail "at $at s: leap $l, offset $o; want $want"
    note "ntsquery $at s from 00:00:00 by the old TAI-UTC: leap $l, stratum $(number /tmp/in.json stratum), offset $o ns"
  done
  set_ tai_offset_s $((37 + sign))
  query after -ca /tmp/pki/ca.pem 10.8.0.1
  [ "$(number /tmp/after.json leap)" = 0 ] || fail "a leap indicator is set after the leap second"
  load_end
  covered 30s locked
  hardware_stamps
  leap_end
done
ends
