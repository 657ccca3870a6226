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
# it belongs to the last "== " line.
figure() { echo "figure $*"; }

# note TEXT prints a sentence, also for the report.
note() { say "$*"; echo "note $*"; }

# picture NAME lin|log TITLE: lab/scenario -report draws what covered recorded under this name.
picture() { echo "picture $*"; }

# ends finishes a scenario: the module must unload, and the kernel must have reported no error.
ends() {
  [ ! -d $S ] || rmmod labclock || fail "labclock is still in use"
  dmesg | grep -E 'BUG:|WARNING:|Oops' && fail "the kernel reported an error"
  [ $failed = 0 ] && say "PASS"
  exit $failed
}

# receiver [DELAY [OPTION]] starts an NMEA receiver on /dev/gps0.
receiver() { labtool nmea /dev/gps0 -delay ${1:-150ms} ${2:-} & receiver=$!; until [ -e /dev/gps0 ]; do sleep 0.1; done; }

# refclockd_conf SOURCE [CLOCK] prints a configuration: pulses of SOURCE steer the
# PHC, or CLOCK "system". $HOLDOVER is the limit of the bound (100us), $WIDTH the
# width of the pulse.
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
${WIDTH:+width = \"$WIDTH\"}
[clock]
source = "${2:-phc}"
device = "lab0"
[discipline]
holdover_limit = "${HOLDOVER:-100us}"
[log]
level = "info"
F
}

# refclockd_start NAME runs refclockd with /tmp/NAME.toml and logs to /tmp/NAME.log.
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
# true time for a minute.
settled() { labtool truth ${truth:-phc0_offset_ns} -for ${3:-60s} -max $1 -rms $2 || { fail "the error of the clock is beyond the limit"; tail -20 /tmp/$daemon.log; }; }

# covered FOR [STATE] compares the published bound with the true error. If $RECORD
# names a picture, it records both.
covered() { labtool covers -for $1 ${2:+-want $2} ${RECORD:+-record $RECORD} || { fail "covers $*"; tail -20 /tmp/$daemon.log; }; }

# namespace moves lab1 to its own network namespace; $N runs a command there.
namespace() {
  unshare -n sleep 100000 & ns=$!
  sleep 0.2; N="nsenter -t $ns -n"
  ip link set lab1 netns $ns
  ip addr add 10.8.0.1/24 dev lab0; ip link set lab0 up
  $N ip addr add 10.8.0.2/24 dev lab1; $N ip link set lab1 up; $N ip link set lo up
  sleep 0.2
  $N ping -c 1 10.8.0.1 >/dev/null || fail "lab0 cannot be reached from lab1"
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

# query NAME ARG... runs ntsquery behind lab1. The answer must be valid. Its offset
# must match the error of the guest's clock within 100 us and within the root distance.
query() {
  name=$1; shift
  $N ntsquery -json "$@" >/tmp/$name.json 2>/tmp/$name.err || { fail "ntsquery $*"; cat /tmp/$name.json /tmp/$name.err; tail -20 /tmp/ntsserve.log; return; }
  cat /tmp/$name.json
  sys=$(get sys_offset_ns); o=$(number /tmp/$name.json offset_ns)
  echo "$o $sys $(number /tmp/$name.json delay_ns) $(number /tmp/$name.json root_delay_ns) $(number /tmp/$name.json root_dispersion_ns)" |
    awk -v what="$name" '{ e=$1-$2; if (e<0) e=-e; claim=$3/2+$4/2+$5
      printf "%s: offset %.0f ns, true %.0f ns, difference %.0f ns; root distance %.0f ns\n", what, $1, $2, e, claim
      printf "figure %s-error %.0f ns %.0f\n", what, e, claim < 100000 ? claim : 100000
      exit !(e<100000 && e<=claim) }' || fail "$name: the error of the answer is beyond the limit"
}

# asymmetric ARG... runs ntsquery over a wire that is 50 us slower towards the server.
# The measured offset is then wrong by half of that, and the delay grows.
asymmetric() {
  $N ntsquery -json -n 3 "$@" >/tmp/asym.json || { fail "ntsquery $*"; return; }
  echo "$(number /tmp/asym.json offset_ns) $(get sys_offset_ns) $(number /tmp/asym.json delay_ns)" |
    awk '{ e=$1-$2+25000; printf "offset %.0f ns, true %.0f ns, delay %.0f ns\n", $1, $2, $3; exit !(e>-15000 && e<15000 && $3>130000) }' ||
    fail "the error is not that of the wire"
}

# server_error NAME compares the root dispersion in that answer with the true error
# of the clock that was served.
server_error() {
  echo "$(number /tmp/$1.json root_dispersion_ns) $(get phc0_offset_ns)" |
    awk -v what="$1" '{ e=$2<0?-$2:$2; printf "figure %s-server-error %d ns %d\n", what, e, $1; exit !(e<=$1) }' || fail "$1: the root dispersion does not contain the true error"
}

