// Package top draws the state of a clock and its server on a terminal, for
// refclockctl top: sentences, offset over time, sky and server.
package top

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"noonmark/internal/observe"
	"noonmark/internal/printable"
	"noonmark/internal/summary"
	"noonmark/refclock/report"
)

// kept is how many seconds of offsets are kept: more than a terminal is wide.
const kept = 512

// View is what is drawn, second by second. It is for one goroutine.
type View struct {
	Colour bool // with the colours of a terminal

	offsets []float64 // ns, NaN: no measurement; the oldest first
	total   uint64    // requests at the last look
	mono    int64     // of that
	pid     int
}

// fresh is the largest age of a pulse, s, whose offset belongs to this second.
const fresh = 1.6

// Frame returns the picture of s, the next second, as lines that are at most width
// characters wide, and at most height of them.
func (v *View) Frame(s observe.View, width, height int) string {
	width, height = max(width, 40), max(height, 8)
	in := summary.Input{View: s, Rate: v.rate(s.Serving)}
	x := summary.Of(&in)
	c := canvas{width: width, colour: v.Colour}
	mark := map[string]string{"good": green, "warn": yellow, "bad": red}[x.Level]
	now := ""
	if s.Status != nil && s.Status.Time != nil {
		now = strings.Replace((*s.Status.Time)[:min(19, len(*s.Status.Time))], "T", " ", 1) + " UTC"
	}
	head := x.State
	if s.Alone { // the state is that of no refclockd
		head = map[bool]string{true: "synchronised", false: "not synchronised"}[s.Fault() == nil]
	}
	c.line(bold+mark, fmt.Sprintf("%-*s%s", max(width-len(now), 0), strings.ToUpper(head), now))
	c.wrap(bold, x.Clock)
	c.wrap("", x.Clients)
	for _, a := range x.Todo {
		c.wrap(yellow, "! "+a.What)
		if a.Remedy != "" {
			c.wrap(bold, "  > "+a.Remedy)
		}
	}
	v.offset(s.Status)
	if s.Status != nil {
		c.line("", "")
		v.clock(&c, s.Status)
		sky(&c, s.Status, height)
	}
	if s.Serving != nil {
		server(&c, s.Serving)
	}
	return c.text(height)
}

// rate returns the requests a second since the last look, nil if it is not known.
func (v *View) rate(s *observe.Serving) *float64 {
	if s == nil {
		v.pid = 0
		return nil
	}
	var total uint64
	for i := range s.Endpoints {
		total += s.Endpoints[i].Requests
	}
	var r *float64
	if v.pid == s.PID && s.Mono > v.mono && total >= v.total {
		x := float64(total-v.total) / (float64(s.Mono-v.mono) * 1e-9)
		r = &x
	}
	v.total, v.mono, v.pid = total, s.Mono, s.PID
	return r
}

// offset keeps the measurement of this second.
func (v *View) offset(s *report.Status) {
	o := math.NaN()
	if s != nil && s.Pulse.AgeS != nil && *s.Pulse.AgeS < fresh {
		o = s.OffsetNS
	}
	if v.offsets = append(v.offsets, o); len(v.offsets) > kept {
		v.offsets = slices.Delete(v.offsets, 0, len(v.offsets)-kept)
	}
}

// clock draws offset, bound and the receiver's states.
func (v *View) clock(c *canvas, s *report.Status) {
	const label = 30
	shown := v.offsets[max(0, len(v.offsets)-(c.width-label)):]
	text := "none"
	if o := v.offsets[len(v.offsets)-1]; !math.IsNaN(o) {
		text = fmt.Sprintf("%+.0f ns", o)
	}
	c.line("", fmt.Sprintf("%-10s %-18s %s", "offset", text, sparkline(shown)))
	if s.BoundNS != nil {
		bound := "±" + summary.About(time.Duration(*s.BoundNS))
		if s.LimitNS == nil {
			c.line("", fmt.Sprintf("%-10s %s", "bound", bound))
		} else {
			// As on the page, a scale that is linear below and logarithmic above 10 ns.
			part := math.Asinh(float64(*s.BoundNS)/10) / math.Asinh(float64(*s.LimitNS)/10)
			limit := " of " + summary.About(time.Duration(*s.LimitNS))
			c.line("", fmt.Sprintf("%-10s %-18s %s%s", "bound", bound, bar(part, max(c.width-label-len(limit), 4)), limit))
		}
	}
	c.line("", fmt.Sprintf("%-10s %+.1f ppb, noise %.1f ns", "frequency", s.FreqPPB, s.NoiseNS))
	if o := s.Oscillator; o != nil && o.Celsius != nil {
		c.line("", fmt.Sprintf("%-10s %.1f C", "oscillator", *o.Celsius))
	}
}

