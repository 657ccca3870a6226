package receiver

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

const (
	// silentAfter is the time without input after which a port is silent.
	silentAfter = 10 * time.Second
	// octetSpan is how long, ns, octets are looked at before they are judged: several
	// bursts of a receiver that sends once a second.
	octetSpan = 10e9
	// messageSpan is the same for messages, some of which come less often.
	messageSpan = 30e9
	// fewOctets are too few to be judged.
	fewOctets = 32
	// manyDamaged are more damaged frames than the start of the stream explains.
	manyDamaged = 5
	// fewMessages is the number of messages from which they are judged.
	fewMessages = 3
)

// conditions are what a watch reports, the one that explains most first.
var conditions = [...]reason.Code{
	reason.PortMissing, reason.PortGone, reason.PortConsole, reason.PortShared, reason.PortSilent, reason.PortNoChecksum, reason.PortDamaged,
	reason.PortProtocol, reason.PortRateUnknown, reason.MessageNoDate, reason.ReceiverNoFix, reason.PortSlow,
}

// watch finds out why a receiver's port is of no use: what its octets look like
// while they form no valid frame, and what its messages lack.
type watch struct {
	protocol string                 // the only one whose messages are used; empty: all are
	details  map[reason.Code]string // of the conditions that hold
	changed  bool                   // since report

	heard int64 // CLOCK_MONOTONIC_RAW (ns) of the last octets, or of the first read; 0: there was none

	octets struct { // at one rate
		since  int64
		look   Look
		before counts
	}
	tried []attempt // the rates at which no valid frame came

	messages struct {
		since  int64
		kinds  map[string]bool // of message that came: true: it named a time of day
		all    int             // messages
		count  int             // of them, those that named a time of day
		dated  bool            // a kind of message has a date
		fixes  int             // messages that reported whether there is a fix
		fix    bool            // one of them had one
		latest gnss.Fix
		sats   int
	}
}

// attempt is what came at a rate.
type attempt struct {
	baud int
	look Look
	took time.Duration
	counts
}

// counts are how many frames came.
type counts struct {
	valid   uint64 // of the protocols that are used
	other   uint64 // valid ones of others
	damaged uint64
	bare    uint64 // sentences without checksum
}

func (w *watch) count(c *gnss.Counters) counts {
	n := counts{c.AllFrames(), 0, c.Of(gnss.BadChecksum) + c.Of(gnss.Truncated) + c.Of(gnss.BadCharacter), c.Of(gnss.MissingChecksum)}
	if w.protocol != "" {
		n.valid, n.other = c.FramesOf(w.protocol), n.valid-c.FramesOf(w.protocol)
	}
	return n
}

func (c counts) since(before counts) counts {
	return counts{c.valid - before.valid, c.other - before.other, c.damaged - before.damaged, c.bare - before.bare}
}

func newWatch(protocol string) *watch {
	return &watch{protocol: protocol, details: map[reason.Code]string{}}
}

// reset says that the port was opened.
func (w *watch) reset() {
	w.heard, w.tried = 0, nil
	w.clear(reason.PortMissing, reason.PortGone)
}

// start is called before each read. The first one after reset begins anew.
func (w *watch) start(c *gnss.Counters, mono int64) {
	if w.heard == 0 {
		w.heard = mono
		w.restart(c, mono)
		w.restartMessages(mono)
	}
}

// lost says that the port is not open. Nothing is known of its octets then.
func (w *watch) lost(code reason.Code, err error) {
	for _, c := range conditions {
		if c != code && c != reason.PortConsole && c != reason.PortShared {
			w.clear(c)
		}
	}
	detail := ""
	if err != nil {
		detail = err.Error()
	}
	w.set(code, detail)
}

// Users are the programs, but for this one, that use the receiver's port.
type Users struct {
	Programs []string
	Console  bool // one of them is a console or a login prompt
}

