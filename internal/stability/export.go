package stability

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
)

// noZero is written for a phase of zero where zero means a gap, s.
const noZero = 1e-18

// Formats returns the names of the formats of Export.
func Formats() []string { return []string{"csv", "stable32"} }

// Export writes phase data, ns, one each tau0 from a start on, in one of the Formats.
func Export(w io.Writer, format string, phase []float64, start time.Time, tau0 time.Duration) error {
	e, err := NewExporter(w, format, start, tau0)
	if err != nil {
		return err
	}
	return e.Write(phase)
}

// Exporter is Export for phase data that come some at a time.
type Exporter struct {
	b    *bufio.Writer
	csv  bool
	at   time.Time // of the next one
	tau0 time.Duration
}

// NewExporter returns an Exporter. What comes before the data is written with the first of them.
func NewExporter(w io.Writer, format string, start time.Time, tau0 time.Duration) (*Exporter, error) {
	if !slices.Contains(Formats(), format) {
		return nil, fmt.Errorf("format %q is not known; want one of %q", format, Formats())
	}
	e := &Exporter{bufio.NewWriter(w), format == "csv", start.UTC(), tau0}
	if e.csv {
		e.b.WriteString("time,phase_ns\n")
	}
	return e, nil
}

// Write writes the phase data that follow.
func (e *Exporter) Write(phase []float64) error {
	for _, x := range phase {
		line := e.b.AvailableBuffer()
		if e.csv {
			line = appendCSV(line, e.at, x)
		} else {
			line = appendStable32(line, x)
		}
		e.b.Write(append(line, '\n'))
		e.at = e.at.Add(e.tau0)
	}
	return e.b.Flush()
}

// appendStable32 appends a line of a phase file of Stable32: a value in s. A gap is 0, as Stable32 wants
// it; a phase of zero is 1e-18.
func appendStable32(b []byte, x float64) []byte {
	switch s := x * 1e-9; {
	case math.IsNaN(s):
		return append(b, '0')
	case s == 0:
		return strconv.AppendFloat(b, noZero, 'e', 1, 64)
	default:
		return strconv.AppendFloat(b, s, 'e', 11, 64)
	}
}

// appendCSV appends a time in UTC and a value in ns. A gap has no value.
func appendCSV(b []byte, at time.Time, x float64) []byte {
	b = append(at.AppendFormat(b, "2006-01-02T15:04:05Z"), ',')
	if math.IsNaN(x) {
		return b
	}
	return strconv.AppendFloat(b, x, 'f', 2, 64)
}
