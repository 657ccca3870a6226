package refclock

import "noonmark/phc"

// Kernel is the kernel's view of the system clock: phc.Kernel, or a simulated
// one.
type Kernel interface {
	Load() (phc.Timex, error)
	Tell(phc.Quality) error
}
