//go:build race

package refclock_test

const raceEnabled = true
