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
	s, err := r.begin(q)
	if err == nil {
		err = s.read()
	}
	if err != nil {
		return nil, err
	}
	return s.result(), nil
}

// Select is Query without the values. Selection.Read reads them, some columns at a time, so
// that the memory is that of these columns alone.
func (r *Reader) Select(q Query) (*Selection, error) {
	s, err := r.begin(q)
	if err != nil {
		return nil, err
	}
	s.onlyNames, s.bad = true, map[badBlock]bool{}
	if err := s.read(); err != nil {
		return nil, err
	}
	x := &Selection{Start: s.first * s.step, Step: s.step, Points: s.points, Damage: s.damage}
	for i, name := range s.names {
		if s.known[i] {
			x.Names = append(x.Names, name)
		}
	}
	s.reset()
	s.hours = nil
	x.scan = *s
	return x, nil
}

// Selection is what there is for a Query. What a Writer has written since is not part of it.
type Selection struct {
	Start, Step int64 // as in Result
	Points      int
	Names       []string // of the columns that have a value
	Damage      []Damage

	scan scan
}

// Read reads the values of some of the columns, in their order. Those of files that were removed
// since are missing.
func (x *Selection) Read(names ...string) ([]Series, error) {
	s := x.scan
	s.want, s.onlyNames = names, false
	s.reset()
	for _, name := range names {
		if _, err := s.column(name); err != nil {
			return nil, err
		}
	}
	if err := s.read(); err != nil {
		return nil, err
	}
	list := make([]Series, len(names))
	for i, name := range names {
		list[i] = s.of(s.index[name])
	}
	return list, nil
}

// begin looks at the files, and decides what a Query reads of them.
func (r *Reader) begin(q Query) (*scan, error) {
	from, to := q.From.Unix(), q.To.Unix()
	switch {
	case to <= from || from < -62135596800 || to > 253402300800 || (to-from)/3600 > maxHours:
		return nil, fmt.Errorf("%w: from %v to %v; want a range of a second to a century", ErrQuery, q.From, q.To)
	case q.MaxPoints < 1 || q.MaxPoints > MaxPoints:
		return nil, fmt.Errorf("%w: %d points; want 1 to %d", ErrQuery, q.MaxPoints, MaxPoints)
	}
	s := &scan{dir: r.dir, from: from, to: to, want: q.Columns}
	var err error
	// The writer goes on. It writes a time to finer levels first, so the coarser ones are listed first, and no file
	// is read farther than it was listed: what is only in a coarser one was removed from the finer ones.
	for _, l := range []Level{Hours, Minutes, Seconds} {
		if s.files[l], err = listFiles(r.dir, l); err != nil {
			return nil, err
		}
	}
	s.step = stepFor(from, to, int64(q.MaxPoints), s.finest().Step())
	s.first = floorDiv(from, s.step)
	s.points = int(floorDiv(to-1, s.step) - s.first + 1)
	s.reset()
	return s, nil
}

// Values are those of one column, one a second from Start on. NaN: there is none.
type Values struct {
	Start  int64 // POSIX time
	Each   []float64
	Known  int // of them
	Damage []Damage
}

// Seconds reads the values of a column in [from, to), at most MaxPoints, from files of
// seconds alone: nothing is filled from the means of minutes. It takes 8 octets a second.
func (r *Reader) Seconds(column string, from, to time.Time) (*Values, error) {
	begin, end := from.Unix(), to.Unix()
	if end <= begin || end-begin > MaxPoints {
		return nil, fmt.Errorf("%w: from %v to %v; want a range of 1 to %d s", ErrQuery, from, to, MaxPoints)
	}
	files, err := listFiles(r.dir, Seconds)
	if err != nil {
		return nil, err
	}
	v := &Values{Start: begin, Each: make([]float64, end-begin)}
	for i := range v.Each {
		v.Each[i] = Missing()
	}
	for _, info := range files {
		if info.begins >= end || Seconds.next(info.begins) <= begin {
			continue
		}
		f, err := openBeginning(r.dir, Seconds, info.name, info.size, period{begin, end})
		if err != nil {
			v.Damage = append(v.Damage, whyUnreadable(info.name, err)...)
			continue
		}
		f.wants = func(name string) bool { return name == column }
		for _, number := range f.numbers {
			f.read(number, func(r *rows) { v.take(column, number*levels[Seconds].span-begin, r) })
		}
		f.close()
		v.Damage = append(v.Damage, f.damage...)
	}
	return v, nil
}

