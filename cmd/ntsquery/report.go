package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"noonmark/server/ntsclient"
)

// report is the JSON form. Durations are ns; offset is local clock - server,
// + = the local clock is fast. Fields that only an answer can fill are left out
// where there was none.
type report struct {
	Host          string `json:"host"` // as typed
	Server        string `json:"server"`
	Valid         bool   `json:"valid"`
	Authenticated bool   `json:"authenticated"`
	Error         string `json:"error,omitempty"`

	*measured

	Readings int               `json:"readings"`          // valid ones, of which this is the one with the least delay
	Lost     int               `json:"lost"`              // requests without a valid answer
	Ignored  map[string]uint64 `json:"ignored,omitempty"` // packets that were no answer, by reason
}

type measured struct {
	Time           string  `json:"time"` // of the reading, by the local clock
	OffsetNS       int64   `json:"offset_ns"`
	DelayNS        int64   `json:"delay_ns"`
	JitterNS       int64   `json:"jitter_ns"`
	RootDelayNS    int64   `json:"root_delay_ns"`
	RootDispNS     int64   `json:"root_dispersion_ns"`
	RootDistanceNS int64   `json:"root_distance_ns"` // bound of the offset's error, if the server is right about itself
	Stratum        uint8   `json:"stratum"`
	RefID          string  `json:"refid"`
	Leap           uint8   `json:"leap"`           // 0 none, 1 insert, 2 delete, 3 unsynchronised
	ReferenceTime  *string `json:"reference_time"` // UTC; null if the server gave none
	Precision      int8    `json:"precision"`      // log2 s
	Version        uint8   `json:"version"`
	AEAD           uint16  `json:"aead"` // 0 without NTS
	AEADName       string  `json:"aead_name,omitempty"`
	Cookies        int     `json:"cookies"`
	Interleaved    bool    `json:"interleaved"`
	Timestamps     string  `json:"timestamps"` // of this end: "kernel" or "user"
}

const timeFormat = "2006-01-02T15:04:05.000000000Z"

func makeReport(res result) report {
	p := report{Host: res.target.name, Valid: res.err == nil, Readings: res.readings, Lost: res.lost}
	if res.err != nil {
		p.Error = res.err.Error()
	}
	for r, n := range res.ignored {
		if r > int(ntsclient.Accepted) && n > 0 {
			if p.Ignored == nil {
				p.Ignored = map[string]uint64{}
			}
			p.Ignored[ntsclient.Reason(r).String()] = n
		}
	}
	if !res.shown {
		return p
	}
	r := &res.best
	p.Server, p.Authenticated = r.Server.String(), r.Authenticated
	p.measured = &measured{
		Time:     time.Unix(0, r.Received.Real).UTC().Format(timeFormat),
		OffsetNS: int64(r.Offset), DelayNS: int64(r.Delay), JitterNS: int64(res.jitter),
		RootDelayNS: int64(r.RootDelay), RootDispNS: int64(r.RootDispersion), RootDistanceNS: int64(r.RootDistance()),
		Stratum: r.Stratum, RefID: r.RefIDText(), Leap: r.Leap, Precision: r.Precision, Version: r.Version,
		AEAD: uint16(r.AEAD), Cookies: r.Cookies, Interleaved: r.Interleaved, Timestamps: stamps(r),
	}
	if r.AEAD != 0 {
		p.AEADName = r.AEAD.String()
	}
	if t := r.ReferenceTime(); !t.IsZero() {
		s := t.Format(timeFormat)
		p.ReferenceTime = &s
	}
	return p
}

func stamps(r *ntsclient.Reading) string {
	if r.Sent.Kernel && r.Received.Kernel {
		return "kernel"
	}
	return "user"
}

func writeJSON(w io.Writer, res result) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(makeReport(res)) // a closed pipe is the reader's wish
}

// writeText prints what a person wants to know first: how far off, how sure,
// and on whose word.
func writeText(w io.Writer, res result) {
	if !res.shown {
		return
	}
	r := &res.best
	word := "NOT authenticated"
	if r.Authenticated {
		word = "authenticated by NTS, " + r.AEAD.String()
	}
	fmt.Fprintf(w, "%s (%v), %s\n", res.target.name, r.Server, word)
	fmt.Fprintf(w, "  local clock  %s ± %s\n", aheadOrBehind(r.Offset), span(r.RootDistance()))
	fmt.Fprintf(w, "  round trip   %s", span(r.Delay))
	if r.Interleaved {
		fmt.Fprint(w, ", interleaved")
	}
	fmt.Fprintf(w, ", %s timestamps here\n", stamps(r))
	fmt.Fprintf(w, "  server       stratum %d, %s, %s", r.Stratum, r.RefIDText(), leapWords[r.Leap&3])
	if t := r.ReferenceTime(); !t.IsZero() {
		fmt.Fprintf(w, ", last set %s before this reading", span(max(0, time.Unix(0, r.Received.Real).Add(-r.Offset).Sub(t))))
	}
	fmt.Fprintf(w, "\n               root delay %s, root dispersion %s\n", span(r.RootDelay), span(r.RootDispersion))
	if res.readings > 1 || res.lost > 0 {
		fmt.Fprintf(w, "  readings     %d valid, %d lost, jitter %s\n", res.readings, res.lost, span(res.jitter))
	}
	if r.Authenticated {
		fmt.Fprintf(w, "  cookies      %d left\n", r.Cookies)
	}
}

var leapWords = [4]string{"no leap second ahead", "leap second to be inserted", "leap second to be deleted", "not synchronised"}

func writeHeading(w io.Writer) {
	fmt.Fprintf(w, "%-8s  %-28s %-4s %3s %-15s %16s %12s %12s\n", "UTC", "server", "auth", "str", "refid", "local - server", "delay", "±")
}

// writeLine prints one reading of a watch.
func writeLine(w io.Writer, res result) {
	now := time.Now().UTC()
	if res.err != nil {
		why := res.err
		for _, e := range []error{ntsclient.ErrUnsynchronised, ntsclient.ErrHoldOff, ntsclient.ErrNoAnswer} {
			if errors.Is(why, e) {
				why = e
			}
		}
		fmt.Fprintf(w, "%s  %-28s %v\n", now.Format(time.TimeOnly), res.target.name, why)
		return
	}
	r := &res.best
	auth := "no"
	if r.Authenticated {
		auth = "NTS"
	}
	fmt.Fprintf(w, "%s  %-28s %-4s %3d %-15s %16s %12s %12s\n", now.Format(time.TimeOnly), res.target.name, auth, r.Stratum,
		r.RefIDText(), signed(r.Offset), span(r.Delay), span(r.RootDistance()))
}

func aheadOrBehind(d time.Duration) string {
	switch {
	case d > 0:
		return span(d) + " fast"
	case d < 0:
		return span(-d) + " slow"
	}
	return "0 ns off"
}

func signed(d time.Duration) string {
	if d < 0 {
		return "-" + span(-d)
	}
	return "+" + span(d)
}

// span writes a duration that is not negative with three or four figures, in a
// unit that fits.
func span(d time.Duration) string {
	switch {
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f µs", float64(d)/1e3)
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < 10*time.Hour:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
