#!/bin/sh
# the whole chain: kernel pulses, then external timestamps, steer /dev/ptp0; ntsserve on lab0, ntsquery behind lab1
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ ref_ppt -20000000   # the machine's oscillator is 20 ppm fast
set_ phc0_ppt 50000000   # the card's 50 ppm
set_ phc0_wander_ppt 100
set_ wire01_ns 4000
set_ wire10_ns 4000

say "== kernel pulses, PHC 30 s off"
labtool step /dev/ptp0 30s
receiver
refclockd_conf kernel >/tmp/kernel.toml
refclockd_start kernel
lock 60
sleep 30
settled 200 100
refclockd_stop

say "== external timestamps, PHC 1 h off"
labtool step /dev/ptp0 -1h
refclockd_conf extts >/tmp/extts.toml
refclockd_start extts
lock 60
sleep 30
settled 200 100

say "== ntsserve on lab0, ntsquery behind lab1"
namespace
labtool cert /tmp/pki 10.8.0.1
server_conf >/tmp/ntsserve.toml
server_start
labtool adj system -20000
labtool step system 1500us  # ntsquery has to measure this offset
sleep 5
query nts -ca /tmp/pki/ca.pem 10.8.0.1
query plain -plain 10.8.0.1
say "-- 90 us to the server, 40 us back: an error of 25 us that no client can detect"
set_ wire10_ns 90000; set_ wire01_ns 40000
asymmetric -plain 10.8.0.1
hardware_stamps
covered 60s locked

refclockd_stop
server_stop
kill $receiver
ends
