#!/bin/sh
# an inserted and a deleted leap second, observed by chronyd and NTPsec behind lab1, under load
. /lab/common.sh
# through MAX runs through the leap second under a stream of requests. The machine's
# clock is the client's clock; its error must stay below MAX ns.
through() {
  until_leap -15
  load_start 30s
  labtool leap $leap -sign $sign -for 30s -max $1 || fail "the error of the client's clock is beyond the limit"
  load_end
  set_ tai_offset_s $((37 + sign))
}

chronyd_client() {
  chrony_conf "nts xleave" "hwtimestamp lab1 minpoll 0" rtcsync
  chrony_start
  until_leap -16
  note "before: chronyd reports $(ask tracking | sed -n 's/^Leap status *: //p')"
  through 20000
  note "after: chronyd reports $(ask tracking | sed -n 's/^Leap status *: //p'); $(grep -c 'Dropping sample around leap second' /tmp/c.log) samples near the leap second were not used"
  ntpdata
  asked "Authenticated: Yes" "Interleaved: Yes"
  labtool truth sys_offset_ns -for 20s -max 20000 || { fail "chronyd is off after the leap second"; tail -5 /tmp/c.log; }
  grep -E -i 'status|step' /tmp/c.log
  chrony_stop
}

# reported prints ntpd's leap indicator and stratum.
reported() { $N labtool readvar 127.0.0.1 >/tmp/rv; cat /tmp/rv >&2; cat /tmp/rv | grep -o 'leap=[^,]*, stratum=[^,]*'; }
ntpsec_client() {
  echo 0.000 >/tmp/drift
  cat >/tmp/ntp.conf <<F
driftfile /tmp/drift
leapfile /tmp/leap.list
server 10.8.0.1 nts ca /tmp/pki/ca.pem iburst minpoll 0 maxpoll 2
restrict default nomodify
restrict 127.0.0.1
logconfig =all
F
  $N ntpd -n -g -c /tmp/ntp.conf >/tmp/ntpd.log 2>&1 & ntpd=$!
  until_leap -16
  note "before: ntpd reports $(reported)"
  through 1000000
  note "after: ntpd reports $(reported)"
  labtool truth sys_offset_ns -for 20s -max 1000000 || fail "ntpd is off after the leap second"
  grep -E "CLOCK|PROTO|LEAP|leap" /tmp/ntpd.log
  kill $ntpd || tail /tmp/ntpd.log
  wait $ntpd
}

for client in ${CLIENT:-chronyd ntpsec}; do
  for sign in ${SIGN:-1 -1}; do
    [ $sign = 1 ] && what=inserted || what=deleted
    [ $client = chronyd ] && ahead=90 of="chronyd (NTS, hardware stamps, interleaved)" || ahead=120 of="NTPsec (NTS)"
    say "== $of, a second is $what"
    leap_begin $sign $ahead
    labtool adj system 0
    labtool step system 20us
    ${client}_client
    leap_end
  done
done
ends
