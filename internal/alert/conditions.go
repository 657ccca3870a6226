package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	config "noonmark/internal/config/alert"
	"noonmark/internal/daemon"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
)

// found is one instance of a condition that holds now.
type found struct {
	instance string
	summary  string
	figures  []Figure
	remedy   string
	unknown  bool // whether an instance that was reported still holds cannot be read
}

// condition is a row of the table of what is reported.
type condition struct {
	name  string
	after func(*config.Conditions) time.Duration // how long it must hold before it is reported
	off   func(*config.Conditions) bool
	// eval returns the instances that hold. known is false while the facts do not
	// tell: then nothing begins and nothing ends. raised are the instances that were
	// reported; a limit has another value for them, so that it does not flap.
	eval func(f *Facts, c *config.Conditions, raised []string) (all []found, known bool)
	once bool // it has no end: each instance is reported once
}

// at once: it needs no time.
func atOnce(*config.Conditions) time.Duration { return 0 }

// short is how long a fault must last that the daemon itself has waited for already.
func short(*config.Conditions) time.Duration { return 10 * time.Second }

// doctor is the remedy where there is no better one.
const doctor = "run refclockctl doctor, which looks for the cause"

// still is the share of a limit below which an alert ends.
const still = 0.8

// conditions returns the table.
func conditions() []condition {
	return []condition{
		{config.NotLocked, func(c *config.Conditions) time.Duration { return c.NotLocked.Duration }, func(c *config.Conditions) bool { return c.NotLocked.Duration == 0 }, notLocked, false},
		{config.Holdover, func(c *config.Conditions) time.Duration { return c.Holdover.Duration }, func(c *config.Conditions) bool { return c.Holdover.Duration == 0 }, inHoldover, false},
		{config.Bound, short, func(c *config.Conditions) bool { return c.Bound.Duration == 0 }, bound, false},
		{config.ReceiverSilent, short, func(c *config.Conditions) bool { return c.ReceiverSilent.Duration == 0 }, receiverSilent, false},
		{config.Antenna, short, func(c *config.Conditions) bool { return !c.Antenna }, antenna, false},
		{config.Interference, short, func(c *config.Conditions) bool { return !c.Interference }, interference, false},
		{config.Witness, short, func(c *config.Conditions) bool { return !c.Witness }, witness, false},
		{config.Rival, short, func(c *config.Conditions) bool { return !c.Rival }, rival, false},
		{config.Certificate, atOnce, func(c *config.Conditions) bool { return c.Certificate.Duration == 0 }, certificate, false},
		{config.LeapTable, atOnce, func(c *config.Conditions) bool { return c.LeapTable.Duration == 0 }, leapTable, false},
		{config.CookieKey, atOnce, func(c *config.Conditions) bool { return !c.CookieKey }, cookieKey, false},
		{config.KERefusals, atOnce, func(c *config.Conditions) bool { return c.KERefusals == 0 }, keRefusals, false},
		{config.SoftwareStamps, atOnce, func(c *config.Conditions) bool { return c.SoftwareStamps == 0 }, softwareStamps, false},
		{config.Restarted, atOnce, func(c *config.Conditions) bool { return !c.Restarted }, restarted, true},
		{config.DiscFree, short, func(c *config.Conditions) bool { return c.DiscFree == 0 }, discFree, false},
		{config.ServerSilent, func(c *config.Conditions) time.Duration { return c.ServerSilent.Duration }, func(c *config.Conditions) bool { return c.ServerSilent.Duration == 0 }, serverSilent, false},
		{config.Task, func(c *config.Conditions) time.Duration { return c.Task.Duration }, func(c *config.Conditions) bool { return c.Task.Duration == 0 }, task, false},
	}
}

// live returns the status of a refclockd that publishes, nil without one.
func (f *Facts) live() *report.Status {
	if f.Stale {
		return nil
	}
	return f.Status
}

// remedyOf is what doctor and refclockd say about a state.
func remedyOf(s *report.Status) string {
	if s.Remedy != "" {
		return s.Remedy
	}
	if len(s.Conditions) > 0 && s.Conditions[0].Remedy != "" {
		return s.Conditions[0].Remedy
	}
	return doctor
}

