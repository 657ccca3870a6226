package receiver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
)

// speaker is a receiver on a line whose rate may be another than the host's. It
// sends once a second.
type speaker struct {
	baud  int // 0: at whatever rate the host has
	burst func(second int) []byte
	until int // seconds, then it sends healthy sentences; 0: never
	r     *rand.Rand
}

// speak returns what the host hears at a rate.
func (s *speaker) speak(second, host int) []byte {
	if s.until > 0 && second >= s.until {
		return healthy(second)
	}
	b := s.burst(second)
	if s.baud != 0 && host != s.baud {
		for i := range b {
			b[i] = byte(s.r.Uint32())
		}
	}
	return b
}

func sentences(texts ...string) (b []byte) {
	for _, s := range texts {
		b = nmea.Append(b, s)
	}
	return b
}

func healthy(second int) []byte {
	return sentences(fmt.Sprintf("GPRMC,12%02d%02d.00,A,4807.038,N,01131.000,E,0.004,77.52,231126,,,A", second/60%60, second%60))
}

// without removes the checksums of sentences.
func without(b []byte) []byte {
	var out []byte
	for l := range strings.Lines(string(b)) {
		text, _, _ := strings.Cut(l, "*")
		out = append(out, text+"\r\n"...)
	}
	return out
}

// Each condition begins once, says what was seen, ends once when the receiver is
// healthy, and is counted once.
func TestSessionExplainsWhyAPortIsOfNoUse(t *testing.T) {
	t.Parallel()
	const seed, seconds = 11, 100
	gga := func(s int, quality string) string {
		return fmt.Sprintf("GPGGA,12%02d%02d.00,4807.038,N,01131.000,E,%s,08,0.9,545.4,M,46.9,M,,", s/60%60, s%60, quality)
	}
	bin := func(begin string) func(int) []byte {
		r := rand.New(rand.NewPCG(seed, 1))
		return func(int) []byte {
			var b []byte
			for range 3 {
				b = append(b, begin...)
				for range 80 {
					b = append(b, byte(r.Uint32()))
				}
			}
			return b
		}
	}
	for _, c := range []struct {
		name     string
		protocol string
		rates    []int
		speaker  speaker
		history  string
		code     reason.Code
		detail   []string // said meanwhile
	}{
		{"silence", "", []int{9600}, speaker{burst: func(int) []byte { return nil }, until: 60}, "+port_silent -port_silent", reason.PortSilent, []string{"nothing came at 9600 baud"}},
		{"silence from 20 to 40 s", "", []int{9600}, speaker{burst: func(s int) []byte {
			if s >= 20 && s < 40 {
				return nil
			}
			return healthy(s)
		}}, "+port_silent -port_silent", reason.PortSilent, nil},
		{"SiRF", "", []int{4800}, speaker{burst: bin("\xA0\xA2"), until: 60}, "+port_protocol -port_protocol", reason.PortProtocol,
			[]string{"looks like SiRF binary", "octets/s", "% printable", "at 4800 baud"}},
		{"RTCM, rates are tried", "", receiver.Rates(), speaker{baud: 115200, burst: bin("\xD3\x00\x43")}, "+port_protocol", reason.PortProtocol,
			[]string{"looks like RTCM 3", "at 115200 baud"}},
		{"text of a program", "", []int{9600}, speaker{burst: func(int) []byte { return []byte("#TIMEA,COM1,0,90.0,FINESTEERING,2396\r\n") }}, "+port_protocol", reason.PortProtocol,
			[]string{`such as "#TIMEA"`}},
		{"a login prompt", "", []int{9600}, speaker{burst: func(int) []byte { return []byte("\r\npi login: ") }}, "+port_protocol", reason.PortProtocol, []string{"looks like a login prompt"}},
		{"another rate than the only one", "", []int{9600}, speaker{baud: 38400, burst: healthy, until: 60}, "+port_rate_unknown -port_rate_unknown", reason.PortRateUnknown,
			[]string{"another baud rate", "tried 9600"}},
		{"a rate that is not tried", "", []int{4800, 9600, 19200}, speaker{baud: 38400, burst: healthy}, "+port_rate_unknown", reason.PortRateUnknown, []string{"tried 4800, 9600, 19200"}},
		{"a rate that is found", "", receiver.Rates(), speaker{baud: 921600, burst: healthy}, "", reason.None, nil},
		{"no checksums", "", []int{9600}, speaker{burst: func(s int) []byte { return without(healthy(s)) }, until: 60}, "+port_no_checksum -port_no_checksum", reason.PortNoChecksum,
			[]string{"sentences in 10s at 9600 baud"}},
		{"no checksums, rates are tried", "", receiver.Rates(), speaker{baud: 9600, burst: func(s int) []byte {
			return without(append(healthy(s), healthy(s)...))
		}}, "+port_no_checksum", reason.PortNoChecksum, nil},
		{"octets are missing from all", "", []int{9600}, speaker{burst: func(s int) []byte { return append(healthy(s)[:40], "\r\n"...) }, until: 60},
			"+port_no_checksum -port_no_checksum", reason.PortNoChecksum, nil},
		{"octets are missing from every second sentence", "", []int{9600}, speaker{burst: func(s int) []byte {
			b := append(healthy(s), healthy(s)...)
			return append(b[:20], b[23:]...)
		}, until: 60}, "+port_damaged -port_damaged", reason.PortDamaged, []string{"10 frames of 20 at 9600 baud"}},
		{"NMEA where UBX is wanted", "ubx", []int{9600}, speaker{burst: healthy}, "+port_protocol", reason.PortProtocol, []string{`receiver.protocol = "ubx"`}},
		{"no date", "", []int{9600}, speaker{burst: func(s int) []byte { return sentences(gga(s, "1"), "GPGSA,A,3,04,05,,09,12,,,24,,,,,2.5,1.3,2.1") }, until: 60},
			"+message_no_date -message_no_date", reason.MessageNoDate, []string{"only GGA"}},
		{"no time of day", "", []int{9600}, speaker{burst: func(int) []byte {
			return sentences("GPGSV,1,1,01,02,40,100,38", "GPVTG,0.00,T,,M,0.00,N,0.00,K,A", "GPGSA,A,3,04,05,,09,12,,,24,,,,,2.5,1.3,2.1")
		}, until: 60}, "+message_no_date -message_no_date", reason.MessageNoDate, []string{"only GSA, GSV, VTG: these name neither"}},
		{"no time of day, and no fix yet", "", []int{9600}, speaker{burst: func(int) []byte {
			return sentences("GPGSV,1,1,01,02,40,100,38", "GPGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9", "GPZDA,,,,,00,00")
		}, until: 60}, "+receiver_no_fix -receiver_no_fix", reason.ReceiverNoFix, nil},
		{"no fix", "", []int{9600}, speaker{burst: func(s int) []byte { return sentences(gga(s, "0"), "GPRMC,,V,,,,,,,,,,N") }, until: 60},
			"+receiver_no_fix -receiver_no_fix", reason.ReceiverNoFix, []string{"fix none, 8 satellites used"}},
		{"a fix now and then", "", []int{9600}, speaker{burst: func(s int) []byte {
			return sentences(gga(s, fmt.Sprint(min(1, s%20))), strings.TrimSuffix(strings.TrimPrefix(string(healthy(s)), "$"), "\r\n")[:60])
		}}, "", reason.None, nil},
		{"healthy", "", []int{9600}, speaker{burst: healthy}, "", reason.None, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.speaker.r = rand.New(rand.NewPCG(seed, 2))
			var n tally
			s := queued(receiver.Config{Name: "line", Protocol: c.protocol, Rates: c.rates}, make(chan *gnss.Message, 1<<16), &n)
			s.Start(true)
			host, detail := c.rates[0], ""
			for tenth := range seconds * 10 {
				var b []byte
				if tenth%10 == 2 {
					b = c.speaker.speak(tenth/10, host)
				}
				s.Read(b, 1e9+int64(tenth)*1e8)
				for _, o := range s.Orders() {
					host = max(o.Baud, 0)
				}
				if d := n.detail(c.code); d != "" {
					detail = d
				}
			}
			if got := n.history(); got != c.history {
				t.Errorf("seed %d: %q, want %q", seed, got, c.history)
			}
			for _, w := range c.detail {
				if !strings.Contains(detail, w) {
					t.Errorf("it says %q, want %q", detail, w)
				}
			}
			if c.code != reason.None && n.of(c.code) != 1 {
				t.Errorf("counted %d times", n.of(c.code))
			}
		})
	}
}

