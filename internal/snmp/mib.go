// Package snmp shows the clock to SNMP managers: the NTPv4-MIB (RFC 5907) for
// net-snmp's pass_persist, and its notifications. net-snmp speaks SNMP, with its own
// access control; this package only knows what to say.
package snmp

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/observe"
	"noonmark/internal/version"
	"noonmark/refclock/report"
	"noonmark/server"
)

// Root is the object identifier of the NTPv4-MIB, ntpSnmpMIB.
const Root = ".1.3.6.1.2.1.197"

// Object identifiers below Root, without the instance 0 of a scalar (RFC 5907,
// section 5).
const (
	softwareName    = "1.1.1"
	softwareVersion = "1.1.2"
	softwareVendor  = "1.1.3"
	systemType      = "1.1.4"
	timeResolution  = "1.1.5"
	timePrecision   = "1.1.6"
	timeDistance    = "1.1.7"
	currentMode     = "1.2.1"
	stratum         = "1.2.2"
	refSourceID     = "1.2.3"
	refSourceName   = "1.2.4"
	activeOffset    = "1.2.5"
	refSources      = "1.2.6"
	dispersion      = "1.2.7"
	uptime          = "1.2.8"
	dateTime        = "1.2.9"
	leapSecond      = "1.2.10"
	leapDirection   = "1.2.11"
	inPackets       = "1.2.12"
	outPackets      = "1.2.13"
	badVersion      = "1.2.14"
	protocolError   = "1.2.15"
	association     = "1.3.1.1" // ntpAssociationEntry: column, then the number of the association
	associationPkts = "1.3.2.1" // ntpAssociationStatisticsEntry: likewise
	notifMessage    = "1.5.1"
)

// Mode is ntpEntStatusCurrentMode.
type Mode int

// The modes that a reference clock can have.
const (
	NotRunning      Mode = 1
	NotSynchronised Mode = 2
	SyncToRefclock  Mode = 5
	SyncToServer    Mode = 6
)

// String is the name in the MIB.
func (m Mode) String() string {
	switch m {
	case NotRunning:
		return "notRunning"
	case NotSynchronised:
		return "notSynchronized"
	case SyncToRefclock:
		return "syncToRefclock"
	case SyncToServer:
		return "syncToRemoteServer"
	}
	return strconv.Itoa(int(m))
}

// Variable is one value of the tree.
type Variable struct {
	OID   []uint32 // from the root of all
	Type  string   // as net-snmp names it: string, integer, gauge, counter, octet, timeticks
	Value string
}

// Clock is what the MIB is a projection of. Status is nil while refclockd publishes
// nothing, does not any more, or is not here.
type Clock struct {
	Now    time.Time
	Status *report.Status
	Alone  bool            // there is no refclockd here: ntsserve serves the clock of another program
	Tasks  []daemon.Status // of refclockd; empty: not known
	// Serving is what ntsserve has counted; nil: it publishes nothing, so there are no
	// counters.
	Serving *observe.Serving
	Answers observe.Answers // what clients meet; of Alone never NotExpected
}

// Mode returns the present mode: that of the clock that clients get. A clock of another program
// at stratum 1 is taken for one that has a reference clock.
func (c *Clock) Mode() Mode {
	switch {
	case c.Answers == observe.Silent, c.Answers == observe.Closed, c.Status == nil && !c.Alone:
		return NotRunning
	case c.Answers == observe.Unsynchronised, c.Status != nil && !c.Status.Usable:
		return NotSynchronised
	case c.Status == nil && c.Serving.Stratum > 1:
		return SyncToServer
	}
	return SyncToRefclock
}

// Stratum returns the stratum that clients get.
func (c *Clock) Stratum() int {
	switch m := c.Mode(); {
	case m != SyncToRefclock && m != SyncToServer:
		return 16
	case c.Status != nil:
		return c.Status.Stratum
	}
	return max(c.Serving.Stratum, 1)
}

// the reference clock is association 1; 0 is none.
const refclockAssociation = 1

// Variables returns the values, by object identifier. What is not known is left out.
func (c *Clock) Variables() []Variable {
	var all []Variable
	add := func(oid, kind, value string) {
		all = append(all, Variable{parse(Root + "." + oid), kind, value})
	}
	scalar := func(oid, kind, value string) { add(oid+".0", kind, value) }
	name := "noonmark refclockd"
	if c.Alone {
		name = "noonmark ntsserve"
	}
	scalar(softwareName, "string", name)
	scalar(softwareVersion, "string", version.Number)
	scalar(softwareVendor, "string", "Noonmark")
	scalar(systemType, "string", runtime.GOOS+" / "+runtime.GOARCH)
	scalar(timeResolution, "gauge", strconv.Itoa(int(time.Second))) // 1 ns
	scalar(currentMode, "integer", strconv.Itoa(int(c.Mode())))
	scalar(stratum, "gauge", strconv.Itoa(c.Stratum()))
	active := 0
	if c.Mode() == SyncToRefclock && c.Status != nil {
		active = refclockAssociation
	}
	scalar(refSourceID, "gauge", strconv.Itoa(active))
	if s := c.Status; s != nil {
		c.ofStatus(s, scalar, add)
	} else {
		scalar(refSources, "gauge", "0")
	}
	if c.Serving != nil {
		packets(c.Serving, scalar)
	}
	slices.SortFunc(all, func(a, b Variable) int { return slices.Compare(a.OID, b.OID) })
	return all
}

