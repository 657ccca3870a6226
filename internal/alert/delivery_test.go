package alert

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cfg "noonmark/internal/config/alert"
	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/internal/observe"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

var notice = Notice{ID: "clock1/witness/a.test/1", Status: Firing, Condition: "witness", Instance: "a.test", Host: "clock1", Since: at, Time: at.Add(time.Minute),
	Summary: "reference distrusted: <witness>", Figures: []Figure{{"detail", "2.5µs"}}, Remedy: "ask a third clock"}

// authority is a certificate for 127.0.0.1, and the file with its root.
func authority(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.TLS.Certificates[0], path
}

// load writes a configuration with one target, and loads it.
func load(t *testing.T, text string) *cfg.Settings {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "alert.toml")
	head := fmt.Sprintf("runtime_dir = %q\nstate = %q\nhost = \"clock1\"\ndiscs = []\n", dir, filepath.Join(dir, "state.json"))
	if err := os.WriteFile(path, []byte(head+text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := cfg.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func secret(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// send sends the notice to the first target.
func send(t *testing.T, s *cfg.Settings, n *Notice) error {
	t.Helper()
	via, err := newTransport(&s.Alert[0])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return via.send(ctx, n)
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	resolved := notice
	resolved.Status = Resolved
	for _, x := range []struct {
		format string
		n      *Notice
		path   string
		header map[string]string
		body   []string
	}{
		{"json", &notice, "/hook", map[string]string{"Content-Type": "application/json", "Authorization": "Bearer s3cret"}, []string{`"id":"clock1/witness/a.test/1"`, `"status":"firing"`, `"figures":[{"name":"detail","value":"2.5µs"}]`, `"since":"2026-11-28T12:00:00Z"`}},
		{"slack", &notice, "/hook", nil, []string{`{"text":"[firing] clock1: witness a.test\nreference distrusted: \u0026lt;witness\u0026gt;\n`}},
		{"ntfy", &notice, "/hook", map[string]string{"Title": "[firing] clock1: witness a.test", "Priority": "high"}, []string{"reference distrusted: <witness>\n\nsince   2026-11-28T12:00:00Z", "remedy  ask a third clock"}},
		{"ntfy", &resolved, "/hook", map[string]string{"Priority": "default"}, []string{"ended"}},
		{"alertmanager", &notice, "/hook/api/v2/alerts", nil, []string{`"alertname":"noonmark_witness"`, `"instance":"clock1"`, `"startsAt":"2026-11-28T12:00:00Z"`, `"endsAt":"2026-12-28T12:01:00Z"`}},
		{"alertmanager", &resolved, "/hook/api/v2/alerts", nil, []string{`"endsAt":"2026-11-28T12:01:00Z"`}},
	} {
		t.Run(x.format+" "+x.n.Status, func(t *testing.T) {
			t.Parallel()
			var got *http.Request
			var body []byte
			srv := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = r
				body, _ = io.ReadAll(r.Body)
			}))
			defer srv.Close()
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			s := load(t, fmt.Sprintf("[[alert]]\nname = \"w\"\ntype = \"webhook\"\nurl = %q\nformat = %q\nca = %q\ntoken_file = %q\n", srv.URL+"/hook", x.format, ca, secret(t, "s3cret")))
			if err := send(t, s, x.n); err != nil {
				t.Fatal(err)
			}
			if got.Method != "POST" || got.URL.Path != x.path {
				t.Errorf("%s %s", got.Method, got.URL.Path)
			}
			for k, v := range x.header {
				if got.Header.Get(k) != v {
					t.Errorf("%s: %q, want %q", k, got.Header.Get(k), v)
				}
			}
			for _, want := range x.body {
				if !strings.Contains(string(body), want) {
					t.Errorf("no %s in\n%s", want, body)
				}
			}
			if x.format != "ntfy" && !json.Valid(body) {
				t.Errorf("no JSON: %s", body)
			}
		})
	}
}

