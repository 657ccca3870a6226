package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"noonmark/internal/printable"
	"noonmark/server/ntsclient"
)

// writeJSON prints a sample as one line.
func writeJSON(w io.Writer, t target, s *ntsclient.Sample) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(s.Report(t.name)) // an error is a closed pipe
}

// writeText prints a sample as text.
func writeText(w io.Writer, t target, s *ntsclient.Sample) {
	if !s.Shown {
		return
	}
	r := &s.Best
	word := "NOT authenticated"
	if r.Authenticated {
		word = "authenticated by NTS, " + r.AEAD.String()
	}
	fmt.Fprintf(w, "%s (%v), %s\n", t.name, r.Server, word)
	fmt.Fprintf(w, "  local clock  %s ± %s\n", fastOrSlow(r.Offset), printable.Duration(r.RootDistance()))
	fmt.Fprintf(w, "  round trip   %s", printable.Duration(r.Delay))
	if r.Interleaved {
		fmt.Fprint(w, ", interleaved")
	}
	fmt.Fprintf(w, ", %s timestamps here\n", r.Timestamps())
	fmt.Fprintf(w, "  server       stratum %d, %s, %s", r.Stratum, r.RefIDText(), leapWords[r.Leap&3])
	if ref := r.ReferenceTime(); !ref.IsZero() {
		fmt.Fprintf(w, ", last set %s before this reading", printable.Duration(max(0, time.Unix(0, r.Received.Real).Add(-r.Offset).Sub(ref))))
	}
	fmt.Fprintf(w, "\n               root delay %s, root dispersion %s\n", printable.Duration(r.RootDelay), printable.Duration(r.RootDispersion))
	if s.Readings > 1 || s.Lost > 0 {
		fmt.Fprintf(w, "  readings     %d valid, %d lost, jitter %s\n", s.Readings, s.Lost, printable.Duration(s.Jitter))
	}
	if r.Authenticated {
		fmt.Fprintf(w, "  cookies      %d left\n", r.Cookies)
	}
}

var leapWords = [4]string{"no leap second ahead", "leap second to be inserted", "leap second to be deleted", "not synchronised"}

// writeHeading prints the heading of writeLine.
func writeHeading(w io.Writer) {
	fmt.Fprintf(w, "%-8s  %-28s %-4s %3s %-15s %16s %12s %12s\n", "UTC", "server", "auth", "str", "refid", "local - server", "delay", "±")
}

// writeLine prints one reading of -watch.
func writeLine(w io.Writer, t target, s *ntsclient.Sample) {
	now := time.Now().UTC()
	if s.Err != nil {
		why := s.Err
		for _, e := range []error{ntsclient.ErrUnsynchronised, ntsclient.ErrHoldOff, ntsclient.ErrNoAnswer} {
			if errors.Is(why, e) {
				why = e
			}
		}
		fmt.Fprintf(w, "%s  %-28s %v\n", now.Format(time.TimeOnly), t.name, why)
		return
	}
	r := &s.Best
	auth := "no"
	if r.Authenticated {
		auth = "NTS"
	}
	fmt.Fprintf(w, "%s  %-28s %-4s %3d %-15s %16s %12s %12s\n", now.Format(time.TimeOnly), t.name, auth, r.Stratum,
		r.RefIDText(), signed(r.Offset), printable.Duration(r.Delay), printable.Duration(r.RootDistance()))
}

// fastOrSlow prints an offset in words.
func fastOrSlow(d time.Duration) string {
	switch {
	case d > 0:
		return printable.Duration(d) + " fast"
	case d < 0:
		return printable.Duration(-d) + " slow"
	}
	return "0 ns off"
}

// signed prints an offset with its sign.
func signed(d time.Duration) string {
	if d < 0 {
		return "-" + printable.Duration(-d)
	}
	return "+" + printable.Duration(d)
}
