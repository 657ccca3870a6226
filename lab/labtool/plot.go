package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
)

// sample is one line of covers -record.
type sample struct {
	at            float64 // s
	offset, bound float64 // ns
}

// plotLines draws the recording of covers with a given name, read from standard input.
func plotLines(_ context.Context, args []string, out io.Writer) error {
	if len(args) < 1 {
		return errUsage
	}
	f := newFlags()
	logarithmic := f.Bool("log", false, "draw absolute values on a logarithmic scale")
	title := f.String("title", "", "title of the picture")
	if f.Parse(args[1:]) != nil || f.NArg() > 0 {
		return errUsage
	}
	s, err := readSamples(os.Stdin, args[0])
	if err != nil {
		return err
	}
	return draw(out, s, *title, *logarithmic)
}

func readSamples(r io.Reader, name string) ([]sample, error) {
	var s []sample
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		var n, state string
		var v sample
		if !strings.HasPrefix(sc.Text(), "record ") {
			continue
		}
		if _, err := fmt.Sscanf(sc.Text(), "record %s %g %g %g %s", &n, &v.at, &v.offset, &v.bound, &state); err == nil && n == name {
			s = append(s, v)
		}
	}
	if len(s) < 2 {
		return nil, errors.Join(sc.Err(), fmt.Errorf("fewer than two records of %s", name))
	}
	return s, nil
}

// Size and margins of the picture, px.
const (
	width, height            = 900, 340
	left, right, top, bottom = 70, 20, 40, 45
)

// scale is one axis: it maps values from lo to hi to px from a to b.
type scale struct {
	lo, hi, a, b float64
	log          bool
}

func (s scale) px(v float64) float64 {
	if s.log {
		return s.a + (math.Log10(max(v, s.lo))-math.Log10(s.lo))/(math.Log10(s.hi)-math.Log10(s.lo))*(s.b-s.a)
	}
	return s.a + (v-s.lo)/(s.hi-s.lo)*(s.b-s.a)
}

// ticks returns about n round values along the axis.
func (s scale) ticks(n int) []float64 {
	var t []float64
	if s.log {
		for v := math.Pow(10, math.Ceil(math.Log10(s.lo))); v <= s.hi*1.001; v *= 10 {
			t = append(t, v)
		}
		return t
	}
	step := math.Pow(10, math.Floor(math.Log10((s.hi-s.lo)/float64(n))))
	for _, m := range [...]float64{1, 2, 5, 10} {
		if (s.hi-s.lo)/(step*m) <= float64(n) {
			step *= m
			break
		}
	}
	for k := math.Ceil(s.lo / step); k*step <= s.hi+step/1e6; k++ {
		t = append(t, k*step+0) // never -0
	}
	return t
}

// unit formats a value in ns with a suitable unit.
func unit(ns float64) string {
	switch a := math.Abs(ns); {
	case a >= 1e9:
		return fmt.Sprintf("%g s", ns/1e9)
	case a >= 1e6:
		return fmt.Sprintf("%g ms", ns/1e6)
	case a >= 1e3:
		return fmt.Sprintf("%g µs", ns/1e3)
	}
	return fmt.Sprintf("%g ns", ns)
}

// draw writes the true error and the bound as SVG. With log it draws absolute
// values, so that a bound much larger than the error fits into the picture.
func draw(w io.Writer, s []sample, title string, log bool) error {
	x := scale{lo: s[0].at, hi: s[len(s)-1].at, a: left, b: width - right}
	peak := 1.0
	for _, v := range s {
		peak = max(peak, math.Abs(v.offset), v.bound)
	}
	y := scale{lo: -peak * 1.1, hi: peak * 1.1, a: height - bottom, b: top}
	if log {
		y = scale{lo: 1, hi: math.Pow(10, math.Ceil(math.Log10(peak))), a: height - bottom, b: top, log: true}
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(b, `<text x="%d" y="22" font-size="15">%s</text>`+"\n", left, escape.Replace(title))
	for _, t := range y.ticks(6) {
		p := y.px(t)
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#e4e4e4"/><text x="%d" y="%.1f" text-anchor="end" fill="#555">%s</text>`+"\n",
			left, p, width-right, left-6, p+4, unit(t))
	}
	mins := scale{lo: x.lo / 60, hi: x.hi / 60, a: x.a, b: x.b}
	for _, t := range mins.ticks(10) {
		p := mins.px(t)
		fmt.Fprintf(b, `<path d="M%.1f %dV%d" stroke="#e4e4e4"/><text x="%.1f" y="%d" text-anchor="middle" fill="#555">%g</text>`+"\n",
			p, top, height-bottom, p, height-bottom+16, t)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle" fill="#555">minutes</text>`+"\n", (left+width-right)/2, height-8)

	cols := columns(s, x)
	var up, down, line strings.Builder
	for i, c := range cols {
		fmt.Fprintf(&up, "%s%.0f %.1f", join(i), c.x, y.px(c.bound))
		fmt.Fprintf(&down, "L%.0f %.1f", cols[len(cols)-1-i].x, y.px(-cols[len(cols)-1-i].bound))
		lo, hi := c.lo, c.hi
		if log {
			lo, hi = min(abs(lo), abs(hi)), max(abs(lo), abs(hi))
		}
		fmt.Fprintf(&line, "%s%.0f %.1fL%.0f %.1f", join(i), c.x, y.px(lo), c.x, y.px(hi))
	}
	bound := "true error"
	if log {
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="#d08a2e" stroke-width="1.5"/>`+"\n", up.String())
		bound = "true error, absolute"
	} else {
		fmt.Fprintf(b, `<path d="%s%sZ" fill="#f6e7cf" stroke="#d08a2e" stroke-width="0.7"/>`+"\n", up.String(), down.String())
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="#1f5fa8" stroke-width="1"/>`+"\n", line.String())
	fmt.Fprintf(b, `<text x="%d" y="22" text-anchor="end"><tspan fill="#d08a2e">■</tspan> published bound <tspan fill="#1f5fa8">■</tspan> %s</text>`+"\n</svg>\n", width-right, bound)
	return b.Flush()
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func join(i int) string {
	if i == 0 {
		return "M"
	}
	return "L"
}

// column holds the samples of one px: lowest and highest offset, and largest bound.
type column struct{ x, lo, hi, bound float64 }

func columns(s []sample, x scale) []column {
	var c []column
	for _, v := range s {
		p := math.Round(x.px(v.at))
		if len(c) == 0 || c[len(c)-1].x != p {
			c = append(c, column{p, v.offset, v.offset, v.bound})
			continue
		}
		l := &c[len(c)-1]
		l.lo, l.hi, l.bound = min(l.lo, v.offset), max(l.hi, v.offset), max(l.bound, v.bound)
	}
	return c
}
