package stability

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"time"
)

// noZero is written for a phase of zero where zero means a gap, s.
const noZero = 1e-18

// WriteStable32 writes phase data, ns, as a phase file of Stable32: a value a line,
// in s. A gap is 0, as Stable32 wants it; a phase of zero is written as 1e-18.
func WriteStable32(w io.Writer, phase []float64) error {
	b := bufio.NewWriter(w)
	for _, x := range phase {
		switch s := x * 1e-9; {
		case math.IsNaN(s):
			fmt.Fprintln(b, "0")
		case s == 0:
			fmt.Fprintf(b, "%.1e\n", noZero)
		default:
			fmt.Fprintf(b, "%.11e\n", s)
		}
	}
	return b.Flush()
}

// WriteCSV writes phase data, ns, one each tau0 seconds from a start on, with their
// time in UTC. A gap is a line without a value.
func WriteCSV(w io.Writer, phase []float64, start time.Time, tau0 time.Duration) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "time,phase_ns")
	for i, x := range phase {
		b.WriteString(start.Add(time.Duration(i) * tau0).UTC().Format("2006-01-02T15:04:05Z"))
		if math.IsNaN(x) {
			fmt.Fprintln(b, ",")
		} else {
			fmt.Fprintf(b, ",%.2f\n", x)
		}
	}
	return b.Flush()
}
