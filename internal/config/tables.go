package config

// Log is the [log] table of every daemon.
type Log struct {
	Level  string `toml:"level"`  // debug, info, warn or error
	Format string `toml:"format"` // text or json
}

// DefaultLog are the values of the keys that [log] leaves out.
func DefaultLog() Log { return Log{Level: "info", Format: "text"} }

// Check checks the values. An empty one is the default.
func (l Log) Check(c *Checker) {
	if l.Level != "" {
		c.OneOf("log.level", l.Level, "debug", "info", "warn", "error")
	}
	if l.Format != "" {
		c.OneOf("log.format", l.Format, "text", "json")
	}
}

// Metrics is the [metrics] table of every daemon.
type Metrics struct {
	Listen AddrPort `toml:"listen"` // empty: off
}

// Exposed reports whether other machines can read the metrics.
func (m Metrics) Exposed() bool {
	return m.Listen.IsValid() && !m.Listen.Addr().IsLoopback()
}
