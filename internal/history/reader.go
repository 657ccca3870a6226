package history

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Reader reads a directory that a Writer writes, or wrote. It keeps nothing open and
// is for any goroutine.
type Reader struct{ dir string }

// Open returns a reader of a directory. The directory may appear later.
func Open(dir string) *Reader { return &Reader{dir} }

// Query says what to read.
type Query struct {
	From, To time.Time
	// MaxPoints is how many points the answer may have at most. The answer has the
	// finest step of at least a second that fits.
	MaxPoints int
	// Columns are the names to read; nil: all.
	Columns []string
	// Exact: a step of a second, from files of seconds alone. Then nothing is filled
	// from the means of minutes. It is an error if MaxPoints is too little for that.
	Exact bool
}

// Result is the answer to a Query: points at Start, Start+Step, ... A point contains
// the seconds from its own time to the next one's.
type Result struct {
	Start  int64    `json:"start"`  // POSIX time of the first point
	Step   int64    `json:"step_s"` // s
	Points int      `json:"points"`
	Series []Series `json:"-"` // of the columns that have a value
	// Damage is what was skipped. The series have what is left.
	Damage []Damage `json:"-"`
}

// Series is one column. NaN: the value is missing.
type Series struct {
	Name           string
	Min, Mean, Max []float64 // as many as Result.Points
}

// Time returns the time of a point.
func (r *Result) Time(point int) time.Time {
	return time.Unix(r.Start+int64(point)*r.Step, 0).UTC()
}

// Of returns a series by its name, nil if there is none.
func (r *Result) Of(name string) *Series {
	if i := slices.IndexFunc(r.Series, func(s Series) bool { return s.Name == name }); i >= 0 {
		return &r.Series[i]
	}
	return nil
}

// ErrQuery is wrapped by the error of a Query that cannot be answered.
var ErrQuery = errors.New("query is not possible")

const (
	// MaxPoints is the most of Query.MaxPoints: 31 days of seconds.
	MaxPoints = 31 * 86400
	// maxValues limits points times series, and so the memory of a query: 32 octets
	// each.
	maxValues = 8 << 20
	// maxHours is the longest range, over a century.
	maxHours = 1 << 20
	// maxSeries is how many columns several files can have together.
	maxSeries = 2 * MaxColumns
)

// steps are the distances of points, s. Beyond, days are doubled.
var steps = []int64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400}

// stepFor returns the smallest step, at least least, with which [from, to) has at
// most limit points.
func stepFor(from, to, limit, least int64) int64 {
	for i := 0; ; i++ {
		step := int64(86400)
		if i < len(steps) {
			step = steps[i]
		} else {
			step <<= i - len(steps) + 1
		}
		if step >= least && floorDiv(to-1, step)-floorDiv(from, step)+1 <= limit {
			return step
		}
	}
}

// Query reads the values of [From, To). Seconds that are not on disc yet, about the
// last minute, are missing. What is damaged is skipped and named in the result; the
// error is an ErrQuery, or that of a directory that cannot be read.
func (r *Reader) Query(q Query) (*Result, error) {
	from, to := q.From.Unix(), q.To.Unix()
	switch {
	case to <= from || from < -62135596800 || to > 253402300800 || (to-from)/3600 > maxHours:
		return nil, fmt.Errorf("%w: from %v to %v; want a range of a second to a century", ErrQuery, q.From, q.To)
	case q.MaxPoints < 1 || q.MaxPoints > MaxPoints:
		return nil, fmt.Errorf("%w: %d points; want 1 to %d", ErrQuery, q.MaxPoints, MaxPoints)
	}
	s := scan{dir: r.dir, from: from, to: to, want: q.Columns, index: map[string]int{}}
	var err error
	// The writer goes on. It writes a time to finer levels first, so the coarser ones are listed first, and no file
	// is read farther than it was listed: what is only in a coarser one was removed from the finer ones.
	for _, l := range []Level{Hours, Minutes, Seconds} {
		if s.files[l], err = listFiles(r.dir, l); err != nil {
			return nil, err
		}
	}
	order := []Level{Seconds}
	if s.step = 1; !q.Exact {
		s.step = stepFor(from, to, int64(q.MaxPoints), s.finest().Step())
		order = s.order()
	} else if to-from > int64(q.MaxPoints) {
		return nil, fmt.Errorf("%w: %d s with at most %d points", ErrQuery, to-from, q.MaxPoints)
	}
	s.first = floorDiv(from, s.step)
	s.points = int(floorDiv(to-1, s.step) - s.first + 1)
	h := floorDiv(from, 3600)
	s.hour0, s.hours = h, make([]bool, floorDiv(to-1, 3600)-h+1)
	for _, l := range order {
		if err := s.level(l); err != nil {
			return nil, err
		}
	}
	return s.result(), nil
}

// scan is one query at work.
type scan struct {
	dir      string
	from, to int64 // s
	want     []string
	files    [numLevels][]fileInfo

	step   int64 // s
	first  int64 // number of the first point, in steps
	points int

	hour0 int64  // number of the first hour
	hours []bool // that were read

	index  map[string]int // of series, -1: not wanted
	names  []string
	series [][]summary
	damage []Damage
}

