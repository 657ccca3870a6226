package setup

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Units that setup handles, and files that it writes for them.
const (
	refclockdUnit = "refclockd.service"
	ntsserveUnit  = "ntsserve.service"
	webUnit       = "refclockweb.service"
	renewTimer    = "noonmark-ca-renew.timer"
	renewService  = "noonmark-ca-renew.service"

	unitDir         = "/etc/systemd/system"
	refclockdDropIn = unitDir + "/refclockd.service.d/setup.conf"
	ntsserveDropIn  = unitDir + "/ntsserve.service.d/setup.conf"
	webDropIn       = unitDir + "/refclockweb.service.d/setup.conf"
	chronyPort      = "/etc/chrony/conf.d/noonmark.conf"
)

// trailingNumber is the number of a device.
var trailingNumber = regexp.MustCompile(`[0-9]+$`)

// deviceRules are the DeviceAllow settings for a source. A built-in port is named
// exactly. Others are named by their class: their numbers may change, and a device that
// is missing when the unit starts could not be allowed later.
func deviceRules(s *Source) (rules []string) {
	if s.Kind == CardClock {
		rules = append(rules, "char-ptp rw")
	} else {
		rules = append(rules, "char-pps rw")
	}
	if s.port.USB {
		return append(rules, "char-"+trailingNumber.ReplaceAllString(strings.TrimPrefix(s.port.Node, "/dev/"), "")+" rw")
	}
	return append(rules, s.port.Node+" rw")
}

// grants reports whether a unit's text has a setting with a word.
func grants(unit, setting, word string) bool {
	for line := range strings.Lines(unit) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), setting+"="); ok && slices.Contains(strings.Fields(v), word) {
			return true
		}
	}
	return false
}

// refclockdSettings are what refclockd's unit needs beyond its own settings.
func refclockdSettings(m *Machine, s *Source) []byte {
	var b strings.Builder
	b.WriteString("# Written by refclockctl setup for the devices of this machine.\n")
	if s.Kind == SystemClock {
		fmt.Fprintf(&b, "[Unit]\n# Two programs must not steer the system clock.\nConflicts=%s\n\n", strings.Join(rivalUnits, " "))
	}
	b.WriteString("[Service]\n# These devices and no others.\nDeviceAllow=\n")
	for _, r := range deviceRules(s) {
		fmt.Fprintf(&b, "DeviceAllow=%s\n", r)
	}
	if s.Kind == CardClock && m.keepsSystemClock() {
		b.WriteString("# The clock of a card needs its device and no capability. Remove these two lines before refclockd\n# steers the system clock too.\nCapabilityBoundingSet=\nAmbientCapabilities=\n")
	}
	return []byte(b.String())
}

// ntsserveSettings are what ntsserve's unit needs beyond its own settings, nil for
// nothing.
func ntsserveSettings(m *Machine, s *Source) []byte {
	var b strings.Builder
	if s.Kind == CardClock && s.card.StampsAll && !grants(m.Units.ntsserve, "AmbientCapabilities", "CAP_NET_ADMIN") {
		b.WriteString("# Hardware timestamps of packets are switched on in the card.\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_NET_ADMIN\nAmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_ADMIN\n" +
			"# What does not set up cards drops that right.\nSystemCallFilter=capset\n")
	}
	if s.Kind == KernelClock && !grants(m.Units.ntsserve, "SystemCallFilter", "adjtimex") {
		b.WriteString("# The state of the system clock is read, which the unit forbids together with setting it.\nProtectClock=no\nSystemCallFilter=adjtimex\n")
	}
	if b.Len() == 0 {
		return nil
	}
	return []byte("# Written by refclockctl setup for the clock that is served.\n[Service]\n" + b.String())
}

// webSettings are what refclockweb's unit needs beyond its own settings to order a certificate.
func webSettings() []byte {
	return []byte(`# Written by refclockctl setup for the certificate of the web page.
[Service]
# A folder for the account and the certificate.
StateDirectory=refclockweb
StateDirectoryMode=0700
# Port 80, where it answers while an order is open. A user namespace of its own would take the
# right to the machine's ports away.
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE
PrivateUsers=no
`)
}

// renewUnits are the timer that renews certificates of our own authority, and its
// service. program is the path of refclockctl.
func renewUnits(program string) (timer, service []byte) {
	timer = []byte(`# Written by refclockctl setup.
[Unit]
Description=Renew the certificates of Noonmark's own authority

[Timer]
OnCalendar=daily
RandomizedDelaySec=6h
Persistent=yes

[Install]
WantedBy=timers.target
`)
	service = fmt.Appendf(nil, `# Written by refclockctl setup.
[Unit]
Description=Renew the certificates of Noonmark's own authority
ConditionFileIsExecutable=%s

[Service]
Type=oneshot
# It replaces a certificate when a third of its life is left; its daemon notices.
ExecStart=%s ca renew %s
# Each key belongs to the user of its daemon.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER
NoNewPrivileges=yes
PrivateDevices=yes
PrivateNetwork=yes
PrivateTmp=yes
ProtectHome=yes
ProtectSystem=strict
ReadWritePaths=%s
`, program, program, authorityDir, configDir)
	return timer, service
}
