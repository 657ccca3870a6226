package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"noonmark/internal/events"
	"noonmark/internal/history"
	"noonmark/internal/stability"
)

// Limits of one answer. They bound memory: a second of phase takes 8 octets, and up to 8 more
// while MTIE is computed.
const (
	maxPoints   = 2000
	maxEvents   = 2000
	maxPhase    = 86400 + 60 // seconds: a day, and what a client rounds
	maxColumns  = 24
	defPoints   = 600
	defaultSpan = 10 * time.Minute
)

// Limits of one part of an answer: a client that reads slowly keeps this memory, and nothing else.
const (
	partValues = 4096             // points times columns, 24 octets each
	partPhase  = time.Hour        // of phase data
	partText   = 64 << 10         // octets of events; all of them are kept, mostly less
	partWrite  = 10 * time.Second // to read it
)

// kept answers with the measurements and events that refclockd keeps. One part of one answer
// is computed at a time. It is written to the client while another one is computed: nobody waits for
// a client that reads slowly.
type kept struct {
	dir    string
	now    func() time.Time // by the clock
	slow   *atomic.Uint64   // answers that were not read in time
	turn   chan struct{}
	within time.Duration // partWrite
}

func newKept(dir string, now func() time.Time, slow *atomic.Uint64) *kept {
	return &kept{dir: dir, now: now, slow: slow, turn: make(chan struct{}, 1), within: partWrite}
}

// errParameter is wrapped by the error of a parameter that cannot be used.
var errParameter = errors.New("cannot be used")

// prepared writes an answer whose header and first part are known. Its errors are those of what it
// computes and of the client.
type prepared func(w *reply) error

// reply is where an answer is written.
type reply struct {
	http.ResponseWriter
	ctx  context.Context // of the request
	kept *kept
}

// part waits for the turn and computes a part of the answer. What is written next must be read
// within the time for a part.
func (w *reply) part(compute func() error) error {
	select {
	case w.kept.turn <- struct{}{}:
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
	defer func() { <-w.kept.turn }()
	defer w.allow()
	return compute()
}

// allow gives the client the time for a part.
func (w *reply) allow() {
	// There is no deadline where there is no connection.
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.kept.within))
}

// queued prepares an answer when it is its turn, turns an error into an answer, and writes what was
// prepared.
func (k *kept) queued(refuse func(http.ResponseWriter, *http.Request, refusal), prepare func(url.Values) (prepared, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out := &reply{w, r.Context(), k}
		var write prepared
		err := out.part(func() (err error) {
			write, err = prepare(r.URL.Query())
			return err
		})
		switch {
		case err == nil:
			k.end(write(out))
		case r.Context().Err() != nil: // the client has gone
		case errors.Is(err, errParameter), errors.Is(err, history.ErrQuery), errors.Is(err, stability.ErrTooMany):
			refuse(w, r, badQuery)
		case errors.Is(err, fs.ErrPermission):
			writeJSON(w, http.StatusServiceUnavailable, problem{"denied", err.Error() + "; refclockweb must belong to the group that refclockd writes with"})
		default:
			absent(w, err)
		}
	}
}