// finest returns the finest level of which there is a file in the range.
func (s *scan) finest() Level {
	for l := range numLevels {
		if slices.ContainsFunc(s.files[l], func(f fileInfo) bool { return f.begins < s.to && l.next(f.begins) > s.from }) {
			return l
		}
	}
	return Seconds
}

// order returns the levels in the order in which an hour is looked for: the
// coarsest that is fine enough, then what is not summed up yet, then what is left of
// times whose finer files are removed.
func (s *scan) order() []Level {
	switch {
	case s.step < Minutes.Step():
		return []Level{Seconds, Minutes, Hours}
	case s.step < Hours.Step():
		return []Level{Minutes, Seconds, Hours}
	}
	return []Level{Hours, Minutes, Seconds}
}

// open reports whether an hour of [from, to), clipped to the query, was not read.
func (s *scan) open(from, to int64) bool {
	for t := max(from, s.from); t < min(to, s.to); t = (floorDiv(t, 3600) + 1) * 3600 {
		if !s.hours[floorDiv(t, 3600)-s.hour0] {
			return true
		}
	}
	return false
}

// level reads the hours that are open from one level.
func (s *scan) level(l Level) error {
	read := slices.Clone(s.hours)
	for _, info := range s.files[l] {
		if !s.open(info.begins, l.next(info.begins)) {
			continue
		}
		f, err := loadBeginning(s.dir, l, info.name, info.size)
		if err != nil {
			s.damage = append(s.damage, whyUnreadable(info.name, err)...)
			continue
		}
		for _, number := range f.numbers {
			first := number * levels[l].span
			if hour := floorDiv(first, 3600) - s.hour0; l != Hours && hour >= 0 && hour < int64(len(read)) {
				read[hour] = true
			}
			if !s.open(first, first+levels[l].span) {
				continue
			}
			f.read(number, func(r *rows) { err = errors.Join(err, s.rows(l, first, r, read)) })
			if err != nil {
				return err
			}
		}
		s.damage = append(s.damage, f.damage...)
	}
	s.hours = read
	return nil
}

// rows takes the rows of a block that begins at a time.
func (s *scan) rows(l Level, first int64, r *rows, read []bool) error {
	at := make([]int, len(r.columns))
	for i, c := range r.columns {
		var err error
		if at[i], err = s.column(c.Name); err != nil {
			return err
		}
	}
	for i := range l.rows() {
		from, to := first+int64(i)*l.Step(), first+int64(i+1)*l.Step()
		hour := floorDiv(from, 3600) - s.hour0
		if from, to = max(from, s.from), min(to, s.to); from >= to || s.hours[hour] || r.empty(i) {
			continue
		}
		read[hour] = true // of a level of hours, a row each
		for c, v := range r.row(i) {
			if at[c] < 0 || v.n == 0 {
				continue
			}
			for p := floorDiv(from, s.step); p <= floorDiv(to-1, s.step); p++ {
				s.series[at[c]][p-s.first].add(v)
			}
		}
	}
	return nil
}

// column returns the place of a column's series, -1 if it is not wanted.
func (s *scan) column(name string) (int, error) {
	if i, ok := s.index[name]; ok {
		return i, nil
	}
	if s.want != nil && !slices.Contains(s.want, name) {
		s.index[name] = -1
		return -1, nil
	}
	if n := len(s.series) + 1; n > maxSeries || n*s.points > maxValues {
		return -1, fmt.Errorf("%w: %d points of %d columns; want fewer points, or name columns", ErrQuery, s.points, n)
	}
	s.index[name] = len(s.series)
	s.names, s.series = append(s.names, name), append(s.series, make([]summary, s.points))
	return len(s.series) - 1, nil
}

// result makes the answer of what was read.
func (s *scan) result() *Result {
	out := &Result{Start: s.first * s.step, Step: s.step, Points: s.points, Damage: s.damage}
	for i, name := range s.names {
		if !slices.ContainsFunc(s.series[i], func(v summary) bool { return v.n > 0 }) {
			continue
		}
		x := Series{name, make([]float64, s.points), make([]float64, s.points), make([]float64, s.points)}
		for p, v := range s.series[i] {
			if v.n == 0 {
				v = summary{0, math.NaN(), math.NaN(), math.NaN()}
			}
			x.Min[p], x.Mean[p], x.Max[p] = v.low, v.mean, v.high
		}
		s.series[i] = nil
		out.Series = append(out.Series, x)
	}
	return out
}

// Range returns the first and the last second for which there may be values; ok is
// false if there are no files.
func (r *Reader) Range() (from, to time.Time, ok bool) {
	for l := range numLevels {
		files, err := listFiles(r.dir, l)
		if err != nil || len(files) == 0 {
			continue
		}
		first, last := time.Unix(files[0].begins, 0), time.Unix(l.next(files[len(files)-1].begins), 0)
		if !ok || first.Before(from) {
			from = first
		}
		if !ok || last.Before(to) {
			to = last
		}
		ok = true
	}
	return from.UTC(), to.UTC(), ok
}
