// Package simulate runs the daemon's engine and discipline in virtual time: on
// a virtual appliance (named scenarios and scenario files), on a recorded
// series, or in lock step with an external servo bench. Its results are tables,
// CSV, JSON lines and a summary. It is the logic of refclockctl simulate and
// servo; nothing here reads a wall clock, but for the speed of a run.
package simulate