func stateFigures(s *report.Status) []Figure {
	all := []Figure{{"state", s.State}, {"reason", s.Reason}}
	if s.BoundNS != nil {
		all = append(all, Figure{"bound", time.Duration(*s.BoundNS).String()})
	}
	for _, c := range s.Conditions {
		all = append(all, Figure{c.Reason, c.Detail})
	}
	return all
}

func notLocked(f *Facts, _ *config.Conditions, _ []string) ([]found, bool) {
	switch {
	case f.Alone && f.Server == nil:
		return nil, false // server_silent reports that
	case f.Alone && f.Fault != nil:
		return []found{{summary: f.Fault.What, remedy: f.Fault.Remedy}}, true
	case f.Alone:
		return nil, true
	}
	if f.Status == nil {
		return []found{{summary: "refclockd publishes nothing", figures: []Figure{{"error", f.Err.Error()}}, remedy: "start refclockd, and see its log"}}, true
	}
	s := f.Status
	if f.Stale {
		return []found{{summary: "refclockd has stopped publishing", figures: []Figure{{"age", fmt.Sprintf("%.0f s", s.AgeS)}}, remedy: "see the log of refclockd, and restart it"}}, true
	}
	if s.State == "locked" || s.State == "holdover" {
		return nil, true
	}
	return []found{{summary: "the clock is not locked: " + s.State + ", " + s.Reason, figures: stateFigures(s), remedy: remedyOf(s)}}, true
}

func inHoldover(f *Facts, _ *config.Conditions, _ []string) ([]found, bool) {
	s := f.live()
	if s == nil {
		return nil, false
	}
	if s.State != "holdover" {
		return nil, true
	}
	return []found{{summary: "the clock is in holdover: " + s.Reason, figures: stateFigures(s), remedy: remedyOf(s)}}, true
}

func bound(f *Facts, c *config.Conditions, raised []string) ([]found, bool) {
	s := f.live()
	if s == nil || s.BoundNS == nil {
		return nil, false // not_locked reports that
	}
	limit := float64(c.Bound.Duration)
	if len(raised) > 0 {
		limit *= still
	}
	if float64(*s.BoundNS) <= limit {
		return nil, true
	}
	return []found{{summary: fmt.Sprintf("the error bound is above %v", c.Bound), figures: stateFigures(s), remedy: remedyOf(s)}}, true
}

func receiverSilent(f *Facts, c *config.Conditions, _ []string) ([]found, bool) {
	s := f.live()
	if s == nil {
		return nil, false
	}
	if a := s.Receiver.AgeS; a != nil && *a < c.ReceiverSilent.Seconds() {
		return nil, true
	}
	age := "since the start of refclockd"
	if a := s.Receiver.AgeS; a != nil {
		age = fmt.Sprintf("for %.0f s", *a)
	}
	remedy := reason.PortSilent.Info().Remedy
	if len(s.Conditions) > 0 {
		remedy = remedyOf(s)
	}
	return []found{{summary: "no valid message of the receiver " + age, figures: append([]Figure{{"port", s.Receiver.Source}}, stateFigures(s)...), remedy: remedy}}, true
}

// reported makes a finding of a reason that refclockd names.
func reported(c reason.Code, instance, detail string) found {
	f := found{instance: instance, summary: c.Message() + ": " + c.String(), remedy: c.Info().Remedy}
	if detail != "" {
		f.figures = []Figure{{"detail", detail}}
	}
	return f
}

func antenna(f *Facts, _ *config.Conditions, _ []string) ([]found, bool) {
	s := f.live()
	if s == nil || s.Receiver.Antenna == "" {
		return nil, false
	}
	switch s.Receiver.Antenna {
	case "open":
		return []found{reported(reason.ReceiverAntennaOpen, "", "the receiver reports it")}, true
	case "short":
		return []found{reported(reason.ReceiverAntennaShort, "", "the receiver reports it")}, true
	}
	return nil, true
}

