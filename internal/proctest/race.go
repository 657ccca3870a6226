//go:build race

package proctest

// RaceEnabled reports whether the test runs under the race detector.
const RaceEnabled = true