// users takes who uses the port. It returns the conditions that begin.
func (w *watch) users(u Users) (begin []reason.Code) {
	code, other := reason.PortShared, reason.PortConsole
	if u.Console {
		code, other = other, code
	}
	w.clear(other)
	if len(u.Programs) == 0 {
		w.clear(code)
	} else if w.set(code, strings.Join(u.Programs, ", ")) {
		begin = append(begin, code)
	}
	return begin
}

// set begins a condition or changes what is said of it. It reports whether the
// condition is new.
func (w *watch) set(code reason.Code, detail string) (begins bool) {
	was, on := w.details[code]
	w.details[code] = detail
	w.changed = w.changed || !on || was != detail
	return !on
}

// countAll counts conditions that begin.
func countAll(count func(reason.Code), codes ...reason.Code) {
	for _, c := range codes {
		if c != reason.None {
			count(c)
		}
	}
}

// clear ends conditions.
func (w *watch) clear(codes ...reason.Code) {
	for _, c := range codes {
		if _, on := w.details[c]; on {
			delete(w.details, c)
			w.changed = true
		}
	}
}

// report returns the conditions that hold, and whether they are others than at the
// last call.
func (w *watch) report() (now []reason.Condition, changed bool) {
	changed, w.changed = w.changed, false
	for _, c := range conditions {
		if d, on := w.details[c]; on {
			now = append(now, reason.Condition{Code: c, Detail: d})
		}
	}
	return now, changed
}

// troubled reports whether the octets of the port seem to be damaged or of no use.
func (w *watch) troubled() bool {
	for _, c := range [...]reason.Code{reason.PortSilent, reason.PortDamaged, reason.PortProtocol, reason.PortRateUnknown, reason.PortConsole, reason.PortShared} {
		if _, on := w.details[c]; on {
			return true
		}
	}
	return false
}

// read takes the octets of a read at mono, and the decoder's counters after it.
// It returns the conditions that begin.
func (w *watch) read(b []byte, c *gnss.Counters, baud int, mono int64) (begin []reason.Code) {
	if len(b) > 0 {
		w.heard = mono
		w.clear(reason.PortSilent)
	}
	if mono-w.heard >= int64(silentAfter) && w.set(reason.PortSilent, "nothing came"+at(baud)) {
		begin = append(begin, reason.PortSilent)
	}
	if w.count(c).valid == w.octets.before.valid {
		w.octets.look.Add(b)
	} else {
		w.tried = nil
		w.clear(reason.PortProtocol, reason.PortRateUnknown, reason.PortNoChecksum)
	}
	return begin
}

// at writes a rate, if there is one.
func at(baud int) string {
	if baud == 0 {
		return ""
	}
	return fmt.Sprintf(" at %d baud", baud)
}

// due reports whether enough octets were looked at.
func (w *watch) due(mono int64) bool { return mono-w.octets.since >= octetSpan }

// judge judges the octets that came at a rate, one of so many that are tried in
// turn. It returns the condition that begins, None if none does.
func (w *watch) judge(c *gnss.Counters, baud, rates int, mono int64) (begins reason.Code) {
	o, n := &w.octets, w.count(c).since(w.octets.before)
	switch {
	case n.valid > 0 && n.damaged >= manyDamaged && n.damaged >= n.valid/4:
		if w.set(reason.PortDamaged, fmt.Sprintf("%d frames of %d%s", n.damaged, n.damaged+n.valid, at(baud))) {
			begins = reason.PortDamaged
		}
	case n.valid > 0:
		w.clear(reason.PortDamaged)
	case n.other > 0:
		begins = w.only(reason.PortProtocol, fmt.Sprintf("%d frames of other protocols than receiver.protocol = %q%s", n.other, w.protocol, at(baud)))
	case o.look.Octets() >= fewOctets:
		w.tried = slices.DeleteFunc(w.tried, func(a attempt) bool { return a.baud == baud })
		w.tried = append(w.tried, attempt{baud, o.look, time.Duration(mono - o.since), n})
		if len(w.tried) >= rates {
			begins = w.conclude()
			w.tried = nil
		}
	}
	w.restart(c, mono)
	return begins
}

