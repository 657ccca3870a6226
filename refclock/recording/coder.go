package recording

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"slices"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/witness"
)

// Tags of records.
const (
	tagHeader = iota + 1
	tagState
	tagPortStarted
	tagOctets
	tagPulseEnabled
	tagStamp
	tagEdge
	tagStep
	tagDropped
	tagReading
)

// Kinds of inputs, in the low bits of a step's flags.
const (
	inputTick = iota
	inputMessage
	inputEdge
	inputCompared
	inputSettings
	inputAlarm
	inputConfirmed
	inputRelock
	inputPort = 0x80

	inputMask = inputPort | 7
)

// Flags of a step.
const (
	stepSlept = 8 << iota
	stepDisciplined
	stepCelsius
	stepCalls
)

// base is what numbers are given relative to, so that they are short. Writer and
// reader keep the same one; each frame begins with the zero base.
type base struct {
	mono   int64 // of the last instant
	octets int64 // mono of the last octets
	edge   int64 // mono of the last edge or stamp

	stamp, clock, real int64 // less mono, of the last stamp, edge or reading
	width              int64
	seq                uint32

	slept       time.Duration
	disciplined bool
	celsiusMono int64
}

// encoder appends records to a frame.
type encoder struct {
	base
	b []byte
}

func (e *encoder) tag(t byte)               { e.b = append(e.b, t) }
func (e *encoder) int(v int64)              { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) uint(v uint64)            { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) float(v float64)          { e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(v)) }
func (e *encoder) octets(v []byte)          { e.uint(uint64(len(v))); e.b = append(e.b, v...) }
func (e *encoder) text(v string)            { e.octets([]byte(v)) }
func (e *encoder) instant(v int64)          { e.int(v - e.mono); e.mono = v }
func (e *encoder) rel(last *int64, v int64) { e.int(v - *last); *last = v }

func (e *encoder) bool(v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	e.b = append(e.b, b)
}

// json appends a value as JSON. Values that JSON cannot have are a mistake of the
// caller and come out as null.
func (e *encoder) json(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("null")
	}
	e.octets(b)
}

// record appends one record.
func (e *encoder) record(r Record) {
	switch r := r.(type) {
	case *Header:
		e.tag(tagHeader)
		e.json(r)
	case *State:
		e.tag(tagState)
		e.json(r)
		e.mono, e.slept, e.disciplined, e.celsiusMono = r.Mono, r.Slept, r.Disciplined, r.CelsiusMono
	case *PortStarted:
		e.tag(tagPortStarted)
		e.bool(r.Settable)
	case *Octets:
		e.tag(tagOctets)
		e.instant(r.Mono)
		e.base.octets = r.Mono
		e.octets(r.Data)
	case *PulseEnabled:
		e.tag(tagPulseEnabled)
		e.json(&r.Grant)
	case *Stamp:
		e.tag(tagStamp)
		e.stampedEvent(&r.Event)
	case *Edge:
		e.tag(tagEdge)
		e.fullEdge(&r.Edge)
	case *Dropped:
		e.tag(tagDropped)
		e.bool(r.Edge)
	case *witness.Reading:
		e.tag(tagReading)
		e.reading(r)
	case *Step:
		e.tag(tagStep)
		e.step(r)
	}
}

func (e *encoder) stampedEvent(x *phc.ExtTSEvent) {
	e.instant(x.Mono)
	e.edge = x.Mono
	e.rel(&e.stamp, int64(x.Clock)-x.Mono)
	e.uint(uint64(x.Channel)<<1 | flag(x.Offset, 1))
}

func (e *encoder) fullEdge(x *pps.Edge) {
	e.instant(x.Mono)
	e.edge = x.Mono
	e.tag(byte(flag(x.Scale == pps.Clock, 1) | flag(x.Rising, 2) | flag(x.Other != 0, 4)))
	e.rel(&e.stamp, x.Stamp-x.Mono)
	e.int(int64(x.Seq - e.seq))
	e.seq = x.Seq
	if x.Other != 0 {
		e.int(int64(x.Other))
	}
}

