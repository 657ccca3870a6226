package main

import (
	"fmt"
	"os"
	"time"
)

// result is what one measurement found.
type result struct {
	Offered, Sent, Answered                     float64 // per second
	LossPct                                     float64
	Bad                                         uint64
	Verified, Invalid                           uint64
	BusyUs                                      float64 // non-idle time of the server's CPU per answer
	ProcUs                                      float64 // run time of the server's threads per answer
	UserPct, SysPct, SoftPct, IdlePct, StealPct float64
	ProcUser, ProcSys                           float64 // us per answer from /proc/PID/stat
}

// measure offers rate requests a second (0: as many as possible) for d.
func (g *generator) measure(rate float64, d time.Duration) (result, error) {
	good0, bad0 := g.counter.read()
	verified0, invalid0 := g.verified.Load(), g.invalid.Load()
	usage0 := snapshot(g.pids, g.cpu)
	start := time.Now()
	sent, err := g.offer(rate, d)
	elapsed := time.Since(start).Seconds()
	if err != nil {
		return result{}, err
	}
	used := snapshot(g.pids, g.cpu).sub(usage0)
	inTime, _ := g.counter.read()
	g.drain()
	good, bad := g.counter.read()
	answers := float64(inTime - good0)
	r := result{Offered: rate, Sent: float64(sent) / elapsed, Answered: answers / elapsed, Bad: bad - bad0,
		Verified: g.verified.Load() - verified0, Invalid: g.invalid.Load() - invalid0}
	if sent > 0 {
		r.LossPct = 100 * (1 - float64(good-good0)/float64(sent))
	}
	r.addUsage(used, answers, elapsed)
	return r, nil
}

func (r *result) addUsage(u usage, answers, elapsed float64) {
	total := float64(u.user + u.sys + u.irq + u.soft + u.idle + u.steal)
	if total > 0 {
		r.UserPct, r.SysPct = 100*float64(u.user)/total, 100*float64(u.sys)/total
		r.SoftPct, r.IdlePct = 100*float64(u.soft+u.irq)/total, 100*float64(u.idle)/total
		r.StealPct = 100 * float64(u.steal) / total
	}
	if answers > 0 {
		r.BusyUs = (1 - float64(u.idle)/total) * elapsed * 1e6 / answers
		r.ProcUs = float64(u.procNs) / 1e3 / answers
		r.ProcUser = float64(u.uTicks) * 1e4 / answers
		r.ProcSys = float64(u.sTicks) * 1e4 / answers
	}
}

// figures are the results of the searches, one value per search.
type figures struct {
	Name        string    `json:"name"`
	Peak        []float64 `json:"peak"`      // answers per second
	Sustained   []float64 `json:"sustained"` // requests per second without loss; 0: not searched for
	UsFlood     []float64 `json:"us_flood"`  // us of CPU per answer
	UsSustained []float64 `json:"us_sustained"`
	Us10k       []float64 `json:"us_10k"`
	Verified    uint64    `json:"verified"`
	Invalid     uint64    `json:"invalid"`
	LastErr     any       `json:"last_err"`
}

// search measures what the server can do. Floods give the peak answer rate and the
// CPU time per answer; a bisection below the peak gives the sustained rate; 10,000
// requests a second give the cost of a request that has to wake the server. Other
// work on the machine can only slow a measurement down, so the best one counts.
func (g *generator) search(o options) (figures, error) {
	s := searcher{g: g, o: o}
	f := figures{Name: o.name}
	for run := range o.runs {
		flood := s.best(5, 0)
		peak := flood.Answered
		peak = max(peak, s.best(2, peak*1.1).Answered)
		var sustained float64
		var atSustained result
		if o.search {
			sustained = s.sustained(peak)
			atSustained = s.best(3, sustained*0.95)
		}
		slow := s.best(2, 10000)
		if s.err != nil {
			return figures{}, s.err
		}
		f.Sustained, f.Peak = append(f.Sustained, sustained), append(f.Peak, peak)
		f.UsFlood, f.UsSustained, f.Us10k = append(f.UsFlood, flood.ProcUs), append(f.UsSustained, atSustained.ProcUs), append(f.Us10k, slow.ProcUs)
		fmt.Fprintf(os.Stderr, "# %s run %d: peak %.0f/s (offered %.0f) sustained %.0f/s | us CPU per answer: flood %.3f (user %.2f sys %.2f) sustained %.3f at 10k/s %.3f | foreign+idle %.0f%%\n",
			o.name, run+1, peak, flood.Sent, sustained, flood.ProcUs, flood.ProcUser, flood.ProcSys, atSustained.ProcUs, slow.ProcUs, 100-flood.Answered*flood.ProcUs/1e4)
	}
	f.Verified, f.Invalid, f.LastErr = s.verified, s.invalid, g.lastErr.Load()
	return f, nil
}

// searcher does the measurements of a search. After an error it does none.
type searcher struct {
	g                 *generator
	o                 options
	verified, invalid uint64
	err               error
}

func (s *searcher) measure(rate float64) (r result) {
	if s.err == nil {
		r, s.err = s.g.measure(rate, s.o.dur)
	}
	return r
}

// best returns the measurement with the most answers of n.
func (s *searcher) best(n int, rate float64) (best result) {
	for i := range n {
		r := s.measure(rate)
		s.verified, s.invalid = s.verified+r.Verified, s.invalid+r.Invalid
		if i == 0 || r.Answered > best.Answered {
			best = r
		}
	}
	return best
}

// sustained returns the highest rate found that the server answers without loss.
func (s *searcher) sustained(peak float64) float64 {
	low, high := peak*0.2, peak*1.08
	for i := 0; i < 6 && high/low > 1.03; i++ {
		rate := (low + high) / 2
		if i == 0 {
			rate = peak * 0.85
		}
		if s.answersAll(rate) {
			low = rate
		} else {
			high = rate
		}
	}
	return low
}

// answersAll reports whether one of a few measurements at a rate is without loss.
func (s *searcher) answersAll(rate float64) bool {
	for range 4 {
		if r := s.measure(rate); r.LossPct < s.o.loss && r.Sent > 0.97*rate {
			return true
		}
	}
	return false
}
