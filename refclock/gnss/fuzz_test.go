package gnss

import (
	"bytes"
	"strings"
	"testing"
)

// checkMessage fails when a message breaks a promise of its type.
func checkMessage(t *testing.T, m *Message) {
	if m.Valid && (!m.Stated || !m.HasDate) || m.Stated && !m.HasDate {
		t.Fatalf("valid without a label: %+v", m)
	}
	if m.HasDate && (m.Year < 1980 || m.Month < 1 || m.Month > 12 || m.Day < 1 || m.Day > 31) {
		t.Fatalf("no date: %+v", m)
	}
	if m.HasTimeOfDay && (m.Hour < 0 || m.Hour > 23 || m.Minute < 0 || m.Minute > 59 || m.Second < 0 || m.Second > 60 || m.Nanos < 0 || m.Nanos > 999999999) {
		t.Fatalf("no time of day: %+v", m)
	}
	if m.HasPos && (!(m.Lat >= -90 && m.Lat <= 90) || !(m.Lon >= -180 && m.Lon <= 180)) {
		t.Fatalf("no position: %+v", m)
	}
	// What a message holds is no more than its frame can have said.
	held := len(m.Text) + len(m.HW) + len(m.Payload)
	for _, x := range m.Modules {
		held += len(x)
	}
	if held > 3*maxUBX || len(m.Satellites) > 255 { // an octet that is no UTF-8 becomes one character
		t.Fatalf("holds %d octets, %d satellites", held, len(m.Satellites))
	}
}

// checkHeld fails when a Decoder holds more than it ever may, whatever it was fed.
func checkHeld(t *testing.T, d *Decoder) {
	f := d.framer
	if len(f.buf) > maxFrame || cap(f.buf) != maxFrame || len(f.marks) > maxFrame+1 || cap(f.marks) > 4*maxFrame {
		t.Fatalf("holds %d of %d bytes, %d of %d marks", len(f.buf), cap(f.buf), len(f.marks), cap(f.marks))
	}
}

// FuzzStream feeds any bytes in two ways and appends a good sentence, which
// must come out.
func FuzzStream(f *testing.F) {
	f.Add([]byte("$GPRMC,120000.00,A,4807.038,N,01131.000,E,0,0,010524,,,A*5C\r\n"), uint8(3))
	f.Add(AppendUBX(nil, navPVT, pvt(0, -5, 7, 3, 1)), uint8(1))
	f.Add([]byte{0xB5, 0x62, 1, 7, 0, 16, '$', 'G', 0xA0, 0xA2, 0, 9, 0xD3, 0, 0}, uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8) {
		var n [2]Counters
		for k, step := range [2]int{int(chunk) + 1, len(in) + 1} {
			d := NewDecoder(Config{})
			emit := func(m *Message) { checkMessage(t, m) }
			for rest := in; len(rest) > 0; {
				c := rest[:min(step, len(rest))]
				rest = rest[len(c):]
				d.Feed(c, 0, emit)
				checkHeld(t, d)
			}
			d.Flush(emit)
			n[k] = d.Counters()
			got := false
			d.Feed(AppendNMEA(nil, zda), 5, func(m *Message) { got = m.Source == "ZDA" && m.Stated && m.Mono == 5 })
			if !got {
				t.Fatal("the sentence after it is lost")
			}
		}
		if n[0] != n[1] {
			t.Fatalf("in pieces %v, whole %v", n[0], n[1])
		}
	})
}

// FuzzNMEA gives any body a good checksum.
func FuzzNMEA(f *testing.F) {
	for _, s := range []string{zda, "$$000,", "GNRMC,120000.00,A,4807.0,N,01131.0,E,0,0,010524,,,A,V", "GPGGA,120000,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,",
		"GNGNS,120000,4807.0,N,01131.0,E,NA,08,1,1,1,,", "GPGLL,4807.0,N,01131.0,E,120000,A,A", "GPGSV,3,2,11,14,25,170,00,16,57,,39",
		"GNGSA,A,3,80,71,73,79,69,,,,,,,,1.83,1.09,1.47,2", "GPGST,223745.00,2,2.5,2.4,126,3,4,3.1", "GPTXT,01,01,02,ANTSTATUS=OK",
		"GPVTG,1,T,,M,2,N,3,K,A", "PUBX,04,073731.00,091202,113851.00,1196,15D,1930035,-2660.664,43"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := NewDecoder(Config{})
		d.Feed(AppendNMEA(nil, "GPZDA,235959.00,31,12,2016,00,00"), 0, func(*Message) {})
		d.Feed(AppendNMEA(nil, s), 0, func(m *Message) { checkMessage(t, m) })
		checkHeld(t, d)
		n := d.Counters()
		// What follows the last $ may be a good sentence with the same sum.
		inner := s[strings.LastIndexByte(s, '$')+1:]
		whole := bytes.HasSuffix(AppendNMEA(nil, s), AppendNMEA(nil, inner))
		if n.NMEA == 2 && (!whole || strings.ContainsAny(inner, "\r\n") || len(inner) > maxNMEA) {
			t.Fatalf("%q was taken for a sentence", s)
		}
	})
}

// FuzzUBX gives any payload of any message a good checksum.
func FuzzUBX(f *testing.F) {
	f.Add(uint16(navPVT), pvt(0, -5, 7, 3, 1))
	f.Add(uint16(navTimeGPS), timeGPS(2312, 302418000, 0, 18, 7))
	f.Add(uint16(navSOL), sol(3, 13))
	f.Add(uint16(navTimeUTC), timeUTC(7))
	f.Add(uint16(navTimeLS), timeLS(17, 2, 1, 100, 1929, 7, 3)[6:30])
	f.Add(uint16(navSAT), make([]byte, 32))
	f.Add(uint16(monVER), bytes.Repeat([]byte{'x'}, 100))
	for id := range ubxDecoders {
		f.Add(uint16(id), make([]byte, 100))
	}
	f.Fuzz(func(t *testing.T, id uint16, p []byte) {
		if len(p) > maxUBX || !ubxClassKnown(byte(id>>8)) {
			return
		}
		d := NewDecoder(Config{})
		d.Feed(AppendUBX(nil, int(id), p), 0, func(m *Message) { checkMessage(t, m) })
		checkHeld(t, d)
		if n := d.Counters(); n.UBX != 1 {
			t.Fatalf("a good frame was refused: %v", n)
		}
		if set, ok := ParseSettings(p); ok {
			if len(set) > 0 && len(p) < 9 {
				t.Fatal("settings from nothing")
			}
		}
	})
}