# chrony_conf OPTIONS [LINE...] writes the configuration of a chronyd that asks
# the server each second, with these options and lines.
chrony_conf() {
  mkdir -p /run/c /var/lib/chrony; chmod 770 /run/c
  { echo "server 10.8.0.1 iburst minpoll 0 maxpoll 0 $1"; shift
    printf '%s\n' 'ntstrustedcerts /tmp/pki/ca.pem' nosystemcert 'bindcmdaddress /run/c/s' 'pidfile /run/c/pid' 'cmdport 0' "$@"; } >/tmp/c.conf
}
# chrony_start runs chronyd behind lab1, where it steers the machine's clock. ask
# runs a chronyc command.
chrony_start() { $N chronyd -U -u root -f /tmp/c.conf -L 0 -d >/tmp/c.log 2>&1 & c=$!; }
chrony_stop() { kill $c; wait $c; }
ask() { chronyc -h /run/c/s -n "$@"; }
# ntpdata saves chronyd's report about the server; asked 'FIELD: VALUE'... checks it.
asked() { for f in "$@"; do grep -q "^$f\$" /tmp/ntpdata || { fail "chronyd does not report '$f'"; cat /tmp/ntpdata; tail -5 /tmp/c.log; }; done; }
ntpdata() { ask ntpdata | sed 's/  *: /: /' >/tmp/ntpdata; grep -E '^(Peer delay|Root dispersion|Response time|Interleaved|TX time|RX time|Authenticated)' /tmp/ntpdata; }

# leap_file SIGN writes a table with a leap second before $leap into /tmp/leap.list,
# in the format of IERS with its hash; times since 1900.
leap=1814400000 # 2027-07-01 00:00:00
leap_file() {
  since=2208988800 made=$((leap - 100 * 86400 + 2208988800)) ends=$((leap + 365 * 86400 + 2208988800))
  set -- $((1435708800 + since)) 36 $((1483228800 + since)) 37 $((leap + since)) $((37 + $1))
  { printf '#$\t%s\n#@\t%s\n' $made $ends; printf '%s\t%s\n' "$@"
    printf '#h\t'; { printf '%s' $made $ends "$@"; } | sha1sum | sed 's/\(........\)/\1 /g; s/ *-$//'; } >/tmp/leap.list
}
# leap_begin SIGN AHEAD starts the whole appliance AHEAD seconds before a leap second
# that is inserted (1) or deleted (-1), locked and serving. leap_end stops it.
leap_begin() {
  sign=$1
  date -u -s @$((leap - $2)) >/dev/null
  load
  set_ pulse_jitter_ns 50
  set_ phc0_ppt 5000000
  set_ phc1_ppt -3000000
  leap_file $1
  labtool nmea /dev/gps0 -leap $leap -sign $1 & receiver=$!
  until [ -e /dev/gps0 ]; do sleep 0.1; done
  rm -rf /run/state /run/refclock
  { refclockd_conf extts; printf '[leap]\nfile = "/tmp/leap.list"\n'; } >/tmp/leap.toml
  refclockd_start leap
  lock 60
  namespace
  [ -e /tmp/pki ] || labtool cert /tmp/pki 10.8.0.1
  server_conf >/tmp/ntsserve.toml
  server_start
}
leap_end() { refclockd_stop; server_stop; kill $receiver; wait $receiver 2>/dev/null; rmmod labclock || fail "labclock is still in use"; }
# until_leap S waits until S seconds after the leap second (negative: before), by the
# true time. The date of the shell may step.
until_leap() {
  t=$(get true_ns)
  sleep $(echo "$t $leap $1" | awk '{ s = $2 + 37 + $3 - $1 / 1e9; if (s < 0) s = 0; printf "%.3f", s }')
}
# load_start and load_end start and check a stream of requests around a leap second.
load_start() { $N labtool load 10.8.0.1 -rate ${RATE:-50} -for $1 -leap $leap -sign $sign >/tmp/load 2>&1 & load=$!; }
load_end() { wait $load || fail "the stream of requests"; cat /tmp/load; }

# hardware_stamps checks that the server used the card's receive timestamps only.
hardware_stamps() {
  wget -q -O /tmp/metrics 127.0.0.1:9124/metrics || fail "no metrics"
  grep '^noonmark_ntp_receive_stamps_total' /tmp/metrics
  grep -q 'receive_stamps_total{.*stamp="hardware"} [1-9]' /tmp/metrics || fail "no hardware receive timestamps"
  grep -E 'receive_stamps_total{.*stamp="(none|software)"} [1-9]' /tmp/metrics && fail "receive timestamps that do not come from the card"
}
