package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/fleet/embedded"
)

// counts are what etcd and its process have counted so far.
type counts struct {
	Puts     float64 `json:"puts"`
	Sent     float64 `json:"sent"`     // octets, to agents
	Received float64 `json:"received"` // octets, from agents
	Keys     float64 `json:"keys"`
	Watchers float64 `json:"watchers"`
	Database float64 `json:"database"` // octets in use
	Syncs    float64 `json:"syncs"`    // of the log to the disc
	SyncTime float64 `json:"sync_s"`
	CPU      float64 `json:"cpu_s"`
}

// serveEtcd runs etcd. It writes where it listens, and then its counts for each line that
// it reads, until there are no more.
func serveEtcd(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	const loopback = "http://127.0.0.1:0"
	e, err := embedded.Start(ctx, embedded.Config{Dir: dir, Name: "scale", Client: loopback, Peer: loopback})
	if err != nil {
		return err
	}
	defer e.Close()
	fmt.Fprintln(out, e.Endpoint())
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		c, err := collect()
		if err == nil {
			err = json.NewEncoder(out).Encode(c)
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

func collect() (c counts, err error) {
	list, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		return c, err
	}
	of := map[string]*float64{
		"etcd_mvcc_put_total": &c.Puts, "etcd_network_client_grpc_sent_bytes_total": &c.Sent, "etcd_network_client_grpc_received_bytes_total": &c.Received,
		"etcd_debugging_mvcc_keys_total": &c.Keys, "etcd_debugging_mvcc_watcher_total": &c.Watchers, "etcd_mvcc_db_total_size_in_use_in_bytes": &c.Database,
	}
	for _, f := range list {
		for _, m := range f.GetMetric() {
			if at := of[f.GetName()]; at != nil {
				*at += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
			if f.GetName() == "etcd_disk_wal_fsync_duration_seconds" {
				c.Syncs, c.SyncTime = float64(m.GetHistogram().GetSampleCount()), m.GetHistogram().GetSampleSum()
			}
		}
	}
	c.CPU, err = cpu()
	return c, err
}

// cpu is the time that the processors have spent for this process, s.
func cpu() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds(), nil
}

// etcd is the process of etcd.
type etcd struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Reader
	endpoint string
}

// startEtcd starts this program as etcd.
func startEtcd(dir string) (*etcd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	e := &etcd{cmd: exec.Command(self, "-etcd", dir)}
	e.cmd.Stderr = os.Stderr
	if e.in, err = e.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	e.out = bufio.NewReader(out)
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	line, err := e.out.ReadString('\n')
	if err != nil {
		e.stop()
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	e.endpoint = line[:len(line)-1]
	return e, nil
}

func (e *etcd) counts() (c counts, err error) {
	if _, err := fmt.Fprintln(e.in); err != nil {
		return c, fmt.Errorf("ask etcd: %w", err)
	}
	b, err := e.out.ReadBytes('\n')
	if err != nil {
		return c, fmt.Errorf("ask etcd: %w", err)
	}
	return c, json.Unmarshal(b, &c)
}

// stop ends etcd: it reads no more lines.
func (e *etcd) stop() {
	e.in.Close()
	e.cmd.Wait()
}
