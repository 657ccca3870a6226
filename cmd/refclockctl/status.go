package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"noonmark/phc"
	"noonmark/refclock"
	"noonmark/refclock/status"
)

// report is what status prints. Its JSON keys are a contract.
type report struct {
	State     string   `json:"state"`
	Reason    string   `json:"reason"`
	Usable    bool     `json:"synchronised"` // as clients are told now
	OffsetNS  float64  `json:"offset_ns"`    // clock - reference, + = clock fast
	BoundNS   *int64   `json:"bound_ns"`     // of |clock - true time| now; null: nothing is claimed
	BoundRate float64  `json:"bound_rate_ns_per_s"`
	NoiseNS   float64  `json:"noise_ns"`
	FreqPPB   float64  `json:"freq_ppb"` // correction in force, + = clock made faster
	Stratum   int      `json:"stratum"`
	RefID     string   `json:"refid"`
	Leap      int      `json:"leap"` // leap indicator of RFC 5905; 3: not synchronised
	LeapAt    *string  `json:"leap_at"`
	TAIOffset int32    `json:"tai_offset_s"`
	Time      *string  `json:"time"`           // by the clock, UTC
	RefTime   *string  `json:"reference_time"` // UTC
	Pulse     input    `json:"pulse"`
	Receiver  receiver `json:"receiver"`
	Clock     clockNow `json:"clock"`
	Updates   uint64   `json:"updates"`
	AgeS      float64  `json:"age_s"` // of the snapshot
	PID       uint32   `json:"pid"`

	// From details.json beside the snapshot; empty where that is missing or old.
	Pulses []refclock.PulseDetail `json:"pulses"` // those that are only compared
	Leaps  *refclock.LeapDetails  `json:"leap_sources"`

	Oscillator *refclock.OscillatorDetails `json:"oscillator"`
}

// input is a source and what became of what it said.
type input struct {
	Source   string   `json:"source"`
	Accepted uint64   `json:"accepted"`
	Refused  uint64   `json:"refused"`
	Missed   *uint64  `json:"missed,omitempty"`
	AgeS     *float64 `json:"age_s"` // of the last accepted one
}

// receiver is the source of messages, with what it says of its surroundings;
// a word is missing while it has said nothing.
type receiver struct {
	input
	Antenna  string `json:"antenna,omitempty"`  // ok, open, short
	Jamming  string `json:"jamming,omitempty"`  // none, warning, critical
	Spoofing string `json:"spoofing,omitempty"` // none, warning, critical

	LatencyS *float64 `json:"latency_s"` // from a second to its first message, learned; null: not known
	Fix      string   `json:"fix,omitempty"`
	Sats     *int     `json:"satellites"`
	Label    string   `json:"label_source,omitempty"` // the kind of message that named the second last
}

// newReceiver takes apart the snapshot's text: the port, then " ant=open" and
// the like.
func newReceiver(text string) receiver {
	var r receiver
	words := strings.Split(text, " ")
	for n := len(words) - 1; n > 0; n-- {
		key, value, ok := strings.Cut(words[n], "=")
		switch {
		case ok && key == "ant":
			r.Antenna = value
		case ok && key == "jam":
			r.Jamming = value
		case ok && key == "spf":
			r.Spoofing = value
		default:
			r.Source = strings.Join(words[:n+1], " ")
			return r
		}
	}
	r.Source = words[0]
	return r
}

type clockNow struct {
	Kind     string  `json:"kind"`
	Device   string  `json:"device"`
	PHCIndex int32   `json:"phc_index"` // -1: no PHC
	Epoch    uint32  `json:"epoch"`     // steps so far
	RatePPB  float64 `json:"rate_ppb"`  // against CLOCK_MONOTONIC_RAW
	LineNS   int64   `json:"line_error_ns"`
}

