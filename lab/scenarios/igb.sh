#!/bin/sh
# QEMU's igb (82576) with the driver of the real card: clock, steering, refused requests, and how the programs report them
. /lab/common.sh
for m in dca i2c-algo-bit igb; do insmod /lab/mod/$m.ko || fail "cannot load $m"; done
until [ -e /dev/ptp1 ]; do sleep 0.1; done
card=$(basename $(ls -d /sys/class/ptp/ptp0/device/net/*)); other=$(basename $(ls -d /sys/class/ptp/ptp1/device/net/*))
insmod /lab/mod/labclock.ko || exit 1
until [ -e /dev/pps0 ] && [ -e /dev/ptp3 ] && [ -d /sys/class/net/lab1 ]; do sleep 0.1; done
pps=/dev/$(basename $(grep -l labclock /sys/class/pps/*/name | head -1 | xargs dirname))
set_ pulse_jitter_ns 50
set_ ref_ppt -20000000
say "the card is $card, the pulse $pps"
# has WHAT FILE TEXT checks that the file contains the text.
has() { if grep -q "$3" $2; then say "$1: $(grep "$3" $2 | head -1)"; else fail "$1: no '$3'"; cat $2; fi; }
conf() { refclockd_conf $1 >/tmp/igb.toml; sed -i "s#\"/dev/pps0\"#\"$pps\"#; s#\"lab0\"#\"$card\"#" /tmp/igb.toml; }

say "== the driver's clock"
labtool caps $card | tee /tmp/caps
has "no pins" /tmp/caps "Pins:0"
has "no external timestamps" /tmp/caps "ExtTS:0"
labtool cross $card 3
labtool extts $card 0 1 >/tmp/out 2>&1 && fail "external timestamps on a card without"
has "extts refused" /tmp/out "no such external timestamp channel"

labtool hwtstamp $card | tee /tmp/filters
has "NTP_ALL" /tmp/filters "NTP_ALL refused"
has "ALL" /tmp/filters "^ALL refused"
has "transmit stamps" /tmp/filters "NONE granted: filter 0 (asked 0), transmit 1"

say "== step and read, without frequency corrections"
labtool step $card 1h
labtool against $card -for 5s | grep -v figure
labtool step $card -1h

# QEMU multiplies the time since its start by the increment, so a change of frequency
# steps the clock. Such a clock cannot lock, and must never be trusted.
say "== steered: a clock that jumps with each change of its frequency"
receiver
ip link set $card up; ip link set $other up
conf kernel
refclockd_start igb
sleep 30
labtool against $card -for 300s -status /run/refclock/status || fail "a clock that jumps is trusted"
refclockctl status
grep -c "msg=\"clock stepped\"" /tmp/igb.log
refclockd_stop
rm -rf /run/state

say "== how ntsserve uses its timestamps"
# refclockd steers labclock's clock, which does not make these timestamps.
conf kernel; sed -i "s#\"$card\"#\"lab0\"#" /tmp/igb.toml
refclockd_start igb; lock 60; sleep 30
unshare -n sleep 100000 & ns=$!
sleep 0.2; N="nsenter -t $ns -n"
ip link set $other netns $ns
ip addr add 10.8.0.1/24 dev $card; $N ip addr add 10.8.0.2/24 dev $other; $N ip link set $other up; $N ip link set lo up
i=0; until $N ping -c 1 -W 1 10.8.0.1 >/dev/null; do i=$((i + 1)); [ $i -gt 20 ] && { fail "the card cannot be reached"; break; }; sleep 0.5; done
labtool txstamp $card 10.8.0.2 20 || fail "transmit stamps"
labtool cert /tmp/pki 10.8.0.1
server_conf | sed "s/lab0/$card/" >/tmp/ntsserve.toml
ntsserve -config /tmp/ntsserve.toml >/tmp/ntsserve.log 2>&1; rc=$?
say "hardware timestamps required: exit $rc"
[ $rc = 69 ] || fail "ntsserve with timestamps = hardware ends with $rc, want 69"
tail -1 /tmp/ntsserve.log
has "it gives the reason" /tmp/ntsserve.log "$card"
sed -i 's/timestamps = "hardware"/timestamps = "auto"/' /tmp/ntsserve.toml
server_start
labtool adj system -20000
labtool step system 1500us
query nts -ca /tmp/pki/ca.pem -n 4 10.8.0.1
query interleaved -ca /tmp/pki/ca.pem -n 6 -interleaved 10.8.0.1
wget -q -O - 127.0.0.1:9124/metrics | grep '^noonmark_.*stamps' | tee /tmp/metrics
has "receive timestamps of the kernel" /tmp/metrics 'receive_stamps_total{.*stamp="software"} [1-9]'

say "== what doctor reports"
refclockctl doctor -config /tmp/igb.toml -server /tmp/ntsserve.toml -listen 3s >/tmp/doctor; has "stamps of another clock" /tmp/doctor "$card stamps by /dev/ptp0, but"
refclockd_stop
server_stop
conf extts
refclockctl doctor -config /tmp/igb.toml -server /tmp/ntsserve.toml -listen 3s >/tmp/doctor && fail "doctor reports no failure"
has "doctor" /tmp/doctor "has no external timestamps"
has "stamps" /tmp/doctor "$card stamps PTP packets only"

say "== refclockd configured to use its external timestamps"
refclockd_start igb
sleep 20
has "refclockd" /tmp/igb.log "no such external timestamp channel"
kill -0 $refclockd || fail "refclockd ended"
refclockd_stop
kill $receiver
rmmod igb || fail "igb is still in use"
ends
