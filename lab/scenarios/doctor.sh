#!/bin/sh
# refclockctl doctor: a healthy appliance, then each fault, reported with its remedy
. /lab/common.sh
load
set_ pulse_jitter_ns 50
set_ phc0_ppt 5000000
# root runs doctor, which checks permissions of the user that the daemon runs as.
echo 'refclock:x:900:900::/:/bin/sh' >>/etc/passwd; printf 'refclock:x:900:\ndialout:x:20:refclock\n' >>/etc/group
hostname lab
ip link set lab0 up; ip link set lab1 up; ip addr add 10.8.0.1/24 dev lab0
labtool cert /tmp/pki lab.example 10.8.0.1
server_conf >/tmp/ntsserve.toml
conf() { refclockd_conf ${1:-kernel} ${2:-phc} >/tmp/doctor.toml; mkdir -p /run/state; }
# change OLD NEW replaces text in the configuration.
change() { sed -i "s#$1#$2#" /tmp/doctor.toml; }
devices() { chown root:900 /dev/ptp0 /dev/pps0; chmod 660 /dev/ptp0 /dev/pps0; chown root:20 $(readlink -f /dev/gps0); chmod 660 $(readlink -f /dev/gps0); }
# standin NAME COMMANDS runs a script under the name of a program that the guest lacks.
standin() { mkdir -p /tmp/bin; { echo '#!/bin/sh'; echo "$2"; } >/tmp/bin/$1; chmod +x /tmp/bin/$1; /tmp/bin/$1 & standin=$!; sleep 1; }
gone() { kill $standin; wait $standin 2>/dev/null; }

examine() { refclockctl doctor -config /tmp/doctor.toml -server /tmp/ntsserve.toml -listen ${listen:-3s} >/tmp/doctor 2>&1; code=$?; }
n=0 found=0
# finds NAME LEVEL TEXT [CODE] runs doctor. It must report a finding of that level
# with this text and, unless the level is ok, with a remedy.
finds() {
  examine
  n=$((n + 1))
  if ! awk -v l="$2" -v w="$3" '$1 == ">" { if (hit) remedy = 1; hit = 0; next } { hit = 0 } $1 == l && index($0, w) { hit = 1; seen = 1 } END { exit !(seen && (l == "ok" || remedy)) }' /tmp/doctor; then
    fail "$1: no '$2' with '$3'"; cat /tmp/doctor; return
  fi
  if [ -n "${4:-}" ] && [ $code != $4 ]; then fail "$1: exit $code, want $4"; cat /tmp/doctor; return; fi
  found=$((found + 1))
  say "$1: $(grep -F "$3" /tmp/doctor | head -1)"
}

receiver; devices

say "== everything is there, nothing runs"
conf; finds "kernel pulses" ok "one second apart" 0
finds "messages" ok "RMC" 0
finds "latency" ok "after their pulse" 0
conf extts; finds "external timestamps" ok "one second apart" 0
finds "stopped" warn "refclockd is not running"

say "== configuration"
conf; echo 'nonsense = 1' >/tmp/x; cat /tmp/doctor.toml >>/tmp/x; mv /tmp/x /tmp/doctor.toml
finds "unknown key" fail "nonsense" 78
conf; mv /tmp/doctor.toml /tmp/x; finds "no file" fail "doctor.toml" 78; mv /tmp/x /tmp/doctor.toml

say "== devices"
change 'device = "lab0"' 'device = "/dev/ptp9"'; finds "no clock" fail "/dev/ptp9" 69
conf; change 'device = "lab0"' 'device = "lo"'; finds "interface without clock" fail "no PTP hardware clock" 69
conf; change '/dev/pps0' '/dev/pps7'; finds "no pulse device" fail "/dev/pps7 is missing" 69
conf; change '/dev/gps0' '/dev/ttyUSB3'; finds "no receiver" fail "/dev/ttyUSB3 is missing" 69
conf
chmod 600 /dev/pps0; finds "pulse not permitted" fail "refclock may not read and write" 77; devices
chmod 600 /dev/ptp0; finds "clock not permitted" fail "/dev/ptp0 is mode 0600" 77; devices
chmod 600 $(readlink -f /dev/gps0); chown 0:0 $(readlink -f /dev/gps0); finds "port not permitted" fail "/dev/gps0 is mode 0600" 77; devices
ip link set lab0 down; finds "interface down" warn "lab0 is down"; ip link set lab0 up
echo 0 >/sys/class/net/lab0/carrier; finds "carrier lost" warn "lab0 has no carrier"; echo 1 >/sys/class/net/lab0/carrier

say "== pins"
pin=$(ls /sys/class/ptp/ptp0/pins | head -1)
conf extts; change '\[clock\]' 'pin = 9\n[clock]'; finds "no such pin" fail "has no pin 9" 69
conf extts; change '\[clock\]' 'channel = 5\n[clock]'; finds "no such channel" fail "has no channel 5" 69
echo '1 1' >/sys/class/ptp/ptp0/pins/$pin; conf extts; finds "pin in use" warn "($pin) is set to"; echo '0 0' >/sys/class/ptp/ptp0/pins/$pin