func TestWebhooksThatFail(t *testing.T) {
	t.Parallel()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			return
		}
		http.Error(w, "no such channel", http.StatusNotFound)
	}))
	defer refusing.Close()
	untrusted := httptest.NewTLSServer(nil)
	untrusted.Config.ErrorLog = nil
	defer untrusted.Close()
	closed := fmt.Sprintf("http://127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
	for url, want := range map[string]string{
		refusing.URL: "404 Not Found: no such channel", refusing.URL + "/away": "302", untrusted.URL + "/s3cret-path": "certificate", closed + "/s3cret-path": "refused",
	} {
		s := load(t, fmt.Sprintf("[[alert]]\nname = \"w\"\ntype = \"webhook\"\nurl = %q\n", url))
		if err := send(t, s, &notice); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q without the URL", url, err, want)
		}
	}
}

// mailServer is a mail server (RFC 5321) with TLS (RFC 3207, or from the start) that
// wants a login. It keeps what it was given.
type mailServer struct {
	cert     tls.Certificate
	implicit bool

	mu     sync.Mutex
	secure bool
	login  string
	from   string
	to     []string
	data   string
}

func (m *mailServer) listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if m.implicit {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{m.cert}})
		m.secure = true
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(c)
		}
	}()
	return l.Addr().String()
}

func (m *mailServer) serve(c net.Conn) {
	defer func() { c.Close() }()
	r := bufio.NewReader(c)
	say := func(s string) { io.WriteString(c, s+"\r\n") }
	say("220 mail.test ESMTP")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		m.mu.Lock()
		switch verb := strings.ToUpper(strings.SplitN(line, " ", 2)[0]); verb {
		case "EHLO":
			if m.secure {
				say("250-mail.test\r\n250 AUTH PLAIN")
			} else {
				say("250-mail.test\r\n250 STARTTLS")
			}
		case "STARTTLS":
			say("220 go ahead")
			x := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{m.cert}})
			c, r, m.secure = x, bufio.NewReader(x), true
		case "AUTH":
			b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "AUTH PLAIN "))
			m.login = string(b)
			if m.login == "\x00ops\x00s3cret" {
				say("235 welcome")
			} else {
				say("535 who are you")
			}
		case "MAIL":
			if m.login == "" || !m.secure {
				say("530 log in first")
				break
			}
			m.from = line
			say("250 ok")
		case "RCPT":
			m.to = append(m.to, line)
			say("250 ok")
		case "DATA":
			say("354 go on")
			for {
				l, err := r.ReadString('\n')
				if err != nil || l == ".\r\n" {
					break
				}
				m.data += l
			}
			say("250 taken")
		case "QUIT":
			say("221 bye")
			m.mu.Unlock()
			return
		default:
			say("250 ok")
		}
		m.mu.Unlock()
	}
}

