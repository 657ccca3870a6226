package ntske

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

var end = Record{Critical: true, Type: RecordEnd}

func TestReadMessageRefusesMalformedMessages(t *testing.T) {
	t.Parallel()
	np := Record{Critical: true, Type: RecordNextProtocol, Body: []byte{0, 0}}
	big := Record{Type: 99, Body: make([]byte, 1000)}
	for _, c := range []struct {
		name  string
		in    []byte
		limit int
		want  error
	}{
		{"nothing", nil, 100, io.ErrUnexpectedEOF},
		{"half a header", []byte{0x80, 1}, 100, io.ErrUnexpectedEOF},
		{"half a body", np.Append(nil)[:5], 100, io.ErrUnexpectedEOF},
		{"no end", np.Append(nil), 100, io.ErrUnexpectedEOF},
		{"end with a body", Record{Critical: true, Type: RecordEnd, Body: []byte{1}}.Append(nil), 100, ErrEnd},
		{"end not critical", Record{Type: RecordEnd}.Append(nil), 100, ErrEnd},
		{"longer than the limit", appendMessage(nil, big), 1007, ErrTooLong},
		{"announces more than the limit", []byte{0x40, 0, 0xff, 0xff}, 1000, ErrTooLong},
		{"many empty records", bytes.Repeat([]byte{0x40, 0, 0, 0}, 1000), 1000, ErrTooLong},
		{"as long as the limit", appendMessage(nil, big), 1008, nil},
		{"empty", end.Append(nil), 4, nil},
		{"good", appendMessage(nil, np, big), 2000, nil},
	} {
		for how, r := range map[string]io.Reader{
			"at once":         bytes.NewReader(c.in),
			"octet by octet":  iotest.OneByteReader(bytes.NewReader(c.in)),
			"in halves":       iotest.HalfReader(bytes.NewReader(c.in)),
			"data with error": iotest.DataErrReader(bytes.NewReader(c.in)),
		} {
			recs, err := ReadMessage(r, c.limit)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("%s, %s: %v, want %v", c.name, how, err, c.want)
			}
			if err == nil && !bytes.Equal(appendMessage(nil, recs...), c.in) {
				t.Errorf("%s, %s: %v", c.name, how, recs)
			}
		}
	}
	// Whatever follows stays with the reader.
	r := bytes.NewReader(append(appendMessage(nil, np), 1, 2, 3))
	if _, err := ReadMessage(r, 100); err != nil || r.Len() != 3 {
		t.Errorf("%v, %d octets left", err, r.Len())
	}
	if _, err := ReadMessage(iotest.ErrReader(io.ErrClosedPipe), 100); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the reader's error is lost: %v", err)
	}
}

