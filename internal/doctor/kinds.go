package doctor

import (
	"fmt"
	"strings"
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
	unitHidden
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
	certUnreadable
	tasksUnreadable
	tasksOK
	taskStarting
	taskStuck
	taskWaiting
	taskNTP
	taskKE
	taskCards
	taskUser
	taskMetrics
	taskKeys
	taskExport
	taskPTP4L
	taskFragment
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
	keysNobody
	keysSecretOK

	portTaken
	portOurs
	portHidden
	portNobody
	countersStale
	countersDamaged
	firewallUnknown
	firewallOpen
	firewallPartly
	firewallClosed

	fleetStopped
	fleetStuck
	fleetUnreadable
	fleetServes
	fleetRefused
	fleetDrained
	fleetPeriods
	fleetClock
	fleetEtcd
	fleetDisc
	fleetAnnounced
	fleetKept
	fleetWithdrawn
	fleetConfigOK
	fleetConfigAlone
	fleetConfigWrong
	fleetConfigRefused
	fleetCertOK
	fleetCertNone
	fleetCertAlone
	fleetCertWrong
	fleetCertExpiring
	fleetCertExpired
	fleetFolderUnknown
	fleetFolderClosed
	fleetFolderOpen
	fleetFolderOK

	kindCount
)

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
