package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
)

// The decoder reads the sentences of the lab's receiver as the right second.
func TestBurst(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2028, 2, 29, 23, 59, 59, 0, time.UTC),
	} {
		d := registry.NewDecoder(gnss.Config{})
		var got []string
		d.Feed(sentences(at.Unix(), math.MaxInt64, 1, 0), 1, func(m *gnss.Message) {
			if m.HasTimeOfDay {
				got = append(got, m.Source)
			}
			if want := tai.FromUnix(at.Unix(), 0, 37); m.HasDate && (m.Time != want || !m.Valid) {
				t.Errorf("%s at %v reads as %v, valid %v", m.Source, at, m.Time.UTC(37), m.Valid)
			}
		})
		if s := strings.Join(got, " "); s != "RMC GGA ZDA" {
			t.Errorf("decoded %q", s)
		}
	}
}

// Around an inserted second the labels are 58, 59, 60, 0, 1; around a deleted
// second 57, 58, 0, 1.
func TestLabels(t *testing.T) {
	const leap = 1814400000 // 2027-07-01
	for sign, labels := range map[int64][]string{
		1:  {"235957", "235958", "235959", "235960", "000000", "000001"},
		-1: {"235957", "235958", "000000", "000001", "000002"},
	} {
		for i, want := range labels {
			if s := string(sentences(leap-3+int64(i), leap, sign, 0)); !strings.HasPrefix(s, "$GNRMC,"+want+".00,A") {
				t.Errorf("sign %d, second %d: %.20q, want %s", sign, i, s, want)
			}
		}
	}
}

// A receiver without a fix sends the time but marks it as not valid.
func TestVoided(t *testing.T) {
	d := registry.NewDecoder(gnss.Config{})
	n := 0
	d.Feed(voided(sentences(1800000000, math.MaxInt64, 1, 0)), 1, func(m *gnss.Message) {
		if n++; m.Valid || m.Fix.Good() {
			t.Errorf("%s is valid, fix %v", m.Source, m.Fix)
		}
	})
	if n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

func TestTimTP(t *testing.T) {
	const sec = 1800000037 // TAI
	d := registry.NewDecoder(gnss.Config{})
	n := 0
	d.Feed(appendTimTP(nil, sec, -7), 1, func(m *gnss.Message) {
		if n++; m.Source != "TIM-TP" || !m.HasQErr || m.QErrPS != -7000 || !m.HasPulse || m.PulseTime != tai.Time(sec)*tai.Second {
			t.Errorf("%+v", m)
		}
	})
	if n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestStats(t *testing.T) {
	var s stats
	for _, v := range []float64{-3, 4, 0, 1} {
		s.add(v)
	}
	if s.peak != 4 || math.Abs(s.rms()-math.Sqrt(26.0/4)) > 1e-9 || s.String() != "n=4 mean=0.5 rms=2.5 min=-3 max=4 last=1 ns" {
		t.Error(s)
	}
}

func TestBetween(t *testing.T) {
	a, b := truths{raw: 1000, tai: 5000}, truths{raw: 3000, tai: 7004}
	for mono, want := range map[int64]int64{1000: 5000, 2000: 6002, 3000: 7004, 500: 4499} {
		if got := between(a, b, mono); got != want {
			t.Errorf("at %d: %d, want %d", mono, got, want)
		}
	}
	if got := between(a, a, 9); got != 5000 {
		t.Error(got)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"none"}, {"caps"}, {"step", "ptp0"}, {"truth"}, {"truth", "x", "-every", "0"}, {"cert", "dir"}, {"pps", "a"}, {"covers", "x"}, {"against"}, {"against", "ptp0", "-every", "0"},
		{"leap"}, {"leap", "soon"}, {"load"}, {"load", "host"}, {"load", "127.0.0.1", "-rate", "0"}, {"readvar"}, {"plot"}, {"txstamp", "lab0", "10.0.0.1"}} {
		var out, errs bytes.Buffer
		if rc := run(t.Context(), args, &out, &errs); rc != 64 || !strings.Contains(errs.String(), "usage") {
			t.Errorf("%q: exit %d, %q", args, rc, errs.String())
		}
	}
}

func TestCert(t *testing.T) {
	dir := t.TempDir()
	if err := cert(t.Context(), []string{dir, "10.8.0.1", "clock.example"}, nil); err != nil {
		t.Fatal(err)
	}
	c, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	for host, ok := range map[string]bool{"10.8.0.2": false, "other.example": false, "10.8.0.1": true, "clock.example": true} {
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host}); (err == nil) != ok {
			t.Errorf("%s: %v", host, err)
		}
	}
}