func TestInvalidRequestIsRefused(t *testing.T) {
	t.Parallel()
	np := Record{Critical: true, Type: RecordNextProtocol, Body: []byte{0, 0}}
	ae := Record{Critical: true, Type: RecordAEAD, Body: []byte{0, 15}}
	rec := func(critical bool, typ uint16, body ...byte) Record { return Record{critical, typ, body} }
	for _, c := range []struct {
		name string
		recs []Record
		want Reason
	}{
		{"nothing", nil, BadRequest},
		{"no protocol", []Record{ae}, BadRequest},
		{"no AEAD", []Record{np}, BadRequest},
		{"protocol not critical", []Record{rec(false, RecordNextProtocol, 0, 0), ae}, BadRequest},
		{"no protocol in the list", []Record{rec(true, RecordNextProtocol), ae}, BadRequest},
		{"odd protocol list", []Record{rec(true, RecordNextProtocol, 0, 0, 0), ae}, BadRequest},
		{"no AEAD in the list", []Record{np, rec(true, RecordAEAD)}, BadRequest},
		{"odd AEAD list", []Record{np, rec(true, RecordAEAD, 15)}, BadRequest},
		{"protocol twice", []Record{np, ae, np}, BadRequest},
		{"AEAD twice", []Record{np, ae, ae}, BadRequest},
		{"server twice", []Record{np, ae, rec(false, RecordServer, 'a'), rec(false, RecordServer, 'a')}, BadRequest},
		{"port twice", []Record{np, ae, rec(false, RecordPort, 0, 123), rec(false, RecordPort, 0, 123)}, BadRequest},
		{"error", []Record{np, ae, rec(true, RecordError, 0, 0)}, BadRequest},
		{"warning", []Record{np, ae, rec(true, RecordWarning, 0, 0)}, BadRequest},
		{"cookie", []Record{np, ae, rec(false, RecordCookie, 0, 0, 0, 0)}, BadRequest},
		{"empty server", []Record{np, ae, rec(false, RecordServer)}, BadRequest},
		{"server with a space", []Record{np, ae, rec(false, RecordServer, 'a', ' ', 'b')}, BadRequest},
		{"server that is an address of another machine's interface", []Record{np, ae, rec(false, RecordServer, []byte("fe80::1%eth0")...)}, BadRequest},
		{"server that is nearly an address", []Record{np, ae, rec(false, RecordServer, []byte("10.0.0.256")...)}, BadRequest},
		{"server in another script", []Record{np, ae, rec(false, RecordServer, []byte("b\xc3\xbccher.example")...)}, BadRequest},
		{"server with an empty label", []Record{np, ae, rec(false, RecordServer, []byte("a..b")...)}, BadRequest},
		{"endless server", []Record{np, ae, rec(false, RecordServer, bytes.Repeat([]byte{'a'}, 256)...)}, BadRequest},
		{"short port", []Record{np, ae, rec(false, RecordPort, 1)}, BadRequest},
		{"record 1024 with a body", []Record{np, ae, rec(false, RecordCompliantGCMSIV, 1)}, BadRequest},
		{"unknown critical", []Record{np, ae, rec(true, 8)}, UnknownCritical},
		{"unknown critical first", []Record{rec(true, 0x7fff), np, ae}, UnknownCritical},
		{"unknown, not critical, twice", []Record{rec(false, 8), rec(false, 8), np, ae}, Served},
		{"AEAD not critical", []Record{np, rec(false, RecordAEAD, 0, 15)}, Served},
		{"only a protocol that needs no AEAD", []Record{rec(true, RecordNextProtocol, 0x80, 0)}, Served},
		{"server and port", []Record{np, ae, rec(false, RecordServer, 'a'), rec(false, RecordPort, 0, 123), rec(false, RecordCompliantGCMSIV)}, Served},
		{"good", []Record{np, ae}, Served},
		{"another order", []Record{ae, np}, Served},
	} {
		if q, r := parseRequest(c.recs); r != c.want {
			t.Errorf("%s: %v, want %v (%+v)", c.name, r, c.want, q)
		}
	}
}

func TestChosenAEAD(t *testing.T) {
	t.Parallel()
	ours := []aead.ID{aead.AESSIVCMAC256, aead.AES128GCMSIV}
	for _, c := range []struct {
		protocols   []uint16
		aeads       []aead.ID
		serverOrder bool
		id          aead.ID
		want        Reason
	}{
		{[]uint16{1}, []aead.ID{15}, false, 0, NoCommonProtocol},
		{[]uint16{0}, []aead.ID{17, 1, 16}, false, 0, NoCommonAEAD},
		{[]uint16{0}, []aead.ID{17, 1, 16}, true, 0, NoCommonAEAD},
		{[]uint16{7, 0}, []aead.ID{30, 15}, false, aead.AES128GCMSIV, Served},
		{[]uint16{0}, []aead.ID{30, 15}, true, aead.AESSIVCMAC256, Served},
		{[]uint16{0}, []aead.ID{99, 15, 30}, false, aead.AESSIVCMAC256, Served},
	} {
		q := request{protocols: c.protocols, aeads: c.aeads}
		if id, r := q.choose(ours, c.serverOrder); id != c.id || r != c.want {
			t.Errorf("%+v: %v, %v", c, id, r)
		}
	}
}

