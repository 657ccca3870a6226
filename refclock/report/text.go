package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"noonmark/internal/printable"
	"noonmark/refclock/status"
)

// WriteText writes the status for people, a line a topic.
func (r *Status) WriteText(w io.Writer) {
	show := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s "+format+"\n", append([]any{name}, args...)...)
	}
	if r.Stopped {
		show("STOPPED", "refclockd (process %d) has not published for %s; what follows is its last state", r.PID, span(r.AgeS))
		show("remedy", "systemctl start refclockd; systemctl status refclockd and journalctl -u refclockd say why it ended")
	}
	show("state", "%s (%s)", r.State, r.Reason)
	if r.Remedy != "" {
		show("remedy", "%s", r.Remedy)
	}
	for i := range r.Conditions {
		c := &r.Conditions[i]
		show("problem", "%s for %s: %s", c.Reason, span(c.SinceS), c.Detail)
		if c.Remedy != r.Remedy {
			show("", "remedy: %s", c.Remedy)
		}
	}
	bound := "no error bound"
	if r.BoundNS != nil {
		bound = fmt.Sprintf("within %s of true time", nanos(float64(*r.BoundNS)))
	}
	show("offset", "%s measured, %s", signed(r.OffsetNS), bound)
	if f := r.Forecast; f != nil && f.LimitInS != nil && r.LimitNS != nil {
		show("", "without pulses the bound is predicted to reach %s in %s", nanos(float64(*r.LimitNS)), span(*f.LimitInS))
	}
	if l := r.Lock; l != nil && l.JumpNS > 0 {
		show("", "the bound contains a jump of the pulses of %s that nothing explains", nanos(l.JumpNS))
	}
	if l := r.Lock; l != nil && l.Provisional && r.Usable {
		show("", "the lock is provisional: it stands on %d pulses", l.Pulses)
	}
	show("frequency", "%+.3f ppb correction, noise %.1f ns", r.FreqPPB, r.NoiseNS)
	if o := r.Oscillator; o != nil && (o.Celsius != nil || o.AgeingPPB != 0) {
		show("oscillator", "%s", o.text())
	}
	show("clients", "stratum %d, refid %s, leap %d", r.Stratum, r.RefID, r.Leap)
	if r.Time != nil {
		show("time", "%s, TAI-UTC %d s", *r.Time, r.TAIOffset)
	}
	show("pulse", "%s", r.Pulse.text())
	show("receiver", "%s", r.Receiver.Input.text())
	if id := r.Receiver.Identity; id != nil && id.String() != "" {
		show("", "%s", id)
	}
	if self := r.Receiver.self(); self != "" {
		show("", "%s", self)
	}
	for i := range r.Pulses {
		show("compared", "%s", r.Pulses[i].text())
	}
	if r.Leaps != nil {
		r.Leaps.write(show)
	}
	if r.Fleet != nil {
		show("fleet", "%s", r.Fleet.text())
	}
	show("clock", "%s %s, generation %d, model within %s", r.Clock.Kind, r.Clock.Device, r.Clock.Epoch, nanos(float64(r.Clock.LineNS)))
}

// write shows the sources of leap seconds.
func (l *LeapDetails) write(show func(name, format string, args ...any)) {
	show("leap", "%s", l.text())
	if by := l.Confirmed; by != "" {
		show("", "receiver's count confirmed by %s", by)
	}
	if w := l.Warnings; len(w) > 0 {
		show("", "WARNING %s", strings.Join(w, ", "))
	}
}

// Headline describes a snapshot in one line that changes only with the state, and
// with the order of magnitude of the bound.
func Headline(s *status.Snapshot, mono int64) string {
	text := fmt.Sprintf("%s (%s)", s.State, s.Reason)
	if !s.Usable(mono) {
		return text + ", not served"
	}
	within := time.Duration(1)
	for b := s.BoundAt(mono); within < b; {
		within *= 10
	}
	return fmt.Sprintf("%s, stratum %d, error below %s", text, s.Stratum, printable.Duration(within))
}