// ofStatus adds what a running refclockd publishes.
func (c *Clock) ofStatus(s *report.Status, scalar, add func(oid, kind, value string)) {
	scalar(timePrecision, "integer", strconv.Itoa(precision(s.Clock.LineNS)))
	scalar(refSourceName, "string", s.RefID+" "+s.Receiver.Source)
	scalar(activeOffset, "string", milliseconds(s.OffsetNS))
	scalar(refSources, "gauge", "1")
	if s.BoundNS != nil {
		scalar(timeDistance, "string", milliseconds(float64(*s.BoundNS)))
		scalar(dispersion, "string", milliseconds(float64(*s.BoundNS)))
	}
	if up := c.uptime(); up > 0 {
		scalar(uptime, "timeticks", strconv.FormatInt(int64(up/(10*time.Millisecond))%(1<<32), 10))
	}
	if t, ok := instant(s.Time); ok {
		scalar(dateTime, "octet", ntpDate(t))
	}
	leap, sign := ntpDate(time.Time{}), 0
	if t, ok := instant(s.LeapAt); ok && s.Leaps != nil {
		leap, sign = ntpDate(t), s.Leaps.Sign
	}
	scalar(leapSecond, "octet", leap)
	scalar(leapDirection, "integer", strconv.Itoa(sign))
	column := func(n int, kind, value string) {
		add(fmt.Sprintf("%s.%d.%d", association, n, refclockAssociation), kind, value)
	}
	column(2, "string", s.Receiver.Source)
	column(3, "string", s.RefID)
	column(4, "integer", "0") // InetAddressType unknown: it has no address
	column(6, "string", milliseconds(s.OffsetNS))
	column(7, "gauge", "0")
	column(8, "string", milliseconds(s.NoiseNS))
	column(9, "string", milliseconds(0))
	if s.BoundNS != nil {
		column(10, "string", milliseconds(float64(*s.BoundNS)))
	}
	for n := 1; n <= 3; n++ { // a receiver sends no NTP packets
		add(fmt.Sprintf("%s.%d.%d", associationPkts, n, refclockAssociation), "counter", "0")
	}
}

// packets adds the counters of all addresses together. A Counter32 begins again at
// 2^32. ntpEntStatPktModeTable is left out: ntsserve does not count by mode.
func packets(s *observe.Serving, scalar func(oid, kind, value string)) {
	var in, out, version, protocol uint64
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		in += e.Requests
		for _, n := range e.Answered {
			out += n
		}
		version += e.Dropped[server.BadVersion.String()]
		for _, r := range protocolErrors {
			protocol += e.Dropped[r.String()]
		}
	}
	for _, x := range [...]struct {
		oid string
		n   uint64
	}{{inPackets, in}, {outPackets, out}, {badVersion, version}, {protocolError, protocol}} {
		scalar(x.oid, "counter", strconv.FormatUint(x.n%(1<<32), 10))
	}
}

// protocolErrors are the reasons for which a request cannot be processed because of
// its form: ntpEntStatusProtocolError. A request that is not allowed, not for a
// server, or whose authentication fails, is none.
var protocolErrors = [...]server.Reason{
	server.TooShort, server.TooLong, server.ModeReserved, server.BadField, server.LegacyMAC, server.DuplicateField, server.NoUniqueID, server.ShortUniqueID,
	server.NoCookie, server.NoAuthenticator, server.PlaceholderLength, server.BadAuthenticator, server.BadNonce, server.ShortPadding, server.NoRoom,
}

// uptime is how long refclockd has run: its engine never waits.
func (c *Clock) uptime() time.Duration {
	for _, t := range c.Tasks {
		if t.Task == "engine" {
			return c.Now.Sub(t.Since)
		}
	}
	return 0
}

// precision is log2 of the width of a reading, s.
func precision(ns int64) int { return int(math.Ceil(math.Log2(float64(max(ns, 1)) * 1e-9))) }

// milliseconds writes a time in ms, to the nanosecond, as the MIB shows it.
func milliseconds(ns float64) string { return fmt.Sprintf("%.6f ms", ns*1e-6) }

// instant reads a time of the status.
func instant(text *string) (time.Time, bool) {
	if text == nil {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, *text)
	return t, err == nil
}

// ntpDate is NtpDateTime: a timestamp of RFC 5905, 64 bits, in hexadecimal; zero for
// the zero time.
func ntpDate(t time.Time) string {
	var b [8]byte
	if !t.IsZero() {
		const ntpEpoch = 2208988800 // s from 1900 to 1970
		binary.BigEndian.PutUint32(b[:], uint32(t.Unix()+ntpEpoch))
		binary.BigEndian.PutUint32(b[4:], uint32(uint64(t.Nanosecond())<<32/1e9))
	}
	var s []string
	for _, x := range b {
		s = append(s, fmt.Sprintf("%02x", x))
	}
	return strings.Join(s, " ")
}

// parse reads a dotted object identifier; nil if it is none.
func parse(text string) []uint32 {
	var oid []uint32
	for part := range strings.SplitSeq(strings.TrimPrefix(text, "."), ".") {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil || len(oid) >= maxOID {
			return nil
		}
		oid = append(oid, uint32(n))
	}
	return oid
}

// maxOID is the longest object identifier (RFC 2578, section 3.5).
const maxOID = 128

// dotted writes an object identifier.
func dotted(oid []uint32) string {
	var b strings.Builder
	for _, n := range oid {
		fmt.Fprintf(&b, ".%d", n)
	}
	return b.String()
}
