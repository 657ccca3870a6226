#!/bin/sh
# the system clock and a second PHC follow the PHC; refclockd leaves a clock alone that another program steers
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ ref_ppt -20000000
set_ phc0_ppt 50000000
set_ phc0_wander_ppt 100
receiver
{
  refclockd_conf extts
  cat <<F
[metrics]
listen = "127.0.0.1:9123"
[system_clock]
mode = "discipline"
[[phc]]
device = "/dev/ptp1"
F
} >/tmp/follow.toml

# follower CLOCK STATE S waits S seconds for a follower's state.
follower() {
  i=0
  until grep "msg=\"follower state\" follower=$1 " /tmp/follow.log | tail -1 | grep -q " state=$2 "; do
    i=$((i + 1))
    [ $i -le $(($3 * 2)) ] || { fail "$1 is not $2 within $3 s"; grep "follower=$1" /tmp/follow.log | tail -20; return; }
    sleep 0.5
  done
  say "$1 is $2"
}
# unsync is true if the kernel reports "not synchronised" (STA_UNSYNC, 0x40).
unsync() { [ $(($(adjtimex | sed -n 's/^ *status: *\([0-9]*\).*/\1/p') & 64)) != 0 ]; }

for off in 300ms -1h; do
  say "== system clock off by $off"
  labtool step system $off
  labtool adj system 0
  labtool step /dev/ptp1 77s
  rm -rf /run/state
  refclockd_start follow
  lock 60
  follower system locked 60
  follower /dev/ptp1 locked 60
  sleep 30
  truth=sys_offset_ns settled 5000 2000
  truth=phc1_offset_ns settled 5000 2000 20s
  unsync && fail "the kernel still reports that the clock is not synchronised"
  adjtimex
  refclockd_stop
done

say "== another program writes the frequency"
refclockd_start follow
lock 60
follower system locked 60
labtool adj system 4321
follower system unlocked 20
grep -q 'its frequency was written' /tmp/follow.log || fail "the log does not report that another program steers"
wget -q -O - 127.0.0.1:9123/metrics | grep -q 'follower_contested{clock="system"} 1' || fail "no metric reports that"
before=$(adjtimex | sed -n 's/^ *-f *freq[^:]*: *\(-\{0,1\}[0-9]*\).*/\1/p')
sleep 20
[ "$before" = "$(adjtimex | sed -n 's/^ *-f *freq[^:]*: *\(-\{0,1\}[0-9]*\).*/\1/p')" ] || fail "refclockd still steered the clock"
[ "$(state)" = locked ] || fail "the PHC is $(state)"
refclockd_stop

say "== a real chronyd steers it, from the samples that refclockd sends to its socket"
mkdir -p /run/c /var/lib/chrony; chmod 770 /run/c
cat >/tmp/c.conf <<F
refclock SOCK /run/refclock/chrony.sock poll 0 refid PHC
makestep 0.1 3
bindcmdaddress /run/c/s
pidfile /run/c/pid
cmdport 0
F
labtool adj system 0
chrony_start
until [ -e /run/refclock/chrony.sock ]; do sleep 0.1; done
printf '[export]\nchrony_sock = "/run/refclock/chrony.sock"\n' >>/tmp/follow.toml
refclockd_start follow
lock 60
sleep 60
ask tracking | grep -E '^(Reference ID|Leap status|Frequency|Root dispersion)'
grep -q 'chronyd is running' /tmp/follow.log || fail "the log does not name chronyd"
[ "$(grep 'msg="follower state" follower=system ' /tmp/follow.log | tail -1 | grep -c state=locked)" = 0 ] || fail "two programs steer the system clock"
[ "$(state)" = locked ] || fail "the PHC is $(state)"
truth=sys_offset_ns settled 5000 2000 30s
chrony_stop
follower system locked 60
refclockd_stop
kill $receiver
ends
