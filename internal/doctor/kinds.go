package doctor

import (
	"fmt"
	"strings"

	"noonmark/internal/exitcode"
	"noonmark/refclock/reason"
	"noonmark/server/certs"
)

// Level is how serious a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // works, or may stop working; look at it
	Fail Level = "fail" // does not work
)

// Kind is a row of the table of everything that doctor can find. Documents are
// generated from it. {NAME} in a text is replaced by a value of the finding.
type Kind struct {
	ID     string // never changes
	Part   string // of the machine; Finding.Check
	Level  Level
	Text   string // what was found
	Cause  string // why it matters; empty if the level is OK
	Remedy string // what to do; empty if the level is OK
	Code   int    // exit code that a failure causes; 0: exitcode.Unavailable
}

// Metrics that remedies name. A test compares them with those that the daemons
// register.
const (
	metricRefusals = "noonmark_refclock_events_total"
)

// Remedies that several kinds share.
const (
	installRules = "install systemd/60-noonmark.rules, then run udevadm trigger"
	asRoot       = "run doctor as root"
)

// Kinds returns the table, in the order in which doctor examines a machine.
func Kinds() []Kind {
	return append([]Kind(nil), kinds[:]...)
}

// kind is an index of the table. The order means nothing.
type kind int

// The kinds of findings.
const (
	configOK kind = iota
	configWarning
	configMissing
	configAbsent
	configDenied
	configWrong
	roleSystemServer
	unitChanged
	unitObsoleteDropIn
	unitNoCapability
	programReplaced

	snapshotNone
	snapshotDenied
	snapshotUnreadable
	snapshotNotFile
	snapshotOtherClock
	snapshotImplausible
	snapshotStuck
	snapshotOld
	stateLocked
	stateFaulty
	stateOther

	clockOK
	clockMissing
	clockDenied
	clockAbsent
	clockUnreadable
	clockSlow
	clockShared
	pinsUnreadable
	pinNoTimestamps
	pinNoChannel
	pinFixed
	pinNotNeeded
	pinMissing
	pinSet
	pinTaken
	pinUsed
	pinFree
	carrierOK
	carrierDown
	carrierLost
	followerMissing
	followerShared

	devicesVirtual
	deviceOK
	deviceDenied
	deviceNone
	deviceAlone
	deviceFree
	deviceHidden
	pulseMissing
	pulseShared
	receiverMissing
	receiverDenied
	receiverHeld
	receiverConsole
	receiverError

	edgesTaken
	edgesAllRefused
	edgesNone
	edgesFew
	messagesTaken
	messagesNone
	latencySnapshot

	portMissing
	portGone
	portConsole
	portShared
	portSilent
	portNoChecksum
	portDamaged
	portProtocol
	portRateUnknown
	portUndated
	portNoFix
	portSlow
	labelFraction
	labelUnconfirmed

	edgesError
	edgesSilent
	edgesLost
	edgesTooMany
	edgesIrregular
	edgesOK
	messagesSilent
	baudOther
	baudUnknown
	messagesHeard
	messagesNoDate
	fixNone
	fixOK
	fixRollover
	fixLeapUnknown
	baudDamaged
	baudBusy
	baudOK
	latencyLong
	latencyOK

	systemUnknown
	systemContested
	systemKernelLoop
	systemOther
	systemOurs
	systemFree
	systemNobody

	leapDenied
	leapDamaged
	leapZoneDamaged
	leapDisagree
	leapExpired
	leapExpiring
	leapOK

	stampsUnknown
	stampsNone
	stampsOtherClock
	stampsAll
	stampsAllNow
	stampsPTPOnly
	stampsSetPTP
	stampsNoTransmit

	certDenied
	certMissing
	certUnusable
	certExpired
	certEarly
	certExpiring
	certOK
	certNoName
	certNames
	certOtherName
	tasksUnreadable
	tasksOK
	taskStarting
	taskStuck
	taskWaiting
	taskNTP
	taskKE
	taskMetrics
	taskKeys
	taskExport
	taskPTP4L
	ptp4lAnswers
	certNoIssuer
	certOtherIssuer
	certWeakKey
	certStaple
	secretOpen
	secretOK
	keysDenied
	keysNoDirectory
	keysNew
	keysUnusable
	keysSecretLate
	keysSecretOld
	keysSecretOK

	portTaken
	portOurs
	portHidden
	portNobody
	firewallUnknown
	firewallOpen
	firewallPartly
	firewallClosed

	kindCount
)

