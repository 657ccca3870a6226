package web

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/events"
	"noonmark/internal/history"
	"noonmark/internal/stability"
)

// Limits of one answer. They bound memory: a second of phase takes 32 octets while it
// is read and computed with.
const (
	maxPoints   = 2000
	maxEvents   = 2000
	maxPhase    = 86400 + 60 // seconds: a day, and what a client rounds
	maxColumns  = 24
	defPoints   = 600
	defaultSpan = 10 * time.Minute
)

// kept answers with the measurements and events that refclockd keeps. One request is
// worked on at a time.
type kept struct {
	dir  string
	now  func() time.Time // by the clock
	turn chan struct{}
}

func newKept(dir string, now func() time.Time) *kept {
	return &kept{dir: dir, now: now, turn: make(chan struct{}, 1)}
}

// errParameter is wrapped by the error of a parameter that cannot be used.
var errParameter = errors.New("cannot be used")

// queued waits for the turn, and turns an error into an answer.
func (k *kept) queued(refuse func(http.ResponseWriter, *http.Request, refusal), answer func(w http.ResponseWriter, q url.Values) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case k.turn <- struct{}{}:
			defer func() { <-k.turn }()
		case <-r.Context().Done():
			return
		}
		switch err := answer(w, r.URL.Query()); {
		case err == nil:
		case errors.Is(err, errParameter), errors.Is(err, history.ErrQuery), errors.Is(err, stability.ErrTooMany):
			refuse(w, r, badQuery)
		case errors.Is(err, fs.ErrPermission):
			writeJSON(w, http.StatusServiceUnavailable, problem{"denied", err.Error() + "; refclockweb must belong to the group that refclockd writes with"})
		default:
			absent(w, err)
		}
	}
}

// instant reads POSIX seconds or a time of RFC 3339; without a parameter it is def.
func instant(q url.Values, name string, def time.Time) (time.Time, error) {
	text := q.Get(name)
	if text == "" {
		return def, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(s) > 1e11 {
		return def, fmt.Errorf("%s %w", name, errParameter)
	}
	return time.UnixMilli(int64(s * 1e3)).UTC(), nil
}

// span reads from and to.
func (k *kept) span(q url.Values, length time.Duration) (from, to time.Time, err error) {
	if to, err = instant(q, "to", k.now()); err != nil {
		return from, to, err
	}
	if from, err = instant(q, "from", to.Add(-length)); err == nil && !from.Before(to) {
		err = fmt.Errorf("from %w: it is not before to", errParameter)
	}
	return from, to, err
}

// number reads a whole number from low to high.
func number(q url.Values, name string, def, low, high int) (int, error) {
	if q.Get(name) == "" {
		return def, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s %w", name, errParameter)
	}
	return n, nil
}

// measurements is the answer of /api/v1/history. Points are at start, start + step_s,
// ... Its JSON keys only grow.
type measurements struct {
	Start  int64             `json:"start"` // POSIX time
	Step   int64             `json:"step_s"`
	Points int               `json:"points"`
	Series map[string]column `json:"series"` // of the columns that have a value
	First  *int64            `json:"first"`  // POSIX time of the first second that is kept; null: none
	Damage []string          `json:"damage"` // what was skipped
}

// column are the values of one column; null: missing. Lowest and highest are left out
// where each point is one second.
type column struct {
	Min  values `json:"min,omitempty"`
	Mean values `json:"mean"`
	Max  values `json:"max,omitempty"`
}

// values are numbers of which some are missing: NaN, null in JSON. Pointers would take
// twice the memory and one allocation each, and an answer has up to 90,000.
type values []float64

// MarshalJSON implements json.Marshaler. Of a mean, more digits than three behind the
// point mean nothing.
func (v values) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 2+10*len(v)), '[')
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		if x = math.Round(x*1e3) / 1e3; math.IsNaN(x) || math.IsInf(x, 0) {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendFloat(b, x, 'f', -1, 64)
		}
	}
	return append(b, ']'), nil
}

