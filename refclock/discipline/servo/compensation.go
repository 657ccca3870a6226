package servo

import "math"

// Course foretells how the frequency of the free oscillator will change: with
// temperature, where a sensor tells it, and with age. It learns both from means
// of the frequency over blocks of time, from one block to the next: slow changes
// of all kinds then weigh no more than they should. It tries several lengths of
// blocks and several lags between sensor and crystal, and uses the coefficient
// that is known best, if it is known well enough. A sensor that has nothing to do
// with the oscillator is not used.
type Course struct {
	t    float64 // s, of the last Turn
	sure bool    // t is set

	// The sensor. Times in s, temperatures in degrees Celsius.
	read    bool
	readAt  float64
	celsius float64
	guess   float64       // what it is taken for while nothing is read
	low     [lags]float64 // the reading through a low pass of each lag
	lowAt   [lags]float64 // the same at the last Turn
	area    [lags]float64 // integral of low, K s, from base
	base    float64       // reading at which area began
	weather weather

	scale [blocks]block
	temp  Coefficient // in use; Value 0 = none
	lag   int
	age   Coefficient // in use, ppb per s
	prior CourseNotes
}

// Coefficient is a learned value and its standard deviation; Sigma 0 = not known.
type Coefficient struct{ Value, Sigma float64 }

// CourseNotes is what a Course learned, to be kept.
type CourseNotes struct {
	Temp Coefficient // ppb per K
	LagS float64     // s, by which the oscillator follows the sensor
	Age  Coefficient // ppb per day
}

const (
	lags   = 12
	blocks = 5
	// firstBlock is the length of the shortest blocks, s; each is four times the
	// one before: 64 s to 4.6 h.
	firstBlock = 64
	// blockMemory is over how many blocks is learned.
	blockMemory = 200
	// enough is how many blocks have to be seen at least, and trust by how many
	// standard deviations a coefficient has to differ from nothing; once it is in
	// use, distrust. Sixty pairs of length and lag are looked at.
	enough, trust, distrust = 8, 5, 3.5
	// correlated is by how much neighbouring differences of blocks, which are not
	// independent, make the standard deviation larger than it looks.
	correlated = 1.25
	// crooked is what part of a coefficient is believed at best: it differs with
	// temperature, and other parts of the board have their own.
	crooked = 0.05
	// ageFrom is how long the oscillator has to be watched before a trend is taken
	// for ageing: over less it is the weather.
	ageFrom = 2 * 86400
	// ageTrust is trust of ageing.
	ageTrust = 3.5
	// sensorGap is how long readings may be missing before it counts, s.
	sensorGap = 30
)

// lagS are the lags tried, s: 1.7 times one another. The shortest smooths a
// sensor's noise.
var lagS = [lags]float64{5, 8, 14, 24, 41, 70, 120, 205, 350, 600, 1000, 1700}

// block is one length of blocks.
type block struct {
	marks         int // 0 to 2: boundaries behind us
	at            float64
	phase, was    float64 // free phase at the last boundary, mean frequency before it
	area          [lags]float64
	mean          [lags]float64 // mean temperature before the last boundary
	n, d, dd, all float64       // of the differences of frequency; all counts without forgetting
	hot           float64       // n of those with a sensor
	g, gg, gd, hd [lags]float64 // of the differences of temperature, with d; hd is dd of those
}

func blockS(i int) float64 { return firstBlock * math.Pow(4, float64(i)) }

// Temperature takes a reading at t seconds. The caller has refused what cannot
// be one.
func (c *Course) Temperature(t, celsius float64) {
	dt := t - c.readAt
	if !c.read || dt < 0 {
		c.rebase(t, celsius)
		return
	}
	if dt == 0 {
		return
	}
	unseen := dt > sensorGap
	if d := math.Abs(celsius - c.celsius); d > 0 {
		unseen = unseen || c.weather.stuck(t)
		c.weather.moved(t, d)
	} else if c.weather.stuck(t) {
		c.readAt = t // its word says nothing
		return
	}
	for i := range c.low {
		was := c.low[i]
		c.low[i] += (celsius - was) * -math.Expm1(-dt/lagS[i])
		c.area[i] += ((was+c.low[i])/2 - c.base) * dt
	}
	if unseen { // nobody knows how it went on: where it is now still counts
		c.Break()
		c.weather.begin(t, celsius)
	}
	c.weather.see(t, c.low[1])
	c.readAt, c.celsius, c.guess = t, celsius, celsius
}

// rebase begins with a sensor anew, without a turn.
func (c *Course) rebase(t, celsius float64) {
	c.read, c.readAt, c.celsius, c.guess, c.base = true, t, celsius, celsius, celsius
	for i := range c.low {
		c.low[i], c.lowAt[i], c.area[i] = celsius, celsius, 0
	}
	c.weather.begin(t, celsius)
	c.Break()
}

