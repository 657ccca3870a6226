package servo

import "math"

// Compensation foretells how the frequency of the free oscillator will change: with
// temperature, where a sensor tells it, and with age. It learns both from means
// of the frequency over blocks of time, from one block to the next: slow changes
// of all kinds then weigh no more than they should. It tries several lengths of
// blocks and several lags between sensor and crystal, and uses the coefficient
// that is known best, if it is known well enough. A sensor that has nothing to do
// with the oscillator is not used.
type Compensation struct {
	now     float64 // s, of the last Turn
	started bool    // t is set

	// The sensor. Times in s, temperatures in degrees Celsius.
	hasSensor bool
	readAt    float64
	celsius   float64
	assumed   float64       // what it is taken for while nothing is read
	filtered  [lags]float64 // the reading through a low pass of each lag
	applied   [lags]float64 // the same at the last Turn
	integral  [lags]float64 // integral of low, K s, from base
	base      float64       // reading at which area began
	stats     tempStats

	blocks [blocks]blockStats
	temp   Coefficient // in use; Value 0 = none
	lag    int
	age    Coefficient // in use, ppb per s
	prior  CompensationState
}

// Coefficient is a learned value and its standard deviation; Sigma 0 = not known.
type Coefficient struct{ Value, Sigma float64 }

// CompensationState is what a Course learned, to be kept.
type CompensationState struct {
	Temp Coefficient // ppb per K
	LagS float64     // s, by which the oscillator follows the sensor
	Age  Coefficient // ppb per day
}

const (
	lags   = 12
	blocks = 5
	// firstBlock is the length of the shortest blocks, s; each is four times the
	// one before: 64 s to 4.6 h.
	firstBlockS = 64
	// blockMemory is over how many blocks is learned.
	blockMemory = 200
	// enough is how many blocks have to be seen at least, and trust by how many
	// standard deviations a coefficient has to differ from nothing; once it is in
	// use, distrust. Sixty pairs of length and lag are looked at.
	minBlocks, trustSigma, keepSigma = 8, 5, 3.5
	// correlated is by how much neighbouring differences of blocks, which are not
	// independent, make the standard deviation larger than it looks.
	correlation = 1.25
	// crooked is what part of a coefficient is believed at best: it differs with
	// temperature, and other parts of the board have their own.
	coefficientError = 0.05
	// ageFrom is how long the oscillator has to be watched before a trend is taken
	// for ageing: over less it is the weather.
	minAgeingS = 2 * 86400
	// ageTrust is trust of ageing.
	ageTrustSigma = 3.5
	// sensorGap is how long readings may be missing before it counts, s.
	sensorGap = 30
)

// lagS are the lags tried, s: 1.7 times one another. The shortest smooths a
// sensor's noise.
var lagSeconds = [lags]float64{5, 8, 14, 24, 41, 70, 120, 205, 350, 600, 1000, 1700}

// blockStats is one length of blocks.
type blockStats struct {
	boundaries      int // 0 to 2: boundaries behind us
	at              float64
	phase, lastFreq float64 // free phase at the last boundary, mean frequency before it
	integral        [lags]float64
	lastMean        [lags]float64 // mean temperature before the last boundary
	n, d, dd, total float64       // of the differences of frequency; all counts without forgetting
	nTemp           float64       // n of those with a sensor
	g, gg, gd, hd   [lags]float64 // of the differences of temperature, with d; hd is dd of those
}

func blockSeconds(i int) float64 { return firstBlockS * math.Pow(4, float64(i)) }

// Temperature takes a reading at t seconds. The caller has refused what cannot
// be one.
func (c *Compensation) Temperature(t, celsius float64) {
	dt := t - c.readAt
	if !c.hasSensor || dt < 0 {
		c.rebase(t, celsius)
		return
	}
	if dt == 0 {
		return
	}
	unseen := dt > sensorGap
	if d := math.Abs(celsius - c.celsius); d > 0 {
		unseen = unseen || c.stats.stuck(t)
		c.stats.changed(t, d)
	} else if c.stats.stuck(t) {
		c.readAt = t // its word says nothing
		return
	}
	for i := range c.filtered {
		was := c.filtered[i]
		c.filtered[i] += (celsius - was) * -math.Expm1(-dt/lagSeconds[i])
		c.integral[i] += ((was+c.filtered[i])/2 - c.base) * dt
	}
	if unseen { // nobody knows how it went on: where it is now still counts
		c.Restart()
		c.stats.restart(t, celsius)
	}
	c.stats.observe(t, c.filtered[1])
	c.readAt, c.celsius, c.assumed = t, celsius, celsius
}

// rebase begins with a sensor anew, without a turn.
func (c *Compensation) rebase(t, celsius float64) {
	c.hasSensor, c.readAt, c.celsius, c.assumed, c.base = true, t, celsius, celsius, celsius
	for i := range c.filtered {
		c.filtered[i], c.applied[i], c.integral[i] = celsius, celsius, 0
	}
	c.stats.restart(t, celsius)
	c.Restart()
}