// take takes the rows of a block whose first one has an index in v, which may be negative.
func (v *Values) take(column string, first int64, r *rows) {
	c := slices.IndexFunc(r.columns, func(c Column) bool { return c.Name == column })
	if c < 0 {
		return
	}
	for i := range Seconds.rows() {
		at := first + int64(i)
		if x := r.row(i)[c]; x.n > 0 && at >= 0 && at < int64(len(v.Each)) {
			if math.IsNaN(v.Each[at]) {
				v.Known++
			}
			v.Each[at] = x.mean
		}
	}
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

	onlyNames bool // the values are not wanted
	// Blocks whose payload is malformed: a scan for names finds them, and those for values of some columns
	// ignore them. nil: none are looked for.
	bad map[badBlock]bool

	index  map[string]int // of series, -1: not wanted
	names  []string
	known  []bool // there is a value
	series [][]summary
	damage []Damage
}

// badBlock is the place of a block.
type badBlock struct {
	file string
	at   int64
}

// reset forgets what was read.
func (s *scan) reset() {
	s.hour0 = floorDiv(s.from, 3600)
	s.hours = make([]bool, floorDiv(s.to-1, 3600)-s.hour0+1)
	s.index, s.names, s.known, s.series, s.damage = map[string]int{}, nil, nil, nil, nil
}

// wants reports whether a column is wanted.
func (s *scan) wants(name string) bool { return s.want == nil || slices.Contains(s.want, name) }

// read reads the levels, one after another.
func (s *scan) read() error {
	for _, l := range s.order() {
		if err := s.level(l); err != nil {
			return err
		}
	}
	return nil
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
		if err := s.fileOf(l, info, read); err != nil {
			return err
		}
	}
	s.hours = read
	return nil
}

// fileOf reads the hours that are open from one file of a level.
func (s *scan) fileOf(l Level, info fileInfo, read []bool) error {
	f, err := openBeginning(s.dir, l, info.name, info.size, period{s.from, s.to})
	if err != nil {
		s.damage = append(s.damage, whyUnreadable(info.name, err)...)
		return nil
	}
	defer f.close()
	f.wants, f.bad = s.wants, s.bad
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
			if s.known[at[c]] = true; s.onlyNames {
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
	if !s.wants(name) {
		s.index[name] = -1
		return -1, nil
	}
	if n := len(s.names) + 1; n > maxSeries || n*s.points > maxValues {
		return -1, fmt.Errorf("%w: %d points of %d columns; want fewer points, or name columns", ErrQuery, s.points, n)
	}
	s.index[name] = len(s.names)
	s.names, s.known = append(s.names, name), append(s.known, false)
	if !s.onlyNames {
		s.series = append(s.series, make([]summary, s.points))
	}
	return len(s.names) - 1, nil
}

// result makes the answer of what was read.
func (s *scan) result() *Result {
	out := &Result{Start: s.first * s.step, Step: s.step, Points: s.points, Damage: s.damage}
	for i := range s.names {
		if s.known[i] {
			out.Series = append(out.Series, s.of(i))
			s.series[i] = nil
		}
	}
	return out
}

// of returns the series of a column that was read.
func (s *scan) of(i int) Series {
	x := Series{s.names[i], make([]float64, s.points), make([]float64, s.points), make([]float64, s.points)}
	for p, v := range s.series[i] {
		if v.n == 0 {
			v = summary{0, math.NaN(), math.NaN(), math.NaN()}
		}
		x.Min[p], x.Mean[p], x.Max[p] = v.low, v.mean, v.high
	}
	return x
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
