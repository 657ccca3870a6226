package gnss

import (
	"time"

	"noonmark/phc/tai"
)

// Config says how a Decoder reads dates. The zero value suits recorded history:
// no date is moved.
type Config struct {
	// NotBefore is the date before which no message can have been made. Earlier
	// dates are moved by 1024 weeks, or multiples. Zero: no date is too old.
	NotBefore time.Time
	// Leaps is the table of leap seconds; nil means tai.Builtin.
	Leaps *tai.Table
	// Comments: lines that begin with # are comments of a log file. A live
	// receiver sends none.
	Comments bool
	// NewLeaps: a second 60 at the end of a month is accepted (Message.NewLeap)
	// also if the table has no leap second there. A live receiver may know better.
	NewLeaps bool
	// TimeScale is the scale of the labels in NMEA sentences, as the receiver is
	// set. PUBX and binary protocols say themselves which scale theirs are in.
	TimeScale TimeScale
	// LabelOffset is added to every label. A receiver that names a second one second
	// before it begins needs -1s.
	LabelOffset time.Duration
	// MinConfidence is what a label must have to be Valid; zero: no message says that
	// there is no fix.
	MinConfidence Confidence
}

// Decoder turns octets into messages as they come. It is for one goroutine.
type Decoder struct {
	s         Stream
	framer    *framer
	protocols []Protocol
	offset    time.Duration // added to every label
	least     Confidence

	emit func(*Message)
	next *Message // to be filled; not handed out yet
}

// NewDecoder returns a Decoder of these protocols. Most callers want
// registry.NewDecoder, which knows them all.
func NewDecoder(p Protocols, cfg Config) *Decoder {
	d := &Decoder{protocols: p.Decoded, offset: cfg.LabelOffset, least: cfg.MinConfidence}
	d.s.init(cfg)
	for _, x := range p.Decoded {
		d.s.c.Frames = append(d.s.c.Frames, FrameCount{Protocol: x.Name()})
	}
	d.framer = newFramer(&d.s.c, p, cfg.Comments)
	return d
}

// Feed takes the octets b, whose first was read at mono (CLOCK_MONOTONIC_RAW,
// ns), and calls emit for every message they complete, in order. b is not kept;
// the callee may keep the Message. b may be empty, to say that nothing came until
// mono: what a false start holds back is then handed out earlier.
func (d *Decoder) Feed(b []byte, mono int64, emit func(*Message)) {
	d.emit = emit
	d.s.c.Octets += uint64(len(b))
	if len(b) > 0 {
		d.s.epochs.octets(mono)
	}
	d.framer.feed(b, mono, d.frame)
}

// Flush treats the input so far as complete: what is held back as the start of
// a frame is searched for frames and then dropped.
func (d *Decoder) Flush(emit func(*Message)) {
	d.emit = emit
	d.framer.flush(d.frame)
}

// Counters returns a copy of the counters.
func (d *Decoder) Counters() Counters { return d.s.c.clone() }

// SetLeaps replaces the table of leap seconds.
func (d *Decoder) SetLeaps(t *tai.Table) { d.s.dates.leaps = t }

// Reset drops what was learned from the stream, for a device that was opened
// again: an incomplete frame, the date, the fix.
func (d *Decoder) Reset() {
	d.framer.flush(func(frame) {})
	d.s.reset()
}

func (d *Decoder) frame(f frame) {
	if d.next == nil {
		d.next = new(Message)
	}
	m := d.next
	count := &d.s.c.Frames[f.decoder]
	count.Frames++
	*m = Message{Protocol: count.Protocol, Mono: f.mono, RF: RF{JamIndicator: -1}}
	if d.protocols[f.decoder].Decode(&d.s, m, f.data) {
		if m.HasDate && d.offset != 0 {
			d.s.SetTime(m, m.Time.Add(d.offset))
		}
		m.Valid = d.least.admits(m)
		d.s.c.Messages++
		d.next = nil // the callee's now
		d.emit(m)
	}
}