func (e *encoder) reading(r *witness.Reading) {
	e.tag(byte(r.Kind))
	e.instant(r.Mono)
	switch r.Kind {
	case witness.Answered:
		e.text(r.Name)
		e.int(r.Of - r.Mono)
		e.int(r.Answer.Mono - r.Mono)
		e.int(r.Answer.UTC - r.Answer.Mono)
		e.int(int64(r.Answer.Error))
	case witness.Silent:
		e.text(r.Name)
		e.text(r.Err.Error())
	}
}

// flag returns bit if v is set.
func flag(v bool, bit uint64) uint64 {
	if v {
		return bit
	}
	return 0
}

// step appends a step.
func (e *encoder) step(s *Step) {
	kind, in := inputTick, &s.Input
	switch {
	case s.TakesMessage:
		kind = inputMessage
	case s.TakesEdge:
		kind = inputEdge
	case in.Compared != nil:
		kind = inputCompared
	case in.Settings != nil:
		kind = inputSettings
	case in.Alarm != nil:
		kind = inputAlarm
	case in.Confirmed != nil:
		kind = inputConfirmed
	case in.Relock:
		kind = inputRelock
	case in.Port != nil:
		kind = inputPort
	}
	slept, disciplined, celsius := s.Slept != e.slept, s.Disciplined != e.disciplined, s.CelsiusMono != e.celsiusMono
	e.tag(byte(uint64(kind) | flag(slept, stepSlept) | flag(disciplined, stepDisciplined) | flag(celsius, stepCelsius) | flag(len(s.Calls) > 0, stepCalls)))
	e.instant(s.Mono)
	switch kind {
	case inputMessage:
		e.int(s.Of - e.base.octets)
	case inputEdge:
		e.int(s.Of - e.edge)
	case inputCompared:
		e.uint(uint64(in.Compared.Index))
		e.fullEdge(&in.Compared.Edge)
	case inputSettings:
		e.json(in.Settings)
	case inputAlarm:
		e.text(in.Alarm.Code.String())
		e.text(in.Alarm.Detail)
		e.text(in.Alarm.Remedy)
	case inputConfirmed:
		e.int(int64(*in.Confirmed))
	case inputPort: // the details decide nothing, and may name what is nobody's business
		e.uint(uint64(len(*in.Port)))
		for _, c := range *in.Port {
			e.text(c.Code.String())
		}
	}
	if slept {
		e.int(int64(s.Slept))
		e.slept = s.Slept
	}
	e.disciplined = s.Disciplined
	if celsius {
		e.float(s.Celsius)
		e.rel(&e.celsiusMono, s.CelsiusMono)
	}
	if len(s.Calls) == 0 {
		return
	}
	e.uint(uint64(len(s.Calls)))
	for i := range s.Calls {
		e.call(&s.Calls[i])
	}
}

// callFailed marks a call that returned an error.
const callFailed = 0x80

func (e *encoder) call(c *Call) {
	e.tag(byte(uint64(c.Kind) | flag(c.Err != nil, callFailed)))
	e.instant(c.After)
	if c.Err != nil {
		e.uint(uint64(classOf(c.Err)))
		e.text(c.Err.Error())
	}
	switch c.Kind {
	case CallOpen:
		if c.Err == nil {
			e.float(c.Clock.MaxFreqPPB)
			e.int(int64(c.Clock.Index))
		}
	case CallCross:
		if x := &c.Cross; c.Err == nil {
			e.int(x.Mono - e.mono)
			e.rel(&e.clock, int64(x.Clock)-x.Mono)
			e.rel(&e.real, x.Real-x.Mono)
			e.rel(&e.width, int64(x.Width))
		}
	case CallStep:
		e.int(int64(c.By))
	case CallAdjFreq, CallFreqPPB:
		e.float(c.PPB)
	}
}

// classes are the errors that callers of a clock branch on. Their order is part of
// the format.
var classes = [...]error{errOther, phc.ErrGone, clock.ErrTimeout, clock.ErrContested, clock.ErrNotYet, fs.ErrPermission, phc.ErrFreqRange, fs.ErrNotExist, phc.ErrNoClock}

