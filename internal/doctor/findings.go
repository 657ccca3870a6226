package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/observe"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// Findings judges facts.
func Findings(f *Facts) []Finding {
	var found []Finding
	if f.RefclockdFile.Daemon != "" {
		found = append(found, configFinding(&f.RefclockdFile))
	}
	if s := f.Ntsserve; f.Refclockd == nil && errors.Is(f.RefclockdFile.Err, fs.ErrNotExist) && !f.RefclockdFile.Named && s != nil && s.ExternalClock != nil {
		found[0] = roleSystemServer.with("type", s.Source.Type)
	}
	found = append(found, unitFindings(f.Units, needs(f))...)
	if f.Daemon != nil {
		found = append(found, snapshotFinding(f.Daemon))
	}
	if f.Clock != nil {
		found = append(found, clockFindings(f.Refclockd, f.Clock, f.Daemon.Running())...)
	}
	for i := range f.Followers {
		found = append(found, followerFindings(&f.Followers[i])...)
	}
	if f.Refclockd != nil && f.Refclockd.Clock.Source == "sim" {
		found = append(found, devicesVirtual.with())
	}
	if f.Inputs != nil {
		found = append(found, inputFindings(f.Inputs, f.Daemon, f.Refclockd)...)
	}
	if f.System != nil {
		found = append(found, systemFinding(f.System, f.Refclockd != nil && steersSystemClock(f.Refclockd)))
	}
	if f.Leap != nil {
		found = append(found, leapFinding(f.Leap, f.Now))
	}
	if f.NtsserveFile.Daemon != "" {
		found = append(found, configFinding(&f.NtsserveFile))
	}
	if f.Serving != nil {
		steered := -1
		if f.Clock != nil && f.Clock.Err == nil {
			steered = f.Clock.Index
		}
		found = append(found, servingFindings(f.Serving, steered, f.Now)...)
	}
	if f.RefclockwebFile.Daemon != "" {
		found = append(found, configFinding(&f.RefclockwebFile))
	}
	if f.Page != nil {
		found = append(found, pageFindings(f.Page, f.Now)...)
	}
	return append(found, runningFindings(f)...)
}

// runningFindings judges what daemons say of themselves while they run.
func runningFindings(f *Facts) (found []Finding) {
	switch {
	case f.Counters == nil:
	case errors.Is(f.Counters, observe.ErrStaleServing):
		found = append(found, countersStale.with("error", f.Counters))
	default:
		found = append(found, countersDamaged.with("error", f.Counters))
	}
	if f.Fleet != nil {
		found = append(found, fleetFindings(f.Fleet, f.Now)...)
	}
	for i := range f.Tasks {
		t := &f.Tasks[i]
		if t.Daemon == fleetDaemon && f.Fleet.Running() {
			t = withoutFleetTasks(t)
		}
		found = append(found, taskFindings(t, f.Now)...)
	}
	return found
}

func configFinding(c *ConfigFile) Finding {
	switch {
	case errors.Is(c.Err, fs.ErrNotExist) && c.Named:
		return configAbsent.with("error", c.Err, "option", c.Option)
	case errors.Is(c.Err, fs.ErrNotExist):
		return configMissing.with("path", c.Path, "daemon", c.Daemon, "option", c.Option)
	case errors.Is(c.Err, fs.ErrPermission):
		return configDenied.with("error", c.Err)
	case c.Err != nil:
		return configWrong.with("error", c.Err, "daemon", c.Daemon, "path", c.Path)
	case len(c.Warnings) > 0:
		return configWarning.with("path", c.Path, "warnings", strings.Join(c.Warnings, "; "), "daemon", c.Daemon)
	}
	return configOK.with("path", c.Path)
}

