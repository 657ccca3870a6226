package refclock

// Apply applies settings at once, as Run does with those of Set.
func (e *Engine) Apply(s Settings) { e.apply(s) }