var errOther = errors.New("clock failed")

func classOf(err error) int {
	for i, c := range classes {
		if errors.Is(err, c) {
			return i
		}
	}
	return 0
}

// recordedError is an error of a recorded call.
type recordedError struct {
	text  string
	class error
}

func (e *recordedError) Error() string { return e.text }

// Unwrap returns the error that callers branch on.
func (e *recordedError) Unwrap() error { return e.class }

// errRecord: a frame whose checksum is right has a record that this version cannot
// read.
var errRecord = errors.New("record of an unknown kind, or cut short")

const (
	// withinFrame is how far the instants of a frame may be from its State's, ns. Frames
	// last seconds; a process that was stopped, or a virtual machine, may have paused.
	withinFrame = 24 * 3600e9
	// betweenFrames is how long the disc may have been away, ns. What follows an engine
	// counts seconds: an instant in a million years would keep it busy for as long.
	betweenFrames = 400 * 24 * 3600e9
)

// decoder takes records from a frame. After the first error it returns zeros.
type decoder struct {
	base
	from int64 // mono of the State
	b    []byte
	bad  bool
}

// next returns the next record, nil at the end.
func (d *decoder) next() (Record, error) {
	if len(d.b) == 0 {
		return nil, nil
	}
	r := d.record()
	if d.bad {
		return nil, errRecord
	}
	return r, nil
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

func (d *decoder) tag() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	t := d.b[0]
	d.b = d.b[1:]
	return t
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) float() float64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(d.b))
	d.b = d.b[8:]
	return v
}

func (d *decoder) octets() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) text() string { return string(d.octets()) }

func (d *decoder) bool() bool { return d.tag() != 0 }

func (d *decoder) instant() int64 { return d.within(d.rel(&d.mono)) }

// within checks an instant of CLOCK_MONOTONIC_RAW.
func (d *decoder) within(mono int64) int64 {
	if mono < d.from-withinFrame || mono > d.from+withinFrame {
		d.fail()
	}
	return mono
}

func (d *decoder) rel(last *int64) int64 {
	*last += d.int()
	return *last
}

func (d *decoder) json(v any) {
	b := d.octets()
	if !d.bad && json.Unmarshal(b, v) != nil {
		d.fail()
	}
}

func (d *decoder) record() Record {
	switch d.tag() {
	case tagHeader:
		h := new(Header)
		d.json(h)
		return h
	case tagState:
		s := new(State)
		d.json(s)
		if s.Mono < 0 || s.Mono > 1<<62 {
			d.fail()
		}
		d.from = s.Mono
		d.mono, d.slept, d.disciplined, d.celsiusMono = s.Mono, s.Slept, s.Disciplined, s.CelsiusMono
		return s
	case tagPortStarted:
		return &PortStarted{d.bool()}
	case tagOctets:
		o := &Octets{Mono: d.instant()}
		d.base.octets = o.Mono
		o.Data = d.octets()
		return o
	case tagPulseEnabled:
		p := new(PulseEnabled)
		d.json(&p.Grant)
		return p
	case tagStamp:
		return &Stamp{d.stampedEvent()}
	case tagEdge:
		return &Edge{d.fullEdge()}
	case tagDropped:
		return &Dropped{d.bool()}
	case tagReading:
		return d.reading()
	case tagStep:
		return d.step()
	}
	d.fail()
	return nil
}

func (d *decoder) stampedEvent() phc.ExtTSEvent {
	x := phc.ExtTSEvent{Mono: d.instant()}
	d.edge = x.Mono
	x.Clock = tai.Time(d.rel(&d.stamp) + x.Mono)
	f := d.uint()
	x.Channel, x.Offset = int(f>>1), f&1 != 0
	return x
}

func (d *decoder) fullEdge() pps.Edge {
	x := pps.Edge{Mono: d.instant()}
	d.edge = x.Mono
	f := d.tag()
	if f&1 != 0 {
		x.Scale = pps.Clock
	}
	x.Rising = f&2 != 0
	x.Stamp = d.rel(&d.stamp) + x.Mono
	d.seq += uint32(d.int())
	x.Seq = d.seq
	if f&4 != 0 {
		x.Other = time.Duration(d.int())
	}
	return x
}

