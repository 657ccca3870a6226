package doctor

import (
	"crypto/x509"
	"fmt"
	"io/fs"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/daemon"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/receiver"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
	"noonmark/server/certs"
)

// Facts are what was examined of a machine. A nil part was not examined.
type Facts struct {
	Now time.Time

	RefclockdFile ConfigFile
	Refclockd     *refclockd.Settings // nil: nothing to judge refclockd by
	NtsserveFile  ConfigFile
	Ntsserve      *ntsserve.Settings // nil: nothing to judge ntsserve by

	Units     []UnitFacts
	Daemon    *DaemonFacts
	Clock     *ClockFacts
	Followers []ClockFacts
	Inputs    *InputFacts
	System    *SystemFacts
	Leap      *LeapFacts
	Serving   *ServingFacts
	Counters  error // of reading what ntsserve publishes; nil: it does, or there is no file
	Tasks     []TaskFacts

	RefclockwebFile ConfigFile // without a Daemon: the page is not set up
	Page            *PageFacts
	Fleet           *FleetFacts // nil: this machine is in no fleet
}

// ConfigFile is how a daemon's configuration file was found.
type ConfigFile struct {
	Daemon   string // the program that reads it
	Option   string // of doctor, that names another file
	Path     string
	Named    bool // the user gave the path, so it must exist
	Err      error
	Warnings []string
}

// DaemonFacts is what refclockd publishes.
type DaemonFacts struct {
	Err     error // of reading the snapshot
	First   status.Snapshot
	Mono    int64           // CLOCK_MONOTONIC_RAW when First was read, ns
	Alive   bool            // its writer is a process
	Details *report.Details // beside the snapshot; nil: none that are fresh

	Listened time.Duration   // until Last was read; 0: Last is not set
	Last     status.Snapshot // for comparison with First
	LastErr  error
}

// maxSnapshotAge is how old the snapshot of a working refclockd can be; it
// publishes every second.
const maxSnapshotAge = 3 * time.Second

// Age is the age of the first snapshot.
func (f *DaemonFacts) Age() time.Duration { return time.Duration(f.Mono - f.First.Mono) }

// Running reports whether refclockd publishes.
func (f *DaemonFacts) Running() bool {
	return f != nil && f.Err == nil && f.Alive && f.Age() < maxSnapshotAge
}

// ClockFacts are what a PTP hardware clock says of itself.
type ClockFacts struct {
	Err     error // of opening it
	Path    string
	Index   int // of /dev/ptpN
	Caps    phc.Caps
	Pins    []phc.Pin
	PinsErr error
	Method  string        // by which it is read
	Width   time.Duration // within which the reading is uncertain
	ReadErr error
	File    DeviceFile
	Carrier Carrier
}

// Carrier is the state of a clock's network interface.
type Carrier struct {
	Interface string // empty: the clock has none
	Up, Link  bool
}

// DeviceFile is a device's file and who has it open.
type DeviceFile struct {
	Path     string
	Err      error // of looking at it
	Device   bool  // it is a character device
	Mode     fs.FileMode
	UID, GID int
	Allowed  bool      // Facts' account may read and write it
	User     string    // that account
	Holders  []Process // but for doctor itself
	Hidden   bool      // not all processes could be looked at
}

// Process is a program that runs.
type Process struct {
	PID  int
	Name string
}

func (p Process) String() string { return fmt.Sprintf("%s (pid %d)", p.Name, p.PID) }

// InputFacts are pulse and receiver.
type InputFacts struct {
	PulseFile    *DeviceFile // of a kernel pulse
	ReceiverFile DeviceFile
	Console      bool // the kernel writes its messages to the receiver's port
	Listened     time.Duration
	Pulses       *PulseFacts   // nil: not listened to
	Messages     *MessageFacts // nil: not listened to
}

// PulseFacts are the pulses of a time of listening.
type PulseFacts struct {
	Err   error   // the first, of opening or of reading
	Edges []int64 // CLOCK_MONOTONIC_RAW of the edges, ns
	Note  string  // what the driver granted
}

