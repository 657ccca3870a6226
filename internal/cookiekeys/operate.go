package cookiekeys

import (
	"fmt"
	"io"
	"os"
	"time"

	"noonmark/server/nts"
)

// loads says how ntsserve gets to know of a change.
const loads = "ntsserve loads it within 10 s, or at once: systemctl reload ntsserve\n"

// open opens the key file of a server. A file that does not exist is not made: a wrong
// path is a mistake.
func open(path string, cfg nts.RingConfig, now time.Time) (*nts.Ring, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return nts.OpenRing(path, cfg, now)
}

// Rotate adds a secret to a key file, which seals after a time, and says on w from when on.
// Cookies that were issued stay valid.
func Rotate(w io.Writer, path string, cfg nts.RingConfig, after time.Duration, now time.Time) error {
	ring, err := open(path, cfg, now)
	if err != nil {
		return err
	}
	since, err := ring.NewRoot(now.Add(after), now)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "a new secret seals from %s on; cookies already issued stay valid\n%s", minute(since), loads)
	return nil
}

// Revoke replaces all secrets of a key file, and says on w what that means: all cookies
// are void.
func Revoke(w io.Writer, path string, cfg nts.RingConfig, now time.Time) error {
	ring, err := open(path, cfg, now)
	if err != nil {
		return err
	}
	if err := ring.Revoke(now); err != nil {
		return err
	}
	fmt.Fprint(w, "all cookies are void; clients ask for new keys by themselves\n"+loads)
	return nil
}