func snapshotFinding(d *DaemonFacts) Finding {
	switch {
	case errors.Is(d.Err, status.ErrNotFile):
		return snapshotNotFile.with("error", d.Err)
	case errors.Is(d.Err, status.ErrOtherClock):
		return snapshotOtherClock.with("error", d.Err)
	case errors.Is(d.Err, status.ErrImplausible):
		return snapshotImplausible.with("error", d.Err)
	case errors.Is(d.Err, fs.ErrNotExist), errors.Is(d.Err, status.ErrNone), errors.Is(d.Err, status.ErrOldBoot):
		return snapshotNone.with("error", d.Err)
	case errors.Is(d.Err, fs.ErrPermission):
		return snapshotDenied.with("error", d.Err)
	case d.Err != nil:
		return snapshotUnreadable.with("error", d.Err)
	}
	s, age := &d.First, d.Age().Round(time.Millisecond)
	if d.Age().Abs() > maxSnapshotAge {
		if d.Alive {
			return snapshotStuck.with("pid", s.PID, "age", age)
		}
		return snapshotOld.with("age", age)
	}
	bound := "no bound is given"
	if b := s.BoundAt(d.Mono); b < time.Hour {
		bound = fmt.Sprintf("within %v", b)
	}
	k := stateOther
	switch s.State {
	case status.Locked:
		k = stateLocked
	case status.Faulty:
		k = stateFaulty
	}
	advice := ""
	if d.Details != nil && d.Details.Remedy != "" {
		advice = d.Details.Remedy + "; "
	}
	return k.with("pid", s.PID, "state", s.State, "reason", s.Reason, "bound", bound, "advice", advice)
}

// slowRead is the width of a reading from which on it is a finding: a card on
// PCI Express takes less than 2 us.
const slowRead = 20 * time.Microsecond

// clockFindings judges the PTP clock that is to be steered.
func clockFindings(c *refclockd.Settings, k *ClockFacts, running bool) (found []Finding) {
	switch {
	case errors.Is(k.Err, phc.ErrNoClock):
		return []Finding{clockAbsent.with("error", k.Err)}
	case errors.Is(k.Err, fs.ErrPermission):
		return []Finding{clockDenied.with("error", k.Err)}
	case k.Err != nil:
		return []Finding{clockMissing.with("error", k.Err)}
	}
	if f := accessFinding("clock", &k.File, deviceDenied); f.Level != OK {
		found = append(found, f)
	}
	found = append(found, holdersFinding("clock", &k.File, clockShared))
	if k.PinsErr != nil {
		found = append(found, pinsUnreadable.with("error", k.PinsErr))
	}
	if k.ReadErr != nil {
		return append(found, clockUnreadable.with("error", k.ReadErr))
	}
	found = append(found, clockOK.with("path", k.Path, "ppm", fmt.Sprintf("%.0f", k.Caps.MaxFreqPPB/1000),
		"channels", k.Caps.ExtTS, "pins", k.Caps.Pins, "method", k.Method, "width", k.Width))
	if k.Width > slowRead {
		found = append(found, clockSlow.with("width", k.Width))
	}
	if c.Pulse.Source == "extts" {
		found = append(found, pinFinding(&c.Pulse.PulseInput, k, running))
	}
	switch n := k.Carrier; {
	case n.Interface == "":
	case !n.Up:
		found = append(found, carrierDown.with("interface", n.Interface))
	case !n.Link:
		found = append(found, carrierLost.with("interface", n.Interface))
	default:
		found = append(found, carrierOK.with("interface", n.Interface))
	}
	return found
}

// pinFinding judges the pin of an external timestamp.
func pinFinding(in *refclockd.PulseInput, k *ClockFacts, running bool) Finding {
	switch {
	case k.Caps.ExtTS == 0:
		return pinNoTimestamps.with("path", k.Path)
	case in.Channel >= k.Caps.ExtTS:
		return pinNoChannel.with("path", k.Path, "channel", in.Channel, "last", k.Caps.ExtTS-1)
	case in.Pin < 0:
		return pinNotNeeded.with()
	case k.Caps.Pins == 0:
		return pinFixed.with("path", k.Path)
	}
	for _, p := range k.Pins {
		if p.Index != in.Pin {
			continue
		}
		values := []any{"pin", p.Index, "name", p.Name, "function", p.Func, "channel", p.Channel}
		switch {
		case p.Func == phc.PinExtTS && p.Channel == in.Channel:
			return pinSet.with(values...)
		case running:
			return pinTaken.with(values...)
		case p.Func != phc.PinNone:
			return pinUsed.with(values...)
		}
		return pinFree.with(values...)
	}
	return pinMissing.with("path", k.Path, "pin", in.Pin, "last", k.Caps.Pins-1)
}

// followerFindings judges a further PTP clock that is to follow.
func followerFindings(k *ClockFacts) []Finding {
	if k.Err != nil {
		return []Finding{followerMissing.with("error", k.Err)}
	}
	f := accessFinding("phc", &k.File, deviceDenied)
	if f.Level != OK {
		return []Finding{f}
	}
	return []Finding{f, holdersFinding("phc", &k.File, followerShared)}
}