// span writes a duration in s.
func span(s float64) string { return printable.Duration(time.Duration(s * 1e9)) }

// nanos writes a duration in ns.
func nanos(ns float64) string { return printable.Duration(time.Duration(math.Round(ns))) }

// signed writes an offset in ns with its sign.
func signed(ns float64) string {
	if math.Round(ns) >= 0 {
		return "+" + nanos(ns)
	}
	return nanos(ns)
}

func (i *Input) text() string {
	last := "none accepted yet"
	if i.AgeS != nil {
		last = fmt.Sprintf("last %s ago", span(*i.AgeS))
	}
	missed := ""
	if i.Missed != nil {
		missed = fmt.Sprintf(", %d missed", *i.Missed)
	}
	return fmt.Sprintf("%s: %d accepted, %d refused%s, %s", i.Source, i.Accepted, i.Refused, missed, last)
}

// self lists what the receiver reports about itself.
func (p *Port) self() string {
	var parts []string
	for _, w := range [...]struct{ what, state string }{{"antenna", p.Antenna}, {"jamming", p.Jamming}, {"spoofing", p.Spoofing}} {
		if w.state != "" {
			parts = append(parts, w.what+" "+w.state)
		}
	}
	if p.LatencyS != nil {
		parts = append(parts, fmt.Sprintf("messages %s after their second", span(*p.LatencyS)))
	}
	if p.Sats != nil && p.Fix != "" {
		parts = append(parts, fmt.Sprintf("fix %s, %d satellites", p.Fix, *p.Sats))
	}
	return strings.Join(parts, ", ")
}

func (p *PulseDetail) text() string {
	if p.OffsetNS == nil {
		return p.Source + ": none compared yet"
	}
	alarm := ""
	if p.Alarm != "" {
		alarm = fmt.Sprintf("; ALARM %s: beyond %s", p.Alarm, nanos(float64(p.LimitNS)))
	}
	return fmt.Sprintf("%s: %s, mean %s, noise %s, %d compared%s", p.Source, signed(*p.OffsetNS), signed(p.MeanNS), nanos(p.NoiseNS), p.Count, alarm)
}

// text lists the next leap second, the source that decides and what each source
// says.
func (l *LeapDetails) text() string {
	next := "none ahead"
	if l.Next != nil {
		change := "deleted before "
		if l.Sign > 0 {
			change = "inserted before "
		}
		next = change + *l.Next + " by " + l.NextBy
	}
	by := "decided by " + l.By
	if l.By == "" {
		by = "no source is in date"
	}
	parts := []string{next, by}
	if l.ReceiverS != nil {
		parts = append(parts, fmt.Sprintf("receiver %d s", *l.ReceiverS))
	}
	for _, x := range l.Sources {
		s := x.Source
		if x.OffsetS != nil {
			s += fmt.Sprintf(" %d s", *x.OffsetS)
		}
		switch {
		case x.Expired:
			s += ", expired on " + x.Expires
		case x.Expires != "":
			s += ", valid until " + x.Expires
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

// text describes the compensation of temperature and ageing.
func (o *OscillatorDetails) text() string {
	var parts []string
	if o.Celsius != nil {
		use := "no effect on the oscillator seen so far"
		if o.TempPPB != 0 {
			use = fmt.Sprintf("%+.3g ppb/K, lag %s", o.TempPPB, span(o.TempLagS))
		}
		if o.Stuck {
			use += ", sensor is stuck: not used"
		}
		parts = append(parts, fmt.Sprintf("%.1f C, %s", *o.Celsius, use))
	}
	if o.AgeingPPB != 0 {
		parts = append(parts, fmt.Sprintf("ageing %+.3g ppb/day", o.AgeingPPB))
	}
	return strings.Join(parts, "; ")
}