// ShiftSensor tells that the sensor reads by dc K more from now on, without a change of
// the temperature.
func (c *Compensation) ShiftSensor(dc float64) {
	for i := range c.filtered {
		c.filtered[i] += dc
		c.applied[i] += dc
	}
	c.celsius, c.assumed, c.base = c.celsius+dc, c.assumed+dc, c.base+dc
	c.stats.shift(dc)
}

// Stuck reports whether the reading has stood still for longer than this sensor's
// ever should.
func (c *Compensation) Stuck(t float64) bool { return c.hasSensor && c.stats.stuck(t) }

// unusable reports whether nothing can be made of the sensor's word, if there is one.
func (c *Compensation) unusable(t float64) bool { return t-c.readAt > sensorGap || c.stats.stuck(t) }

// Restart forgets the blocks under way: the phase did not go on.
func (c *Compensation) Restart() {
	for i := range c.blocks {
		c.blocks[i].boundaries = 0
	}
}

// Observe takes the phase of the oscillator running free, ns, at t seconds: where a
// measurement was.
func (c *Compensation) Observe(t, free float64) {
	learned := false
	for i := range c.blocks {
		b, long := &c.blocks[i], blockSeconds(i)
		gone := t - b.at
		switch {
		case b.boundaries > 0 && gone >= 0 && gone < long:
			continue
		case b.boundaries > 0 && (gone < 0 || gone > long*1.125+1):
			b.boundaries = 0 // a boundary came too late
		}
		if b.boundaries > 0 {
			f := (free - b.phase) / gone
			var mean [lags]float64
			for j := range mean {
				mean[j] = (c.integral[j] - b.integral[j]) / gone
			}
			if b.boundaries > 1 {
				b.observe(f-b.lastFreq, &mean, c.hasSensor && !c.unusable(t))
				learned = true
			}
			b.lastFreq, b.lastMean = f, mean
		}
		b.boundaries = min(b.boundaries+1, 2)
		b.at, b.phase, b.integral = t, free, c.integral
	}
	if learned {
		c.choose()
	}
}

// observe takes the change of frequency from one block to the next.
func (b *blockStats) observe(d float64, mean *[lags]float64, hot bool) {
	keep := 1 - 1/float64(blockMemory)
	b.n, b.d, b.dd, b.total = b.n*keep+1, b.d*keep+d, b.dd*keep+d*d, b.total+1
	if !hot {
		return
	}
	b.nTemp = b.nTemp*keep + 1
	for j := range mean {
		g := mean[j] - b.lastMean[j]
		b.g[j], b.gg[j], b.gd[j], b.hd[j] = b.g[j]*keep+g, b.gg[j]*keep+g*g, b.gd[j]*keep+g*d, b.hd[j]*keep+d*d
	}
}