say "== pulse and receiver"
conf
set_ pulse_on 0; finds "no pulse" fail "no pulse in 3s" 69
conf extts; finds "no external timestamp" fail "no pulse in 3s" 69; set_ pulse_on 1
conf
set_ pulse_drop_ppm 600000; listen=15s; finds "pulses lost" warn "pulses in 15s"; listen=; set_ pulse_drop_ppm 0
set_ pulse_jitter_ns 20000000; finds "no second between" warn "away from one second"; set_ pulse_jitter_ns 50
kill -STOP $receiver; sleep 2; refclockctl decode /dev/null; finds "receiver silent" fail "says nothing" 69; kill -CONT $receiver; sleep 2
kill $receiver; sleep 1; labtool nmea /dev/gps0 -void & receiver=$!; sleep 1; devices
finds "no fix" warn "no valid time"
kill $receiver; sleep 1; receiver 950ms; devices
finds "messages late" warn "after their pulse"
kill $receiver; sleep 1; receiver; devices

say "== other programs"
standin gpsd "exec 3<>$(readlink -f /dev/gps0); while :; do sleep 1; done"; finds "port shared" fail "held by gpsd" 69; gone
standin ptp4l 'exec 3<>/dev/ptp0; while :; do sleep 1; done'; finds "clock shared" warn "also open in ptp4l"; gone
mkdir -p /run/c /var/lib/chrony; chmod 770 /run/c
printf 'bindcmdaddress /run/c/s\npidfile /run/c/pid\ncmdport 0\nport 0\n' >/tmp/c.conf
chronyd -U -u root -f /tmp/c.conf -L 0 -d >/tmp/c.log 2>&1 & standin=$!; sleep 2
finds "system clock left to chronyd" ok "chronyd steers it"
conf kernel system; finds "two steer the system clock" fail "chronyd steers it" 69; gone
cp /lab/bin/ntsserve /tmp/bin/openntpd; /tmp/bin/openntpd -config /tmp/ntsserve.toml >/dev/null 2>&1 & standin=$!; sleep 2
conf; finds "port 123 taken" fail "123/udp is taken by openntpd" 69; gone; rm /tmp/bin/openntpd

say "== leap seconds, certificate, keys, firewall"
old=$(($(date -u -d 2026-01-01 +%s) + 2208988800))
printf '#@\t%s\n%s 37\n' $old $(($(date -u -d 2017-01-01 +%s) + 2208988800)) >/tmp/leap.list
conf; printf '[leap]\nfile = "/tmp/leap.list"\n' >>/tmp/doctor.toml; finds "leap file old" ok "older than the built-in table"
was=$(date -u '+%Y-%m-%d %H:%M:%S'); date -u -s '2027-08-01 00:00:00' >/dev/null
finds "leap table expired" warn "expired on 2027-06-28"; date -u -s "$was" >/dev/null
sed -i 1d /tmp/leap.list; echo nonsense >>/tmp/leap.list; finds "leap file damaged" fail "leap" 78; conf
was=$(date -u '+%Y-%m-%d %H:%M:%S')
date -u -s '2027-08-25 00:00:00' >/dev/null; finds "certificate ends" warn "expires on"
date -u -s '2027-10-01 00:00:00' >/dev/null; finds "certificate expired" fail "cert.pem expired on" 69
date -u -s "$was" >/dev/null
ip addr del 10.8.0.1/24 dev lab0; hostname other; finds "certificate of another" warn "while this machine is other"; hostname lab; ip addr add 10.8.0.1/24 dev lab0
chmod 644 /tmp/pki/key.pem; finds "key open to all" fail "key.pem is mode 0644" 77; chmod 600 /tmp/pki/key.pem
mv /tmp/pki/cert.pem /tmp/x; finds "no certificate" fail "cert.pem" 69; mv /tmp/x /tmp/pki/cert.pem
touch /run/state/keys; chmod 644 /run/state/keys; finds "cookie keys open to all" fail "keys is mode 0644" 77; rm /run/state/keys
finds "no ruleset" warn "not known"
standin nft 'printf "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\tudp dport 123 accept\n\t}\n}\n"'
PATH=/tmp/bin:$PATH; export PATH
finds "firewall" fail "drops 4460/tcp" 69
finds "firewall" ok "123/udp (NTP) is open"
rm /tmp/bin/nft

say "== refclockd and ntsserve run"
conf extts; refclockd_start doctor; lock 60; sleep 10; server_start
finds "healthy" ok "reports locked" 0
finds "healthy" ok "refclockd accepted 3 pulses" 0
finds "healthy" ok "ntsserve listens on 4460/tcp" 0
echo '0 0' >/sys/class/ptp/ptp0/pins/$pin; finds "pin taken away" fail "while refclockd runs" 69
say "the remedy: refclockd takes the pin back"; sleep 10; lock 150; sleep 5; finds "pin back" ok "reports locked" 0
set_ pulse_on 0; sleep 5; finds "holdover" warn "reports holdover"; finds "pulses ended" fail "accepted 0 pulses" 69; set_ pulse_on 1; lock 60
kill -STOP $receiver; sleep 3; finds "receiver fell silent" fail "accepted 0 time messages" 69; kill -CONT $receiver; sleep 5
kill -STOP $refclockd; sleep 5; finds "refclockd hangs" fail "has published nothing" 69; kill -CONT $refclockd
kill -9 $refclockd; sleep 5; finds "refclockd killed" warn "refclockd is not running"
kill $ntsserve; wait $ntsserve; kill $receiver

say "== a clock behind a slow bus"
rmmod labclock; load crossts=0; set_ phc_read_ns 222000; set_ phc0_ppt 5000000
receiver; devices; conf; finds "slow bus" warn "is read cannot be known"
kill $receiver
figure faults-found $found of $n
ends
