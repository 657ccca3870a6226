package pps

import (
	"math"
	"time"
)

// lightSpeed is the speed of light in vacuum in m/s, exact by the definition of
// the metre.
const lightSpeed = 299792458

// SolidVelocity is the velocity factor of cables with solid polyethylene, such
// as RG-58, RG-174 and RG-213: signals run at that part of the speed of light.
// Foamed ones have 0.78 to 0.88 (datasheets; RG-6 0.82, LMR-400 0.85).
const SolidVelocity = 0.66

// CableDelay returns by how much a cable of a length in m makes a signal late,
// never negative; factor is its velocity factor, more than 0 to 1.
func CableDelay(metres, factor float64) time.Duration {
	return time.Duration(math.Round(metres / (lightSpeed * factor) * 1e9))
}