// choose chooses the coefficients to be used.
func (c *Compensation) choose() {
	best, lag := Coefficient{}, 0
	for i := range c.blocks {
		b := &c.blocks[i]
		if b.nTemp < minBlocks {
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
		left := math.Max(b.hd[at]-most, 0) / (b.nTemp - 1)
		x := Coefficient{b.gd[at] / b.gg[at], correlation * (1 + 4/b.nTemp) * math.Sqrt(left/b.gg[at])}
		if x.Sigma > 0 && (best.Sigma == 0 || x.Sigma < best.Sigma) {
			best, lag = x, at
		}
	}
	c.temp, c.lag = prefer(best, lag, Coefficient{c.prior.Temp.Value, c.prior.Temp.Sigma}, c.priorLag(), c.temp.Value != 0)

	best = Coefficient{}
	for i := blocks - 2; i < blocks; i++ {
		b, long := &c.blocks[i], blockSeconds(i)
		if b.total*long < minAgeingS {
			continue
		}
		d, dd := b.d, b.dd
		if v := c.temp.Value; v != 0 && b.nTemp > b.n/2 {
			j := c.lag
			d, dd = d-v*b.g[j], dd-2*v*b.gd[j]+v*v*b.gg[j]
		}
		mean := d / b.n
		left := math.Max(dd-d*mean, 0) / (b.n - 1)
		x := Coefficient{mean / long, correlation * math.Sqrt(left/b.n) / long}
		if x.Sigma > 0 && (best.Sigma == 0 || x.Sigma < best.Sigma) {
			best = x
		}
	}
	const day = 86400
	prior := Coefficient{c.prior.Age.Value / day, c.prior.Age.Sigma / day}
	switch p := prior.Value; {
	case best.Sigma > 0 && math.Abs(best.Value) > ageTrustSigma*best.Sigma && (p == 0 || best.Sigma < prior.Sigma || math.Abs(best.Value-p) > ageTrustSigma*math.Hypot(best.Sigma, prior.Sigma)):
		c.age = best
	case best.Sigma > 0 && math.Abs(best.Value-p) > ageTrustSigma*math.Hypot(best.Sigma, prior.Sigma):
		c.age = Coefficient{} // it ages no more as it was noted
	default:
		c.age = prior
	}
}

func (c *Compensation) priorLag() int {
	at := 0
	for j := range lagSeconds {
		if math.Abs(lagSeconds[j]-c.prior.LagS) < math.Abs(lagSeconds[at]-c.prior.LagS) {
			at = j
		}
	}
	return at
}

// prefer takes the better of what was learned now and what was noted earlier, or
// none: a note that the present contradicts is no more believed.
func prefer(now Coefficient, lag int, noted Coefficient, notedLag int, inUse bool) (Coefficient, int) {
	need := float64(trustSigma)
	if inUse {
		need = keepSigma
	}
	known := now.Sigma > 0 && math.Abs(now.Value) > need*now.Sigma
	if noted.Value != 0 && (now.Sigma == 0 || noted.Sigma < now.Sigma && math.Abs(now.Value-noted.Value) < trustSigma*math.Hypot(now.Sigma, noted.Sigma)) {
		return noted, notedLag
	}
	if known {
		return now, lag
	}
	return Coefficient{}, 0
}

// Advance returns by how much the frequency has changed since the last call, as far
// as it can be told, ppb, + = faster; t in seconds. Without a word of the sensor's
// the crystal takes on the last temperature that was read, and that goes back to
// its mean.
func (c *Compensation) Advance(t float64) (ppb float64) {
	dt := 0.0
	if c.started && t > c.now {
		dt = t - c.now
		ppb = c.age.Value * dt
	}
	c.now, c.started = t, true
	if c.hasSensor && c.unusable(t) {
		c.assumed += (c.stats.mean - c.assumed) * -math.Expm1(-dt/c.stats.returnTime())
		for i := range c.filtered {
			c.filtered[i] += (c.assumed - c.filtered[i]) * -math.Expm1(-dt/lagSeconds[i])
		}
	}
	ppb += c.temp.Value * (c.filtered[c.lag] - c.applied[c.lag])
	c.applied = c.filtered
	return ppb
}

// FreqSigma returns what one standard deviation of the coefficients makes of the
// frequency's change when the temperature, through the lag in use, has changed by
// dc K; + always, ppb. Over t more seconds ageing adds half of Ageing's sigma.
func (c *Compensation) FreqSigma(dc float64) float64 {
	if c.temp.Value == 0 {
		return 0
	}
	return math.Abs(dc) * math.Hypot(c.temp.Sigma, coefficientError*c.temp.Value)
}

// CrystalTemp returns the temperature as the crystal has it: through the lag in use.
func (c *Compensation) CrystalTemp() float64 { return c.filtered[c.lag] }

// Ageing returns the drift that Turn counts with, ppb per s.
func (c *Compensation) Ageing() Coefficient { return c.age }

// Unobserved returns for how long the sensor that is used has said nothing, or stood
// still for longer than its wont, s; 0 while it is believed.
func (c *Compensation) Unobserved(t float64) float64 {
	if c.temp.Value == 0 || !c.hasSensor {
		return 0
	}
	if gone := t - c.readAt; gone > sensorGap {
		return math.Max(gone, c.stats.unobserved(t))
	}
	return c.stats.unobserved(t)
}

// TempWalk returns what the temperature does to the phase t seconds from now if nobody
// reads it and nobody has for blind seconds, one standard deviation, ns. It walks as
// it was seen to.
func (c *Compensation) TempWalk(blind, t float64) float64 {
	if c.temp.Value == 0 {
		return 0
	}
	door := 0.0
	if blind > 0 {
		door = stepAllowanceK * (blind + t) * (blind + t) / (blind + t + stepAllowanceS)
	}
	t += blind
	return math.Abs(c.temp.Value) * math.Hypot(math.Sqrt(math.Max(c.stats.walk(), minWalk)*t*t*t/3), door)
}

// Resolution returns the smallest change of the reading that was seen, K.
func (c *Compensation) Resolution() float64 { return c.stats.resolution }

// Export returns what is in use.
func (c *Compensation) Export() CompensationState {
	const day = 86400
	return CompensationState{Temp: c.temp, LagS: lagSeconds[c.lag], Age: Coefficient{c.age.Value * day, c.age.Sigma * day}}
}

// Import takes what an earlier run noted. Values without a sigma are ignored.
func (c *Compensation) Import(n CompensationState) {
	if !(n.Temp.Sigma > 0) {
		n.Temp = Coefficient{}
	}
	if !(n.Age.Sigma > 0) {
		n.Age = Coefficient{}
	}
	c.prior = n
	c.choose()
}