// MessageFacts are the messages of a time of listening.
type MessageFacts struct {
	Err        error
	Baud       int // at which was listened
	OtherBaud  int // at which the receiver was found instead; 0: not
	Bytes      int
	Counters   gnss.Counters
	Look       receiver.Look  // of the bytes
	Sources    map[string]int // messages of each kind
	Dated      bool           // one of them had time and date
	Labels     int            // messages with a time of day
	Valid      int            // of these, valid ones
	Rolled     bool           // a date was a multiple of 1024 weeks old
	Unresolved bool           // the receiver does not know the leap seconds
	Fix        gnss.Fix
	Satellites int
	Firsts     []int64 // CLOCK_MONOTONIC_RAW of the first message of each second, ns
}

// Framed reports whether any frame was valid.
func (m *MessageFacts) Framed() bool { return m.Counters.AllFrames() > 0 }

// SystemFacts are the state of the system clock.
type SystemFacts struct {
	Err    error
	Timex  phc.Timex
	Rivals []string // programs that steer it, apart from refclockd
}

// LeapFacts are the tables of leap seconds.
type LeapFacts struct {
	List, Zone LeapFile
}

// LeapFile is a file with a table of leap seconds.
type LeapFile struct {
	Path  string // empty: none is configured
	Err   error
	Table *tai.Table
}

// TaskFacts are the states of the tasks of a daemon that runs, as it writes them.
type TaskFacts struct {
	Daemon string
	Path   string // of the file
	Err    error  // of reading it
	Tasks  []daemon.Status
}

// ServingFacts are what ntsserve needs.
type ServingFacts struct {
	Machine      []string // names and addresses that clients may know this machine by
	Stamping     []Stamping
	Certificates []CertificateFacts
	Keys         *SecretFile // nil: no NTS
	Secret       SecretFacts // that cookie keys are derived from
	Ports        []PortFacts
	Firewall     Ruleset
}

// Stamping is what an interface can stamp, and what it is set to.
type Stamping struct {
	Interface string
	Err       error
	PHC       int  // index of the clock that stamps; -1: none
	All       bool // it can stamp all received packets, or all NTP packets
	Some      bool // it can stamp PTP packets at least
	Transmit  bool // it can stamp transmitted packets
	AllNow    bool // it is set to stamp all received packets
	PTPNow    bool // it is set to stamp PTP packets only
}

// PageFacts are what refclockweb needs.
type PageFacts struct {
	Names        []string // by which users know the page
	Certificates []CertificateFacts
	Port         PortFacts
}

// CertificateFacts are a certificate and its key.
type CertificateFacts struct {
	Daemon string // that uses it
	Path   string
	Err    error // of loading both
	Leaf   *x509.Certificate
	Key    SecretFile

	Concerns []certs.Concern // why clients may refuse it
	Denied   *DeniedFacts    // nil: the user of the daemon may read both files, or is not known
}

// DeniedFacts are a file that a user may not read.
type DeniedFacts struct {
	Path     string
	Mode     fs.FileMode
	UID, GID int
	User     string
}

// SecretFile is a file that only its owner may read.
type SecretFile struct {
	Path   string
	Mode   fs.FileMode
	Err    error // of looking at it
	DirErr error // of looking at its directory, where the file does not exist
}

// SecretFacts is the secret that cookie keys are derived from.
type SecretFacts struct {
	Since time.Time // in use since; zero: unknown
	Until time.Time // when a new one is to replace it; zero: never by ntsserve
	Err   error     // of reading the file's content
	Left  bool      // it was of a fleet, which this machine has left
}

// PortFacts are who listens on a port.
type PortFacts struct {
	Daemon    string // that is to listen
	Proto     string // udp or tcp
	Port      int
	Service   string
	Listeners []Process
	Taken     bool // somebody listens, seen or not
}

// String writes a port as 123/udp.
func (p *PortFacts) String() string { return fmt.Sprintf("%d/%s", p.Port, p.Proto) }
