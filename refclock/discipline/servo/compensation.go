package servo

import "math"

// Compensation predicts how the frequency of the free oscillator changes with
// temperature, if there is a sensor, and with age. It learns both from the
// differences between mean frequencies of consecutive blocks of time, so that
// slow changes with other causes do not get too much weight. It tries several
// lengths of blocks and several lags between sensor and crystal, and uses the
// coefficient with the smallest standard deviation, if that is small enough. A
// sensor that does not predict the oscillator is not used.
type Compensation struct {
	now     float64 // s, of the last Advance
	started bool    // now is set

	// The sensor. Times in s, temperatures in degrees Celsius.
	hasSensor bool
	readAt    float64
	celsius   float64
	assumed   float64       // temperature while there is no reading
	filtered  [lags]float64 // the reading through a low pass of each lag
	applied   [lags]float64 // the same at the last Advance
	integral  [lags]float64 // of filtered - base, K s
	base      float64       // the first reading
	stats     tempStats

	blocks [blocks]blockStats
	temp   Coefficient // in use; Value 0 = none
	lag    int
	age    Coefficient // in use, ppb per s
	prior  CompensationState
}

// Coefficient is a learned value and its standard deviation; Sigma 0 = not known.
type Coefficient struct{ Value, Sigma float64 }

// CompensationState is what a Compensation learned, to be kept.
type CompensationState struct {
	Temp Coefficient // ppb per K
	LagS float64     // of the oscillator behind the sensor, s
	Age  Coefficient // ppb per day
}

const (
	lags   = 12
	blocks = 5
	// firstBlockS is the length of the shortest blocks, s; each is four times the
	// one before: 64 s to 4.6 h.
	firstBlockS = 64
	// blockMemory is the number of blocks over which is learned.
	blockMemory = 200
	// A coefficient takes at least minBlocks blocks. It is used if it differs from 0
	// by trustSigma standard deviations, and as long as it does by keepSigma. The
	// threshold is high because sixty pairs of length and lag are tried.
	minBlocks, trustSigma, keepSigma = 8, 5, 3.5
	// correlation multiplies the standard deviation, because neighbouring
	// differences of blocks are not independent.
	correlation = 1.25
	// coefficientError is the least relative error of a coefficient: it depends on
	// the temperature, and other parts of the board have their own.
	coefficientError = 0.05
	// minAgeingS is the time from which a trend counts as ageing, s: over less time
	// it may be the temperature of the day.
	minAgeingS = 2 * 86400
	// ageTrustSigma is trustSigma for ageing.
	ageTrustSigma = 3.5
	// sensorGap is how long readings may be missing without consequence, s.
	sensorGap = 30
)

// lagSeconds are the lags tried, s, each 1.7 times the one before. The shortest
// smooths the noise of a sensor.
var lagSeconds = [lags]float64{5, 8, 14, 24, 41, 70, 120, 205, 350, 600, 1000, 1700}

// blockStats are the statistics of blocks of one length.
type blockStats struct {
	boundaries      int           // passed, at most 2
	at              float64       // time of the last one, s
	phase, lastFreq float64       // free-running phase there, mean frequency before it
	integral        [lags]float64 // there
	lastMean        [lags]float64 // mean temperature before the last boundary
	n, d, dd, total float64       // differences of frequency: number, sum, sum of squares; number without forgetting
	nTemp           float64       // number of those with a sensor
	g, gg, gd, hd   [lags]float64 // differences of temperature: sum, of squares, of products with those of frequency; hd is dd of those
}

func blockSeconds(i int) float64 { return firstBlockS * math.Pow(4, float64(i)) }

// Temperature takes a reading at t seconds. The caller refuses implausible ones.
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
		c.readAt = t // it does not show the temperature
		return
	}
	for i := range c.filtered {
		was := c.filtered[i]
		c.filtered[i] += (celsius - was) * -math.Expm1(-dt/lagSeconds[i])
		c.integral[i] += ((was+c.filtered[i])/2 - c.base) * dt
	}
	if unseen { // how it changed meanwhile is not known; where it is now, is
		c.Restart()
		c.stats.restart(t, celsius)
	}
	c.stats.observe(t, c.filtered[1])
	c.readAt, c.celsius, c.assumed = t, celsius, celsius
}

