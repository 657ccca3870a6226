package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/ntp"
)

// clientFrom returns an HTTP client with an address of its own.
func clientFrom(address string) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext,
	}}
}

// scrape reads the metrics, whole.
func scrape(c *http.Client, url string) (string, error) {
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && (r.StatusCode != http.StatusOK || !strings.Contains(string(b), "noonmark_ntp_")) {
		err = fmt.Errorf("%s, %d octets", r.Status, len(b))
	}
	return string(b), err
}

// of returns the number that a pattern finds in a text.
func of(t *testing.T, text, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in\n%s", pattern, text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Thousands of connections of strangers to the listener of the metrics cost ntsserve no
// answer to NTP, no descriptors and a bounded amount of memory. Whoever reads the metrics
// from another address gets them each time, and what strangers lost is counted.
func TestMetricsSurviveASiege(t *testing.T) {
	proctest.RequireRoot(t, "the descriptors of a process that is not dumpable")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	port := proctest.FreePorts(t, 1)[0]
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	conf := proctest.Write(t, filepath.Join(dir, "t.toml"), fmt.Sprintf("[source]\npath = %q\n%s[metrics]\nlisten = %q\n", filepath.Join(dir, "status"), endpoint, listen))
	p := proctest.StartCmd(t, program(t, "-config", conf))
	out := p.WaitFor(t, "msg=ready")
	_, addr, _ := strings.Cut(out, "msg=listening endpoint=")
	addr, _, _ = strings.Cut(addr, " ")
	ntpServer, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ntpServer.Close()
	descriptors := func() int {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	peak := func() int {
		return of(t, proctest.Read(t, fmt.Sprintf("/proc/%d/status", p.PID())), `(?m)^VmHWM:\s+(\d+) kB$`)
	}
	honest, url := clientFrom("127.0.0.2"), "http://"+listen+"/metrics"
	if _, err := scrape(honest, url); err != nil {
		t.Fatal(err)
	}
	idle, before := descriptors(), peak()

	var besieged sync.WaitGroup
	var over atomic.Bool
	besieged.Go(func() {
		defer over.Store(true)
		(&proctest.Siege{Addr: listen, Paths: []string{"/metrics", "/"}, AtOnce: 400, Stay: 2 * time.Second, Seed: seed}).Run(2000)
	})
	most := 0
	b := make([]byte, 100)
	for n := 0; !over.Load(); n++ {
		if _, err := scrape(honest, url); err != nil {
			t.Errorf("reading %d of the metrics: %v", n, err)
		}
		if _, err := ntpServer.Write(plainRequest()); err != nil {
			t.Fatal(err)
		}
		ntpServer.SetReadDeadline(time.Now().Add(time.Minute))
		if k, err := ntpServer.Read(b); k != ntp.HeaderLen || err != nil {
			t.Errorf("NTP during the siege: %d octets, %v", k, err)
		}
		most = max(most, descriptors())
	}
	besieged.Wait()
	if limit := idle + 40; most > limit {
		t.Errorf("%d descriptors, %d when idle", most, idle)
	}
	proctest.UntilState(t, "the descriptors are closed", func() (bool, string) { n := descriptors(); return n <= idle+2, fmt.Sprint(n) }, p)
	const room = 64 << 10 // kB above the quiet server, as under the attacks of make bench-attack; how late the collector is varies
	if grown := peak() - before; grown > room {
		t.Errorf("memory has grown by %d kB, from %d", grown, before)
	}
	text, err := scrape(honest, url)
	if err != nil {
		t.Fatal(err)
	}
	lost := of(t, text, `(?m)^noonmark_metrics_connections_total{outcome="displaced"} (\d+)$`) + of(t, text, `(?m)^noonmark_metrics_connections_total{outcome="refused"} (\d+)$`)
	t.Logf("%d of 2000 connections lost their places; %d descriptors when idle, %d at most; memory from %d to %d kB", lost, idle, most, before, peak())
	if lost == 0 {
		t.Error("nothing is counted")
	}
	if err := p.Stop(); err != nil {
		t.Errorf("ends with %v", err)
	}
}
