// Package leap decides about leap seconds: which table is in force, which
// instant a receiver's message labels, and whether the receiver can know its leap
// count. It is pure: it reads no clock, logs nothing and starts no goroutine.
package leap

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
)

const (
	// announcementLife is how long what a receiver announced counts.
	announcementLife = 24 * time.Hour
	// warnEvery is how often a lasting warning is repeated.
	warnEvery = 24 * time.Hour
	// leapMargin is the time around a leap second in which a receiver's count is not
	// compared: the receiver may change it with another message of the same second.
	leapMargin = 5 * tai.Second
	// weighEvery is how often the sources are weighed anew without news: tables
	// expire by the day.
	weighEvery = time.Minute
)

// Result is what a message, new tables or the time that passed led to.
type Result struct {
	Label     tai.Time       // the instant that the message labels; 0: it labels none that is to be used
	Table     *tai.Table     // the table in force, if it is another one than before; else nil
	Recounted bool           // the present TAI - UTC is another one than before
	Events    []reason.Event // to be counted and logged, in order
}

func (r *Result) note(e reason.Event) { r.Events = append(r.Events, e) }

// Authority decides about leap seconds. It is for one goroutine.
type Authority struct {
	proof        Proof
	sources      sources
	candidate    candidate
	confirmation confirmation
	labels       labels

	table   *tai.Table // in force
	second  second
	status  Status // as of the last weighing
	weighed int64  // mono of the last weighing, 0: none yet
	last    lastLabel
	warned  warned
	result  Result // under construction
}

// second is whether the clock had a second at the last input.
type second bool

// freed takes an input, and reports whether the clock has given up its second: the present
// offset need not stay as it was for that any more.
func (s *second) freed(in *reading.Clocks) bool {
	was := *s
	*s = second(!in.Unlocked)
	return bool(was) && in.Unlocked
}

// lastLabel is the latest valid label.
type lastLabel struct {
	time tai.Time // 0: none yet
	mono int64
}

// date returns roughly what time it is, by the best of what is known; 0: nothing
// is.
func (l *lastLabel) date(in *reading.Clocks) tai.Time {
	switch {
	case in.Tracked:
		return in.Clock
	case l.time != 0:
		return l.time + tai.Time(in.Mono-l.mono)
	}
	return 0
}

// Earlier is what an earlier run of the program knew of leap seconds. The zero value knows
// nothing.
type Earlier struct {
	// Leaps are in the order of time: a receiver may have announced them, or its labels may
	// have shown them. Where no source has a vote they count, if they are later than those
	// of the table that expired last.
	Leaps   []tai.Leap
	Applied int // as in Status: labels that move then are not those of a count that is applied late
}

// New returns an Authority with tables of leap seconds in their order of trust,
// at least one. Until the date is known the first is in force. proof says what
// evidence of the leap count the first lock waits for.
func New(tables []*tai.Table, proof Proof, before Earlier) *Authority {
	return &Authority{proof: proof, sources: sources{tables: tables, earlier: before.Leaps}, labels: labels{earlier: before.Applied}, table: tables[0]}
}

// Table returns the table in force.
func (a *Authority) Table() *tai.Table { return a.table }

// TableEnd returns when the last of the tables expires, 0 if that is not known.
func (a *Authority) TableEnd() tai.Time {
	end := a.sources.latest().Expires
	if end.IsZero() {
		return 0
	}
	return tai.FromUnix(end.Unix(), 0, a.table.OffsetUTC(end.Unix()))
}

// Status returns what is known of the sources of leap seconds.
func (a *Authority) Status() Status {
	s := a.status
	s.Receiver, s.Applied = a.sources.broadcast.offset, a.labels.applied(a.confirmation.now)
	s.Unconfirmed = a.confirmation.waits(a.proof)
	if s.Unconfirmed {
		_, s.Remedy = a.confirmation.explain()
	}
	if a.confirmation.firstLabel != 0 {
		s.Confirmed, _ = a.confirmation.confirmed(a.proof)
	}
	s.Undecided = s.Undecided || a.candidate.open
	s.Refused = a.candidate.refused != 0
	return s
}

// Alarms returns the reasons why the reference cannot be trusted about leap
// seconds before the first lock.
func (a *Authority) Alarms() (codes []reason.Code) {
	if a.confirmation.waits(a.proof) {
		codes = append(codes, reason.LeapUnconfirmed)
	}
	if a.status.Undecided {
		codes = append(codes, reason.LeapContradicted)
	}
	return codes
}

// Undecided reports whether a leap second is being examined that only the labels
// show: UTC must not be served.
func (a *Authority) Undecided() bool { return a.candidate.open }

// ClockDoubted reports whether the clock lost its lock in contradiction to the
// receiver: what it shows confirms nothing.
func (a *Authority) ClockDoubted() bool { return a.confirmation.clockDoubted }

// SetTables replaces the configured tables, in their order of trust, at least
// one. It may change the present TAI - UTC.
func (a *Authority) SetTables(tables []*tai.Table, in reading.Clocks) Result {
	a.sources.tables = tables
	a.weigh(&in, true)
	return a.finish()
}

// WitnessesAgree takes that the required witnesses have confirmed the second.
func (a *Authority) WitnessesAgree(mono int64) {
	a.confirmation.add(witnessesAgree, "witnesses", mono)
}

// Relock takes that the lock was discarded on an operator's order: what the clock
// shows confirms nothing, and what confirmed the receiver's count must be found
// anew.
func (a *Authority) Relock() { a.confirmation.discard() }