// accessFinding judges whether a device is one and may be used.
func accessFinding(part string, d *DeviceFile, denied kind) Finding {
	switch {
	case errors.Is(d.Err, fs.ErrNotExist):
		if part == "receiver" {
			return receiverMissing.with("path", d.Path)
		}
		return pulseMissing.with("path", d.Path)
	case d.Err == nil && !d.Device:
		return deviceNone.with("part", part, "path", d.Path)
	case d.Err != nil, !d.Allowed:
		return denied.with("part", part, "path", d.Path, "mode", fmt.Sprintf("%04o", d.Mode.Perm()), "uid", d.UID, "gid", d.GID, "user", d.User)
	}
	return deviceOK.with("part", part, "path", d.Path, "user", d.User)
}

// holdersFinding judges who else has a device open.
func holdersFinding(part string, d *DeviceFile, shared kind) Finding {
	others := d.others()
	values := []any{"part", part, "path", d.Path, "holders", strings.Join(others, ", ")}
	switch {
	case len(others) > 0:
		return shared.with(values...)
	case len(d.Holders) > 0:
		return deviceAlone.with(values...)
	case d.Hidden:
		return deviceHidden.with(values...)
	}
	return deviceFree.with(values...)
}

// Bits of the kernel's state, uapi/linux/timex.h.
const (
	staLoops  = 0x0001 | 0x0002 | 0x0004 | 0x0008 // PLL, PPSFREQ, PPSTIME, FLL
	staUnsync = 0x0040
)

// steersSystemClock reports whether refclockd is configured to steer the system
// clock.
func steersSystemClock(c *refclockd.Settings) bool {
	return c.Clock.Source == "system" || c.SystemClock.Mode == "discipline"
}

// systemFinding says who steers the system clock. ours: refclockd is configured
// to do so.
func systemFinding(s *SystemFacts, ours bool) Finding {
	if s.Err != nil {
		return systemUnknown.with("error", s.Err)
	}
	unsync := s.Timex.Status&staUnsync != 0
	state := fmt.Sprintf("%+.1f ppm, synchronised within %v", s.Timex.FreqPPB/1000, s.Timex.MaxError)
	if unsync {
		state = fmt.Sprintf("%+.1f ppm, not synchronised", s.Timex.FreqPPB/1000)
	}
	k := systemNobody
	switch {
	case ours && len(s.Rivals) > 0:
		k = systemContested
	case ours && s.Timex.Status&staLoops != 0:
		k = systemKernelLoop
	case len(s.Rivals) > 0:
		k = systemOther
	case ours:
		k = systemOurs
	case unsync:
		k = systemFree
	}
	return k.with("rivals", strings.Join(s.Rivals, ", "), "state", state)
}

// leapSoon is how long before its end a table of leap seconds should have been
// renewed: a month before a leap second could follow.
const leapSoon = 28 * 24 * time.Hour

// leapFinding judges the tables of leap seconds: the list, the zone file and the
// built-in one.
func leapFinding(l *LeapFacts, now time.Time) Finding {
	latest := tai.Builtin()
	tables := []*tai.Table{latest}
	name := "the built-in table is used"
	switch list := &l.List; {
	case list.Path == "":
	case errors.Is(list.Err, fs.ErrNotExist):
		name = list.Path + " is missing, the built-in table is used"
	case errors.Is(list.Err, fs.ErrPermission):
		return leapDenied.with("error", list.Err)
	case list.Err != nil:
		return leapDamaged.with("error", list.Err)
	default:
		name = list.Path + " is older than the built-in table"
		if list.Table.Expires.After(latest.Expires) {
			name, latest = list.Path, list.Table
		}
		tables = append(tables, list.Table)
	}
	if zone := &l.Zone; zone.Path != "" {
		if zone.Err != nil && !errors.Is(zone.Err, fs.ErrNotExist) {
			return leapZoneDamaged.with("error", zone.Err)
		}
		tables = append(tables, zone.Table)
	}
	for _, t := range tables {
		if t == nil || !now.Before(t.Expires) || !now.Before(latest.Expires) {
			continue
		}
		if a, b := latest.OffsetUTC(now.Unix()), t.OffsetUTC(now.Unix()); a != b {
			return leapDisagree.with("a", latest.Source, "asecs", a, "b", t.Source, "bsecs", b)
		}
	}
	k := leapOK
	switch left := latest.Expires.Sub(now); {
	case left < 0:
		k = leapExpired
	case left < leapSoon:
		k = leapExpiring
	}
	return k.with("table", name, "date", latest.Expires.Format(time.DateOnly))
}