// Shift tells that the sensor reads by dc K more from now on, without a change of
// the temperature.
func (c *Course) Shift(dc float64) {
	for i := range c.low {
		c.low[i] += dc
		c.lowAt[i] += dc
	}
	c.celsius, c.guess, c.base = c.celsius+dc, c.guess+dc, c.base+dc
	c.weather.shift(dc)
}

// Stuck reports whether the reading has stood still for longer than this sensor's
// ever should.
func (c *Course) Stuck(t float64) bool { return c.read && c.weather.stuck(t) }

// lost reports whether nothing can be made of the sensor's word, if there is one.
func (c *Course) lost(t float64) bool { return t-c.readAt > sensorGap || c.weather.stuck(t) }

// Break forgets the blocks under way: the phase did not go on.
func (c *Course) Break() {
	for i := range c.scale {
		c.scale[i].marks = 0
	}
}

// See takes the phase of the oscillator running free, ns, at t seconds: where a
// measurement was.
func (c *Course) See(t, free float64) {
	learned := false
	for i := range c.scale {
		b, long := &c.scale[i], blockS(i)
		gone := t - b.at
		switch {
		case b.marks > 0 && gone >= 0 && gone < long:
			continue
		case b.marks > 0 && (gone < 0 || gone > long*1.125+1):
			b.marks = 0 // a boundary came too late
		}
		if b.marks > 0 {
			f := (free - b.phase) / gone
			var mean [lags]float64
			for j := range mean {
				mean[j] = (c.area[j] - b.area[j]) / gone
			}
			if b.marks > 1 {
				b.learn(f-b.was, &mean, c.read && !c.lost(t))
				learned = true
			}
			b.was, b.mean = f, mean
		}
		b.marks = min(b.marks+1, 2)
		b.at, b.phase, b.area = t, free, c.area
	}
	if learned {
		c.judge()
	}
}

// learn takes the change of frequency from one block to the next.
func (b *block) learn(d float64, mean *[lags]float64, hot bool) {
	keep := 1 - 1/float64(blockMemory)
	b.n, b.d, b.dd, b.all = b.n*keep+1, b.d*keep+d, b.dd*keep+d*d, b.all+1
	if !hot {
		return
	}
	b.hot = b.hot*keep + 1
	for j := range mean {
		g := mean[j] - b.mean[j]
		b.g[j], b.gg[j], b.gd[j], b.hd[j] = b.g[j]*keep+g, b.gg[j]*keep+g*g, b.gd[j]*keep+g*d, b.hd[j]*keep+d*d
	}
}

// judge chooses the coefficients to be used.
func (c *Course) judge() {
	best, lag := Coefficient{}, 0
	for i := range c.scale {
		b := &c.scale[i]
		if b.hot < enough {
			continue
		}
		at, most := -1, 0.0
		for j := range b.gg {
			if fit := b.gd[j] * b.gd[j] / b.gg[j]; b.gg[j] > 0 && fit > most {
				at, most = j, fit
			}
		}
		if at < 0 {
			continue
		}
		left := math.Max(b.hd[at]-most, 0) / (b.hot - 1)
		x := Coefficient{b.gd[at] / b.gg[at], correlated * (1 + 4/b.hot) * math.Sqrt(left/b.gg[at])}
		if x.Sigma > 0 && (best.Sigma == 0 || x.Sigma < best.Sigma) {
			best, lag = x, at
		}
	}
	c.temp, c.lag = choose(best, lag, Coefficient{c.prior.Temp.Value, c.prior.Temp.Sigma}, c.priorLag(), c.temp.Value != 0)

	best = Coefficient{}
	for i := blocks - 2; i < blocks; i++ {
		b, long := &c.scale[i], blockS(i)
		if b.all*long < ageFrom {
			continue
		}
		d, dd := b.d, b.dd
		if v := c.temp.Value; v != 0 && b.hot > b.n/2 {
			j := c.lag
			d, dd = d-v*b.g[j], dd-2*v*b.gd[j]+v*v*b.gg[j]
		}
		mean := d / b.n
		left := math.Max(dd-d*mean, 0) / (b.n - 1)
		x := Coefficient{mean / long, correlated * math.Sqrt(left/b.n) / long}
		if x.Sigma > 0 && (best.Sigma == 0 || x.Sigma < best.Sigma) {
			best = x
		}
	}
	const day = 86400
	prior := Coefficient{c.prior.Age.Value / day, c.prior.Age.Sigma / day}
	switch p := prior.Value; {
	case best.Sigma > 0 && math.Abs(best.Value) > ageTrust*best.Sigma && (p == 0 || best.Sigma < prior.Sigma || math.Abs(best.Value-p) > ageTrust*math.Hypot(best.Sigma, prior.Sigma)):
		c.age = best
	case best.Sigma > 0 && math.Abs(best.Value-p) > ageTrust*math.Hypot(best.Sigma, prior.Sigma):
		c.age = Coefficient{} // it ages no more as it was noted
	default:
		c.age = prior
	}
}

