package ntsclient

import "time"

// backoff is when something may be tried again.
type backoff struct {
	wait time.Duration // the last one; 0: none
	next time.Time
}

// extend makes the wait longer, within least and most, and starts it at now.
func (b *backoff) extend(now time.Time, least, most time.Duration) {
	if b.wait == 0 {
		b.wait = firstWait
	} else {
		b.wait = time.Duration(float64(b.wait) * waitGrowth)
	}
	b.wait = min(max(b.wait, least), most)
	b.next = now.Add(b.wait)
}