func interference(f *Facts, _ *config.Conditions, _ []string) (all []found, known bool) {
	s := f.live()
	if s == nil || s.Receiver.Jamming == "" && s.Receiver.Spoofing == "" {
		return nil, false
	}
	if s.Receiver.Jamming == "critical" {
		all = append(all, reported(reason.ReceiverJammed, "jamming", "the receiver reports it"))
	}
	if x := s.Receiver.Spoofing; x == "warning" || x == "critical" {
		all = append(all, reported(reason.ReceiverSpoofed, "spoofing", "the receiver reports "+x))
	}
	return all, true
}

// alarmsOf are the alarms of a reason in the details.
func alarmsOf(f *Facts, c reason.Code) (all []found, known bool) {
	if f.Details == nil || f.Details.Alarms == nil {
		return nil, false
	}
	for _, a := range f.Details.Alarms {
		if a.Reason == c.String() {
			all = append(all, reported(c, a.Name, a.Detail))
		}
	}
	return all, true
}

func witness(f *Facts, _ *config.Conditions, _ []string) ([]found, bool) {
	return alarmsOf(f, reason.WitnessDisagrees)
}

func rival(f *Facts, _ *config.Conditions, _ []string) ([]found, bool) {
	all, known := alarmsOf(f, reason.ClockContested)
	s := f.live()
	if s == nil {
		return nil, false
	}
	for _, c := range []reason.Code{reason.ClockContested, reason.ClockForeign} {
		if s.Cause == c.String() && !slices.ContainsFunc(all, func(x found) bool { return x.instance == s.Clock.Device }) {
			all = append(all, reported(c, s.Clock.Device, s.Reason))
		}
	}
	return all, known
}

func certificate(f *Facts, c *config.Conditions, _ []string) (all []found, known bool) {
	if f.Server == nil {
		return nil, false
	}
	for name, left := range f.Server.Certificates {
		if left >= c.Certificate.Duration {
			continue
		}
		x := found{instance: name, summary: "the certificate of NTS-KE expires soon", figures: []Figure{{"left", left.Round(time.Minute).String()}},
			remedy: "renew it; see docs/operating.md, and the log of ntsserve if it should have renewed it itself"}
		if left <= 0 {
			x.summary = "the certificate of NTS-KE has expired"
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.instance, b.instance) })
	return all, true
}

func leapTable(f *Facts, c *config.Conditions, _ []string) ([]found, bool) {
	if f.live() == nil || f.Details == nil {
		return nil, false
	}
	l := &f.Details.Leap
	if slices.Contains(l.Warnings, reason.LeapExpired.String()) {
		return []found{reported(reason.LeapExpired, "", l.Table)}, true
	}
	var last time.Time // of the sources, the one that ends last counts
	for _, s := range l.Sources {
		if t, err := time.Parse(time.DateOnly, s.Expires); err == nil && t.After(last) {
			last = t
		}
	}
	if last.IsZero() || last.Sub(f.Now) >= c.LeapTable.Duration {
		return nil, true
	}
	return []found{{summary: "the tables of leap seconds expire soon", figures: []Figure{{"expires", last.Format(time.DateOnly)}}, remedy: reason.LeapExpired.Info().Remedy}}, true
}

func cookieKey(f *Facts, _ *config.Conditions, _ []string) ([]found, bool) {
	switch {
	case f.Server == nil:
		return nil, false
	case !f.Server.KeyOverdue:
		return nil, true
	}
	return []found{{summary: "the secret of the cookie keys is older than it should be", remedy: "see the log of ntsserve; refclockctl keys rotate replaces the secret"}}, true
}

func keRefusals(f *Facts, c *config.Conditions, raised []string) ([]found, bool) {
	if f.Server == nil || f.Server.Refusals == nil {
		return nil, false
	}
	limit := c.KERefusals
	if len(raised) > 0 {
		limit *= still
	}
	if *f.Server.Refusals <= limit {
		return nil, true
	}
	return []found{{summary: "many clients do not get cookies from NTS-KE", figures: []Figure{{"a minute", fmt.Sprintf("%.0f", *f.Server.Refusals)}},
		remedy: "see noonmark_ntske_exchanges_total for the reasons, and the log of ntsserve"}}, true
}