// kinds is the table. It is never changed.
var kinds = [kindCount]Kind{
	configOK: {ID: "config-ok", Part: "config", Level: OK, Text: "{path} is valid"},
	configWarning: {ID: "config-warning", Part: "config", Level: Warn, Text: "{path}: {warnings}",
		Cause: "The configuration is valid, but a part of it may not do what is wanted.", Remedy: "see configs/{daemon}.toml"},
	configMissing: {ID: "config-missing", Part: "config", Level: Warn, Text: "{path} is missing: {daemon} is not set up",
		Cause: "The daemon does not start without its configuration.", Remedy: "install an example from configs/ as this file, or name another file with {option}"},
	configAbsent: {ID: "config-absent", Part: "config", Level: Fail, Code: exitcode.Config, Text: "{error}",
		Cause: "The file that the command line names does not exist.", Remedy: "name a file that exists with {option}"},
	configDenied: {ID: "config-denied", Part: "config", Level: Fail, Code: exitcode.Permission, Text: "{error}",
		Cause: "The user who runs doctor may not read the configuration.", Remedy: asRoot + ", or let this user read the file"},
	configWrong: {ID: "config-wrong", Part: "config", Level: Fail, Code: exitcode.Config, Text: "{error}",
		Cause: "The daemon refuses to start with this file.", Remedy: "correct the file; {daemon} -check -config {path} confirms it"},

	roleSystemServer: {ID: "role-system-server", Part: "role", Level: OK, Text: "ntsserve serves the system clock (source.type = {type}); refclockd is not needed"},
	unitChanged: {ID: "unit-changed", Part: "unit", Level: Warn, Text: "{unit} has changed on disc since systemd read it",
		Cause: "systemd starts the daemon by the old text.", Remedy: "systemctl daemon-reload, then systemctl restart {unit}"},
	unitObsoleteDropIn: {ID: "unit-obsolete-drop-in", Part: "unit", Level: Warn, Text: "{path} is of an earlier version",
		Cause: "The unit itself gives what the drop-in gave, and the drop-in may take away what a new version needs.", Remedy: "remove it, then systemctl daemon-reload"},
	unitNoCapability: {ID: "unit-no-capability", Part: "unit", Level: Fail, Code: exitcode.Permission, Text: "{place} needs {capability}, which {unit} does not give",
		Cause: "A drop-in takes the capability away, or the unit is of an earlier version.", Remedy: "systemctl cat {unit} shows where AmbientCapabilities= is set: correct it, then systemctl daemon-reload"},
	programReplaced: {ID: "program-replaced", Part: "unit", Level: Warn, Text: "{unit} (pid {pid}) runs a program that has been replaced since it was started",
		Cause: "An upgrade takes effect with the next start.", Remedy: "systemctl restart {unit}"},

	snapshotNone: {ID: "snapshot-none", Part: "snapshot", Level: Warn, Text: "refclockd is not running: {error}",
		Cause: "ntsserve serves no time without what refclockd publishes.", Remedy: "systemctl start refclockd; journalctl -u refclockd shows why it ended"},
	snapshotDenied: {ID: "snapshot-denied", Part: "snapshot", Level: Fail, Code: exitcode.Permission, Text: "{error}",
		Cause: "The user who runs doctor may not read what refclockd publishes.", Remedy: "let this user read the file and its directory"},
	snapshotUnreadable: {ID: "snapshot-unreadable", Part: "snapshot", Level: Fail, Text: "{error}",
		Cause: "The file is damaged, or another version of refclockd wrote it.", Remedy: "install programs of one version and restart refclockd"},
	snapshotNotFile: {ID: "snapshot-not-a-file", Part: "snapshot", Level: Fail, Text: "{error}",
		Cause: "Something else lies in the place of the snapshot, so neither refclockd nor ntsserve can use it.", Remedy: "remove it; refclockd makes the file with its next snapshot"},
	snapshotOtherClock: {ID: "snapshot-other-clock", Part: "snapshot", Level: Fail, Text: "{error}",
		Cause: "A time namespace shifts the monotonic clocks, so the snapshot would be read as another time.", Remedy: "run refclockd, ntsserve and this program in one time namespace (no unshare --time, no time namespace of the container)"},
	snapshotImplausible: {ID: "snapshot-implausible", Part: "snapshot", Level: Fail, Text: "{error}",
		Cause: "refclockd publishes no such values: another program has written the file, or the system clock is decades off.", Remedy: "check the date of the system clock and who may write the file; restart refclockd"},
	snapshotStuck: {ID: "snapshot-stuck", Part: "snapshot", Level: Fail, Text: "refclockd (pid {pid}) has published nothing for {age}",
		Cause: "The process exists and does not work; its last bound grows until clients get \"not synchronised\".", Remedy: "restart refclockd, and report it with its log"},
	snapshotOld: {ID: "snapshot-old", Part: "snapshot", Level: Warn, Text: "refclockd is not running; its last snapshot is {age} old",
		Cause: "The bound of the last snapshot grows until clients get \"not synchronised\".", Remedy: "systemctl start refclockd; journalctl -u refclockd shows why it ended"},
	stateLocked: {ID: "state-locked", Part: "snapshot", Level: OK, Text: "refclockd (pid {pid}) reports {state} ({reason}), {bound}"},
	stateFaulty: {ID: "state-faulty", Part: "snapshot", Level: Fail, Text: "refclockd (pid {pid}) reports {state} ({reason}), {bound}",
		Cause: "The clock cannot be used, or its inputs contradict each other.", Remedy: "see the findings below and journalctl -u refclockd"},
	stateOther: {ID: "state-not-locked", Part: "snapshot", Level: Warn, Text: "refclockd (pid {pid}) reports {state} ({reason}), {bound}",
		Cause: "Pulses or messages are missing, or refclockd has just started.", Remedy: "{advice}see the findings below; a lock takes about 10 s once pulses and messages arrive"},

	clockOK: {ID: "clock-ok", Part: "clock", Level: OK, Text: "{path}: up to {ppm} ppm, {channels} external timestamp channels, {pins} pins, read by {method} within {width}"},
	clockMissing: {ID: "clock-missing", Part: "clock", Level: Fail, Text: "{error}",
		Cause: "clock.device names no PTP hardware clock of this machine.", Remedy: "name the card's interface or clock as clock.device; ls /sys/class/ptp lists the clocks"},
	clockDenied: {ID: "clock-denied", Part: "clock", Level: Fail, Code: exitcode.Permission, Text: "{error}",
		Cause: "The user who runs doctor may not open the clock.", Remedy: installRules + "; or run doctor as root"},
	clockAbsent: {ID: "clock-absent", Part: "clock", Level: Fail, Text: "{error}",
		Cause: "The card or its driver has no PTP hardware clock.", Remedy: `use a card with a clock (i210, i226), or set clock.source = "system"`},
	clockUnreadable: {ID: "clock-unreadable", Part: "clock", Level: Fail, Text: "{error}",
		Cause: "The clock is there and its driver cannot read it.", Remedy: "see dmesg; reload the driver or reseat the card"},
	clockSlow: {ID: "clock-slow", Part: "clock", Level: Warn, Text: "where in {width} the clock is read cannot be known",
		Cause: "The clock is behind a slow bus (CM4, CM5). This uncertainty is part of every bound.", Remedy: "set discipline.holdover_limit well above it; nothing shortens the time itself"},
	clockShared: {ID: "clock-shared", Part: "clock", Level: Warn, Text: "{path} is also open in {holders}",
		Cause: "Two programs that steer one clock move it to and fro. A program that only reads does no harm.", Remedy: "stop ptp4l -s, phc2sys or ts2phc on this clock"},
	pinsUnreadable: {ID: "pins-unreadable", Part: "pin", Level: Warn, Text: "{error}",
		Cause: "The driver does not describe its pins.", Remedy: "set pulse.pin = -1 if the card's wiring is fixed"},
	pinNoTimestamps: {ID: "pin-no-timestamps", Part: "pin", Level: Fail, Text: "{path} has no external timestamps",
		Cause: "The card cannot stamp a pulse.", Remedy: `set pulse.source = "kernel" with the pulse on a PPS pin or a DCD line, or use a card with pins (i210, i225, i226)`},
	pinNoChannel: {ID: "pin-no-channel", Part: "pin", Level: Fail, Text: "{path} has no channel {channel}",
		Cause: "pulse.channel is beyond what the card has.", Remedy: "set pulse.channel to 0 to {last}"},
	pinFixed: {ID: "pin-fixed", Part: "pin", Level: Fail, Text: "{path} has no programmable pins",
		Cause: "The wiring of this card is fixed, so refclockd cannot choose a pin.", Remedy: "set pulse.pin = -1"},
	pinNotNeeded: {ID: "pin-not-needed", Part: "pin", Level: OK, Text: "the card's pins are left as they are"},
	pinMissing: {ID: "pin-missing", Part: "pin", Level: Fail, Text: "{path} has no pin {pin}",
		Cause: "pulse.pin is beyond what the card has.", Remedy: "set pulse.pin to 0 to {last}, or to -1"},
	pinSet: {ID: "pin-set", Part: "pin", Level: OK, Text: "pin {pin} ({name}) takes external timestamps for channel {channel}"},
	pinTaken: {ID: "pin-taken", Part: "pin", Level: Fail, Text: "pin {pin} ({name}) is set to {function}, channel {channel}, while refclockd runs",
		Cause: "Another program has changed the pin, so no pulse reaches refclockd.", Remedy: "stop the program that holds the clock; refclockd sets the pin again within two minutes"},
	pinUsed: {ID: "pin-used", Part: "pin", Level: Warn, Text: "pin {pin} ({name}) is set to {function}, channel {channel}",
		Cause: "refclockd will set the pin to external timestamps when it starts.", Remedy: "make sure that nothing else needs the pin, or set pulse.pin to another"},
	pinFree:   {ID: "pin-free", Part: "pin", Level: OK, Text: "pin {pin} ({name}) is free; refclockd will use it"},
	carrierOK: {ID: "carrier-ok", Part: "carrier", Level: OK, Text: "{interface} has a carrier"},
	carrierDown: {ID: "carrier-down", Part: "carrier", Level: Warn, Text: "{interface} is down",
		Cause: "Some cards stop their clock or its timestamps while the interface is down.", Remedy: "ip link set {interface} up"},
	carrierLost: {ID: "carrier-lost", Part: "carrier", Level: Warn, Text: "{interface} has no carrier",
		Cause: "A CM4 or CM5 stamps no pulse without a link.", Remedy: "plug in the cable"},
	followerMissing: {ID: "phc-missing", Part: "phc", Level: Fail, Text: "{error}",
		Cause: "A [[phc]] names no PTP hardware clock of this machine.", Remedy: "name an interface or a clock under [[phc]]; ls /sys/class/ptp lists the clocks"},
	followerShared: {ID: "phc-shared", Part: "phc", Level: Warn, Text: "{path} is also open in {holders}",
		Cause: "Two programs that steer one clock move it to and fro.", Remedy: "stop ptp4l -s, phc2sys or ts2phc on this clock: refclockd steers it"},

	devicesVirtual: {ID: "devices-virtual", Part: "devices", Level: OK, Text: "the clock is simulated: there are no devices to examine"},
	deviceOK:       {ID: "device-ok", Part: "{part}", Level: OK, Text: "{path} is there and {user} may use it"},
	deviceDenied: {ID: "device-denied", Part: "{part}", Level: Fail, Code: exitcode.Permission, Text: "{path} is mode {mode} of user {uid}, group {gid}: {user} may not read and write it",
		Cause: "refclockd's user needs read and write permission.", Remedy: installRules + "; or run refclockd as a user of the device's group"},
	deviceNone: {ID: "device-none", Part: "{part}", Level: Fail, Text: "{path} is not a device",
		Cause: "The configuration names a file or a directory.", Remedy: "name the device itself"},
	deviceAlone: {ID: "device-alone", Part: "{part}", Level: OK, Text: "{path} is open in refclockd only"},
	deviceFree:  {ID: "device-free", Part: "{part}", Level: OK, Text: "no other program has {path} open"},
	deviceHidden: {ID: "device-hidden", Part: "{part}", Level: Warn, Text: "no program that this user can see has {path} open",
		Cause: "Only root sees the open files of other users' processes.", Remedy: asRoot},
	pulseMissing: {ID: "pulse-missing", Part: "pulse", Level: Fail, Text: "{path} is missing",
		Cause: "The driver of the pulse input is not loaded.", Remedy: "load the driver: dtoverlay=pps-gpio,gpiopin=18 on a Raspberry Pi, or pps-ldisc for the DCD line of a serial port (ldattach 18 /dev/ttyS0)"},
	pulseShared: {ID: "pulse-shared", Part: "pulse", Level: Warn, Text: "{path} is also open in {holders}",
		Cause: "Readers of kernel pulses do not disturb each other, but two programs may steer the system clock by them.", Remedy: "make sure that chronyd or ntpd does not steer the clock that refclockd steers"},
	receiverMissing: {ID: "receiver-missing", Part: "receiver", Level: Fail, Text: "{path} is missing",
		Cause: "The receiver is not connected, or the port's driver is not loaded.", Remedy: "connect the receiver, load its overlay or driver; ls -l /dev/serial/by-id lists receivers on USB"},
	receiverDenied: {ID: "receiver-denied", Part: "receiver", Level: Fail, Code: exitcode.Permission, Text: "{path} is mode {mode} of user {uid}, group {gid}: {user} may not read and write it",
		Cause: "refclockd's user needs read and write permission.", Remedy: "add refclockd's user to the group that owns the port (dialout), or install systemd/60-noonmark.rules"},
	receiverHeld: {ID: "receiver-held", Part: "receiver", Level: Fail, Text: "{path} is held by {holders}",
		Cause: "Two readers of one port each get a part of the messages.", Remedy: "stop the other program (gpsd: systemctl disable --now gpsd.socket gpsd; a login: systemctl disable --now serial-getty@PORT)"},
	receiverConsole: {ID: "receiver-console", Part: "receiver", Level: Fail, Text: "the kernel's console is {path}",
		Cause: "The kernel writes its messages into the receiver, and a login may read from it.", Remedy: "remove console={name} from the kernel's command line (on a Raspberry Pi: raspi-config, serial port, no login shell) and reboot"},
	receiverError: {ID: "receiver-error", Part: "receiver", Level: Fail, Text: "{error}",
		Cause: "The port cannot be read.", Remedy: "check that the port works at all: stty -F {path} shows its settings"},

	edgesTaken: {ID: "edges-accepted", Part: "edges", Level: OK, Text: "refclockd accepted {accepted} pulses in {time}, refused {refused}, missed {missed} ({source})"},
	edgesAllRefused: {ID: "edges-refused", Part: "edges", Level: Fail, Text: "refclockd accepted {accepted} pulses in {time}, refused {refused}, missed {missed} ({source})",
		Cause: "Pulses arrive and none is plausible.", Remedy: "see the metric " + metricRefusals + " for the reasons"},
	edgesNone: {ID: "edges-none", Part: "edges", Level: Fail, Text: "refclockd accepted {accepted} pulses in {time}, refused {refused}, missed {missed} ({source})",
		Cause: "No pulse arrives.", Remedy: "check that the receiver has a fix, the wire from its time pulse to the pin, and pulse.edge"},
	edgesFew: {ID: "edges-few", Part: "edges", Level: Warn, Text: "refclockd accepted {accepted} pulses in {time}, refused {refused}, missed {missed} ({source})",
		Cause: "Less than one pulse a second is used.", Remedy: "look for a loose wire, and see the metric " + metricRefusals + " for why pulses are refused"},
	messagesTaken: {ID: "messages-accepted", Part: "messages", Level: OK, Text: "refclockd accepted {accepted} time messages in {time}, refused {refused} ({source})"},
	messagesNone: {ID: "messages-none", Part: "messages", Level: Fail, Text: "refclockd accepted {accepted} time messages in {time}, refused {refused} ({source})",
		Cause: "Without messages no pulse has a time label.", Remedy: "check the receiver's power, wire, baud rate and fix; stop refclockd and doctor listens to the port itself"},
	latencySnapshot: {ID: "latency-ok-running", Part: "latency", Level: OK, Text: "the last message came {latency} after the pulse"},

	portMissing: {ID: "port-missing", Part: "receiver", Level: Fail, Text: "{detail}",
		Cause: "The receiver's port cannot be opened.", Remedy: reason.PortMissing.Info().Remedy},
	portGone: {ID: "port-gone", Part: "receiver", Level: Fail, Text: "{detail}",
		Cause: "The receiver's port was open and failed.", Remedy: reason.PortGone.Info().Remedy},
	portConsole: {ID: "port-console", Part: "receiver", Level: Fail, Text: "{detail}",
		Cause: "A console writes into the receiver, and takes a part of what it sends.", Remedy: reason.PortConsole.Info().Remedy},
	portShared: {ID: "port-shared", Part: "receiver", Level: Fail, Text: "{detail}",
		Cause: "Two readers of one port each get a part of the octets.", Remedy: reason.PortShared.Info().Remedy},
	portSilent: {ID: "port-silent", Part: "receiver", Level: Fail, Text: "{detail}",
		Cause: "No octet arrives at the port.", Remedy: reason.PortSilent.Info().Remedy},
	portNoChecksum: {ID: "port-no-checksum", Part: "receiver", Level: Fail, Text: "{detail}",
		Cause: "A sentence without a checksum may be damaged, so none is used.", Remedy: reason.PortNoChecksum.Info().Remedy},
	portDamaged: {ID: "port-damaged", Part: "receiver", Level: Warn, Text: "{detail}",
		Cause: "Octets are missing or changed on the way.", Remedy: reason.PortDamaged.Info().Remedy},
	portProtocol: {ID: "port-protocol", Part: "receiver", Level: Fail, Text: "{detail}",
		Cause: "The receiver speaks a protocol that refclockd does not know.", Remedy: reason.PortProtocol.Info().Remedy},
	portRateUnknown: {ID: "port-rate-unknown", Part: "receiver", Level: Fail, Text: "{detail}",
		Cause: "The octets make no sense at the rates that were tried.", Remedy: reason.PortRateUnknown.Info().Remedy},
	portUndated: {ID: "message-no-date", Part: "receiver", Level: Fail, Text: "{detail}",
		Cause: "A pulse needs a label with the date.", Remedy: reason.MessageNoDate.Info().Remedy},
	portNoFix: {ID: "receiver-no-fix", Part: "receiver", Level: Warn, Text: "{detail}",
		Cause: "Without a fix the receiver's time comes from its own clock.", Remedy: reason.ReceiverNoFix.Info().Remedy},
	labelFraction: {ID: "message-fraction", Part: "receiver", Level: Fail, Text: "refclockd refuses the receiver's times ({reason})",
		Cause: "Their fractions of a second contradict each other from pulse to pulse, so nothing shows which second a pulse begins.", Remedy: reason.MessageFraction.Info().Remedy},
	labelUnconfirmed: {ID: "leap-unconfirmed", Part: "receiver", Level: Warn, Text: "refclockd waits for evidence of the receiver's leap seconds ({reason})",
		Cause: "A receiver with an old leap count looks exactly like one with the right count.", Remedy: "{advice}"},
	portSlow: {ID: "port-slow", Part: "receiver", Level: Warn, Text: "{detail}",
		Cause: "Messages come late, or are lost.", Remedy: reason.PortSlow.Info().Remedy},

	edgesError: {ID: "edges-error", Part: "edges", Level: Fail, Text: "{error}",
		Cause: "The pulse input cannot be read.", Remedy: "follow the error's advice; see dmesg for the driver's messages"},
	edgesSilent: {ID: "edges-silent", Part: "edges", Level: Fail, Text: "no pulse in {time}",
		Cause: "Many receivers send no pulse without a fix; else the wire or the edge is wrong.", Remedy: "check that the receiver has a fix, the wire from its time pulse to the pin, and pulse.edge"},
	edgesLost: {ID: "edges-lost", Part: "edges", Level: Warn, Text: "{count} pulses in {time}{note}",
		Cause: "A receiver without a fix may leave pulses out, and so does a bad contact.", Remedy: "look for a loose wire, and give the antenna a free view of the sky"},
	edgesTooMany: {ID: "edges-too-many", Part: "edges", Level: Fail, Text: "{count} pulses in {time}: more than one a second{note}",
		Cause: "The receiver sends more than one pulse a second, or the card stamps both edges.", Remedy: "set the receiver to one pulse a second; if the card stamps both edges, set pulse.width to the pulse's length"},
	edgesIrregular: {ID: "edges-irregular", Part: "edges", Level: Warn, Text: "{count} pulses in {time}, up to {worst} away from one second{note}",
		Cause: "What arrives is not the receiver's time pulse, or is disturbed.", Remedy: "check that no other signal is on the pin"},
	edgesOK: {ID: "edges-ok", Part: "edges", Level: OK, Text: "{count} pulses in {time}, one second apart within {worst}{note}"},
	messagesSilent: {ID: "messages-silent", Part: "messages", Level: Fail, Text: "the receiver says nothing in {time}",
		Cause: "No byte arrives at the port.", Remedy: reason.PortSilent.Info().Remedy},
	baudOther: {ID: "baud-other", Part: "baud", Level: Fail, Text: "the receiver sends at {found} baud, the configuration says {baud}",
		Cause: "At another rate the bytes make no sense.", Remedy: "set receiver.baud = {found}"},
	baudUnknown: {ID: "baud-unknown", Part: "baud", Level: Fail, Text: "{bytes} bytes came at {baud} baud and none makes sense: {look}",
		Cause: "The rate is wrong, or the receiver speaks a protocol that refclockd does not know.", Remedy: "set receiver.baud to the receiver's rate, and the receiver to NMEA or UBX"},
	messagesHeard: {ID: "messages-heard", Part: "messages", Level: OK, Text: "in {time}: {messages}"},
	messagesNoDate: {ID: "messages-no-date", Part: "messages", Level: Fail, Text: "no message has both time and date",
		Cause: "A pulse needs a label with the date.", Remedy: reason.MessageNoDate.Info().Remedy},
	fixNone: {ID: "fix-none", Part: "fix", Level: Warn, Text: "the receiver has no valid time (fix: {fix}, {satellites} satellites)",
		Cause: "Without a fix the receiver's time and pulse are not to be trusted.", Remedy: reason.ReceiverNoFix.Info().Remedy},
	fixOK: {ID: "fix-ok", Part: "fix", Level: OK, Text: "{fix}, {satellites} satellites, {valid} of {labels} labels valid"},
	fixRollover: {ID: "fix-rollover", Part: "fix", Level: Fail, Text: "the receiver's date is a multiple of 1024 weeks old",
		Cause: "The receiver's GPS week counter has overflowed.", Remedy: "update the receiver's firmware, or replace it"},
	fixLeapUnknown: {ID: "fix-leap-unknown", Part: "fix", Level: Warn, Text: "the receiver does not know the leap seconds yet",
		Cause: "Its UTC can be wrong by whole seconds until it has received the almanac.", Remedy: "wait 12.5 minutes with a view of the sky"},
	baudDamaged: {ID: "baud-damaged", Part: "baud", Level: Warn, Text: "damaged input: {refused}",
		Cause: "The rate is wrong, the wire is long, or more is sent than the rate allows.", Remedy: "check the wire, and raise the receiver's rate and receiver.baud"},
	baudBusy: {ID: "baud-busy", Part: "baud", Level: Warn, Text: "the line is busy {percent} % of the time at {baud} baud",
		Cause: "Messages come late, and can run into the next second.", Remedy: "raise the receiver's rate and receiver.baud, or turn messages off"},
	baudOK: {ID: "baud-ok", Part: "baud", Level: OK, Text: "{baud} baud, busy {percent} % of the time"},
	latencyLong: {ID: "latency-long", Part: "latency", Level: Warn, Text: "messages come {low} to {high} after their pulse",
		Cause: "They run into the next second, so it is hard to tell which pulse they belong to.", Remedy: "raise the baud rate or turn messages off"},
	latencyOK: {ID: "latency-ok", Part: "latency", Level: OK, Text: "messages come {low} to {high} after their pulse"},

	systemUnknown: {ID: "system-clock-unknown", Part: "system clock", Level: Warn, Text: "{error}",
		Cause: "The kernel does not tell its state.", Remedy: "run doctor on the machine itself, not in a container"},
	systemContested: {ID: "system-clock-contested", Part: "system clock", Level: Fail, Text: "{rivals} steers it ({state}), and refclockd is configured to do so",
		Cause: "refclockd leaves the clock alone while another program steers it.", Remedy: "stop and disable {rivals}, or leave the system clock to it"},
	systemKernelLoop: {ID: "system-clock-kernel-loop", Part: "system clock", Level: Warn, Text: "the kernel's own loop steers it ({state})",
		Cause: "A program that has ended left the kernel's PLL on.", Remedy: "nothing to do if refclockd will start: it switches the loop off when it steers"},
	systemOther: {ID: "system-clock-other", Part: "system clock", Level: OK, Text: "{rivals} steers it ({state}); refclockd does not"},
	systemOurs:  {ID: "system-clock-ours", Part: "system clock", Level: OK, Text: "no other program steers it ({state})"},
	systemFree: {ID: "system-clock-free", Part: "system clock", Level: Warn, Text: "no program steers it ({state})",
		Cause: "Certificates and logs need the time of day.", Remedy: `set system_clock.mode = "discipline", or let chronyd steer it (refclock SHM or SOCK)`},
	systemNobody: {ID: "system-clock-synchronised", Part: "system clock", Level: OK, Text: "no known program steers it ({state})"},

	leapDenied: {ID: "leap-denied", Part: "leap", Level: Fail, Code: exitcode.Permission, Text: "{error}",
		Cause: "The table of leap seconds cannot be read.", Remedy: "let refclockd's user read it"},
	leapDamaged: {ID: "leap-damaged", Part: "leap", Level: Fail, Text: "{error}",
		Cause: "The table of leap seconds is damaged; refclockd does not start with it.", Remedy: "update the package tzdata, or fetch https://data.iana.org/time-zones/data/leap-seconds.list; or set leap.file = \"\""},
	leapZoneDamaged: {ID: "leap-zone-damaged", Part: "leap", Level: Warn, Text: "{error}: it is ignored",
		Cause: "The zone file is a second source of leap seconds.", Remedy: "update its package (tzdata, tzdata-legacy), or set leap.zone = \"\""},
	leapDisagree: {ID: "leap-disagree", Part: "leap", Level: Fail, Text: "{a} says that TAI is {asecs} s ahead of UTC, {b} {bsecs} s",
		Cause: "refclockd serves no time unless the receiver or a third table decides between them.", Remedy: "see which is right (https://hpiers.obspm.fr/iers/bul/bulc/bulletinc.dat), and set leap.file or leap.zone to \"\" for the other"},
	leapExpired: {ID: "leap-expired", Part: "leap", Level: Warn, Text: "{table}, expired on {date}",
		Cause: "A leap second since then is known only if the receiver announces it.", Remedy: "update the package tzdata, or fetch https://data.iana.org/time-zones/data/leap-seconds.list"},
	leapExpiring: {ID: "leap-expiring", Part: "leap", Level: Warn, Text: "{table}, expires on {date}",
		Cause: "After that day a leap second is known only if the receiver announces it.", Remedy: "update the package tzdata, or fetch https://data.iana.org/time-zones/data/leap-seconds.list"},
	leapOK: {ID: "leap-ok", Part: "leap", Level: OK, Text: "{table}, good until {date}"},

	stampsUnknown: {ID: "stamps-unknown", Part: "stamps", Level: Warn, Text: "{interface}: the driver does not tell what it can stamp: {error}",
		Cause: "It is not known how precisely ntsserve can answer on this interface.", Remedy: "see ethtool -T {interface}"},
	stampsNone: {ID: "stamps-none", Part: "stamps", Level: Warn, Text: "{interface} has no hardware stamps",
		Cause: "ntsserve uses the kernel's stamps: tens of microseconds instead of tens of nanoseconds.", Remedy: "serve on a card with hardware stamps (i210, i226) where that matters"},
	stampsOtherClock: {ID: "stamps-other-clock", Part: "stamps", Level: Warn, Text: "{interface} stamps by /dev/ptp{stamps}, but /dev/ptp{steered} is steered: its stamps are not used",
		Cause: "Stamps of another clock say nothing about the clock that is served.", Remedy: "serve on the interface whose clock is steered, or steer this interface's clock"},
	stampsAll:    {ID: "stamps-all", Part: "stamps", Level: OK, Text: "{interface} can stamp every packet that arrives; ntsserve switches it on (CAP_NET_ADMIN)"},
	stampsAllNow: {ID: "stamps-all-now", Part: "stamps", Level: OK, Text: "{interface} can stamp every packet that arrives, and does so now"},
	stampsPTPOnly: {ID: "stamps-ptp-only", Part: "stamps", Level: Warn, Text: "{interface} stamps PTP packets only, no NTP",
		Cause: "The kernel stamps arriving NTP packets instead.", Remedy: "let clients ask over PTP (NTP over PTP), or serve on a card that stamps all packets"},
	stampsSetPTP: {ID: "stamps-set-ptp", Part: "stamps", Level: Warn, Text: "{interface} is set to stamp PTP packets only, by another program",
		Cause: "ntsserve gets no hardware stamps of NTP packets.", Remedy: "stop ptp4l on this interface, or let ntsserve use another"},
	stampsNoTransmit: {ID: "stamps-no-transmit", Part: "stamps", Level: Warn, Text: "{interface} has no transmit stamps",
		Cause: "Interleaved mode uses the kernel's transmit stamps instead.", Remedy: "serve on a card with transmit stamps where that matters"},

	certDenied: {ID: "certificate-denied", Part: "certificate", Level: Fail, Code: exitcode.Permission, Text: "{error}",
		Cause: "The user who runs doctor may not read the key.", Remedy: asRoot},
	certMissing: {ID: "certificate-missing", Part: "certificate", Level: Fail, Text: "{error}",
		Cause: "NTS-KE needs a certificate and its key.", Remedy: "make one with refclockctl ca or an ACME client, or name the right files under [ke]"},
	certUnusable: {ID: "certificate-unusable", Part: "certificate", Level: Fail, Text: "{path}: {error}",
		Cause: "The file is not a certificate chain in PEM, or the key belongs to another certificate.", Remedy: "put the chain in the file, the server's certificate first, and name the key that it was made for"},
	certExpired: {ID: "certificate-expired", Part: "certificate", Level: Fail, Text: "{path} expired on {date}",
		Cause: "Clients refuse an expired certificate.", Remedy: "renew it; ntsserve loads the new one by itself"},
	certEarly: {ID: "certificate-early", Part: "certificate", Level: Fail, Text: "{path} is not valid before {date}",
		Cause: "The date of this machine is wrong, or the certificate was made on a machine whose date is.", Remedy: "check the date of this machine, then make the certificate again"},
	certExpiring: {ID: "certificate-expiring", Part: "certificate", Level: Warn, Text: "{path} expires on {date}",
		Cause: "Clients refuse an expired certificate.", Remedy: "renew it; ntsserve loads the new one by itself"},
	certOK: {ID: "certificate-ok", Part: "certificate", Level: OK, Text: "{path} is valid until {date}"},
	certNoName: {ID: "certificate-no-name", Part: "certificate", Level: Fail, Text: "{path} names no host",
		Cause: "Every client refuses a certificate without subject alternative names.", Remedy: "make it again with the names that clients use (subject alternative names)"},
	certNames: {ID: "certificate-names", Part: "certificate", Level: OK, Text: "it is for {names}"},
	certOtherName: {ID: "certificate-other-name", Part: "certificate", Level: Warn, Text: "it is for {names}, while this machine is {machine}",
		Cause: "Clients refuse the certificate unless they ask by one of its names.", Remedy: "let clients ask by a name of the certificate, or make one for this machine's names"},
	certNoIssuer: {ID: "certificate-no-issuer", Part: "certificate", Level: Warn, Text: "{path}: {what}",
		Cause: "The server has to send every certificate between its own and the root that clients trust.", Remedy: certs.NoIssuer.Remedy()},
	certOtherIssuer: {ID: "certificate-other-issuer", Part: "certificate", Level: Warn, Text: "{path}: {what}",
		Cause: "Clients search for a way from the server's certificate to a root that they trust.", Remedy: certs.OtherIssuer.Remedy()},
	certWeakKey: {ID: "certificate-weak-key", Part: "certificate", Level: Warn, Text: "{path}: {what}",
		Cause: "Short RSA keys can be broken, so clients refuse them.", Remedy: certs.WeakKey.Remedy()},
	certStaple: {ID: "certificate-staple", Part: "certificate", Level: Warn, Text: "{path}: {what}",
		Cause: "The certificate tells clients to refuse it without an OCSP response.", Remedy: certs.StapleDemand.Remedy()},
	secretOpen: {ID: "secret-open", Part: "{part}", Level: Fail, Code: exitcode.Permission, Text: "{path} is mode {mode}: others can use the secret",
		Cause: "Whoever reads the secret can pose as this server or read its cookies.", Remedy: "chmod 600 {path}, and replace the secret if others may have read it"},
	secretOK: {ID: "secret-ok", Part: "{part}", Level: OK, Text: "{path} is mode {mode}"},
	keysDenied: {ID: "keys-denied", Part: "keys", Level: Warn, Text: "{error}",
		Cause: "The user who runs doctor may not look into the directory.", Remedy: asRoot},
	keysNoDirectory: {ID: "keys-no-directory", Part: "keys", Level: Fail, Text: "{error}",
		Cause: "ntsserve cannot store its cookie keys.", Remedy: "create the directory for ntsserve's user (StateDirectory does), or set keys.file"},
	keysNew: {ID: "keys-new", Part: "keys", Level: OK, Text: "{path} is created at ntsserve's first start"},
	keysUnusable: {ID: "keys-unusable", Part: "keys", Level: Fail, Text: "{error}",
		Cause: "The file of the cookie keys is damaged, or others may read it.", Remedy: "restore it, or delete it and restart ntsserve: clients exchange keys again"},
	keysSecretLate: {ID: "keys-secret-late", Part: "keys", Level: Warn, Text: "the secret in {path} has been in use since {date}, longer than keys.renew",
		Cause:  "ntsserve draws a new secret while it runs, serves a synchronised clock that agrees with the system clock, and can write the file.",
		Remedy: "see ntsserve's log (\"cookie secret not renewed\"), or run: refclockctl keys rotate {path}"},
	keysSecretOld: {ID: "keys-secret-old", Part: "keys", Level: Warn, Text: "the secret in {path} is {days} days old, and keys.renew is \"never\"",
		Cause: "Whoever copied the file since then can open every cookie.", Remedy: "copy the file from the server that draws secrets, or run: refclockctl keys rotate {path}"},
	keysSecretOK: {ID: "keys-secret-ok", Part: "keys", Level: OK, Text: "the secret in {path} has been in use since {date}"},

	portTaken: {ID: "port-taken", Part: "port", Level: Fail, Text: "{port} is taken by {programs}",
		Cause: "ntsserve cannot listen on the port.", Remedy: "stop the other program, or let it answer nobody (chronyd: port 0)"},
	portOurs: {ID: "port-ours", Part: "port", Level: OK, Text: "ntsserve listens on {port}"},
	portHidden: {ID: "port-hidden", Part: "port", Level: Warn, Text: "{port} is taken by a program that this user cannot see",
		Cause: "Only root sees the sockets of other users' processes.", Remedy: asRoot},
	portNobody: {ID: "port-nobody", Part: "port", Level: Warn, Text: "nobody listens on {port}: ntsserve is not running",
		Cause: "Clients get no answer.", Remedy: "systemctl start ntsserve"},
	firewallUnknown: {ID: "firewall-unknown", Part: "firewall", Level: Warn, Text: "whether a firewall drops requests is not known: no ruleset can be read",
		Cause: "Rulesets are read by nft or iptables-save, as root.", Remedy: "run doctor as root with nft or iptables-save installed, or ask from another machine: ntsquery -plain HOST"},
	firewallOpen: {ID: "firewall-open", Part: "firewall", Level: OK, Text: "{port} ({service}) is open over {family}, as far as {source} tells"},
	firewallPartly: {ID: "firewall-partly", Part: "firewall", Level: Warn, Text: "{port} ({service}) over {family} is open to some only",
		Cause: "The rules that accept the port ask for more than the port.", Remedy: "nft add rule inet filter input {proto} dport {number} accept (or the equivalent of your firewall), if all may ask"},
	firewallClosed: {ID: "firewall-closed", Part: "firewall", Level: Fail, Text: "the firewall drops {port} ({service}) over {family}",
		Cause: "Clients get no answer.", Remedy: "nft add rule inet filter input {proto} dport {number} accept (or the equivalent of your firewall)"},

	tasksUnreadable: {ID: "tasks-unreadable", Part: "tasks", Level: Warn, Text: "{daemon}: the states of its tasks cannot be read: {error}",
		Cause: "The file in the daemon's runtime folder is damaged, or this user may not read it.", Remedy: asRoot + "; if the file is damaged, restart the daemon"},
	tasksOK: {ID: "tasks-ok", Part: "tasks", Level: OK, Text: "{daemon}: {count} tasks, all serve"},
	taskStarting: {ID: "task-starting", Part: "tasks", Level: Warn, Text: "{daemon}: {task} is starting for {since}",
		Cause: "The daemon is ready only when no task is starting any more.", Remedy: "run doctor again in a minute; if it is still starting, see the journal of {daemon}"},
	taskStuck: {ID: "task-stuck", Part: "tasks", Level: Fail, Text: "{daemon}: {task} hangs for {since}: {why}",
		Cause: "The watchdog is not fed, so that systemd restarts the daemon.", Remedy: "see the journal of {daemon}; without systemd, restart it"},
	taskWaiting: {ID: "task-waiting", Part: "tasks", Level: Warn, Text: "{daemon}: {task} waits for {since}: {why}",
		Cause: "A part of the daemon cannot work; it is tried again by itself, the others go on.", Remedy: "remove what the text names; the task then goes on by itself"},
	taskNTP: {ID: "task-waiting-ntp", Part: "tasks", Level: Warn, Text: "{daemon}: {task} waits for {since}: {why}",
		Cause: "An endpoint lacks its interface, its address, its port or its timestamps. The other endpoints serve.", Remedy: "give the machine the interface or the address, free the port, or correct [[endpoint]]; the endpoint is then opened by itself"},
	taskKE: {ID: "task-waiting-nts-ke", Part: "tasks", Level: Warn, Text: "{daemon}: {task} waits for {since}: {why}",
		Cause: "No client gets keys. Time is served.", Remedy: "repair the certificate or free the port, see the findings on certificate and ports; the task then goes on by itself"},
	taskMetrics: {ID: "task-waiting-metrics", Part: "tasks", Level: Warn, Text: "{daemon}: {task} waits for {since}: {why}",
		Cause: "Nothing can be monitored. Time is served.", Remedy: "free the port, or name another address under metrics.listen"},
	taskKeys: {ID: "task-waiting-keys", Part: "tasks", Level: Warn, Text: "{daemon}: {task} waits for {since}: {why}",
		Cause: "A file of keys cannot be used.", Remedy: "repair the file or its permissions; it is read again by itself"},
	taskExport: {ID: "task-waiting-export", Part: "tasks", Level: Warn, Text: "{daemon}: {task} waits for {since}: {why}",
		Cause: "The other program does not get the clock.", Remedy: "start the other program, and give the user refclock the right to write to its socket or memory"},
	taskPTP4L: {ID: "export-ptp-silent", Part: "tasks", Level: Warn, Text: "{daemon}: ptp4l has not answered a SET for {since}: {why}",
		Cause: "ptp4l announces another clock class and another UTC offset than refclockd has.", Remedy: "start ptp4l; set export.ptp4l to its uds_address, and export.ptp4l_domain and export.ptp4l_transport_specific to the values of its configuration"},
	ptp4lAnswers: {ID: "export-ptp-answers", Part: "tasks", Level: OK, Text: "ptp4l has answered the last SET"},
}

// with makes a finding of a kind. values are pairs: the name of a placeholder
// and its value.
func (k kind) with(values ...any) Finding {
	var pairs []string
	for i := 0; i+1 < len(values); i += 2 {
		pairs = append(pairs, fmt.Sprintf("{%v}", values[i]), fmt.Sprint(values[i+1]))
	}
	r := strings.NewReplacer(pairs...)
	x := &kinds[k]
	return Finding{ID: x.ID, Check: r.Replace(x.Part), Level: x.Level, What: r.Replace(x.Text), Mend: r.Replace(x.Remedy), code: x.Code}
}