func (c *Course) priorLag() int {
	at := 0
	for j := range lagS {
		if math.Abs(lagS[j]-c.prior.LagS) < math.Abs(lagS[at]-c.prior.LagS) {
			at = j
		}
	}
	return at
}

// choose takes the better of what was learned now and what was noted earlier, or
// none: a note that the present contradicts is no more believed.
func choose(now Coefficient, lag int, noted Coefficient, notedLag int, inUse bool) (Coefficient, int) {
	need := float64(trust)
	if inUse {
		need = distrust
	}
	known := now.Sigma > 0 && math.Abs(now.Value) > need*now.Sigma
	if noted.Value != 0 && (now.Sigma == 0 || noted.Sigma < now.Sigma && math.Abs(now.Value-noted.Value) < trust*math.Hypot(now.Sigma, noted.Sigma)) {
		return noted, notedLag
	}
	if known {
		return now, lag
	}
	return Coefficient{}, 0
}

// Turn returns by how much the frequency has changed since the last call, as far
// as it can be told, ppb, + = faster; t in seconds. Without a word of the sensor's
// the crystal takes on the last temperature that was read, and that goes back to
// its mean.
func (c *Course) Turn(t float64) (ppb float64) {
	dt := 0.0
	if c.sure && t > c.t {
		dt = t - c.t
		ppb = c.age.Value * dt
	}
	c.t, c.sure = t, true
	if c.read && c.lost(t) {
		c.guess += (c.weather.mid - c.guess) * -math.Expm1(-dt/c.weather.back())
		for i := range c.low {
			c.low[i] += (c.guess - c.low[i]) * -math.Expm1(-dt/lagS[i])
		}
	}
	ppb += c.temp.Value * (c.low[c.lag] - c.lowAt[c.lag])
	c.lowAt = c.low
	return ppb
}

// Unsure returns what one standard deviation of the coefficients makes of the
// frequency's change when the temperature, through the lag in use, has changed by
// dc K; + always, ppb. Over t more seconds ageing adds half of Ageing's sigma.
func (c *Course) Unsure(dc float64) float64 {
	if c.temp.Value == 0 {
		return 0
	}
	return math.Abs(dc) * math.Hypot(c.temp.Sigma, crooked*c.temp.Value)
}

// Low returns the temperature as the crystal has it: through the lag in use.
func (c *Course) Low() float64 { return c.low[c.lag] }

// Ageing returns the drift that Turn counts with, ppb per s.
func (c *Course) Ageing() Coefficient { return c.age }

// Blind returns for how long the sensor that is used has said nothing, or stood
// still for longer than its wont, s; 0 while it is believed.
func (c *Course) Blind(t float64) float64 {
	if c.temp.Value == 0 || !c.read {
		return 0
	}
	if gone := t - c.readAt; gone > sensorGap {
		return math.Max(gone, c.weather.still(t))
	}
	return c.weather.still(t)
}

// Wander returns what the temperature does to the phase t seconds from now if nobody
// reads it and nobody has for blind seconds, one standard deviation, ns. It walks as
// it was seen to.
func (c *Course) Wander(blind, t float64) float64 {
	if c.temp.Value == 0 {
		return 0
	}
	door := 0.0
	if blind > 0 {
		door = draught * (blind + t) * (blind + t) / (blind + t + draughtS)
	}
	t += blind
	return math.Abs(c.temp.Value) * math.Hypot(math.Sqrt(math.Max(c.weather.walk(), walkLeast)*t*t*t/3), door)
}

// Grain returns the smallest change of the reading that was seen, K.
func (c *Course) Grain() float64 { return c.weather.grain }

// Notes returns what is in use.
func (c *Course) Notes() CourseNotes {
	const day = 86400
	return CourseNotes{Temp: c.temp, LagS: lagS[c.lag], Age: Coefficient{c.age.Value * day, c.age.Sigma * day}}
}

// Learn takes what an earlier run noted. Values without a sigma are ignored.
func (c *Course) Learn(n CourseNotes) {
	if !(n.Temp.Sigma > 0) {
		n.Temp = Coefficient{}
	}
	if !(n.Age.Sigma > 0) {
		n.Age = Coefficient{}
	}
	c.prior = n
	c.judge()
}