// sky draws the receiver and the strength of its satellites.
func sky(c *canvas, s *report.Status, height int) {
	r := &s.Receiver
	used := 0
	for _, x := range r.Sky {
		if x.Used {
			used++
		}
	}
	parts := []string{fmt.Sprintf("%d of %d satellites in use", used, len(r.Sky))}
	if len(r.Sky) == 0 && r.Sats != nil {
		parts[0] = fmt.Sprintf("%d satellites in use", *r.Sats)
	}
	for _, w := range [...]struct{ what, state string }{{"fix", r.Fix}, {"antenna", r.Antenna}, {"jamming", r.Jamming}, {"spoofing", r.Spoofing}} {
		if w.state != "" {
			parts = append(parts, w.what+" "+w.state)
		}
	}
	c.line("", "")
	c.wrap("", fmt.Sprintf("%-10s %s", "sky", strings.Join(parts, ", ")))
	const cell = 20 // name, bar, figure
	columns := max(c.width/cell, 1)
	list := slices.Clone(r.Sky)
	slices.SortStableFunc(list, func(a, b report.SatelliteDetail) int { return cmp.Compare(b.CN0, a.CN0) })
	list = list[:min(len(list), columns*max((height-14), 2))]
	for row := range slices.Chunk(list, columns) {
		var b strings.Builder
		for _, x := range row {
			mark := " "
			if x.Used {
				mark = "*"
			}
			fmt.Fprintf(&b, "%-1s%02d%s%s %2d  ", system(x.System), x.ID%1000, mark, bar(float64(x.CN0)/55, 9), x.CN0)
		}
		c.line("", strings.TrimRight(b.String(), " "))
	}
}

// system is the letter of a satellite system in RINEX.
func system(name string) string {
	letter := map[string]string{"GPS": "G", "Galileo": "E", "BeiDou": "C", "GLONASS": "R", "SBAS": "S", "QZSS": "J", "NavIC": "I"}[name]
	return cmp.Or(letter, "?")
}

// server draws what ntsserve has counted.
func server(c *canvas, s *observe.Serving) {
	c.line("", "")
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		var answered, dropped uint64
		for _, n := range e.Answered {
			answered += n
		}
		for _, n := range e.Dropped {
			dropped += n
		}
		c.line("", fmt.Sprintf("%-10s %s: %d requests, %d answered, %d dropped, %d with hardware stamps", "server", e.Name, e.Requests, answered, dropped, e.Stamps["hardware"]))
	}
}

// Escapes of a terminal (ECMA-48, SGR).
const (
	bold   = "\x1b[1m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	plain  = "\x1b[0m"
)

// canvas collects lines.
type canvas struct {
	width  int
	colour bool
	lines  []string
}

// line adds one line, cut to the width. Texts of other programs lose their escapes.
func (c *canvas) line(style, text string) {
	text = strings.ReplaceAll(printable.Text(text), "\n", " ")
	if r := []rune(text); len(r) > c.width {
		text = string(r[:c.width])
	}
	if c.colour && style != "" && text != "" {
		text = style + text + plain
	}
	c.lines = append(c.lines, text)
}

// wrap adds a text as lines of whole words.
func (c *canvas) wrap(style, text string) {
	indent := text[:len(text)-len(strings.TrimLeft(text, " "))]
	line := indent
	for word := range strings.FieldsSeq(text) {
		if line != indent && len([]rune(line))+1+len([]rune(word)) > c.width {
			c.line(style, line)
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	c.line(style, line)
}

// text returns at most height lines.
func (c *canvas) text(height int) string {
	return strings.Join(c.lines[:min(len(c.lines), height)], "\n") + "\n"
}

var blocks = []rune("▁▂▃▄▅▆▇█")

// sparkline draws values between the lowest and the highest; a space is a value that
// is missing.
func sparkline(values []float64) string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	var b strings.Builder
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case high == low:
			b.WriteRune(blocks[len(blocks)/2])
		default:
			b.WriteRune(blocks[int(math.Round((v-low)/(high-low)*float64(len(blocks)-1)))])
		}
	}
	return b.String()
}

var eighths = []rune(" ▏▎▍▌▋▊▉")

// bar draws a part from 0 to 1 as a bar.
func bar(part float64, width int) string {
	if !(part > 0) { // also NaN
		part = 0
	}
	n := int(math.Round(min(part, 1) * float64(width*8)))
	b := strings.Repeat("█", n/8)
	if n%8 > 0 {
		b += string(eighths[n%8])
	}
	return b + strings.Repeat(" ", width-len([]rune(b)))
}
