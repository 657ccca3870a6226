package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// silentAge is the age of a snapshot, s, from which its writer has stopped: it
// writes at least four times a second.
const silentAge = 2

// WriteText writes the status for people, a line a topic.
func (r *Status) WriteText(w io.Writer) {
	show := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s "+format+"\n", append([]any{name}, args...)...)
	}
	show("state", "%s (%s)", r.State, r.Reason)
	if r.Remedy != "" {
		show("remedy", "%s", r.Remedy)
	}
	for i := range r.Conditions {
		c := &r.Conditions[i]
		show("problem", "%s for %v: %s", c.Reason, time.Duration(c.SinceS*1e9).Round(time.Second), c.Detail)
		if c.Remedy != r.Remedy {
			show("", "remedy: %s", c.Remedy)
		}
	}
	bound := "no error bound"
	if r.BoundNS != nil {
		bound = fmt.Sprintf("within %v of true time", time.Duration(*r.BoundNS))
	}
	show("offset", "%+.0f ns measured, %s", r.OffsetNS, bound)
	if l := r.Lock; l != nil && l.JumpNS > 0 {
		show("", "the bound contains a jump of the pulses of %v that nothing explains", time.Duration(l.JumpNS))
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
	if self := r.Receiver.self(); self != "" {
		show("", "%s", self)
	}
	for i := range r.Pulses {
		show("compared", "%s", r.Pulses[i].text())
	}
	if r.Leaps != nil {
		show("leap", "%s", r.Leaps.text())
		if by := r.Leaps.Confirmed; by != "" {
			show("", "receiver's count confirmed by %s", by)
		}
		if w := r.Leaps.Warnings; len(w) > 0 {
			show("", "WARNING %s", strings.Join(w, ", "))
		}
	}
	show("clock", "%s %s, generation %d, model within %v", r.Clock.Kind, r.Clock.Device, r.Clock.Epoch, time.Duration(r.Clock.LineNS))
	if r.AgeS > silentAge {
		show("age", "%.1f s: refclockd does not publish any more", r.AgeS)
	}
}

func (i *Input) text() string {
	last := "none accepted yet"
	if i.AgeS != nil {
		last = fmt.Sprintf("last %.3f s ago", *i.AgeS)
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
		parts = append(parts, fmt.Sprintf("messages %.0f ms after their second", *p.LatencyS*1e3))
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
		alarm = fmt.Sprintf("; ALARM %s: beyond %v", p.Alarm, time.Duration(p.LimitNS))
	}
	return fmt.Sprintf("%s: %+.0f ns, mean %+.0f ns, noise %.0f ns, %d compared%s", p.Source, *p.OffsetNS, p.MeanNS, p.NoiseNS, p.Count, alarm)
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
			use = fmt.Sprintf("%+.3g ppb/K, lag %.0f s", o.TempPPB, o.TempLagS)
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
