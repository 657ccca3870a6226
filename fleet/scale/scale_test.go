package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets startEtcd start the test binary as etcd.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-etcd" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestWrongSizesAreRefused(t *testing.T) {
	t.Parallel()
	for _, sizes := range []string{"", "0", "-1", "x", "5,", "10001"} {
		var errs bytes.Buffer
		if code := run([]string{"-agents", sizes}, nil, &bytes.Buffer{}, &errs); code != exitFailed || !strings.Contains(errs.String(), "is not a number from 1 to 10000") {
			t.Errorf("%q: %d, %s", sizes, code, errs.String())
		}
	}
}

// TestASmallFleetIsMeasured runs the real thing, with real processes, for a few seconds.
func TestASmallFleetIsMeasured(t *testing.T) {
	out := filepath.Join(t.TempDir(), "results.md")
	var errs bytes.Buffer
	if code := run([]string{"-agents", "3,6", "-span", "3s", "-o", out, "-dir", t.TempDir()}, nil, &bytes.Buffer{}, &errs); code != 0 {
		t.Fatalf("%d: %s", code, errs.String())
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{"Machine: ", "\n| 3 | ", "\n| 6 | ", "\n| 1000, computed | ", "one processor of this machine would carry "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Errorf("a figure that is none:\n%s", text)
	}
}

// TestWhatEtcdSendsGrowsWithTheNodes: not with their square, which was so when each read
// the records of all.
func TestWhatEtcdSendsGrowsWithTheNodes(t *testing.T) {
	var sent [2]float64
	for i, n := range []int{6, 24} {
		r, err := measure(context.Background(), n, 12*time.Second, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		sent[i] = r.sent / r.rounds // for a round: a loaded machine makes fewer
	}
	if sent[1] > 1.5*sent[0] {
		t.Errorf("etcd sends %.0f octets for a round of 6 nodes, %.0f of 24", sent[0], sent[1])
	}
}

func TestALineGoesThroughItsPoints(t *testing.T) {
	t.Parallel()
	runs := []*result{{agents: 10, sent: 30}, {agents: 20, sent: 50}, {agents: 40, sent: 90}}
	if l := through(runs, func(r *result) float64 { return r.sent }); math.Abs(l.at(100)-210) > 1e-9 || math.Abs(l.base-10) > 1e-9 {
		t.Errorf("%+v", l)
	}
	if lines(runs[:1]) != nil {
		t.Error("a line through one point")
	}
}
