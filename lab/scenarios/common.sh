# Sourced by the scenarios, in the guest.
S=/sys/devices/platform/labclock
failed=0

# load [PARAM=VALUE...] loads labclock and waits for its devices.
load() { insmod /lab/mod/labclock.ko "$@" || exit 1; until [ -e /dev/ptp1 ] && [ -e /dev/pps0 ] && [ -d /sys/class/net/lab1 ]; do sleep 0.1; done; }
set_() { echo "$2" >$S/$1 || fail "cannot set $1"; }
get() { cat $S/$1; }
say() { read -r up _ </proc/uptime; echo "[$up] $*"; }
fail() { say "FAIL $*"; failed=1; }

# figure NAME VALUE UNIT [LIMIT] prints a line of the report (lab/scenario -report);
# the last "== " line says of what.
figure() { echo "figure $*"; }

# ends ends a scenario: the module must unload, the kernel must not complain.
ends() {
  rmmod labclock || fail "labclock is still in use"
  dmesg | grep -E 'BUG:|WARNING:|Oops' && fail "the kernel complains"
  [ $failed = 0 ] && say "PASS"
  exit $failed
}

# receiver [DELAY [OPTION]] starts an NMEA receiver on /dev/gps0.
receiver() { labtool nmea /dev/gps0 -delay ${1:-150ms} ${2:-} & receiver=$!; until [ -e /dev/gps0 ]; do sleep 0.1; done; }

# refclockd_conf SOURCE [CLOCK] prints a configuration: pulses of SOURCE steer the
# PHC, or "system". $HOLDOVER is the limit of the bound, 100us.
refclockd_conf() {
  mkdir -p /run/refclock /run/state
  cat <<F
runtime_dir = "/run/refclock"
state_dir = "/run/state"
[receiver]
device = "/dev/gps0"
[pulse]
source = "$1"
device = "/dev/pps0"
[clock]
source = "${2:-phc}"
device = "lab0"
[discipline]
holdover_limit = "${HOLDOVER:-100us}"
[log]
level = "info"
F
}

# refclockd_start NAME runs it on /tmp/NAME.toml, logging into /tmp/NAME.log.
refclockd_start() {
  daemon=$1
  refclockd -config /tmp/$1.toml >/tmp/$1.log 2>&1 & refclockd=$!
}
refclockd_stop() { kill $refclockd; wait $refclockd; rc=$?; [ $rc = 0 ] || { fail "refclockd ended with $rc"; tail -20 /tmp/$daemon.log; }; }

# state prints the last state that refclockd logged.
state() { sed -n 's/.* msg=state state=\([a-z]*\).*/\1/p; s/.*"msg":"state","state":"\([a-z]*\)".*/\1/p' /tmp/$daemon.log | tail -1; }

# lock S waits S seconds for the lock.
lock() {
  i=0; read -r asked _ </proc/uptime
  until [ "$(state)" = locked ]; do
    i=$((i + 1))
    if [ $i -gt $(($1 * 2)) ]; then fail "no lock in $1 s"; tail -30 /tmp/$daemon.log; return; fi
    sleep 0.5
  done
  read -r now _ </proc/uptime
  took=$(echo "$now $asked" | awk '{printf "%.1f", $1-$2}')
  say "locked after $took s, truth $(get ${truth:-phc0_offset_ns}) ns"
  figure lock-after $took s $1
}

# settled MAX RMS [FOR] compares the PHC, or the clock that $truth names, with the
# truth for a minute.
settled() { labtool truth ${truth:-phc0_offset_ns} -for ${3:-60s} -max $1 -rms $2 || { fail "the clock is off"; tail -20 /tmp/$daemon.log; }; }

# covered FOR [STATE] compares the published bound with the truth.
covered() { labtool covers -for $1 ${2:+-want $2} || { fail "covers $*"; tail -20 /tmp/$daemon.log; }; }

