package ptp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"noonmark/internal/proctest"
)

func octets(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Requests of pmc and answers of ptp4l, both of linuxptp 3.1.1 (Debian 12).
const (
	pmcSet       = "0d02003e00000000000000000000000000000000000000000000000031f90000047fffffffffffffffffffff000001000001000ac00106234e5d00253d20"
	ptp4lSet     = "0d02003e000000000000000000000000000000005611bdfffe72f21300000000047f000000000000000031f9000002000001000ac00106234e5d00253d20"
	ptp4lRefusal = "0d02003c000000000000000000000000000000005611bdfffe72f21300010000047f000000000000000031f900000200000200080002c0ff00000000"
	pmcCommand   = "0d02003600000000000000000000000000000000000000000000000031f90002047fffffffffffffffffffff00000100000100020002"
)

var settings = GrandmasterSettings{Class: 6, Accuracy: 0x23, Variance: 0x4E5D, UTCOffset: 37, Leap61: true, UTCValid: true, PTPScale: true, TimeTrace: true, FreqTrace: true, TimeSource: 0x20}

// TestKnownOctets: messages of other programs decode to what they mean and
// encode to the same octets.
func TestKnownOctets(t *testing.T) {
	t.Parallel()
	instance := PortIdentity{Clock: [8]byte{0x56, 0x11, 0xBD, 0xFF, 0xFE, 0x72, 0xF2, 0x13}}
	header := Header{Type: TypeManagement, Control: 4, LogInterval: 0x7F}
	request := header
	request.Source.Port = 0x31F9
	answer := header
	answer.Source = instance
	second, third := answer, request
	second.Source.Port, third.Sequence = 1, 2
	for _, c := range []struct {
		name, octets string
		want         ManagementMessage
	}{
		{"error status", ptp4lRefusal, ManagementMessage{Header: second, Target: PortIdentity{Port: 0x31F9}, Action: Response, ID: 0xC0FF, Error: 2}},
		{"set", pmcSet, ManagementMessage{Header: request, Target: allPorts, Action: Set, ID: IDGrandmasterSettings, Data: settings.Append(nil)}},
		{"response", ptp4lSet, ManagementMessage{Header: answer, Target: PortIdentity{Port: 0x31F9}, Action: Response, ID: IDGrandmasterSettings, Data: settings.Append(nil)}},
		{"set without data", pmcCommand, ManagementMessage{Header: third, Target: allPorts, Action: Set, ID: 2}},
	} {
		b := octets(t, c.octets)
		m, err := ParseManagement(b)
		if err != nil || !bytes.Equal(m.Data, c.want.Data) {
			t.Errorf("%s: data % x, %v", c.name, m.Data, err)
		}
		m.Data, c.want.Data = nil, nil
		if m.Header != c.want.Header || m.Target != c.want.Target || m.Action != c.want.Action || m.ID != c.want.ID || m.Error != c.want.Error {
			t.Errorf("%s: %+v, want %+v", c.name, m, c.want)
		}
		again, _ := ParseManagement(b)
		if got := again.Append(nil); !bytes.Equal(got, b) {
			t.Errorf("%s: encoded\n% x, want\n% x", c.name, got, b)
		}
	}
	if g, err := ParseGrandmasterSettings(settings.Append(nil)); err != nil || g != settings {
		t.Errorf("settings %+v, %v", g, err)
	}
}

// TestParseRefuses: a message that is cut off, of another version, type or TLV
// is an error, and lengths beyond the octets are.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := octets(t, ptp4lSet)
	edit := func(at int, v ...byte) []byte {
		b := append([]byte(nil), good...)
		copy(b[at:], v)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrShort},
		{"header only", good[:HeaderSize], ErrShort},
		{"a longer message announced", edit(2, 0, 0x3F), ErrShort},
		{"a message shorter than its header", edit(2, 0, 10), ErrShort},
		{"PTP version 1", edit(1, 1), ErrVersion},
		{"an Announce message", edit(0, 0x0B), ErrType},
		{"a longer TLV announced", edit(managementSize+2, 0, 12), ErrShort},
		{"a TLV without an ID", edit(managementSize+2, 0, 1), ErrShort},
		{"an error status without an ID", edit(managementSize, 0, 2, 0, 2), ErrShort},
		{"an error status without an error", edit(managementSize, 0, 2, 0, 8, 0, 0), ErrType},
		{"another TLV", edit(managementSize, 0, 8), ErrType},
	} {
		if _, err := ParseManagement(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for i := range good {
		if _, err := ParseManagement(good[:i]); !errors.Is(err, ErrShort) {
			t.Errorf("%d octets: %v", i, err)
		}
	}
	if _, err := ParseGrandmasterSettings(make([]byte, settingsSize-1)); !errors.Is(err, ErrShort) {
		t.Errorf("short settings: %v", err)
	}
}

// TestSdoID: the majorSdoId is in the upper half of the first octet.
func TestSdoID(t *testing.T) {
	t.Parallel()
	m := ManagementMessage{Header: Header{SdoID: 1}, Action: Get, ID: IDGrandmasterSettings}
	b := m.Append(nil)
	if got, err := ParseManagement(b); err != nil || b[0] != 0x1D || got.SdoID != 1 || got.Type != TypeManagement {
		t.Errorf("% x, %+v, %v", b[:1], got.Header, err)
	}
}

// TestOddData: a TLV has an even length.
func TestOddData(t *testing.T) {
	t.Parallel()
	b := (&ManagementMessage{Action: Set, ID: 1, Data: []byte{1, 2, 3}}).Append(nil)
	if m, err := ParseManagement(b); err != nil || !bytes.Equal(m.Data, []byte{1, 2, 3, 0}) || len(b)%2 != 0 {
		t.Errorf("%d octets, data % x, %v", len(b), m.Data, err)
	}
}

func FuzzParseManagement(f *testing.F) {
	for _, s := range []string{pmcSet, ptp4lSet, ptp4lRefusal, pmcCommand} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManagement(b)
		if err != nil {
			return
		}
		ParseGrandmasterSettings(m.Data)
		n, err := ParseManagement(m.Append(nil))
		if err != nil || n.ID != m.ID || n.Error != m.Error || n.Action != m.Action || n.Sequence != m.Sequence || !bytes.HasPrefix(n.Data, m.Data) {
			t.Errorf("%+v, encoded and decoded: %+v, %v", m, n, err)
		}
	})
}

