#!/bin/sh
# the system clock steered by kernel pulses: what the kernel knows, a restart, a leap second, another program
. /lab/common.sh
leap=$(date -u -d '2027-07-01 00:00:00' +%s)
date -u -s '2027-06-30 23:54:00' >/dev/null
load
set_ pulse_jitter_ns 200
set_ ref_ppt -20000000
labtool nmea /dev/gps0 -leap $leap & receiver=$!
until [ -e /dev/gps0 ]; do sleep 0.1; done
{ # the last two entries and a future one; seconds since 1900
  echo "#@ $(($(date -u -d '2028-06-28' +%s) + 2208988800))"
  echo "$(($(date -u -d '2015-07-01' +%s) + 2208988800)) 36"
  echo "$(($(date -u -d '2017-01-01' +%s) + 2208988800)) 37"
  echo "$((leap + 2208988800)) 38"
} >/tmp/leap.list
{ refclockd_conf kernel system; printf '[leap]\nfile = "/tmp/leap.list"\n'; } >/tmp/source.toml
kernel() { adjtimex | sed -n "s/^ *\(-[a-z] *\)\{0,1\}$1[^:]*: *\(-\{0,1\}[0-9]*\).*/\2/p"; }
flag() { [ $(($(kernel status) & $1)) != 0 ]; }
synchronised() { refclockctl status -json | grep -q '"synchronised":true'; }
# served S PID waits for the lock of another process than PID, at most S seconds. At
# every moment clients must be served.
served() {
  i=0
  until refclockctl status -json | grep -v "\"pid\":$2," | grep -q '"state":"locked"'; do
    i=$((i + 1))
    [ $i -le $(($1 * 10)) ] || { fail "no lock within $1 s"; tail -20 /tmp/source.log; return; }
    synchronised || { fail "clients are not served: $(refclockctl status -json)"; return; }
    sleep 0.1
  done
}

say "== what the kernel knows"
labtool step system 10ms # nearer than what confirms the receiver's leap count at once
refclockd_start source
truth=sys_offset_ns lock 90
sleep 20
truth=sys_offset_ns settled 1000 400 20s
flag 64 && fail "the kernel reports that the clock is not synchronised"
flag 16 || fail "the leap second is not set in the kernel: status $(kernel status)"
[ "$(kernel maxerror)" -lt 2000 ] || fail "maximum error $(kernel maxerror) us"
[ "$(kernel esterror)" -lt 100 ] || fail "estimated error $(kernel esterror) us"
adjtimex
figure kernel-maxerror $(kernel maxerror) us 2000

say "== a restart"
old=$refclockd
refclockd_stop
sleep 3
synchronised || fail "clients are not served while refclockd is down"
refclockctl status >/tmp/stopped && fail "refclockctl status does not report that refclockd has stopped"
grep -q '^STOPPED' /tmp/stopped || fail "refclockctl status shows a stopped refclockd as $(head -1 /tmp/stopped)"
refclockd_start source
sleep 0.5
served 60 $old
say "locked again; clients were served all the time"
grep -q 'reason="restarted' /tmp/source.log || fail "the log does not name the reason"
sleep 3
flag 64 && fail "the kernel reports that the clock is not synchronised after the restart"

say "== a second is inserted"
unlocked() { grep -c 'msg=state state=[^l]' /tmp/source.log; }
before=$(unlocked)
sleep $((leap - 4 - $(date +%s)))
labtool leap $leap -max 5000 || fail "the system clock is off in the leap second"
set_ tai_offset_s 38
truth=sys_offset_ns settled 2000 800 20s
flag 80 && fail "status $(kernel status) after the leap second: still inserting, or not synchronised"
[ "$(unlocked)" = "$before" ] || { fail "the lock was left"; tail -20 /tmp/source.log; }
[ "$(state)" = locked ] || fail "it is $(state)"

say "== another program writes the frequency"
labtool adj system 4321
i=0
until grep -q 'its frequency was written' /tmp/source.log; do
  i=$((i + 1)); [ $i -le 40 ] || { fail "the log does not say that another program steers"; tail -20 /tmp/source.log; break; }
  sleep 0.5
done
sleep 5
f=$(kernel freq)
sleep 20
[ "$f" = "$(kernel freq)" ] || fail "refclockd still steers the clock"
refclockd_stop
kill $receiver
ends