func TestEmail(t *testing.T) {
	t.Parallel()
	cert, ca := authority(t)
	for _, x := range []struct {
		tls, password, want string
		ca                  bool
	}{
		{"starttls", "s3cret", "", true}, {"tls", "s3cret", "", true}, {"starttls", "wrong", "535", true}, {"starttls", "s3cret", "certificate", false}, {"tls", "s3cret", "certificate", false},
	} {
		t.Run(fmt.Sprint(x.tls, " ", x.password, " ", x.ca), func(t *testing.T) {
			t.Parallel()
			m := &mailServer{cert: cert, implicit: x.tls == "tls"}
			text := fmt.Sprintf("[[alert]]\nname = \"m\"\ntype = \"email\"\nserver = %q\ntls = %q\nuser = \"ops\"\npassword_file = %q\nfrom = \"clock@example.org\"\nto = [\"a@example.org\", \"b@example.org\"]\n",
				m.listen(t), x.tls, secret(t, x.password))
			if x.ca {
				text += fmt.Sprintf("ca = %q\n", ca)
			}
			err := send(t, load(t, text), &notice)
			m.mu.Lock()
			defer m.mu.Unlock()
			if x.want != "" {
				if err == nil || !strings.Contains(err.Error(), x.want) || m.data != "" {
					t.Errorf("%v, want %q", err, x.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(m.from, "<clock@example.org>") || len(m.to) != 2 {
				t.Errorf("from %s to %q", m.from, m.to)
			}
			for _, want := range []string{"Subject: [firing] clock1: witness a.test\r\n", "Auto-Submitted: auto-generated", "reference distrusted: <witness>", "remedy  ask a third clock", "Message-ID: <"} {
				if !strings.Contains(m.data, want) {
					t.Errorf("no %q in\n%s", want, m.data)
				}
			}
		})
	}
}

func TestSyslog(t *testing.T) {
	t.Parallel()
	cert, ca := authority(t)
	form := regexp.MustCompile(`^<27>1 2026-11-28T12:01:00Z clock1 noonmark-alert \d+ witness - [ -~]+$`)
	check := func(t *testing.T, msg string) {
		t.Helper()
		if !form.MatchString(msg) || !strings.Contains(msg, `detail="2.5us"`) || !strings.Contains(msg, `status=firing condition=witness since=2026-11-28T12:00:00Z instance="a.test"`) {
			t.Errorf("%q", msg)
		}
	}
	target := func(t *testing.T, addr net.Addr, transport string) error {
		t.Helper()
		return send(t, load(t, fmt.Sprintf("[[alert]]\nname = \"s\"\ntype = \"syslog\"\nserver = %q\ntransport = %q\nca = %q\n", addr, transport, ca)), &notice)
	}
	t.Run("udp", func(t *testing.T) {
		t.Parallel()
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := target(t, c.LocalAddr(), "udp"); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, _, err := c.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		check(t, string(b[:n]))
	})
	t.Run("udp to a port that nobody has", func(t *testing.T) {
		t.Parallel()
		addr := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: proctest.FreePorts(t, 1)[0]}
		if err := target(t, addr, "udp"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("sent with %v", err)
		}
	})
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if transport == "tls" {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
			}
			defer l.Close()
			received := make(chan string, 1)
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				b, _ := io.ReadAll(c)
				received <- string(b)
			}()
			if err := target(t, l.Addr(), transport); err != nil {
				t.Fatal(err)
			}
			length, msg, _ := strings.Cut(<-received, " ")
			if fmt.Sprint(len(msg)) != length {
				t.Errorf("octet count %s of %d", length, len(msg))
			}
			check(t, msg)
		})
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	sh := proctest.Require(t, "sh")
	out := filepath.Join(t.TempDir(), "out")
	s := load(t, fmt.Sprintf("[[alert]]\nname = \"c\"\ntype = \"command\"\ncommand = [%q, \"-c\", 'cat >\"$0\"; echo \"$NOONMARK_STATUS $NOONMARK_CONDITION $NOONMARK_INSTANCE\" >>\"$0\"', %q]\n", sh, out))
	if err := send(t, s, &notice); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil || !strings.HasPrefix(string(b), `{"id":"clock1/witness/a.test/1"`) || !strings.HasSuffix(string(b), "\nfiring witness a.test\n") {
		t.Errorf("%v %s", err, b)
	}
	s = load(t, fmt.Sprintf("[[alert]]\nname = \"c\"\ntype = \"command\"\ncommand = [%q, \"-c\", \"echo broken >&2; exit 3\"]\n", sh))
	if err := send(t, s, &notice); err == nil || !strings.Contains(err.Error(), "exit status 3: broken") {
		t.Error(err)
	}
}

func TestATestMessageGoesToEveryTarget(t *testing.T) {
	t.Parallel()
	sh := proctest.Require(t, "sh")
	target := func(name, script string) string {
		return fmt.Sprintf("[[alert]]\nname = %q\ntype = \"command\"\ncommand = [%q, \"-c\", %q]\n", name, sh, script)
	}
	works, fails := target("b", "grep -q '\"status\":\"test\"'"), target("a", "echo broken >&2; exit 3")
	var out strings.Builder
	if err := SendTest(t.Context(), load(t, works+fails), &out); !errors.Is(err, ErrNotDelivered) || exitcode.Of(err) != exitcode.Unavailable || !strings.HasPrefix(out.String(), "a: failed: ") || !strings.HasSuffix(out.String(), "exit status 3: broken\nb: delivered\n") {
		t.Errorf("%v:\n%s", err, &out)
	}
	out.Reset()
	if err := SendTest(t.Context(), load(t, works), &out); err != nil || out.String() != "b: delivered\n" {
		t.Errorf("%v:\n%s", err, &out)
	}
}