func TestInvalidResponseIsRefused(t *testing.T) {
	t.Parallel()
	offered := []aead.ID{aead.AESSIVCMAC256, aead.AES128GCMSIV}
	rec := func(critical bool, typ uint16, body ...byte) Record { return Record{critical, typ, body} }
	np, ae, ck := rec(true, RecordNextProtocol, 0, 0), rec(true, RecordAEAD, 0, 15), rec(false, RecordCookie, 1, 2, 3, 4)
	var many []Record
	for range 200 {
		many = append(many, ck)
	}
	for _, c := range []struct {
		name string
		recs []Record
		err  string // empty: good
	}{
		{"nothing", nil, "no protocol"},
		{"no AEAD", []Record{np, ck}, "no AEAD record"},
		{"no cookie", []Record{np, ae}, "no cookie"},
		{"no protocol", []Record{ae, ck}, "no protocol"},
		{"protocol not critical", []Record{rec(false, RecordNextProtocol, 0, 0), ae, ck}, "malformed protocol"},
		{"empty protocol list", []Record{rec(true, RecordNextProtocol)}, "does not support NTPv4"},
		{"two protocols", []Record{rec(true, RecordNextProtocol, 0, 0, 0, 1), ae, ck}, "malformed protocol"},
		{"another protocol", []Record{rec(true, RecordNextProtocol, 0, 1), ae, ck}, "not offered"},
		{"empty AEAD list", []Record{np, rec(true, RecordAEAD)}, "no AEAD in common"},
		{"two AEADs", []Record{np, rec(true, RecordAEAD, 0, 15, 0, 30), ck}, "malformed AEAD"},
		{"AEAD not offered", []Record{np, rec(true, RecordAEAD, 0, 17), ck}, "not offered"},
		{"AEAD twice", []Record{np, ae, ae, ck}, "twice"},
		{"port twice", []Record{np, ae, rec(true, RecordPort, 0, 1), rec(true, RecordPort, 0, 1), ck}, "twice"},
		{"error 1", []Record{rec(true, RecordError, 0, 1)}, "bad request"},
		{"error 0 after all else", []Record{np, ae, ck, rec(true, RecordError, 0, 0)}, "unrecognized critical"},
		{"error 2", []Record{rec(true, RecordError, 0, 2)}, "internal"},
		{"error 77", []Record{rec(true, RecordError, 0, 77)}, "error 77"},
		{"short error", []Record{rec(true, RecordError, 0)}, "malformed error"},
		{"warning", []Record{np, ae, ck, rec(true, RecordWarning, 0, 0)}, "warning"},
		{"unknown critical", []Record{np, ae, ck, rec(true, 9)}, "unknown critical record 9"},
		{"empty cookie", []Record{np, ae, rec(false, RecordCookie)}, "no cookie that can be used"},
		{"cookie of 5 octets", []Record{np, ae, rec(false, RecordCookie, 1, 2, 3, 4, 5)}, "no cookie that can be used"},
		{"huge cookie", []Record{np, ae, rec(false, RecordCookie, make([]byte, 1028)...)}, "no cookie that can be used"},
		{"empty server", []Record{np, ae, ck, rec(true, RecordServer)}, "server name"},
		{"server with a newline", []Record{np, ae, ck, rec(true, RecordServer, 'a', '\n')}, "server name"},
		{"port 0", []Record{np, ae, ck, rec(true, RecordPort, 0, 0)}, "port"},
		{"short port", []Record{np, ae, ck, rec(true, RecordPort, 1)}, "port"},
		{"record 1024 with a body", []Record{np, ae, ck, rec(false, RecordCompliantGCMSIV, 1)}, "1024"},
		{"good", []Record{np, ae, ck}, ""},
		{"odd cookies among good ones", []Record{np, ae, rec(false, RecordCookie), rec(false, RecordCookie, make([]byte, 102)...), ck, rec(false, RecordCookie, make([]byte, 4000)...), ck}, ""},
		{"200 cookies", append(many, np, ae), ""},
		{"all", []Record{rec(false, 77), np, ae, rec(false, RecordServer, 'a'), rec(false, RecordPort, 1, 2), ck, ck}, ""},
	} {
		s, err := parseResponse(c.recs, offered)
		if c.err == "" {
			if err != nil || len(s.Cookies) > maxCookies || s.Keys.AEAD != 15 {
				t.Errorf("%s: %v, %+v", c.name, err, s)
			}
			continue
		}
		var remote RemoteError
		if err == nil || !strings.Contains(err.Error(), c.err) || !errors.Is(err, ErrResponse) && !errors.As(err, &remote) {
			t.Errorf("%s: %v, want %s", c.name, err, c.err)
		}
	}
}

