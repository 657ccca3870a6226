package reason

// Event is something that a pure package of the reference side found out. Its
// caller counts and logs it.
type Event struct {
	Code   Code   // counted and logged as a warning with its own message; None: only logged
	Text   string // message of the log line where Code is None
	Warn   bool   // Text is a warning, else for information
	Fields []any  // keys and values of the log line, alternating
}
