package web

import (
	"context"
	"sync"
	"time"

	"noonmark/internal/doctor"
)

// findingsAge is how old findings may be. Looking at the machine takes milliseconds.
const findingsAge = 30 * time.Second

// findings keeps what doctor found last, so that many who ask cost no more than one.
type findings struct {
	examine func(context.Context) []doctor.Finding

	mu    sync.Mutex // guards the next, and makes the others wait for one who looks
	found []doctor.Finding
	at    time.Time
}

// get returns the findings. They are looked for at most twice a minute.
func (f *findings) get(ctx context.Context) []doctor.Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.examine != nil && time.Since(f.at) > findingsAge {
		found := f.examine(ctx)
		if ctx.Err() != nil {
			return f.found // who asked has gone, and what was found may lack a part
		}
		f.found, f.at = found, time.Now()
	}
	return f.found
}
