#!/bin/sh
# the phc and pps packages against the real driver, as root and as nobody
. /lab/common.sh
load
for t in phc.test pps.test; do
  say "$t"
  $t -test.run Lab -test.v -test.timeout 300s >/tmp/$t.log 2>&1 || fail "$t"
  grep -vE "^=== " /tmp/$t.log
done
say "phc.test without a hardware latch"
rmmod labclock; load crossts=0
phc.test -test.run 'LabFallback|LabExtTSCancel' -test.v >/tmp/phc.log 2>&1 || fail "crossts=0"
grep -vE "^=== " /tmp/phc.log
chmod 600 /dev/ptp0 /dev/pps0
for c in "caps /dev/ptp0" "pps /dev/pps0 1"; do
  su -s /bin/sh nobody -c "/lab/bin/labtool $c" >/tmp/out 2>&1 && fail "user nobody can run: $c"
  cat /tmp/out
  grep -q "permission denied; run as root, or" /tmp/out || fail "the error names no remedy"
done
chmod 644 /dev/ptp0
su -s /bin/sh nobody -c "/lab/bin/labtool cross /dev/ptp0" || fail "user nobody cannot read a readable clock"
su -s /bin/sh nobody -c "/lab/bin/labtool adj /dev/ptp0 1" && fail "user nobody can steer"
ends
