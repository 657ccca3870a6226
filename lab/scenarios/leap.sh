#!/bin/sh
# a leap second inserted after 2027-06-30: announced, executed, served
. /lab/common.sh
leap=$(date -u -d '2027-07-01 00:00:00' +%s)
date -u -s '2027-06-30 23:57:00' >/dev/null
load
set_ pulse_jitter_ns 50
set_ phc0_ppt 5000000
leapfile() { # the last two entries and one to come; times since 1900
  echo "#@ $(($(date -u -d '2028-06-28' +%s) + 2208988800))"
  echo "$(($(date -u -d '2015-07-01' +%s) + 2208988800)) 36"
  echo "$(($(date -u -d '2017-01-01' +%s) + 2208988800)) 37"
  echo "$((leap + 2208988800)) 38"
}
leapfile >/tmp/leap.list
labtool nmea /dev/gps0 -leap $leap & receiver=$!
until [ -e /dev/gps0 ]; do sleep 0.1; done
{ refclockd_conf extts; echo '[leap]'; echo 'file = "/tmp/leap.list"'; } >/tmp/leap.toml
refclockd_start leap
lock 60
sleep 30
namespace
labtool cert /tmp/pki 10.8.0.1
server_conf >/tmp/ntsserve.toml
server_start
labtool step system 1500us

query before -plain 10.8.0.1
[ "$(number /tmp/before.json leap)" = 1 ] || fail "leap indicator $(number /tmp/before.json leap) before, want 1"
# Until 3 s before the leap second, then in it, and after it.
sleep $((leap - 3 - $(date +%s)))
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
  $N ntsquery -json -plain 10.8.0.1 >/tmp/in.json
  t=$(get true_ns); sec=${t%?????????}
  # The second before the leap, 60 itself, and the one after it.
  l=$(number /tmp/in.json leap); o=$(number /tmp/in.json offset_ns)
  want=$([ $((sec - leap - 37)) -lt 1 ] && echo "1 1500000" || echo "0 1001500000")
  echo "$l $o $want" | awk '{ e=$2-$4; exit !($1==$3 && e>-50000 && e<50000) }' || fail "leap $l, offset $o; want $want"
  say "TAI - leap = $((sec - leap - 37)) s: leap $(number /tmp/in.json leap) stratum $(number /tmp/in.json stratum) offset $(number /tmp/in.json offset_ns)"
  sleep 0.5
done
set_ tai_offset_s 38
query after -plain 10.8.0.1
[ "$(number /tmp/after.json leap)" = 0 ] || fail "leap indicator after it"
covered 60s locked
refclockd_stop
server_stop
kill $receiver
ends