// An appliance that is locked, loses its lock and gets it back, while the receiver of
// alerts is away for a part of the time and the process is restarted twice: each
// message arrives once, in order.
func TestNothingIsLostOrSentTwiceOverRestarts(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	away := true
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n Notice
		mu.Lock()
		defer mu.Unlock()
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil || away {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		got = append(got, n.Status+" "+n.Condition)
	}))
	defer srv.Close()
	s := load(t, fmt.Sprintf("[[alert]]\nname = \"w\"\ntype = \"webhook\"\nurl = %q\n[[alert]]\nname = \"only discs\"\ntype = \"webhook\"\nurl = %q\nconditions = [\"disc_free\"]\n", srv.URL, srv.URL))

	ready := func(state string, s int) *Facts {
		f := good()
		f.Now = at.Add(time.Duration(s) * time.Second)
		if f.Status.State = state; state == "unlocked" {
			f.Status.BoundNS = nil
		}
		return f
	}
	// run runs the process on facts, until want messages have arrived and the queue is
	// empty, or until all facts are judged.
	run := func(want int, facts ...*Facts) {
		t.Helper()
		tasks, err := New(s, phc.MonoRaw, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		for _, x := range tasks[1:] {
			done.Go(func() { x.Run(ctx) })
		}
		w := tasks[0].(*Watcher)
		for _, f := range facts {
			w.step(f)
		}
		proctest.Until(t, fmt.Sprintf("%d messages have arrived", want), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(got) == want && (away || w.first("w") == nil)
		})
		if away {
			proctest.Until(t, "the task says that it waits", func() bool { return tasks[1].(*Sender).Waiting() != nil })
		}
		cancel()
		done.Wait()
	}
	run(0, ready("locked", 0), ready("unlocked", 10), ready("unlocked", 200))
	mu.Lock()
	away = false
	mu.Unlock()
	run(1, ready("unlocked", 205))
	run(1, ready("unlocked", 210), ready("unlocked", 215))
	run(2, ready("locked", 220), ready("locked", 300))
	run(2, ready("locked", 305))
	if want := []string{"firing not_locked", "resolved not_locked"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A target whose secret cannot be read waits, and says so, while another one gets what is
// reported; then it gets it too.
func TestATargetWaitsForItsSecret(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got[r.Header.Get("Authorization")]++
	}))
	defer srv.Close()
	count := func(who string) int {
		mu.Lock()
		defer mu.Unlock()
		return got[who]
	}
	path := secret(t, "s3cret")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s := load(t, fmt.Sprintf("[[alert]]\nname = \"a\"\ntype = \"webhook\"\nurl = %q\ntoken_file = %q\n[[alert]]\nname = \"b\"\ntype = \"webhook\"\nurl = %q\n", srv.URL, path, srv.URL))
	tasks, err := New(s, phc.MonoRaw, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { tasks[2].Run(ctx) })
	w := tasks[0].(*Watcher)
	for _, at := range []time.Time{at, at.Add(10 * time.Minute)} {
		f := good()
		f.Now, f.Status, f.Err, f.Details, f.Tasks = at, nil, errors.New("gone"), nil, nil
		w.step(f)
	}
	if err := tasks[1].Run(ctx); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "token_file: ") {
		t.Errorf("without its secret: %v", err)
	}
	proctest.Until(t, "the other target has the message", func() bool { return count("") == 1 })
	if err := os.WriteFile(path, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done.Go(func() { tasks[1].Run(ctx) })
	proctest.Until(t, "the target has the message", func() bool { return count("Bearer s3cret") == 1 })
	cancel()
	done.Wait()
}