// rebase begins again with the sensor; the frequency does not change.
func (c *Compensation) rebase(t, celsius float64) {
	c.hasSensor, c.readAt, c.celsius, c.assumed, c.base = true, t, celsius, celsius, celsius
	for i := range c.filtered {
		c.filtered[i], c.applied[i], c.integral[i] = celsius, celsius, 0
	}
	c.stats.restart(t, celsius)
	c.Restart()
}

// ShiftSensor reports that the sensor reads dc K more from now on, without a
// change of the temperature.
func (c *Compensation) ShiftSensor(dc float64) {
	for i := range c.filtered {
		c.filtered[i] += dc
		c.applied[i] += dc
	}
	c.celsius, c.assumed, c.base = c.celsius+dc, c.assumed+dc, c.base+dc
	c.stats.shift(dc)
}

// Stuck reports whether the reading is constant for implausibly long.
func (c *Compensation) Stuck(t float64) bool { return c.hasSensor && c.stats.stuck(t) }

// unusable reports whether the sensor, if there is one, does not show the
// temperature.
func (c *Compensation) unusable(t float64) bool { return t-c.readAt > sensorGap || c.stats.stuck(t) }

// Restart begins all blocks again, because the phase jumped.
func (c *Compensation) Restart() {
	for i := range c.blocks {
		c.blocks[i].boundaries = 0
	}
}

