// Package decode is the logic of refclockctl decode: it shows what a raw log of a receiver
// says.
package decode

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/report"
)

// Log decodes a log to its end. It prints messages to out, one JSON object a line: those
// that name an instant, or all; and counters to counts. lost is the error of out; it does
// not hide that the log was read. err is that of the input, or ErrNoLog.
func Log(in io.Reader, out, counts io.Writer, cfg gnss.Config, all bool) (lost, err error) {
	d := registry.NewDecoder(cfg)
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	emit := func(m *gnss.Message) {
		if lost == nil && (all || m.HasDate) {
			lost = enc.Encode(report.NewMessage(m, cfg.Leaps, all))
		}
	}
	buf, octets := make([]byte, 32<<10), 0
	for lost == nil {
		n, err := in.Read(buf)
		octets += n
		d.Feed(buf[:n], 0, emit)
		if n > 0 && lost == nil {
			lost = w.Flush() // a log that is still being written is shown at once
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return lost, err
		}
	}
	d.Flush(emit)
	if err := w.Flush(); lost == nil {
		lost = err
	}
	n := d.Counters()
	fmt.Fprintf(counts, "decoded %d messages\n", n.Messages)
	for _, f := range n.Frames {
		fmt.Fprintf(counts, "%-17s %d\n", f.Protocol+"_frames", f.Frames)
	}
	for _, r := range gnss.Defects() {
		if k := n.Of(r); k > 0 {
			fmt.Fprintf(counts, "%-17s %d\n", r, k)
		}
	}
	if lost == nil && octets > 0 && !framed(n) {
		return nil, noLog(n, octets)
	}
	return lost, nil
}

// ErrNoLog says that the input is no log of a receiver.
var ErrNoLog = errors.New("not a receiver log")

// noLog is the error of an input without any frame.
func noLog(n gnss.Counters, octets int) error {
	remedy := "want what a receiver sends, NMEA or UBX (a wrong baud rate also looks like this)"
	if k := n.Of(gnss.MissingChecksum); k > 0 {
		remedy = fmt.Sprintf("%d sentences have no checksum: switch it on in the receiver", k)
	}
	return fmt.Errorf("%w: no valid frame of a receiver in %d octets; %s", ErrNoLog, octets, remedy)
}

// framed reports whether there was a frame of any protocol.
func framed(n gnss.Counters) bool {
	return n.Of(gnss.ForeignFrame) > 0 || slices.ContainsFunc(n.Frames, func(f gnss.FrameCount) bool { return f.Frames > 0 })
}
