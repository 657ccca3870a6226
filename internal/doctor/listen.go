package doctor

import (
	"context"
	"io"
	"time"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/receiver"
	"noonmark/refclock/status"
)

// inputs examines pulse and receiver. While refclockd runs, reader is set and
// shows what it accepts; else pulse and port are listened to.
func (h *Host) inputs(ctx context.Context, f *Facts, o *openFiles, reader *status.Reader, d time.Duration) {
	c := f.Refclockd
	in := &InputFacts{Listened: d}
	f.Inputs = in
	pulse := c.Pulse.Source == "extts" && f.Clock != nil && f.Clock.Err == nil
	if c.Pulse.Source == "kernel" {
		file := h.deviceFile(c.Pulse.Device, o)
		in.PulseFile, pulse = &file, file.usable()
	}
	in.ReceiverFile = h.deviceFile(c.Receiver.Device, o)
	in.Console = h.isConsole(c.Receiver.Device)
	if reader != nil {
		f.Daemon.progress(ctx, reader, d)
		return
	}
	heard := make(chan PulseFacts, 1)
	if pulse {
		go func() { heard <- h.Devices.Pulses(ctx, c, d) }()
	}
	if in.ReceiverFile.usable() && len(in.ReceiverFile.others()) == 0 {
		in.Messages = h.messages(ctx, c.Receiver.Device, c.Receiver.Rates(), d)
	}
	if pulse {
		p := <-heard
		in.Pulses = &p
	}
}

// progress reads a second snapshot after a while.
func (f *DaemonFacts) progress(ctx context.Context, r *status.Reader, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return
	case <-t.C:
	}
	f.LastErr = r.LoadAll(&f.Last)
	f.Listened = d
}

// messages listens to the receiver's port. rates are those that it may have: if
// there are several, or nothing makes sense at the only one, it looks for the
// one at which frames are valid.
func (h *Host) messages(ctx context.Context, path string, rates []int, d time.Duration) *MessageFacts {
	baud := rates[0]
	if len(rates) > 1 {
		if found := h.findRate(ctx, path, 0); found != 0 {
			baud = found
		}
	}
	m := h.listenAt(ctx, path, baud, d)
	if m.Err == nil && m.Bytes > 0 && !m.Framed() && len(rates) == 1 {
		m.OtherBaud = h.findRate(ctx, path, baud)
	}
	return &m
}

func (h *Host) listenAt(ctx context.Context, path string, baud int, d time.Duration) MessageFacts {
	p, err := h.Devices.Serial(path, baud)
	if err != nil {
		return MessageFacts{Baud: baud, Err: err}
	}
	defer p.Close()
	m := h.listen(ctx, p, d)
	m.Baud = baud
	return m
}

// listen reads a receiver for a while. A read returns within half a second, with
// or without bytes.
func (h *Host) listen(ctx context.Context, r io.Reader, d time.Duration) (m MessageFacts) {
	m.Sources = map[string]int{}
	dec := registry.NewDecoder(gnss.Config{NotBefore: gnss.BuildDate()})
	var last [3]int
	take := func(x *gnss.Message) {
		m.add(x)
		if at := [3]int{x.Hour, x.Minute, x.Second}; x.HasTimeOfDay && (at != last || len(m.Firsts) == 0) {
			last = at
			m.Firsts = append(m.Firsts, x.Mono)
		}
	}
	var buf [1024]byte
	for end := h.Mono() + int64(d); ctx.Err() == nil && h.Mono() < end; {
		n, err := r.Read(buf[:])
		if n > 0 {
			m.Bytes += n
			m.Look.Add(buf[:n])
			dec.Feed(buf[:n], h.Mono(), take)
		}
		if err != nil {
			m.Err = err
			break
		}
	}
	m.Counters = dec.Counters()
	return m
}

// add counts a message.
func (m *MessageFacts) add(x *gnss.Message) {
	m.Sources[x.Source]++
	m.Dated = m.Dated || x.Dated
	if x.Fix != gnss.FixUnknown {
		m.Fix = x.Fix
	}
	if x.HasSats {
		m.Satellites = x.Sats
	}
	m.Rolled = m.Rolled || x.Rollover != 0
	m.Unresolved = m.Unresolved || x.UTC == gnss.UTCUnresolved
	if !x.HasTimeOfDay {
		return
	}
	m.Labels++
	if x.Valid {
		m.Valid++
	}
}

// tryRate is how long a rate is listened to: enough for a receiver that sends
// once a second.
const tryRate = 1200 * time.Millisecond

// findRate returns the rate at which frames are valid, 0 if there is none. It
// leaves out the rate except, which was tried before.
func (h *Host) findRate(ctx context.Context, path string, except int) int {
	for _, baud := range receiver.Rates() {
		if baud == except || ctx.Err() != nil {
			continue
		}
		// Not every port has every rate, so an error only rules out this one.
		if m := h.listenAt(ctx, path, baud, tryRate); m.Err == nil && m.Framed() {
			return baud
		}
	}
	return 0
}

// usable reports whether the device is there and may be used.
func (d *DeviceFile) usable() bool { return d.Err == nil && d.Device && d.Allowed }

// others returns who has the device open, apart from refclockd.
func (d *DeviceFile) others() (names []string) {
	for _, p := range d.Holders {
		if p.Name != "refclockd" {
			names = append(names, p.String())
		}
	}
	return names
}
