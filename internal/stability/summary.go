package stability

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"time"
)

// Summary is the stability of phase data of one column, one value a second. Its JSON keys
// are a contract: they only grow. A measure that the data are too short for is null.
type Summary struct {
	Column string         `json:"column"`
	From   string         `json:"from"` // UTC, RFC 3339
	Data   int            `json:"data"` // seconds of the range
	Gaps   int            `json:"gaps"` // of them without a value
	Points []SummaryPoint `json:"points"`
	Mask   *SummaryMask   `json:"mask,omitempty"`
}

// SummaryPoint has the measures for one averaging time, and the limits of the mask.
type SummaryPoint struct {
	Tau       float64  `json:"tau_s"`
	Terms     int      `json:"terms"` // of the sum of ADEV
	ADEV      *float64 `json:"adev"`
	MDEV      *float64 `json:"mdev"`
	TDEV      *float64 `json:"tdev_ns"`
	MTIE      *float64 `json:"mtie_ns"`
	TDEVLimit *float64 `json:"tdev_limit_ns,omitempty"`
	MTIELimit *float64 `json:"mtie_limit_ns,omitempty"`
}

// SummaryMask has the largest ratios to the limits of a mask: up to 1 is within.
type SummaryMask struct {
	Name   string   `json:"name"`
	Within bool     `json:"within"`
	TE     *float64 `json:"te_ratio"`
	MTIE   *float64 `json:"mtie_ratio"`
	TDEV   *float64 `json:"tdev_ratio"`
}

// Summarise computes the stability of phase data in ns, NaN where one is missing. mask may
// be nil. It fails with ErrTooFew.
func Summarise(column string, from time.Time, phase []float64, mask *Mask) (*Summary, error) {
	points, err := Compute(phase, 1)
	if err != nil {
		return nil, err
	}
	out := &Summary{Column: column, From: from.Format(time.RFC3339), Data: len(phase)}
	for _, x := range phase {
		if math.IsNaN(x) {
			out.Gaps++
		}
	}
	for _, p := range points {
		j := SummaryPoint{Tau: p.Tau, Terms: p.Terms, ADEV: finite(p.ADEV), MDEV: finite(p.MDEV), TDEV: finite(p.TDEV), MTIE: finite(p.MTIE)}
		if mask != nil {
			j.TDEVLimit, j.MTIELimit = finite(mask.TDEV(p.Tau)), finite(mask.MTIE(p.Tau))
		}
		out.Points = append(out.Points, j)
	}
	if mask != nil {
		v := mask.Compare(phase, points)
		out.Mask = &SummaryMask{mask.Name, v.Within(), finite(v.TE), finite(v.MTIE), finite(v.TDEV)}
	}
	return out, nil
}

// WriteText writes the summary as a table.
func (s *Summary) WriteText(to io.Writer) error {
	w := bufio.NewWriter(to)
	fmt.Fprintf(w, "%s, %d s from %s, %d of them missing\n", s.Column, s.Data, s.From, s.Gaps)
	fmt.Fprintf(w, "%9s %12s %12s %12s %12s %9s\n", "tau s", "ADEV", "MDEV", "TDEV ns", "MTIE ns", "terms")
	for _, p := range s.Points {
		fmt.Fprintf(w, "%9g %12s %12s %12s %12s %9d\n", p.Tau, digits("%.4e", p.ADEV), digits("%.4e", p.MDEV), digits("%.4g", p.TDEV), digits("%.4g", p.MTIE), p.Terms)
	}
	if m := s.Mask; m != nil {
		word := "violates"
		if m.Within {
			word = "does not violate"
		}
		fmt.Fprintf(w, "%s %s: time error %s, MTIE %s, TDEV %s of their limits\n", word, m.Name, digits("%.2f", m.TE), digits("%.2f", m.MTIE), digits("%.2f", m.TDEV))
	}
	return w.Flush()
}

// finite returns nil for NaN.
func finite(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// digits formats a value, "-" for one that is missing.
func digits(format string, v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf(format, *v)
}
