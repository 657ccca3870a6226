package ntsclient

import "time"

// Report is the JSON form of a Sample; its keys are a contract. Durations are in
// ns. Offset is local clock - server, + = the local clock is fast. Without an answer,
// the keys of Measured are absent.
type Report struct {
	Host          string `json:"host"` // as the user wrote it
	Server        string `json:"server"`
	Valid         bool   `json:"valid"`
	Authenticated bool   `json:"authenticated"`
	Error         string `json:"error,omitempty"`

	*Measured

	Readings int               `json:"readings"`          // valid ones, of which this is the one with the least delay
	Lost     int               `json:"lost"`              // requests without a valid answer
	Ignored  map[string]uint64 `json:"ignored,omitempty"` // packets that were not the answer, by reason
}

// Measured is the part of a Report that needs an answer.
type Measured struct {
	Time           string  `json:"time"` // of the reading, by the local clock
	OffsetNS       int64   `json:"offset_ns"`
	DelayNS        int64   `json:"delay_ns"`
	JitterNS       int64   `json:"jitter_ns"`
	RootDelayNS    int64   `json:"root_delay_ns"`
	RootDispNS     int64   `json:"root_dispersion_ns"`
	RootDistanceNS int64   `json:"root_distance_ns"` // bound of the error of the offset, if the server's own values are correct
	Stratum        uint8   `json:"stratum"`
	RefID          string  `json:"refid"`
	Leap           uint8   `json:"leap"`           // 0 none, 1 insert, 2 delete, 3 unsynchronised
	ReferenceTime  *string `json:"reference_time"` // UTC; null if the server sent none
	Precision      int8    `json:"precision"`      // log2 of seconds
	Version        uint8   `json:"version"`
	AEAD           uint16  `json:"aead"` // 0 without NTS
	AEADName       string  `json:"aead_name,omitempty"`
	Cookies        int     `json:"cookies"`
	Interleaved    bool    `json:"interleaved"`
	Timestamps     string  `json:"timestamps"` // of the client: "kernel" or "user"
}

const timeFormat = "2006-01-02T15:04:05.000000000Z"

// Report returns the JSON form of s. host is the server as the user wrote it.
func (s *Sample) Report(host string) Report {
	p := Report{Host: host, Valid: s.Err == nil, Readings: s.Readings, Lost: s.Lost}
	if s.Err != nil {
		p.Error = s.Err.Error()
	}
	for r, n := range s.Ignored {
		if Reason(r) > Accepted && n > 0 {
			if p.Ignored == nil {
				p.Ignored = map[string]uint64{}
			}
			p.Ignored[Reason(r).String()] = n
		}
	}
	if !s.Shown {
		return p
	}
	r := &s.Best
	p.Server, p.Authenticated = r.Server.String(), r.Authenticated
	p.Measured = &Measured{
		Time:     time.Unix(0, r.Received.Real).UTC().Format(timeFormat),
		OffsetNS: int64(r.Offset), DelayNS: int64(r.Delay), JitterNS: int64(s.Jitter),
		RootDelayNS: int64(r.RootDelay), RootDispNS: int64(r.RootDispersion), RootDistanceNS: int64(r.RootDistance()),
		Stratum: r.Stratum, RefID: r.RefIDText(), Leap: r.Leap, Precision: r.Precision, Version: r.Version,
		AEAD: uint16(r.AEAD), Cookies: r.Cookies, Interleaved: r.Interleaved, Timestamps: r.Timestamps(),
	}
	if r.AEAD != 0 {
		p.AEADName = r.AEAD.String()
	}
	if t := r.ReferenceTime(); !t.IsZero() {
		text := t.Format(timeFormat)
		p.ReferenceTime = &text
	}
	return p
}

// Timestamps returns whose the client's timestamps are: "kernel", or "user" if this
// program took one of them.
func (r *Reading) Timestamps() string {
	if r.Sent.Kernel && r.Received.Kernel {
		return "kernel"
	}
	return "user"
}