func TestEachReasonHasItsWord(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for r := range numReasons {
		w := r.String()
		if w == "" || seen[w] || strings.ToLower(w) != w || strings.ContainsAny(w, " -") {
			t.Errorf("reason %d has the label %q", r, w)
		}
		seen[w] = true
	}
	if len(new(Counters).Snapshot()) != int(numReasons) || Reason(99).String() != "unknown" || new(Counters).Get(99) != 0 {
		t.Error("reasons are mixed up")
	}
}

// Any octets, at once and in pieces.
func FuzzReadMessage(f *testing.F) {
	f.Add(appendRequest(nil, []aead.ID{15, 30}), 1000)
	f.Add([]byte{0x80, 0, 0, 0}, 4)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		recs, err := ReadMessage(bytes.NewReader(b), limit)
		again, err2 := ReadMessage(iotest.OneByteReader(bytes.NewReader(b)), limit)
		if !reflect.DeepEqual(recs, again) || !errors.Is(err2, err) {
			t.Fatalf("depends on how the octets arrive: %v, %v; %v, %v", recs, err, again, err2)
		}
		if err == nil {
			out := appendMessage(nil, recs...)
			if len(out) > limit || !bytes.Equal(out, b[:len(out)]) {
				t.Fatalf("%x became %x", b, out)
			}
		}
	})
}

// Any message to a server: the answer is well formed, and has cookies only if the
// request was valid.
func FuzzRequest(f *testing.F) {
	ring := newRing(f)
	s, err := NewServer(Config{TLS: newAuthority(f).serverTLS(f), Ring: ring})
	if err != nil {
		f.Fatal(err)
	}
	export := func(label string, context []byte, n int) ([]byte, error) {
		return bytes.Repeat(context[4:], n), nil
	}
	f.Add(appendRequest(nil, []aead.ID{15, 30}))
	f.Add(appendRequest(nil, []aead.ID{30}))
	f.Add(appendMessage(nil, Record{Critical: true, Type: 9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		recs, err := ReadMessage(bytes.NewReader(b), maxOctets)
		if err != nil {
			return
		}
		answer, r, err := s.answer(recs, Served, export, func(name string) bool { return sameHost("time.test", name) }, new(nts.Scratch))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadMessage(bytes.NewReader(answer), maxResponse)
		if err != nil {
			t.Fatalf("%v: answer %x: %v", r, answer, err)
		}
		session, err := parseResponse(got, []aead.ID{15, 17, 30})
		if (r == Served) != (err == nil) {
			t.Fatalf("%v, but %v", r, err)
		}
		if r == Served && len(session.Cookies) != 8 {
			t.Fatalf("%d cookies", len(session.Cookies))
		}
	})
}

// Any message to a client.
func FuzzResponse(f *testing.F) {
	f.Add(appendMessage(nil, Record{true, RecordNextProtocol, []byte{0, 0}}, Record{true, RecordAEAD, []byte{0, 15}}, Record{false, RecordCookie, make([]byte, 100)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		recs, err := ReadMessage(bytes.NewReader(b), maxResponse)
		if err != nil {
			return
		}
		s, err := parseResponse(recs, []aead.ID{15, 17, 30})
		if err == nil && (len(s.Cookies) == 0 || len(s.Cookies) > maxCookies || !s.Keys.AEAD.Supported() || s.Port == 0) {
			t.Fatalf("accepted %+v", s)
		}
	})
}