func (d *decoder) reading() *witness.Reading {
	r := &witness.Reading{Kind: witness.Kind(d.tag()), Mono: d.instant()}
	switch r.Kind {
	case witness.Answered:
		r.Name = d.text()
		r.Of = r.Mono + d.int()
		r.Answer.Mono = r.Mono + d.int()
		r.Answer.UTC = r.Answer.Mono + d.int()
		r.Answer.Error = time.Duration(d.int())
	case witness.Silent:
		r.Name = d.text()
		r.Err = errors.New(d.text())
	case witness.Forgotten, witness.Concluded:
	default:
		d.fail()
	}
	return r
}

func (d *decoder) step() *Step {
	f := d.tag()
	s := &Step{Mono: d.instant()}
	switch f & inputMask {
	case inputMessage:
		s.TakesMessage, s.Of = true, d.base.octets+d.int()
	case inputEdge:
		s.TakesEdge, s.Of = true, d.edge+d.int()
	case inputCompared:
		s.Input.Compared = &pps.ComparedEdge{Index: int(d.uint())}
		s.Input.Compared.Edge = d.fullEdge()
	case inputSettings:
		s.Input.Settings = new(refclock.Settings)
		if d.json(s.Input.Settings); slices.Contains(s.Input.Settings.Tables, nil) {
			d.fail()
		}
	case inputAlarm:
		a := new(integrity.Alarm)
		a.Code.UnmarshalText(d.octets())
		a.Detail, a.Remedy = d.text(), d.text()
		s.Input.Alarm = a
	case inputConfirmed:
		v := time.Duration(d.int())
		s.Input.Confirmed = &v
	case inputRelock:
		s.Input.Relock = true
	case inputPort:
		s.Input.Port = d.conditions()
	}
	if f&stepSlept != 0 {
		d.slept = time.Duration(d.int())
	}
	if f&stepDisciplined != 0 {
		d.disciplined = !d.disciplined
	}
	if f&stepCelsius != 0 {
		s.Celsius = d.float()
		d.rel(&d.celsiusMono)
	}
	s.Slept, s.Disciplined, s.CelsiusMono = d.slept, d.disciplined, d.celsiusMono
	if f&stepCalls == 0 {
		return s
	}
	n := d.uint()
	if n > uint64(len(d.b)) { // each has an octet or more
		d.fail()
		return s
	}
	s.Calls = make([]Call, n)
	for i := range s.Calls {
		s.Calls[i] = d.call()
	}
	return s
}

func (d *decoder) conditions() *[]reason.Condition {
	n := d.uint()
	if n > uint64(len(d.b)) { // each has an octet or more
		d.fail()
		return nil
	}
	list := make([]reason.Condition, n)
	for i := range list {
		list[i].Code.UnmarshalText(d.octets())
	}
	return &list
}

func (d *decoder) call() Call {
	t := d.tag()
	c := Call{Kind: CallKind(t &^ callFailed), After: d.instant()}
	if c.Kind >= callKinds {
		d.fail()
		return c
	}
	if t&callFailed != 0 {
		class := d.uint()
		e := &recordedError{d.text(), errOther}
		if class < uint64(len(classes)) {
			e.class = classes[class]
		}
		c.Err = e
	}
	switch c.Kind {
	case CallOpen:
		if c.Err == nil {
			c.Clock = Clock{MaxFreqPPB: d.float(), Index: int(d.int())}
		}
	case CallCross:
		if c.Err == nil {
			m := d.within(d.mono + d.int())
			c.Cross = phc.Cross{Mono: m, Clock: tai.Time(d.rel(&d.clock) + m), Real: d.rel(&d.real) + m, Width: time.Duration(d.rel(&d.width))}
		}
	case CallStep:
		c.By = time.Duration(d.int())
	case CallAdjFreq, CallFreqPPB:
		c.PPB = d.float()
	}
	return c
}