// history answers with measurements.
func (k *kept) history(w http.ResponseWriter, q url.Values) error {
	from, to, err := k.span(q, defaultSpan)
	if err != nil {
		return err
	}
	points, err := number(q, "points", defPoints, 2, maxPoints)
	if err != nil {
		return err
	}
	ask := history.Query{From: from, To: to, MaxPoints: points}
	if c := q.Get("columns"); c != "" {
		ask.Columns = strings.Split(c, ",")
	}
	if len(ask.Columns) > maxColumns {
		return fmt.Errorf("columns %w: more than %d", errParameter, maxColumns)
	}
	r := history.Open(k.dir)
	res, err := r.Query(ask)
	if err != nil {
		return err
	}
	out := measurements{Start: res.Start, Step: res.Step, Points: res.Points, Series: map[string]column{}, Damage: []string{}}
	if first, _, ok := r.Range(); ok {
		t := first.Unix()
		out.First = &t
	}
	for i := range res.Series {
		s := &res.Series[i]
		c := column{Mean: s.Mean}
		if res.Step > 1 {
			c.Min, c.Max = s.Min, s.Max
		}
		out.Series[s.Name] = c
	}
	for _, d := range res.Damage[:min(len(res.Damage), 16)] {
		out.Damage = append(out.Damage, fmt.Sprintf("%s: %d octets: %s", d.File, d.Octets, d.Why))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// happened is the answer of /api/v1/events. Its JSON keys only grow.
type happened struct {
	Events  []events.Event `json:"events"`
	Skipped int            `json:"skipped"` // lines that are no events
}

// events answers with events, the oldest first.
func (k *kept) events(w http.ResponseWriter, q url.Values) error {
	from, to, err := k.span(q, 30*24*time.Hour)
	if err != nil {
		return err
	}
	ask := events.Query{From: from, To: to}
	if ask.Limit, err = number(q, "limit", 200, 1, maxEvents); err != nil {
		return err
	}
	if text := q.Get("kinds"); text != "" {
		for name := range strings.SplitSeq(text, ",") {
			if !slices.Contains(events.Kinds(), events.Kind(name)) {
				return fmt.Errorf("kinds %w", errParameter)
			}
			ask.Kinds = append(ask.Kinds, events.Kind(name))
		}
	}
	found, skipped, err := events.Read(k.dir, ask)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, happened{append([]events.Event{}, found...), skipped})
	return nil
}

// deviations is the answer of /api/v1/stability. Its JSON keys only grow.
type deviations struct {
	Column string      `json:"column"`
	From   time.Time   `json:"from"`
	Data   int         `json:"data"` // seconds
	Gaps   int         `json:"gaps"` // of them without a value
	Points []deviation `json:"points"`
	Masks  []verdict   `json:"masks"`
}

// deviation is the stability at one averaging time; null: the data are too short.
type deviation struct {
	Tau  float64  `json:"tau_s"`
	ADEV *float64 `json:"adev"`
	MDEV *float64 `json:"mdev"`
	TDEV *float64 `json:"tdev_ns"`
	MTIE *float64 `json:"mtie_ns"`
}

// verdict is how the data compare with a mask, and its limits at the points' averaging
// times.
type verdict struct {
	Name   string     `json:"name"`
	Within bool       `json:"within"`
	TDEV   []*float64 `json:"tdev_limit_ns"`
	MTIE   []*float64 `json:"mtie_limit_ns"`
}

// phase reads the phase data of a column.
func (k *kept) phase(q url.Values) (name string, data []float64, start time.Time, err error) {
	from, to, err := k.span(q, time.Hour)
	if err != nil {
		return "", nil, start, err
	}
	if to.Sub(from) > maxPhase*time.Second {
		return "", nil, start, fmt.Errorf("from %w: more than %d s", errParameter, maxPhase)
	}
	if name = q.Get("column"); name == "" {
		name = history.Offset
	}
	from = from.Truncate(time.Second)
	r, any := history.Open(k.dir), false
	data = make([]float64, 0, int(to.Sub(from).Seconds())+1)
	for at := from; at.Before(to); at = at.Add(phasePart) {
		res, err := r.Query(history.Query{From: at, To: minTime(at.Add(phasePart), to), MaxPoints: int(phasePart.Seconds()) + 1, Columns: []string{name}, Exact: true})
		if err != nil {
			return "", nil, start, err
		}
		if s := res.Of(name); s != nil {
			data, any = append(data, s.Mean...), true
			continue
		}
		for range res.Points {
			data = append(data, history.Missing())
		}
	}
	if !any {
		return "", nil, start, fmt.Errorf("there are no seconds of %q in this range", name)
	}
	return name, data, from, nil
}

// phasePart is how much phase is read at a time: a result has three values a second.
const phasePart = 30 * time.Minute

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func known(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// stability answers with deviations.
func (k *kept) stability(w http.ResponseWriter, q url.Values) error {
	name, data, start, err := k.phase(q)
	if err != nil {
		return err
	}
	points, err := stability.Compute(data, 1)
	if err != nil {
		return err
	}
	out := deviations{Column: name, From: start, Data: len(data), Points: []deviation{}, Masks: []verdict{}}
	for _, x := range data {
		if math.IsNaN(x) {
			out.Gaps++
		}
	}
	for _, p := range points {
		out.Points = append(out.Points, deviation{Tau: p.Tau, ADEV: known(p.ADEV), MDEV: known(p.MDEV), TDEV: known(p.TDEV), MTIE: known(p.MTIE)})
	}
	for _, m := range stability.Masks() {
		v := m.Compare(data, points)
		x := verdict{Name: m.Name, Within: v.Within(), TDEV: []*float64{}, MTIE: []*float64{}}
		for _, p := range points {
			x.TDEV, x.MTIE = append(x.TDEV, known(m.TDEV(p.Tau))), append(x.MTIE, known(m.MTIE(p.Tau)))
		}
		out.Masks = append(out.Masks, x)
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// download answers with phase data as a file.
func (k *kept) download(w http.ResponseWriter, q url.Values) error {
	format := q.Get("format")
	if format == "" {
		format = "csv"
	}
	if format != "csv" && format != "stable32" {
		return fmt.Errorf("format %w", errParameter)
	}
	_, data, start, err := k.phase(q)
	if err != nil {
		return err
	}
	ending := map[string]string{"csv": "csv", "stable32": "phd"}[format]
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="phase-%s.%s"`, start.UTC().Format("20060102T150405Z"), ending))
	if format == "csv" {
		_ = stability.WriteCSV(w, data, start, time.Second) // the client may have gone
	} else {
		_ = stability.WriteStable32(w, data)
	}
	return nil
}