// end ends an answer. One that could not be written whole must not look whole: the connection
// is closed.
func (k *kept) end(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		k.slow.Add(1)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// asJSON writes one JSON value.
func asJSON(v any) prepared {
	return func(w *reply) error {
		w.Header().Set("Content-Type", jsonType)
		return json.NewEncoder(w).Encode(v)
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

// MarshalJSON implements json.Marshaler.
func (v values) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	v.write(w)
	err := w.Flush()
	return b.Bytes(), err
}

// write writes the values as JSON. Of a mean, more digits than three behind the point mean nothing. An
// error is that of the next Flush.
func (v values) write(w *bufio.Writer) {
	w.WriteByte('[')
	for i, x := range v {
		if i > 0 {
			w.WriteByte(',')
		}
		if x = math.Round(x*1e3) / 1e3; math.IsNaN(x) || math.IsInf(x, 0) {
			w.WriteString("null")
		} else {
			w.Write(strconv.AppendFloat(w.AvailableBuffer(), x, 'f', -1, 64))
		}
	}
	w.WriteByte(']')
}

// write writes the column as encoding/json does.
func (c *column) write(w *bufio.Writer) {
	if len(c.Min) > 0 {
		w.WriteString(`{"min":`)
		c.Min.write(w)
		w.WriteString(`,"mean":`)
	} else {
		w.WriteString(`{"mean":`)
	}
	c.Mean.write(w)
	if len(c.Max) > 0 {
		w.WriteString(`,"max":`)
		c.Max.write(w)
	}
	w.WriteByte('}')
}

// write writes the answer as encoding/json does, without holding it: the text of all series has
// a megabyte. They have names, in rising order, and read reads some of them. m has none.
func (m *measurements) write(w io.Writer, names []string, read func(names ...string) ([]column, error)) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	before, after, _ := bytes.Cut(text, []byte("null")) // what is before has numbers alone
	b := bufio.NewWriter(w)
	b.Write(before)
	separator := byte('{')
	for rest := names; len(rest) > 0; {
		some := rest[:min(len(rest), max(1, partValues/max(m.Points, 1)))]
		rest = rest[len(some):]
		list, err := read(some...)
		if err != nil {
			return err
		}
		for i := range list {
			name, err := json.Marshal(some[i])
			if err != nil {
				return err
			}
			b.WriteByte(separator)
			b.Write(name)
			b.WriteByte(':')
			list[i].write(b)
			separator = ','
		}
		if err := b.Flush(); err != nil {
			return err
		}
	}
	if separator == '{' {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	b.Write(after)
	b.WriteByte('\n')
	return b.Flush()
}

// history answers with measurements.
func (k *kept) history(q url.Values) (prepared, error) {
	from, to, err := k.span(q, defaultSpan)
	if err != nil {
		return nil, err
	}
	points, err := number(q, "points", defPoints, 2, maxPoints)
	if err != nil {
		return nil, err
	}
	ask := history.Query{From: from, To: to, MaxPoints: points}
	if c := q.Get("columns"); c != "" {
		ask.Columns = strings.Split(c, ",")
	}
	if len(ask.Columns) > maxColumns {
		return nil, fmt.Errorf("columns %w: more than %d", errParameter, maxColumns)
	}
	r := history.Open(k.dir)
	all, err := r.Select(ask)
	if err != nil {
		return nil, err
	}
	slices.Sort(all.Names)
	out := measurements{Start: all.Start, Step: all.Step, Points: all.Points, Damage: []string{}}
	if first, _, ok := r.Range(); ok {
		t := first.Unix()
		out.First = &t
	}
	for _, d := range all.Damage[:min(len(all.Damage), 16)] {
		out.Damage = append(out.Damage, fmt.Sprintf("%s: %d octets: %s", d.File, d.Octets, d.Why))
	}
	return func(w *reply) error {
		w.Header().Set("Content-Type", jsonType)
		return out.write(w, all.Names, func(names ...string) (list []column, err error) {
			err = w.part(func() error {
				read, err := all.Read(names...)
				for i := range read {
					c := column{Mean: read[i].Mean}
					if all.Step > 1 {
						c.Min, c.Max = read[i].Min, read[i].Max
					}
					list = append(list, c)
				}
				return err
			})
			return list, err
		})
	}, nil
}

// happened is the answer of /api/v1/events. Its JSON keys only grow.
type happened struct {
	Events  []events.Event `json:"events"`
	Skipped int            `json:"skipped"` // lines that are no events
}

// events answers with events, the oldest first.
func (k *kept) events(q url.Values) (prepared, error) {
	from, to, err := k.span(q, 30*24*time.Hour)
	if err != nil {
		return nil, err
	}
	ask := events.Query{From: from, To: to}
	if ask.Limit, err = number(q, "limit", 200, 1, maxEvents); err != nil {
		return nil, err
	}
	if ask.Kinds, err = events.ParseKinds(q.Get("kinds")); err != nil {
		return nil, fmt.Errorf("kinds %w: %w", errParameter, err)
	}
	found, skipped, err := events.Read(k.dir, ask)
	if err != nil {
		return nil, err
	}
	if found == nil {
		found = []events.Event{}
	}
	// The text takes less than the events, and is all that is kept while it is written.
	text, err := json.Marshal(happened{found, skipped})
	return func(w *reply) error {
		w.Header().Set("Content-Type", jsonType)
		for part := range slices.Chunk(append(text, '\n'), partText) {
			w.allow()
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
		return nil
	}, err
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

// ofPhase is what phase data are asked for.
type ofPhase struct {
	column   string
	from, to time.Time
}

// ofPhase reads what phase data are asked for.
func (k *kept) ofPhase(q url.Values) (p ofPhase, err error) {
	if p.from, p.to, err = k.span(q, time.Hour); err != nil {
		return p, err
	}
	if p.to.Sub(p.from) > maxPhase*time.Second {
		return p, fmt.Errorf("from %w: more than %d s", errParameter, maxPhase)
	}
	if p.column = q.Get("column"); p.column == "" {
		p.column = history.Offset
	}
	return p, nil
}

// phase reads phase data. None at all are an error.
func (k *kept) phase(p ofPhase) (data []float64, start time.Time, err error) {
	v, err := history.Open(k.dir).Seconds(p.column, p.from, p.to)
	if err != nil {
		return nil, start, err
	}
	if v.Known == 0 {
		return nil, start, fmt.Errorf("there are no seconds of %q in this range", p.column)
	}
	return v.Each, time.Unix(v.Start, 0).UTC(), nil
}

func known(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// stability answers with deviations.
func (k *kept) stability(q url.Values) (prepared, error) {
	p, err := k.ofPhase(q)
	if err != nil {
		return nil, err
	}
	data, start, err := k.phase(p)
	if err != nil {
		return nil, err
	}
	points, err := stability.Compute(data, 1)
	if err != nil {
		return nil, err
	}
	out := deviations{Column: p.column, From: start, Data: len(data), Points: []deviation{}, Masks: []verdict{}}
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
	return asJSON(out), nil
}

// download answers with phase data as a file.
func (k *kept) download(q url.Values) (prepared, error) {
	format := q.Get("format")
	if format == "" {
		format = "csv"
	}
	if !slices.Contains(stability.Formats(), format) {
		return nil, fmt.Errorf("format %w", errParameter)
	}
	p, err := k.ofPhase(q)
	if err != nil {
		return nil, err
	}
	_, start, err := k.phase(p)
	if err != nil {
		return nil, err
	}
	return func(w *reply) error {
		ending := map[string]string{"csv": "csv", "stable32": "phd"}[format]
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="phase-%s.%s"`, start.Format("20060102T150405Z"), ending))
		out, err := stability.NewExporter(w, format, start, time.Second)
		if err != nil {
			return err
		}
		end := time.Unix(p.to.Unix(), 0)
		for at := start; at.Before(end); at = at.Add(partPhase) {
			var v *history.Values
			err := w.part(func() (err error) {
				to := at.Add(partPhase)
				if to.After(end) {
					to = end
				}
				v, err = history.Open(k.dir).Seconds(p.column, at, to)
				return err
			})
			if err == nil {
				err = out.Write(v.Each)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, nil
}
