package simulate

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock/sim"
)

// SeriesHeader is the first line of a recorded series; it is a contract. There
// is one row a second: t_s, the oscillator's frequency error over the second
// (ppb, + = fast), the error of the pulse's stamp (ns, + = late; empty without a
// pulse), the quantisation error that the receiver reports (ns; empty: none),
// and whether there was a pulse (0 or 1).
const SeriesHeader = "t_s,osc_ppb,pps_err_ns,qerr_ns,present"

// maxSeries is the longest series that is read, in rows: two months.
const maxSeries = 5_400_000

// Limits of a row's values: beyond them the file does not describe a clock.
const (
	maxOscPPB = 1e8
	maxErrNS  = 1e9
)

// seriesRow is one row; a NaN is an empty field.
type seriesRow struct {
	t, osc, err, qerr float64
	present           bool
}

// ReadSeries makes a scenario of the recorded series at path. t0 is the time of
// the instant one second before the first row, in the series' own seconds.
func ReadSeries(path string) (sc sim.Scenario, t0 float64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sc, 0, err
	}
	defer f.Close()
	rd := csv.NewReader(bufio.NewReader(f))
	rd.ReuseRecord, rd.FieldsPerRecord, rd.TrimLeadingSpace = true, -1, true
	if head, err := rd.Read(); err != nil || strings.Join(head, ",") != SeriesHeader {
		return sc, 0, fmt.Errorf("%s:1: the header is not %q", path, SeriesHeader)
	}
	s := &sim.Series{}
	last := math.NaN()
	for line := 2; ; line++ {
		rec, err := rd.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return sc, 0, fmt.Errorf("%s: %w", path, err)
		}
		row, err := parseRow(rec)
		switch {
		case err != nil:
		case math.Abs(row.t-last-1) > 1e-3: // false for the first row
			err = fmt.Errorf("t_s is %v after %v; want one row a second", row.t, last)
		case len(s.OscPPB) == maxSeries:
			err = fmt.Errorf("longer than %d s", maxSeries)
		}
		if err != nil {
			return sc, 0, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		if line == 2 {
			t0 = row.t - 1
		}
		last = row.t
		s.OscPPB, s.ErrNS, s.QErrNS = append(s.OscPPB, row.osc), append(s.ErrNS, row.err), append(s.QErrNS, row.qerr)
		s.Present = append(s.Present, row.present)
	}
	if len(s.OscPPB) == 0 {
		return sc, 0, fmt.Errorf("%s: no rows", path)
	}
	sc = sim.Scenario{Name: path, Duration: time.Duration(len(s.OscPPB)) * time.Second}
	sc.Config.Series = s
	// The start is any full second. The clock was set by hand, 250 us off.
	sc.Config.Clock = phctest.Config{Truth: tai.FromUnix(1795426200, 0, 37), Start: 250 * time.Microsecond}
	return sc, t0, nil
}

// parseRow reads the fields of a row. Only the errors of a pulse that is not
// there and the quantisation error may be empty or nan.
func parseRow(rec []string) (r seriesRow, err error) {
	names := strings.Split(SeriesHeader, ",")
	if len(rec) != len(names) {
		return r, fmt.Errorf("%d fields; want %d", len(rec), len(names))
	}
	num := func(i int, mayLack bool) float64 {
		v := math.NaN()
		perr := error(nil)
		if rec[i] != "" {
			v, perr = strconv.ParseFloat(rec[i], 64)
		}
		if perr != nil || math.IsInf(v, 0) || math.IsNaN(v) && !mayLack {
			err = errors.Join(err, fmt.Errorf("%q is no number for %s", rec[i], names[i]))
		}
		return v
	}
	present := num(4, false)
	r.t, r.osc, r.qerr = num(0, false), num(1, false), num(3, true)
	r.err = num(2, present == 0 || rec[2] != "")
	r.present = present != 0 && !math.IsNaN(r.err)
	if err == nil && (math.Abs(r.osc) > maxOscPPB || math.Abs(r.err) > maxErrNS) {
		err = errors.New("a value is out of range")
	}
	return r, err
}