# namespace puts lab1 into a network namespace of its own, reached by $N.
namespace() {
  unshare -n sleep 100000 & ns=$!
  sleep 0.2; N="nsenter -t $ns -n"
  ip link set lab1 netns $ns
  ip addr add 10.8.0.1/24 dev lab0; ip link set lab0 up
  $N ip addr add 10.8.0.2/24 dev lab1; $N ip link set lab1 up; $N ip link set lo up
  sleep 0.2
  $N ping -c 1 10.8.0.1 >/dev/null || fail "no way from lab1 to lab0"
}

# server_conf prints ntsserve's configuration.
server_conf() {
  cat <<F
[source]
path = "/run/refclock/status"
[[endpoint]]
address = "10.8.0.1:123"
interface = "lab0"
timestamps = "hardware"
[ke]
listen = "10.8.0.1:4460"
certificate = "/tmp/pki/cert.pem"
key = "/tmp/pki/key.pem"
[keys]
file = "/run/state/keys"
[metrics]
listen = "127.0.0.1:9124"
F
}
server_start() {
  ntsserve -config /tmp/ntsserve.toml >/tmp/ntsserve.log 2>&1 & ntsserve=$!
  sleep 1
  kill -0 $ntsserve 2>/dev/null || { fail "ntsserve does not run"; cat /tmp/ntsserve.log; }
}
server_stop() {
  kill $ntsserve; wait $ntsserve; rc=$?
  [ $rc = 0 ] || { fail "ntsserve ended with $rc"; tail -20 /tmp/ntsserve.log; }
  kill $ns
}

# number FILE KEY prints a number of a JSON object.
number() { sed -n "s/.*\"$2\": *\(-\{0,1\}[0-9.eE+]*\).*/\1/p" $1 | tail -1; }

# query NAME ARG... asks from behind lab1. The answer must be valid, and tell the
# error of the guest's clock within 100 us and within what it claims.
query() {
  name=$1; shift
  $N ntsquery -json "$@" >/tmp/$name.json 2>/tmp/$name.err || { fail "ntsquery $*"; cat /tmp/$name.json /tmp/$name.err; tail -20 /tmp/ntsserve.log; return; }
  cat /tmp/$name.json
  sys=$(get sys_offset_ns); o=$(number /tmp/$name.json offset_ns)
  echo "$o $sys $(number /tmp/$name.json delay_ns) $(number /tmp/$name.json root_delay_ns) $(number /tmp/$name.json root_dispersion_ns)" |
    awk -v what="$name" '{ e=$1-$2; if (e<0) e=-e; claim=$3/2+$4/2+$5
      printf "%s: says %.0f ns, truth %.0f ns, %.0f ns between them; claims %.0f ns\n", what, $1, $2, e, claim
      printf "figure %s-error %.0f ns %.0f\n", what, e, claim < 100000 ? claim : 100000
      exit !(e<100000 && e<=claim) }' || fail "$name: the answer is off"
}

# asymmetric ARG... asks over a wire that is 50 us slower to the server: NTP's
# offset of the client is wrong by half of it, early, and the delay grows.
asymmetric() {
  $N ntsquery -json -n 3 "$@" >/tmp/asym.json || { fail "ntsquery $*"; return; }
  echo "$(number /tmp/asym.json offset_ns) $(get sys_offset_ns) $(number /tmp/asym.json delay_ns)" |
    awk '{ e=$1-$2+25000; printf "says %.0f ns, truth %.0f ns, delay %.0f ns\n", $1, $2, $3; exit !(e>-15000 && e<15000 && $3>130000) }' ||
    fail "the error is not the wire's"
}

# hardware_stamps shows that the server used the card's receive stamps.
hardware_stamps() {
  wget -q -O /tmp/metrics 127.0.0.1:9124/metrics || fail "no metrics"
  grep '^noonmark_ntp_receive_stamps_total' /tmp/metrics
  grep -q 'receive_stamps_total{.*stamp="hardware"} [1-9]' /tmp/metrics || fail "no hardware receive stamps"
  grep -E 'receive_stamps_total{.*stamp="(none|software)"} [1-9]' /tmp/metrics && fail "stamps that are not the hardware's"
}
