#!/bin/sh
# transmit timestamps of ntsserve: interleaved answers carry the card's; basic answers are compared with the card's, after the start and later
. /lab/common.sh
load
set_ phc0_ppt 5000000
set_ wire01_ns 4000
set_ wire10_ns 4000
receiver
refclockd_conf extts >/tmp/stamps.toml
refclockd_start stamps
lock 60
sleep 30
namespace
labtool cert /tmp/pki 10.8.0.1
server_conf >/tmp/ntsserve.toml
server_start

# metric NAME prints a metric; sum early|late prints the summed error of basic transmit timestamps in ns.
metric() { wget -q -O - 127.0.0.1:9124/metrics | awk -v n="$1" 'index($1, n) == 1 { s += $2 } END { printf "%.0f\n", s }'; }
sum() { wget -q -O - 127.0.0.1:9124/metrics | awk -v n="noonmark_ntp_transmit_error_seconds_sum{direction=\"$1\"" 'index($1, n) == 1 { printf "%.0f\n", $2 * 1e9 }'; }
stamps() { sed -n 's/.*nic0.*txts=\([0-9]*\).*/\1/p' $S/stats; }
cat $S/stats

say "== basic mode, right after the start"
query fresh -plain -n 3 10.8.0.1
query again -plain -n 1 10.8.0.1 # its request drains the earlier timestamps from the error queue
e=$(sum early) l=$(sum late)
say "the timestamps of the first three answers were early by $e ns and late by $l ns in total"
[ "$e" -lt 30000 ] && [ "$l" -lt 3000 ] || fail "the error of the first timestamps is beyond the limit"

say "== basic mode, after 40 requests"
query settle -ca /tmp/pki/ca.pem -n 40 10.8.0.1
query settled -plain -n 1 10.8.0.1
e0=$(sum early) l0=$(sum late) n0=$(metric noonmark_ntp_transmit_error_seconds_count)
query settle -ca /tmp/pki/ca.pem -n 40 10.8.0.1
query settled -plain -n 1 10.8.0.1
e=$(($(sum early) - e0)) l=$(($(sum late) - l0)) n=$(($(metric noonmark_ntp_transmit_error_seconds_count) - n0))
say "the timestamps of $n answers were early by $((e / n)) ns and late by $((l / n)) ns on average"
[ $n -ge 20 ] && [ $((e / n)) -lt 500 ] && [ $((l / n)) -lt 300 ] || fail "the error of the later timestamps is beyond the limit"

say "== interleaved"
before=$(stamps)
query interleaved -ca /tmp/pki/ca.pem -n 20 -interleaved 10.8.0.1
inter=$(metric 'noonmark_ntp_responses_total{endpoint="10.8.0.1:123%lab0",reason="nts_interleaved"')
after=$(stamps)
say "$inter interleaved answers, $((after - before)) transmit timestamps of the card for 20 requests"
[ "$inter" -ge 17 ] && [ $((after - before)) -ge 19 ] || fail "not every interleaved answer has a timestamp of the card"
hardware_stamps
refclockd_stop
server_stop
kill $receiver
ends
