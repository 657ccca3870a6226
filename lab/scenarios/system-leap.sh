#!/bin/sh
# a leap second on a system clock that follows the PHC: the kernel inserts it, nothing is stepped
. /lab/common.sh
leap=$(date -u -d '2027-07-01 00:00:00' +%s)
date -u -s '2027-06-30 23:57:00' >/dev/null
load
set_ pulse_jitter_ns 50
set_ phc0_ppt 5000000
labtool nmea /dev/gps0 -leap $leap & receiver=$!
until [ -e /dev/gps0 ]; do sleep 0.1; done
{ # the last two entries and a future one; seconds since 1900
  echo "#@ $(($(date -u -d '2028-06-28' +%s) + 2208988800))"
  echo "$(($(date -u -d '2015-07-01' +%s) + 2208988800)) 36"
  echo "$(($(date -u -d '2017-01-01' +%s) + 2208988800)) 37"
  echo "$((leap + 2208988800)) 38"
} >/tmp/leap.list
{ refclockd_conf extts; printf '[leap]\nfile = "/tmp/leap.list"\n[system_clock]\nmode = "discipline"\n'; } >/tmp/leap.toml
flags() { adjtimex | sed -n 's/^ *status: *\([0-9]*\).*/\1/p'; }
steps() { grep -c -E 'follower=system.*(clock stepped|clock_stepped_by_other)|(clock stepped|clock_stepped_by_other).*follower=system' /tmp/leap.log; }

say "== a second is inserted"
refclockd_start leap
lock 60
sleep 40
truth=sys_offset_ns settled 5000 2000 20s
[ $(($(flags) & 16)) != 0 ] || fail "the leap second is not set in the kernel: status $(flags)"
before=$(steps)
sleep $((leap - 2 - $(date +%s)))
i=0
while [ $i -lt 8 ]; do # true TAI-UTC becomes 38 s with the leap second; the system clock must follow
  t=$(get true_ns); sec=${t%?????????}
  say "TAI - leap = $((sec - leap - 37)) s: offset of the system clock by the old TAI-UTC $(get sys_offset_ns) ns, status $(flags)"
  i=$((i + 1)); sleep 0.5
done
set_ tai_offset_s 38
truth=sys_offset_ns settled 5000 2000 20s
[ $(($(flags) & 80)) = 0 ] || fail "status $(flags) after the leap second: still inserting, or not synchronised"
[ "$(steps)" = "$before" ] || { fail "the clock was stepped"; grep follower=system /tmp/leap.log | tail -10; }
[ "$(state)" = locked ] || fail "the PHC is $(state)"
refclockd_stop
kill $receiver
ends