// newReport describes a snapshot at an instant of CLOCK_MONOTONIC_RAW.
func newReport(s *status.Snapshot, mono int64) report {
	now := s.ClockAt(mono)
	r := report{
		State: s.State.String(), Reason: s.Reason, Usable: s.Usable(mono), OffsetNS: s.OffsetNS, BoundRate: s.BoundRate,
		NoiseNS: s.NoiseNS, FreqPPB: s.FreqPPB, Stratum: 16, RefID: strings.TrimRight(string(s.RefID[:]), "\x00"), Leap: 3,
		TAIOffset: s.TAIOffset, Updates: s.Updates, AgeS: seconds(mono - s.Mono), PID: s.PID,
		Pulse:    input{Source: s.Pulse, Accepted: s.Pulses, Refused: s.BadPulses, Missed: &s.Missed},
		Receiver: newReceiver(s.Receiver), Pulses: []refclock.PulseDetail{},
		Clock: clockNow{s.Kind.String(), s.ClockDev, s.PHCIndex, s.Epoch, s.RatePPB, int64(s.LineErr)},
	}
	r.Receiver.Accepted, r.Receiver.Refused = s.Msgs, s.BadMsgs
	if b := s.BoundAt(mono); b < math.MaxInt64 {
		n := int64(b)
		r.BoundNS = &n
	}
	if r.Usable {
		r.Stratum, r.Leap = int(s.Stratum), int(s.LeapIndicator(now))
	}
	utc := func(t time.Time) *string {
		x := t.Format("2006-01-02T15:04:05.000000000Z")
		return &x
	}
	if s.RefTime != 0 {
		r.RefTime = utc(s.RefTime.UTC(s.OffsetAt(s.RefTime)))
		r.Time = utc(now.UTC(s.OffsetAt(now)))
	}
	if s.LeapAt != 0 {
		r.LeapAt = utc(s.LeapAt.UTC(int(s.TAIOffset) + int(s.LeapSign)))
	}
	age := func(m int64) *float64 {
		if m == 0 {
			return nil
		}
		x := seconds(mono - m)
		return &x
	}
	r.Pulse.AgeS, r.Receiver.AgeS = age(s.PulseMono), age(s.MsgMono)
	return r
}

// staleDetails is the age from which details are not shown: they are written
// every second.
const staleDetails = 10e9 // ns

// addDetails adds what refclockd writes beside the snapshot at path, if it is
// the same process's and fresh. It is no error that there is none: an older
// refclockd wrote nothing there.
func (r *report) addDetails(path string, mono int64) {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(path), refclock.DetailsName))
	if err != nil {
		return
	}
	var d refclock.Details
	if json.Unmarshal(b, &d) != nil || d.PID != int(r.PID) || mono-d.Mono > staleDetails || d.Mono > mono+1e9 {
		return
	}
	r.Pulses, r.Leaps, r.Oscillator = d.Pulses, &d.Leap, &d.Oscillator
	r.Receiver.LatencyS, r.Receiver.Fix, r.Receiver.Sats, r.Receiver.Label = d.LatencyS, d.Fix, &d.Sats, d.Sources
}

// seconds are shown in ms.
func seconds(ns int64) float64 { return math.Round(float64(ns)*1e-6) * 1e-3 }

// text writes the report for people.
func (r report) text(w io.Writer) {
	show := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s "+format+"\n", append([]any{name}, args...)...)
	}
	show("state", "%s (%s)", r.State, r.Reason)
	if r.BoundNS != nil {
		show("offset", "%+.0f ns measured, within %v of true time", r.OffsetNS, time.Duration(*r.BoundNS))
	} else {
		show("offset", "%+.0f ns measured, nothing claimed", r.OffsetNS)
	}
	show("frequency", "%+.3f ppb correction, noise %.1f ns", r.FreqPPB, r.NoiseNS)
	if o := r.Oscillator; o != nil && (o.Celsius != nil || o.AgeingPPB != 0) {
		show("oscillator", "%s", oscillatorText(o))
	}
	show("clients", "stratum %d, refid %s, leap %d", r.Stratum, r.RefID, r.Leap)
	if r.Time != nil {
		show("time", "%s, TAI-UTC %d s", *r.Time, r.TAIOffset)
	}
	inp := func(name string, i input) {
		age := "none accepted yet"
		if i.AgeS != nil {
			age = fmt.Sprintf("last %.3f s ago", *i.AgeS)
		}
		miss := ""
		if i.Missed != nil {
			miss = fmt.Sprintf(", %d missed", *i.Missed)
		}
		show(name, "%s: %d accepted, %d refused%s, %s", i.Source, i.Accepted, i.Refused, miss, age)
	}
	inp("pulse", r.Pulse)
	inp("receiver", r.Receiver.input)
	var says []string
	for _, w := range [...]struct{ what, is string }{{"antenna", r.Receiver.Antenna}, {"jamming", r.Receiver.Jamming}, {"spoofing", r.Receiver.Spoofing}} {
		if w.is != "" {
			says = append(says, w.what+" "+w.is)
		}
	}
	if r.Receiver.LatencyS != nil {
		says = append(says, fmt.Sprintf("messages %.0f ms after their second", *r.Receiver.LatencyS*1e3))
	}
	if r.Receiver.Sats != nil && r.Receiver.Fix != "" {
		says = append(says, fmt.Sprintf("fix %s, %d satellites", r.Receiver.Fix, *r.Receiver.Sats))
	}
	if says != nil {
		show("", "%s", strings.Join(says, ", "))
	}
	for _, p := range r.Pulses {
		if p.OffsetNS == nil {
			show("compared", "%s: none compared yet", p.Source)
			continue
		}
		alarm := ""
		if p.Alarm != "" {
			alarm = fmt.Sprintf("; ALARM %s: beyond %v", p.Alarm, time.Duration(p.LimitNS))
		}
		show("compared", "%s: %+.0f ns, mean %+.0f ns, noise %.0f ns, %d compared%s", p.Source, *p.OffsetNS, p.MeanNS, p.NoiseNS, p.Count, alarm)
	}
	if r.Leaps != nil {
		show("leap", "%s", leapText(r.Leaps))
		if w := r.Leaps.Warnings; len(w) > 0 {
			show("", "WARNING %s", strings.Join(w, ", "))
		}
	}
	show("clock", "%s %s, epoch %d, line within %v", r.Clock.Kind, r.Clock.Device, r.Clock.Epoch, time.Duration(r.Clock.LineNS))
	if r.AgeS > 2 {
		show("age", "%.1f s: refclockd does not publish any more", r.AgeS)
	}
}

