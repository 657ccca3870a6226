package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/proctest"
	"noonmark/internal/ptp"
	"noonmark/phc"
	"noonmark/refclock/status"
)

// TestResults: each failure has a name.
func TestResults(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for r := range Result(NumResults) {
		if seen[r.String()] {
			t.Errorf("%d is called %q", r, r)
		}
		seen[r.String()] = true
	}
	for _, c := range []struct {
		err  error
		want Result
	}{
		{errors.New("odd"), Failed},
		{fmt.Errorf("dial: %w", fs.ErrNotExist), Missing},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), Missing},
		{fmt.Errorf("open: %w", syscall.EACCES), Denied},
		{errors.Join(fmt.Errorf("set: %w", ptp.ErrRefused)), Refused},
		{fmt.Errorf("read: %w", os.ErrDeadlineExceeded), Silent},
		{nil, Exported},
		{NewSock(filepath.Join(t.TempDir(), "none")).Export(Sample{}), Missing},
	} {
		if got := resultOf(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// socket returns a Unix datagram socket and its path.
func socket(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	path := filepath.Join(proctest.ShortDir(t), "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skip("needs Unix datagram sockets: ", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, path
}

// bench is a source whose snapshot the test sets, and its log.
type bench struct {
	snap status.Snapshot
	log  bytes.Buffer
}

func newBench() *bench { return &bench{snap: healthy()} }

func (b *bench) tasks(to Targets) []*Task {
	src := Source{
		Snapshot: func() *status.Snapshot { return &b.snap },
		Mono:     func() int64 { return 1000 },
		Cross:    func() (phc.Cross, error) { return phc.Cross{Mono: 1000, Real: 1795435200e9 + 250}, nil },
	}
	return Tasks(to, src, slog.New(slog.NewTextHandler(&b.log, nil)))
}

// TestTargets: there is a task for each target, by its name.
func TestTargets(t *testing.T) {
	t.Parallel()
	names := func(to Targets) (s string) {
		for _, x := range newBench().tasks(to) {
			s += " " + x.Name()
		}
		return s
	}
	if s := names(Targets{SHMUnit: -1}); s != "" {
		t.Errorf("no targets:%s", s)
	}
	if s := names(Targets{ChronySock: "/c", SHMUnit: 0, PTP4L: PTP4LConfig{Path: "/p"}}); s != " chrony_sock shm ptp4l" {
		t.Errorf("all targets:%s", s)
	}
}

// TestSamplesTask: nothing is exported from an unusable snapshot, a program
// that comes late gets its samples, and failures are logged rarely.
func TestSamplesTask(t *testing.T) {
	t.Parallel()
	conn, path := socket(t)
	b := newBench()
	x := b.tasks(Targets{ChronySock: path + "2", SHMUnit: -1})[0]
	b.snap.State = status.Acquiring
	x.once(0)
	if x.Count(Unusable) != 1 || x.Count(Missing)+x.Count(Exported) != 0 || b.log.Len() != 0 {
		t.Errorf("unusable: counted %d, log %q", x.Count(Unusable), &b.log)
	}
	b.snap.State = status.Locked
	for n := range 300 {
		x.once(n)
	}
	if n := strings.Count(b.log.String(), "reason=export_missing"); n < 3 || n > 8 || x.Count(Missing) != 300 {
		t.Errorf("%d lines for 300 failures, counted %d", n, x.Count(Missing))
	}
	if err := os.Rename(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	x.once(0)
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); err != nil || !bytes.Equal(buf[:n], appendSock(nil, Sample{Real: 1795435200e9 + 250, True: 1795435200e9, Bound: 900, Offset: 37})) {
		t.Errorf("sample % x, %v", buf[:n], err)
	}
	if x.Count(Exported) != 1 || !strings.Contains(b.log.String(), "export works again") {
		t.Errorf("exported %d times, log\n%s", x.Count(Exported), &b.log)
	}
	if err := x.end(); err != nil {
		t.Error(err)
	}
}

// TestPTP4LTask: ptp4l gets settings when they change and every 30th time, and
// a clock out of specification at the end.
func TestPTP4LTask(t *testing.T) {
	t.Parallel()
	conn, path := socket(t)
	got := make(chan ptp.GrandmasterSettings, 100)
	refuse := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var b [1500]byte
		for {
			n, from, err := conn.ReadFromUnix(b[:])
			if err != nil {
				return
			}
			m, err := ptp.ParseManagement(b[:n])
			g, err2 := ptp.ParseGrandmasterSettings(m.Data)
			if err != nil || err2 != nil || m.Domain != 5 || m.Action != ptp.Set {
				t.Errorf("% x: %v, %v", b[:n], err, err2)
			}
			m.Action = ptp.Response
			select {
			case <-refuse:
				m.Error = 2
			default:
				got <- g
			}
			conn.WriteToUnix(m.Append(nil), from)
		}
	}()
	defer func() { conn.Close(); <-done }()
	b := newBench()
	x := b.tasks(Targets{SHMUnit: -1, PTP4L: PTP4LConfig{Path: path, Domain: 5, Dir: filepath.Dir(path)}})[0]
	if err := x.end(); err != nil || len(got) != 0 {
		t.Errorf("ended before anything was set: %d set, %v", len(got), err)
	}
	refuse <- struct{}{}
	x.once(1)
	if !errors.Is(x.Waiting(), ptp.ErrRefused) {
		t.Errorf("a SET is refused, and the task waits for %v", x.Waiting())
	}
	if x.Count(Refused) != 1 || !strings.Contains(b.log.String(), "reason=export_refused") {
		t.Errorf("refused %d times, log\n%s", x.Count(Refused), &b.log)
	}
	b.snap.State = status.Acquiring
	x.once(2)
	if x.Waiting() != nil {
		t.Errorf("a SET is answered, and the task waits for %v", x.Waiting())
	}
	if g := <-got; g.Class != 248 || x.Count(Unusable) != 1 {
		t.Errorf("unusable: set %+v, counted %d", g, x.Count(Unusable))
	}
	b.snap.State = status.Locked
	for n := range 61 { // sent at 0, 30 and 60
		x.once(n)
	}
	if len(got) != 3 || (<-got).Class != 6 || x.Count(Exported) != 62 {
		t.Errorf("%d set, counted %d", len(got), x.Count(Exported))
	}
	<-got
	<-got
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Run(ctx); !errors.Is(err, context.Canceled) || len(got) != 2 {
		t.Errorf("%v, %d set", err, len(got))
	}
	<-got
	if g := <-got; g.Class != 52 || g.UTCValid {
		t.Errorf("at the end: %+v", g)
	}
	if left, err := filepath.Glob(filepath.Dir(path) + "/ptp4l-client.*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