// instance answers at a socket with what reply returns for a request.
func instance(t *testing.T, reply func(ManagementMessage) [][]byte) (path, local string) {
	t.Helper()
	dir := proctest.ShortDir(t)
	path, local = filepath.Join(dir, "s"), filepath.Join(dir, "c")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skip("needs Unix datagram sockets: ", err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		var b [1500]byte
		for {
			n, from, err := conn.ReadFromUnix(b[:])
			if err != nil {
				return
			}
			m, err := ParseManagement(b[:n])
			if err != nil {
				t.Error(err)
				continue
			}
			for _, x := range reply(m) {
				conn.WriteToUnix(x, from)
			}
		}
	}()
	return path, local
}

// answerTo is the answer to a request.
func answerTo(m ManagementMessage, edit func(*ManagementMessage)) []byte {
	m.Action = Response
	edit(&m)
	return m.Append(nil)
}

// TestClient: the client takes the answer to its request, whatever else comes
// before it, and an error status is a refusal.
func TestClient(t *testing.T) {
	t.Parallel()
	path, local := instance(t, func(m ManagementMessage) [][]byte {
		if m.ID != IDGrandmasterSettings {
			return [][]byte{answerTo(m, func(m *ManagementMessage) { m.Error = 2 })}
		}
		return [][]byte{
			{1, 2, 3}, m.Append(nil), // not an answer
			answerTo(m, func(m *ManagementMessage) { m.Sequence-- }),
			answerTo(m, func(m *ManagementMessage) { m.ID++ }),
			answerTo(m, func(m *ManagementMessage) { m.Data = settings.Append(nil) }),
		}
	})
	c := NewClient(path, local, 3, 7)
	later := time.Now().Add(time.Minute)
	if _, err := c.Do(Set, 0xC0FF, nil, later); !errors.Is(err, ErrRefused) {
		t.Errorf("unknown ID: %v", err)
	}
	for range 2 {
		b, err := c.Do(Get, IDGrandmasterSettings, nil, later)
		if g, _ := ParseGrandmasterSettings(b); err != nil || g != settings {
			t.Errorf("% x, %v", b, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(local); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the client's socket was left behind: %v", err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// TestClientFails: no socket, a socket that nobody listens at, and an instance
// that is silent are errors of the system.
func TestClientFails(t *testing.T) {
	t.Parallel()
	path, local := instance(t, func(ManagementMessage) [][]byte { return nil })
	silent := NewClient(path, local, 0, 1)
	defer silent.Close()
	if _, err := silent.Do(Get, IDGrandmasterSettings, nil, time.Now()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("silent: %v", err)
	}
	none := NewClient(path+"none", local+"none", 0, 1)
	defer none.Close()
	if _, err := none.Do(Get, IDGrandmasterSettings, nil, time.Now().Add(time.Minute)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
	if _, err := NewClient(path, filepath.Join(local, "none", "c"), 0, 1).Do(Get, 0, nil, time.Now()); err == nil {
		t.Error("a socket was made in a directory that does not exist")
	}
}