// leapText says who decides about leap seconds, and what each source says.
func leapText(l *refclock.LeapDetails) string {
	var says []string
	if l.ReceiverS != nil {
		says = append(says, fmt.Sprintf("receiver %d s", *l.ReceiverS))
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
			s += ", good until " + x.Expires
		}
		says = append(says, s)
	}
	next := "none ahead"
	if l.Next != nil {
		next = map[bool]string{true: "inserted before ", false: "left out before "}[l.Sign > 0] + *l.Next + " by " + l.NextBy
	}
	by := "decided by " + l.By
	if l.By == "" {
		by = "nobody vouches for it"
	}
	return strings.Join(append([]string{next, by}, says...), "; ")
}

// oscillatorText says what is counted with of temperature and age.
func oscillatorText(o *refclock.OscillatorDetails) string {
	var says []string
	if o.Celsius != nil {
		use := "tells nothing of the oscillator so far"
		if o.TempPPB != 0 {
			use = fmt.Sprintf("%+.3g ppb/K, %.0f s behind", o.TempPPB, o.TempLagS)
		}
		if o.Stuck {
			use += ", stands still: not used"
		}
		says = append(says, fmt.Sprintf("%.1f C, %s", *o.Celsius, use))
	}
	if o.AgeingPPB != 0 {
		says = append(says, fmt.Sprintf("ageing %+.3g ppb/day", o.AgeingPPB))
	}
	return strings.Join(says, "; ")
}

// runStatus is the status command.
func runStatus(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("refclockctl status", flag.ContinueOnError)
	fl.SetOutput(stderr)
	asJSON := fl.Bool("json", false, "print one JSON object")
	watch := fl.Bool("watch", false, "print again every second until interrupted")
	path := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if fl.NArg() > 0 {
		fmt.Fprintf(stderr, "refclockctl: status takes no argument %q\n", fl.Arg(0))
		return exitUsage
	}
	stop := make(chan os.Signal, 1)
	if *watch {
		signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(stop)
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		err := printStatus(*path, *asJSON, stdout)
		if err != nil {
			fmt.Fprintf(stderr, "refclockctl: %v\n", err)
		}
		if !*watch {
			return statusExit(err)
		}
		select {
		case <-stop:
			return exitOK
		case <-t.C:
		}
	}
}

func statusExit(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, fs.ErrPermission):
		return exitNoPerm
	case errors.Is(err, errOutput):
		return exitSoftware
	}
	return exitUnavailable
}

var errOutput = errors.New("write output")

func printStatus(path string, asJSON bool, w io.Writer) error {
	rd, err := status.Open(path)
	if err != nil {
		return err
	}
	defer rd.Close()
	var s status.Snapshot
	if err := rd.LoadAll(&s); err != nil {
		return err
	}
	mono := phc.MonoRaw()
	r := newReport(&s, mono)
	r.addDetails(path, mono)
	if !asJSON {
		r.text(w)
		return nil
	}
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}