func softwareStamps(f *Facts, c *config.Conditions, raised []string) ([]found, bool) {
	if f.Server == nil || f.Server.Software == nil {
		return nil, false
	}
	limit := c.SoftwareStamps
	if len(raised) > 0 {
		limit *= still
	}
	if *f.Server.Software <= limit {
		return nil, true
	}
	return []found{{summary: "requests come without timestamps of the hardware", figures: []Figure{{"share", fmt.Sprintf("%.1f %%", 100**f.Server.Software)}},
		remedy: "see the log of ntsserve for the interface; another program may have changed its timestamping"}}, true
}

// serverSilent reports what keeps clients from getting the clock of refclockd, and wherever a
// server is expected that it publishes nothing. not_locked reports a server without refclockd.
func serverSilent(f *Facts, _ *config.Conditions, _ []string) ([]found, bool) {
	if f.Fault == nil || f.Alone && f.Server != nil {
		return nil, true
	}
	return []found{{summary: f.Fault.What, figures: []Figure{{"clients", f.Fault.Clients}}, remedy: f.Fault.Remedy}}, true
}

// restarted has one instance a process, the daemon and its number: the engine reports those
// that it does not know.
func restarted(f *Facts, _ *config.Conditions, _ []string) (all []found, known bool) {
	add := func(name string, pid any, figures []Figure) {
		all = append(all, found{instance: fmt.Sprint(name, " ", pid), summary: name + " was restarted", figures: figures,
			remedy: "see refclockctl events; a restart that nobody asked for is in the log of the service manager (journalctl -u " + name + ")"})
	}
	if s := f.live(); s != nil {
		add("refclockd", s.PID, stateFigures(s))
	}
	if s := f.Server; s != nil {
		add("ntsserve", s.PID, nil)
	}
	return all, all != nil
}

func discFree(f *Facts, c *config.Conditions, raised []string) (all []found, known bool) {
	if f.Discs == nil {
		return nil, false
	}
	for _, d := range f.Discs {
		limit := c.DiscFree
		if slices.Contains(raised, d.Path) {
			limit /= still
		}
		if d.Free < limit {
			all = append(all, found{instance: d.Path, summary: "the disc is nearly full", figures: []Figure{{"free", fmt.Sprintf("%.1f %%, %d MB", 100*d.Free, d.Left>>20)}},
				remedy: "remove files; history.max_size and record_limit limit what refclockd writes"})
		}
	}
	for _, r := range raised {
		if f.DiscsErr != nil && !slices.ContainsFunc(f.Discs, func(d Disc) bool { return d.Path == r }) {
			all = append(all, found{instance: r, unknown: true})
		}
	}
	return all, true
}

// ofServer begins the instances of the tasks of ntsserve.
const ofServer = "ntsserve "

// task has one instance a task. Those of a daemon whose tasks cannot be read stay as they were.
func task(f *Facts, _ *config.Conditions, raised []string) (all []found, known bool) {
	reference, server := f.live() != nil && f.Tasks != nil, f.Server != nil && f.Server.Tasks != nil
	add := func(daemonName, prefix string, tasks []daemon.Status) {
		for _, t := range tasks {
			if t.State == daemon.Waiting.String() || t.State == daemon.Stuck.String() {
				all = append(all, found{instance: prefix + t.Task, summary: "a part of " + daemonName + " does not work", figures: []Figure{{"state", t.State}, {"error", t.Why}}, remedy: doctor})
			}
		}
	}
	if reference {
		add("refclockd", "", f.Tasks)
	}
	if server {
		add("ntsserve", ofServer, f.Server.Tasks)
	}
	for _, r := range raised {
		if strings.HasPrefix(r, ofServer) && !server || !strings.HasPrefix(r, ofServer) && !reference {
			all = append(all, found{instance: r, unknown: true})
		}
	}
	return all, reference || server
}