// A state that cannot be used is set aside, said, and ends nothing.
func TestADamagedStateIsSetAside(t *testing.T) {
	t.Parallel()
	s := load(t, "")
	for _, text := range []string{"", "{", "[]", strings.Repeat(" ", maxState+1), "folder"} {
		if err := os.RemoveAll(s.State + ".damaged"); err != nil {
			t.Fatal(err)
		}
		err := os.WriteFile(s.State, []byte(text), 0o600)
		if text == "folder" {
			err = errors.Join(os.Remove(s.State), os.Mkdir(s.State, 0o700))
		}
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		tasks, err := New(s, phc.MonoRaw, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil || !strings.Contains(log.String(), "cannot be used") || !strings.Contains(log.String(), ".damaged") {
			t.Fatalf("%.20q: %v, %s", text, err, &log)
		}
		if _, err := os.Stat(s.State + ".damaged"); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
		w := tasks[0].(*Watcher)
		w.step(good())
		if _, err := New(s, phc.MonoRaw, slog.New(slog.NewTextHandler(&log, nil))); err != nil || strings.Count(log.String(), "cannot be used") != 1 {
			t.Errorf("%.20q: the state of the next process: %v, %s", text, err, &log)
		}
	}
}

// A file system that cannot be looked at is logged once, and is a state of the task.
func TestAFileSystemThatIsMissingIsNoted(t *testing.T) {
	t.Parallel()
	s := load(t, "")
	var log strings.Builder
	tasks, err := New(s, phc.MonoRaw, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w := tasks[0].(*Watcher)
	f := good()
	f.DiscsErr = errors.New("room of /vr: no such file")
	w.step(f)
	w.step(f)
	if err := w.Waiting(); err == nil || !strings.Contains(err.Error(), "/vr") || strings.Count(log.String(), "/vr") != 1 {
		t.Errorf("%v: %s", err, &log)
	}
	f.DiscsErr = nil
	if w.step(f); w.Waiting() != nil || !strings.Contains(log.String(), "all file systems") {
		t.Errorf("%v: %s", w.Waiting(), &log)
	}
}

// The facts of files that the daemons publish.
func TestFactsOfRealFiles(t *testing.T) {
	t.Parallel()
	s := load(t, "")
	s.Serving, s.Discs = filepath.Join(s.RuntimeDir, observe.ServingName), []string{"/", "/nonexistent"}
	serve := func(refused, hardware uint64) {
		t.Helper()
		b, _ := json.Marshal(&observe.Serving{PID: 7, Mono: phc.MonoRaw(), Certificates: []observe.CertificateState{{Names: []string{"a.test"}, NotAfter: time.Now().Add(time.Hour)}},
			CookieKeys: &observe.CookieKeys{Overdue: true}, KE: &observe.ServingKE{Results: map[string]uint64{"served": 7, "no_alpn": refused}},
			Endpoints: []observe.ServingEndpoint{{Name: "a", Stamps: map[string]uint64{"hardware": hardware, "software": 10}}}})
		if err := os.WriteFile(s.Serving, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src := NewSources(s, phc.MonoRaw)
	if f := src.Gather(); f.Server != nil {
		t.Errorf("server of no file: %+v", f.Server)
	}
	serve(100, 1000)
	f := src.Gather()
	if f.Status != nil || !errors.Is(f.Err, status.ErrNone) || f.Tasks != nil {
		t.Errorf("of nothing: %+v", f)
	}
	if f.DiscsErr == nil || len(f.Discs) != 1 || f.Discs[0].Free <= 0 || f.Discs[0].Free >= 1 {
		t.Errorf("discs %+v, %v", f.Discs, f.DiscsErr)
	}
	if x := f.Server; x == nil || x.Certificates["a.test"] < 50*time.Minute || !x.KeyOverdue || x.Refusals != nil || x.Software != nil {
		t.Errorf("server %+v", x)
	}
	src.last.at = src.last.at.Add(-2 * time.Minute)
	serve(300, 1990)
	if x := src.Gather().Server; x.Refusals == nil || *x.Refusals < 90 || *x.Refusals > 110 || *x.Software != 0 {
		t.Errorf("server a minute later %+v", x)
	}
	w, err := status.Create(filepath.Join(s.RuntimeDir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	snap := status.Snapshot{State: status.Holdover, Reason: "no_pulse", Mono: phc.MonoRaw(), Clock: tai.FromUnix(1795435200, 0, 37), RefTime: tai.FromUnix(1795435200, 0, 37), TAIOffset: 37, Bound: 100, Limit: 1e5, Stratum: 1}
	if err := w.Write(&snap); err != nil {
		t.Fatal(err)
	}
	details, _ := json.Marshal(report.Details{PID: os.Getpid(), Mono: phc.MonoRaw(), Alarms: []report.AlarmDetail{{Reason: "witness_disagrees", Name: "x"}}})
	tasks, _ := json.Marshal(daemon.Report{PID: os.Getpid(), Tasks: []daemon.Status{{Task: "engine", State: "serving"}}})
	if err := errors.Join(os.WriteFile(filepath.Join(s.RuntimeDir, report.DetailsName), details, 0o644), os.WriteFile(filepath.Join(s.RuntimeDir, daemon.StateFileName), tasks, 0o644)); err != nil {
		t.Fatal(err)
	}
	f = src.Gather()
	if f.Err != nil || f.Status.State != "holdover" || f.Stale || f.Details == nil || f.Details.Alarms[0].Name != "x" || len(f.Tasks) != 1 {
		t.Errorf("%+v", f)
	}
}
