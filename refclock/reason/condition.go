package reason

// Condition is something that lasts and keeps an input from being used well, or at
// all.
type Condition struct {
	Code   Code
	Detail string // what was seen, for people; may be empty
}

// Lasting is a condition that holds.
type Lasting struct {
	Condition
	Since int64 // CLOCK_MONOTONIC_RAW, ns
}
