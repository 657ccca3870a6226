package agent

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"noonmark/fleet/embedded"
	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
)

var agents = flag.Int("agents", 0, "run so many agents and measure what etcd carries")

// TestScale measures one etcd with many agents, each with a connection of its own. It
// fails if a root does not reach all of them.
func TestScale(t *testing.T) {
	if *agents == 0 {
		t.Skip("a measurement: needs -agents N")
	}
	const loopback = "http://127.0.0.1:0"
	e, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), Name: "a", Client: loopback, Peer: loopback})
	must(t, err)
	defer e.Close()
	connect := func() *clientv3.Client {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.Endpoint()}, Logger: zap.NewNop()})
		must(t, err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	etcd := connect()
	s, err := store.New(etcd, "scale")
	must(t, err)
	p, err := roots.New(roots.Defaults(), time.Now())
	must(t, err)
	must(t, s.Init(t.Context(), p, store.Entry{Time: time.Now(), Node: "root", Action: "init"}))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	var rounds, failed atomic.Int64
	var first sync.Map // errors by their text
	dir := t.TempDir()
	for i := range *agents {
		name := fmt.Sprintf("n%04d", i)
		key := seal.Generate()
		must(t, s.Register(t.Context(), name, key.Public(), store.Entry{Time: time.Now(), Node: "root", Action: "join"}))
		own, err := store.New(connect(), "scale")
		must(t, err)
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		a, err := New(own, Config{
			Node: name, Key: key, Copy: filepath.Join(dir, name, "copy"), KeyFile: filepath.Join(dir, name, "keys"),
			Clock: func() (time.Time, error) { return time.Now(), nil },
		})
		must(t, err)
		all.Go(func() {
			a.Run(ctx, func(_ Report, err error) {
				rounds.Add(1)
				if err != nil && ctx.Err() == nil {
					failed.Add(1)
					first.LoadOrStore(err.Error(), true)
				}
			})
		})
	}
	begun := time.Now()
	settled := false
	for !settled && time.Since(begun) < 5*time.Minute {
		time.Sleep(time.Second) // agents, etcd and the disc have real time
		snap, err := s.Read(t.Context())
		must(t, err)
		settled = len(snap.Plan.Scheduled()) > 0 && len(snap.Plan.Waiting()) == 0
		for _, n := range snap.Nodes {
			settled = settled && len(n.Record.Holds) == len(snap.Plan.Roots)
		}
	}
	if !settled {
		t.Fatal("after five minutes not all agents hold all roots")
	}
	t.Logf("%d agents hold all roots %v after the last one started; %d rounds, %d failed", *agents, time.Since(begun).Round(time.Second), rounds.Load(), failed.Load())
	first.Range(func(text, _ any) bool { t.Logf("failed: %v", text); return true })
	before := metrics(t)
	rounds.Store(0)
	const span = 20 * time.Second
	time.Sleep(span)
	after := metrics(t)
	r, err := etcd.Status(t.Context(), e.Endpoint())
	must(t, err)
	keys, err := etcd.Get(t.Context(), "/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	must(t, err)
	leases, err := etcd.Leases(t.Context())
	must(t, err)
	t.Logf("leases %d, keys %d, database %d octets", len(leases.Leases), keys.Count, r.DbSizeInUse)
	per := func(name string) float64 { return (after[name] - before[name]) / span.Seconds() }
	t.Logf("a second: %.1f rounds, %.1f writes, %.0f octets sent, %.0f octets received, %.2f s of processor for agents and etcd together",
		float64(rounds.Load())/span.Seconds(), per("etcd_mvcc_put_total"), per("etcd_network_client_grpc_sent_bytes_total"),
		per("etcd_network_client_grpc_received_bytes_total"), per("process_cpu_seconds_total"))
	stop()
	all.Wait()
}

// metrics are those of etcd and of this process.
func metrics(t *testing.T) map[string]float64 {
	t.Helper()
	list, err := prometheus.DefaultGatherer.Gather()
	must(t, err)
	all := map[string]float64{}
	for _, f := range list {
		for _, m := range f.GetMetric() {
			all[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}