// restart begins to look at octets anew.
func (w *watch) restart(c *gnss.Counters, mono int64) {
	w.octets.since, w.octets.look, w.octets.before = mono, Look{}, w.count(c)
}

// conclude says what is wrong after all rates were tried.
func (w *watch) conclude() (begins reason.Code) {
	code, detail := reason.PortRateUnknown, ""
	for _, a := range w.tried {
		known := a.look.Known()
		switch {
		case a.bare >= fewMessages:
			return w.only(reason.PortNoChecksum, fmt.Sprintf("%d sentences in %v%s", a.bare, a.took.Round(time.Second), at(a.baud)))
		case known == damagedNMEA, known == damagedUBX:
			code, detail = reason.PortDamaged, a.look.Describe(a.took)+at(a.baud)
		case code == reason.PortRateUnknown && (known != "" || a.look.Text()):
			code, detail = reason.PortProtocol, a.look.Describe(a.took)+at(a.baud)
		}
	}
	if code == reason.PortRateUnknown {
		var rates []string
		for _, a := range w.tried {
			rates = append(rates, fmt.Sprint(a.baud))
		}
		last := &w.tried[len(w.tried)-1]
		detail = last.look.Describe(last.took) + at(last.baud) + "; tried " + strings.Join(rates, ", ")
	}
	return w.only(code, detail)
}

// only sets the one of the conditions of octets that applies.
func (w *watch) only(code reason.Code, detail string) (begins reason.Code) {
	for _, c := range [...]reason.Code{reason.PortNoChecksum, reason.PortDamaged, reason.PortProtocol, reason.PortRateUnknown} {
		if c != code {
			w.clear(c)
		}
	}
	if w.set(code, detail) {
		return code
	}
	return reason.None
}

// message takes a message.
func (w *watch) message(m *gnss.Message) {
	x := &w.messages
	x.all++
	if x.kinds[m.Source] = x.kinds[m.Source] || m.HasTimeOfDay; m.HasTimeOfDay {
		x.count++
	}
	if m.HasSats {
		x.sats = m.Sats
	}
	if x.dated = x.dated || m.Dated; m.Dated {
		w.clear(reason.MessageNoDate)
	}
	if m.Fix == gnss.FixUnknown || m.FixRepeated {
		return
	}
	x.fixes++
	x.latest = m.Fix
	if m.Fix.Good() {
		x.fix = true
		w.clear(reason.ReceiverNoFix)
	}
}

// judgeMessages judges the messages of a while. It returns the conditions that
// begin.
func (w *watch) judgeMessages(mono int64) (begin []reason.Code) {
	x := &w.messages
	if mono-x.since < messageSpan {
		return nil
	}
	set := func(code reason.Code, detail string) {
		if w.set(code, detail) {
			begin = append(begin, code)
		}
	}
	switch {
	case x.dated:
	case x.count >= fewMessages && x.fix:
		set(reason.MessageNoDate, "only "+w.kinds(true)+": these have a time of day and no date")
	case x.count == 0 && x.all >= fewMessages && (x.fix || x.fixes == 0): // without a fix it may not know the time yet
		set(reason.MessageNoDate, "only "+w.kinds(false)+": these name neither a time of day nor a date")
	}
	if x.fixes >= fewMessages && !x.fix {
		set(reason.ReceiverNoFix, fmt.Sprintf("fix %v, %d satellites used", x.latest, x.sats))
	}
	w.restartMessages(mono)
	return begin
}

// kinds lists the kinds of message that named a time of day, or that did not.
func (w *watch) kinds(timed bool) string {
	var kinds []string
	for k, is := range w.messages.kinds {
		if is == timed {
			kinds = append(kinds, k)
		}
	}
	slices.Sort(kinds)
	return strings.Join(kinds, ", ")
}

func (w *watch) restartMessages(mono int64) {
	w.messages.since, w.messages.kinds, w.messages.all = mono, map[string]bool{}, 0
	w.messages.count, w.messages.dated, w.messages.fixes, w.messages.fix = 0, false, 0, false
}