// Observe takes the phase of the free-running oscillator, ns, at t seconds, after
// a measurement.
func (c *Compensation) Observe(t, free float64) {
	learned := false
	for i := range c.blocks {
		b, long := &c.blocks[i], blockSeconds(i)
		gone := t - b.at
		switch {
		case b.boundaries > 0 && gone >= 0 && gone < long:
			continue
		case b.boundaries > 0 && (gone < 0 || gone > long*1.125+1):
			b.boundaries = 0 // the boundary was missed
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

// observe takes the change of frequency d from one block to the next. withTemp:
// mean is the temperature's mean in the second one.
func (b *blockStats) observe(d float64, mean *[lags]float64, withTemp bool) {
	keep := 1 - 1/float64(blockMemory)
	b.n, b.d, b.dd, b.total = b.n*keep+1, b.d*keep+d, b.dd*keep+d*d, b.total+1
	if !withTemp {
		return
	}
	b.nTemp = b.nTemp*keep + 1
	for j := range mean {
		g := mean[j] - b.lastMean[j]
		b.g[j], b.gg[j], b.gd[j], b.hd[j] = b.g[j]*keep+g, b.gg[j]*keep+g*g, b.gd[j]*keep+g*d, b.hd[j]*keep+d*d
	}
}

// choose selects the coefficients to be used.
func (c *Compensation) choose() {
	best, lag := c.bestTemp()
	c.temp, c.lag = prefer(best, lag, c.prior.Temp, c.priorLag(), c.temp.Value != 0)
	const day = 86400
	c.age = preferAge(c.bestAge(), Coefficient{c.prior.Age.Value / day, c.prior.Age.Sigma / day})
}

// bestTemp returns the temperature coefficient with the smallest standard
// deviation, of all lengths of blocks and all lags.
func (c *Compensation) bestTemp() (best Coefficient, lag int) {
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
	return best, lag
}

// bestAge returns the ageing with the smallest standard deviation, ppb per s, of
// the two longest blocks, without the part that temperature explains.
func (c *Compensation) bestAge() (best Coefficient) {
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
	return best
}

// preferAge returns the ageing to be used: the present one, that of an earlier
// run, or none if they contradict each other and the present one is not certain.
func preferAge(now, prior Coefficient) Coefficient {
	differs := now.Sigma > 0 && math.Abs(now.Value-prior.Value) > ageTrustSigma*math.Hypot(now.Sigma, prior.Sigma)
	certain := now.Sigma > 0 && math.Abs(now.Value) > ageTrustSigma*now.Sigma
	switch {
	case certain && (prior.Value == 0 || now.Sigma < prior.Sigma || differs):
		return now
	case differs:
		return Coefficient{}
	}
	return prior
}

// priorLag returns the index of the lag of an earlier run.
func (c *Compensation) priorLag() int {
	at := 0
	for j := range lagSeconds {
		if math.Abs(lagSeconds[j]-c.prior.LagS) < math.Abs(lagSeconds[at]-c.prior.LagS) {
			at = j
		}
	}
	return at
}

// prefer returns the temperature coefficient to be used, with its lag: the
// present one, that of an earlier run, or none. inUse: one is used already. The
// present one overrides one that it contradicts.
func prefer(now Coefficient, lag int, prior Coefficient, priorLag int, inUse bool) (Coefficient, int) {
	need := float64(trustSigma)
	if inUse {
		need = keepSigma
	}
	known := now.Sigma > 0 && math.Abs(now.Value) > need*now.Sigma
	if prior.Value != 0 && (now.Sigma == 0 || prior.Sigma < now.Sigma && math.Abs(now.Value-prior.Value) < trustSigma*math.Hypot(now.Sigma, prior.Sigma)) {
		return prior, priorLag
	}
	if known {
		return now, lag
	}
	return Coefficient{}, 0
}

// Advance returns the predicted change of the frequency since the last call, ppb,
// + = faster; t in seconds. While there is no usable reading, the temperature is
// assumed to return from the last one to its mean, and the crystal to follow.
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

// FreqSigma returns the standard deviation, ppb, of the frequency's change if the
// temperature of the crystal has changed by dc K.
func (c *Compensation) FreqSigma(dc float64) float64 {
	if c.temp.Value == 0 {
		return 0
	}
	return math.Abs(dc) * math.Hypot(c.temp.Sigma, coefficientError*c.temp.Value)
}

// CrystalTemp returns the temperature of the crystal: the reading through the lag
// in use.
func (c *Compensation) CrystalTemp() float64 { return c.filtered[c.lag] }

// Ageing returns the ageing that Advance uses, ppb per s.
func (c *Compensation) Ageing() Coefficient { return c.age }

// Unobserved returns for how long, s, the sensor in use has given no reading, or a
// constant one for longer than usual; 0 while it shows the temperature.
func (c *Compensation) Unobserved(t float64) float64 {
	if c.temp.Value == 0 || !c.hasSensor {
		return 0
	}
	if gone := t - c.readAt; gone > sensorGap {
		return math.Max(gone, c.stats.unobserved(t))
	}
	return c.stats.unobserved(t)
}

// TempWalk returns the standard deviation, ns, of what the temperature does to the
// phase within t seconds from now, if it is not observed then and was not for
// blind seconds. It is assumed to walk as observed before.
func (c *Compensation) TempWalk(blind, t float64) float64 {
	if c.temp.Value == 0 {
		return 0
	}
	jump := 0.0
	if blind > 0 {
		jump = stepAllowanceK * (blind + t) * (blind + t) / (blind + t + stepAllowanceS)
	}
	t += blind
	return math.Abs(c.temp.Value) * math.Hypot(math.Sqrt(math.Max(c.stats.walk(), minWalk)*t*t*t/3), jump)
}

// Resolution returns the smallest change of the reading observed, K.
func (c *Compensation) Resolution() float64 { return c.stats.resolution }

// Export returns what is in use.
func (c *Compensation) Export() CompensationState {
	const day = 86400
	return CompensationState{Temp: c.temp, LagS: lagSeconds[c.lag], Age: Coefficient{c.age.Value * day, c.age.Sigma * day}}
}

// Import takes what an earlier run learned. Values without a sigma are ignored.
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