// Other programs are named when the port is opened, and again a minute after what
// comes makes no sense.
func TestPortNamesOtherUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var n tally
		var mu sync.Mutex // guards asked and users
		asked, users := 0, receiver.Users{Programs: []string{"gpsd (pid 7)"}}
		port := &receiver.Port{
			Session: queued(receiver.Config{Name: "gps"}, make(chan *gnss.Message), &n), Mono: func() int64 { return int64(time.Since(start)) + 1 },
			Open: func() (io.ReadCloser, error) {
				if time.Since(start) < time.Minute {
					return nil, errors.New("busy")
				}
				return &quietPort{}, nil
			},
			Users: func() receiver.Users {
				mu.Lock()
				defer mu.Unlock()
				asked++
				return users
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { port.Run(ctx) })
		seen := ""
		for _, step := range []struct {
			users   receiver.Users
			history string
		}{
			{users, "+port_missing +port_shared -port_missing +port_silent"},
			{receiver.Users{Programs: []string{"agetty (pid 9)"}, Console: true}, "-port_shared +port_console"},
			{receiver.Users{}, "-port_console"},
		} {
			mu.Lock()
			users = step.users
			mu.Unlock()
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			if got := strings.TrimSpace(strings.TrimPrefix(n.history(), seen)); got != step.history {
				t.Errorf("conditions %s, want %s", got, step.history)
			}
			seen = n.history()
		}
		cancel()
		wg.Wait()
		if asked < 8 || asked > 40 {
			t.Errorf("asked %d times in nine minutes", asked)
		}
	})
}