// Tick takes the time that passed. It is to be called at least once a minute.
func (a *Authority) Tick(in reading.Clocks) Result {
	a.confirmation.tick(&in)
	a.wait()
	if a.second.freed(&in) || a.weighed == 0 || in.Mono-a.weighed >= int64(weighEvery) {
		a.weigh(&in, false)
	}
	return a.finish()
}

// Message takes a message of the receiver, with the clocks when its epoch began.
// dated: it labels an instant whose date is plausible.
func (a *Authority) Message(m *gnss.Message, in reading.Clocks, dated bool) Result {
	a.confirmation.tick(&in)
	applied := m.LeapOffset == 0 || a.labels.says(m.LeapOffset, m.Mono)
	if a.confirmation.message(m, applied) {
		a.labels.own, a.labels.next, a.labels.left = 0, 0, 0
	}
	decoded := a.table
	b := &a.sources.broadcast
	news, next := b.announced(m)
	if news && next.UTC != 0 {
		a.result.note(reason.Event{Text: "leap second announced by the receiver", Fields: []any{"at", time.Unix(next.UTC, 0).UTC(), "sign", next.Offset, "source", m.LeapSource}})
	}
	if m.LeapOffset != 0 {
		news = b.counted(m) || news
	}
	if a.second.freed(&in) || news || a.weighed == 0 {
		a.weigh(&in, false)
	}
	if dated {
		a.dated(m, &in, decoded)
	}
	a.wait()
	return a.finish()
}

// dated takes the label of a message that has one.
func (a *Authority) dated(m *gnss.Message, in *reading.Clocks, decoded *tai.Table) {
	switch {
	case !m.Valid:
	case !m.Uniform:
		a.labels.follow(m, in, decoded)
	case a.labels.onlyUniform(m, in, a.table):
		if n := a.sources.receiver(in.Mono); n != 0 {
			a.explained(in, n-a.table.Offset(in.Clock))
		}
	}
	label := a.label(m, in, decoded)
	if m.Valid {
		a.confirmation.second(m, label, in, a.proof, a.result.Table != nil)
	}
	if a.confirmation.ignores(m, a.proof) {
		return
	}
	a.result.Label = label
	if m.Valid {
		a.last.time, a.last.mono = label, in.Mono
	}
}

// wait reports when the lock waits for evidence of the leap count.
func (a *Authority) wait() {
	if a.confirmation.watch(a.proof) {
		fields, remedy := a.confirmation.explain()
		a.result.note(reason.Event{Code: reason.LeapUnconfirmed, Fields: append(fields, "remedy", remedy)})
	}
}

// nearLeap reports whether t is so near a leap second that counts may differ.
func nearLeap(table *tai.Table, t tai.Time) bool {
	return t == 0 || table.Offset(t-leapMargin) != table.Offset(t+leapMargin)
}

// weigh decides which table is in force. While the clock has a second, be it in dispute,
// the present offset stays as it is, unless free: an operator's new tables, or what the
// receiver's labels did to a tracked clock, may change it. The second was labelled by that
// offset, and is right in UTC with no other one.
func (a *Authority) weigh(in *reading.Clocks, free bool) {
	t := a.last.date(in)
	if t == 0 || !free && nearLeap(a.table, t) {
		return // the receiver may have changed its count only in some messages
	}
	keep, first := 0, a.weighed == 0
	was := a.table.Offset(t)
	if !in.Unlocked && !free {
		keep = was
	}
	a.weighed = in.Mono
	if tb := a.sources.table(t, keep, in.Mono); !same(tb, a.table) {
		a.table, a.result.Table = tb, tb
	}
	if is := a.table.Offset(t); is != was {
		if !first { // nothing was labelled by the count before
			a.result.Recounted = true
			a.confirmation.recounted()
		}
		a.result.note(reason.Event{Text: "TAI-UTC changed", Warn: true, Fields: []any{"was_s", was, "is_s", is, "table", a.table.Source}})
	}
	a.status = a.sources.status(a.table, t, !in.Unlocked, in.Mono)
	a.status.Disagree = a.status.Disagree || a.candidate.refused != 0
	a.result.Events = append(a.result.Events, a.warned.due(&a.status, in.Mono)...)
}

// warned is when the latest warnings were given, CLOCK_MONOTONIC_RAW; 0: the cause
// is gone.
type warned struct{ disagree, expired int64 }

// due returns the warnings that are due now, each once a day: that the sources
// disagree, and that every table has expired. What there is goes on being used.
func (w *warned) due(s *Status, now int64) (all []reason.Event) {
	again := func(is bool, last *int64) bool {
		switch {
		case !is:
			*last = 0
		case *last == 0 || now-*last > int64(warnEvery):
			*last = now
			return true
		}
		return false
	}
	if again(s.Disagree, &w.disagree) {
		fields := []any{"counted_with_s", s.Offset, "by", s.Followed}
		if s.Receiver != 0 {
			fields = append(fields, "receiver_says_s", s.Receiver)
		}
		for _, x := range s.Tables {
			fields = append(fields, "source", x.Name, "says_s", x.Offset, "expired", x.Expired)
		}
		if s.NextSign != 0 {
			fields = append(fields, "next", s.Next.Format(time.DateOnly), "sign", s.NextSign, "next_by", s.NextSource)
		}
		all = append(all, reason.Event{Code: reason.LeapDisagrees, Fields: fields})
	}
	if again(s.Expired, &w.expired) {
		all = append(all, reason.Event{Code: reason.LeapExpired, Fields: []any{"table", s.Source, "expired", s.Expires.Format(time.DateOnly),
			"remedy", "fetch a newer leap-seconds.list; until then the receiver's announcements count"}})
	}
	return all
}

// finish returns the result and begins a new one.
func (a *Authority) finish() Result {
	r := a.result
	a.result = Result{}
	return r
}
