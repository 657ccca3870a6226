// Package site runs a fleet of real programs on loopback, for make demo-fleet and tests:
// refclockd with a simulated receiver, and for each node noonmark-fleet and ntsserve.
package site

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	fleetcerts "noonmark/fleet/certs"
	"noonmark/fleet/roots"
	"noonmark/internal/appliance"
	"noonmark/internal/exitcode"
	"noonmark/internal/fleetview"
	"noonmark/internal/freeports"
	"noonmark/internal/observe"
	"noonmark/internal/servedclock"
	"noonmark/server/certs"
	"noonmark/server/nts"
)

// lookEvery is the time between two looks at programs of others.
const lookEvery = 200 * time.Millisecond

// Options are what differs between two sites.
type Options struct {
	Bin    string // folder of the programs
	Params roots.Params
	Seed   uint64

	// Challenges returns where a node answers http-01. Then ntsserve reads the certificate of the
	// fleet; nil: one that all nodes have from the beginning.
	Challenges func(node string) string

	// OwnClocks gives each node a refclockd of its own, which reads what the fleet sets for it;
	// else all have one clock.
	OwnClocks bool
}

// Site is a fleet on this machine.
type Site struct {
	Options
	Dir   string
	Nodes []*Node

	clock     *appliance.Site
	refclockd *appliance.Child
	pool      *x509.CertPool
}

// Node is one node. Its programs are nil while they do not run.
type Node struct {
	Name    string
	Port    int // first of three of etcd and manager
	NTP, KE int
	HTTP    int // of the health endpoint
	site    *Site
	ports   *freeports.Row   // they stay those of the node while its programs end and start again
	clock   *appliance.Child // nil: that of the site
	agent   *appliance.Child
	server  *appliance.Child
}

// New starts refclockd and waits until its clock is trusted. dir is empty.
func New(ctx context.Context, dir string, o Options) (*Site, error) {
	s := &Site{Options: o, Dir: dir}
	var err error
	if s.clock, err = appliance.Write(dir, appliance.Options{Seed: o.Seed}); err != nil {
		return nil, err
	}
	s.clock.Close() // refclockd is the only program of it here, and has no port
	ca, err := os.ReadFile(filepath.Join(dir, certs.AuthorityCert))
	if err != nil {
		return nil, err
	}
	s.pool = x509.NewCertPool()
	s.pool.AppendCertsFromPEM(ca)
	if s.refclockd, err = appliance.StartChild(filepath.Join(o.Bin, "refclockd"), filepath.Join(dir, "refclockd.log"), nil, "-config", s.clock.Config("refclockd")); err != nil {
		return nil, err
	}
	return s, nil
}

// WaitForClock waits until the clock is trusted.
func (s *Site) WaitForClock(ctx context.Context) error {
	return s.until(ctx, "the clock is trusted", func() error { return servedclock.Confirm(filepath.Join(s.Dir, "status")) })
}

// Close ends all programs.
func (s *Site) Close() {
	for _, n := range s.Nodes {
		n.Stop()
		n.ports.Release()
	}
	if s.refclockd != nil {
		s.refclockd.Stop()
	}
}

// Trusted are the authorities that a client of the time servers trusts.
func (s *Site) Trusted() *x509.CertPool { return s.pool }

// until waits until look returns nil.
func (s *Site) until(ctx context.Context, what string, look func() error) error {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w: %w", what, context.Cause(ctx), err)
		case <-t.C:
		}
	}
}

const ntsserveTOML = `[source]
type = "snapshot"
path = %[1]q
[[endpoint]]
address = "127.0.0.1:%[2]d"
nts = "allow"
[ke]
listen = "127.0.0.1:%[3]d"
certificate = %[4]q
key = %[5]q
server = "localhost"
port = %[6]d
[keys]
file = %[7]q
rotate = %[8]q
keep = %[9]d
renew = "never"
`

// add makes the folder of a node. service is the port at which clients find all nodes.
func (s *Site) add(name string, service int) (*Node, error) {
	ports, err := freeports.Reserve(6)
	if err != nil {
		return nil, err
	}
	port := ports.First
	n := &Node{Name: name, Port: port, NTP: port + 3, KE: port + 4, HTTP: port + 5, site: s, ports: ports}
	if err := os.MkdirAll(n.path(), 0o700); err != nil {
		return nil, err
	}
	cert, key := filepath.Join(s.Dir, certs.ServerCert), filepath.Join(s.Dir, certs.ServerKey)
	if s.Challenges != nil {
		cert, key = n.path(fleetcerts.PEMName), n.path(fleetcerts.PEMName)
	}
	if s.OwnClocks {
		if err := n.startClock(); err != nil {
			return nil, err
		}
	}
	text := fmt.Sprintf(ntsserveTOML, n.Snapshot(), n.NTP, n.KE, cert, key, service, n.KeyFile(), s.Params.Rotate, s.Params.Keep)
	if err := os.WriteFile(n.path("ntsserve.toml"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	s.Nodes = append(s.Nodes, n)
	return n, nil
}

// startClock starts the refclockd of a node.
func (n *Node) startClock() error {
	for _, dir := range [...]string{n.path("clock"), filepath.Dir(n.Fragment())} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	c, err := appliance.Write(n.path("clock"), appliance.Options{Seed: n.site.Seed + uint64(n.Port)})
	if err != nil {
		return err
	}
	c.Close() // as in New
	text, err := os.ReadFile(c.Config("refclockd"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Config("refclockd"), fmt.Appendf(nil, "fleet = %q\n%s", n.Fragment(), text), 0o600); err != nil {
		return err
	}
	n.clock, err = appliance.StartChild(filepath.Join(n.site.Bin, "refclockd"), n.path("refclockd.log"), nil, "-config", c.Config("refclockd"))
	return err
}

// Snapshot is where the refclockd of the node publishes.
func (n *Node) Snapshot() string {
	if n.site.OwnClocks {
		return n.path("clock", "status")
	}
	return filepath.Join(n.site.Dir, "status")
}

// Fragment is where its agent writes what the fleet sets for refclockd.
func (n *Node) Fragment() string { return n.path("fragments", fleetview.ClockFragment) }

// Found makes the fleet with its first node, which runs an etcd, and starts its agent.
func (s *Site) Found(ctx context.Context, name string, service int) (*Node, error) {
	n, err := s.add(name, service)
	if err != nil {
		return nil, err
	}
	p := s.Params
	if _, err := n.Command(ctx, "init", "-embedded", "-node", name, "-address", "127.0.0.1", "-port", fmt.Sprint(n.Port), "-ntsserve", n.path("ntsserve.toml"),
		"-renew", p.Renew.String(), "-horizon", p.Horizon.String(), "-lead", p.Lead.String(), "-ack", p.Ack.String(), "-tolerance", p.Tolerance.String()); err != nil {
		return nil, err
	}
	return n, n.StartAgent()
}

// Join makes a further node, which runs a member of etcd, and starts its agent.
func (s *Site) Join(ctx context.Context, name string, service int) (*Node, error) {
	n, err := s.add(name, service)
	if err != nil {
		return nil, err
	}
	token, err := s.Nodes[0].Repeat(ctx, "token", name, "-member", "-address", "127.0.0.1", "-port", fmt.Sprint(n.Port))
	if err != nil {
		return nil, err
	}
	if _, err := n.Command(ctx, "join", strings.TrimSpace(string(token)), "-ntsserve", n.path("ntsserve.toml")); err != nil {
		return nil, err
	}
	return n, n.StartAgent()
}

func (n *Node) path(name ...string) string {
	return filepath.Join(append([]string{n.site.Dir, "node-" + n.Name}, name...)...)
}

// State is the folder of its membership.
func (n *Node) State() string { return n.path("state") }

// KeyFile is the key file of its ntsserve.
func (n *Node) KeyFile() string { return n.path("keys") }

// Command runs a command of noonmark-fleet on the node and returns what it prints.
func (n *Node) Command(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(n.site.Bin, "noonmark-fleet"), append([]string{name, "-state", n.State()}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("noonmark-fleet %s on %s: %w: %s", name, n.Name, err, errs.String())
	}
	return out.Bytes(), nil
}

// Repeat runs a command until etcd takes part: it may be starting, or without a leader for a
// moment. The command must be one that may be repeated.
func (n *Node) Repeat(ctx context.Context, name string, args ...string) (out []byte, err error) {
	var refused error
	waited := n.site.until(ctx, "noonmark-fleet "+name+" on "+n.Name+" succeeds", func() error {
		out, err = n.Command(ctx, name, args...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() == exitcode.Unavailable || exit.ExitCode() == exitcode.TempFail {
			return err
		}
		refused = err
		return nil
	})
	return out, errors.Join(refused, waited)
}

// Published is the file that its agent publishes.
func (n *Node) Published() string { return n.path("run", fleetview.FileName) }

// Wanted is the file that refclockweb writes while somebody looks.
func (n *Node) Wanted() string { return n.path(fleetview.WantedName) }

// StartAgent starts the agent.
func (n *Node) StartAgent() (err error) {
	if err := os.MkdirAll(filepath.Dir(n.Published()), 0o755); err != nil {
		return err
	}
	args := []string{
		"run", "-state", n.State(), "-ntsserve", n.path("ntsserve.toml"), "-health", n.healthAddress(), "-target", n.healthAddress(), "-counters", n.path(observe.ServingName),
		"-witness", "127.0.0.1", "-witness-ca", filepath.Join(n.site.Dir, certs.AuthorityCert), "-wanted", n.Wanted(),
		"-refclockd", n.path("clock", "refclockd.toml"), "-fragments", filepath.Dir(n.Fragment()),
	}
	if n.site.Challenges != nil {
		args = append(args, "-http", n.site.Challenges(n.Name))
	}
	n.agent, err = appliance.StartChild(filepath.Join(n.site.Bin, "noonmark-fleet"), n.path("agent.log"), []string{"RUNTIME_DIRECTORY=" + filepath.Dir(n.Published())}, args...)
	return err
}

// StartServer starts ntsserve once the agent has written its key file.
func (n *Node) StartServer(ctx context.Context) error {
	err := n.site.until(ctx, "node "+n.Name+" has roots", func() error {
		if err := n.Alive(); err != nil {
			return err
		}
		_, err := os.Stat(n.KeyFile())
		return err
	})
	if err != nil {
		return err
	}
	n.server, err = appliance.StartChild(filepath.Join(n.site.Bin, "ntsserve"), n.path("ntsserve.log"), []string{"RUNTIME_DIRECTORY=" + n.path()}, "-config", n.path("ntsserve.toml"))
	if err != nil {
		return err
	}
	return n.site.until(ctx, "node "+n.Name+" answers", func() error {
		if err := n.Alive(); err != nil {
			return err
		}
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", n.KE), time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// Alive returns an error if a program of the node has ended.
func (n *Node) Alive() error {
	for _, c := range [...]*appliance.Child{n.clock, n.agent, n.server} {
		if c == nil {
			continue
		}
		select {
		case <-c.Ended():
			return fmt.Errorf("%s of node %s has ended: %v\n%s", c.Name, n.Name, c.Err(), c.Output())
		default:
		}
	}
	return nil
}

// Stop ends its programs as a service manager does.
func (n *Node) Stop() { n.end((*appliance.Child).Stop) }

// Kill ends its programs as a power failure does.
func (n *Node) Kill() { n.end((*appliance.Child).Kill) }

func (n *Node) end(how func(*appliance.Child)) {
	for _, c := range [...]**appliance.Child{&n.server, &n.agent, &n.clock} {
		if *c != nil {
			how(*c)
			*c = nil
		}
	}
}

// Logs is the end of what its programs wrote.
func (n *Node) Logs() string {
	var b strings.Builder
	for _, name := range [...]string{"refclockd.log", "agent.log", "ntsserve.log"} {
		text, err := os.ReadFile(n.path(name))
		if n.clock == nil && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			text = []byte(err.Error() + "\n")
		}
		fmt.Fprintf(&b, "--- %s of node %s\n%s", name, n.Name, text[max(0, len(text)-4096):])
	}
	return b.String()
}

// Status is what status -json prints.
type Status struct {
	Serving  int       `json:"serving"`
	Planner  string    `json:"planner"`
	Rotation *struct { // nil: none is ordered
		Waits []struct {
			Node   string `json:"node"`
			Reason string `json:"reason"`
		} `json:"waits"`
	} `json:"rotation"`
	Nodes []struct {
		Name  string `json:"name"`
		State string `json:"state"`
		Holds int    `json:"holds"`

		Health *struct { // nil: it shows none
			Announced bool     `json:"announced"`
			Healthy   bool     `json:"healthy"`
			Reasons   []string `json:"reasons"`
		} `json:"health"`
	} `json:"nodes"`
}

// Status reads the status of the fleet from the node.
func (n *Node) Status(ctx context.Context) (s Status, err error) {
	b, err := n.Command(ctx, "status", "-json")
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

func (n *Node) healthAddress() string { return fmt.Sprintf("127.0.0.1:%d", n.HTTP) }

// Health is the answer of a health endpoint.
type Health struct {
	Code     int
	Node     string `json:"node"`
	Announce bool   `json:"announce"`
	Healthy  bool   `json:"healthy"`
	Others   int    `json:"others"`
	Reasons  []struct {
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	} `json:"reasons"`
}

// maxAnswer limits what is read of an endpoint, octets.
const maxAnswer = 1 << 20

// Get asks the health endpoint of the node for a path, as a load balancer does.
func (n *Node) Get(ctx context.Context, path string) (code int, body []byte, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.healthAddress()+path, nil)
	if err != nil {
		return 0, nil, err
	}
	t := &http.Transport{DisableKeepAlives: true}
	r, err := (&http.Client{Transport: t, Timeout: time.Second}).Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer r.Body.Close()
	body, err = io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	return r.StatusCode, body, err
}

// Health asks the node whether it shall be announced.
func (n *Node) Health(ctx context.Context) (h Health, err error) {
	code, body, err := n.Get(ctx, "/health")
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	h.Code = code
	return h, err
}

// errHealth says that a health endpoint answers something else.
var errHealth = errors.New("another answer of the health endpoint")

// WaitForHealth waits until the health endpoint of the node answers with a status code; 0:
// until nobody listens there.
func (n *Node) WaitForHealth(ctx context.Context, code int) error {
	return n.site.until(ctx, fmt.Sprintf("the health endpoint of %s answers %d", n.Name, code), func() error {
		h, err := n.Health(ctx)
		switch {
		case code == 0 && errors.Is(err, syscall.ECONNREFUSED):
			return nil
		case err != nil:
			return err
		case h.Code != code:
			return fmt.Errorf("%w: %+v", errHealth, h)
		}
		return nil
	})
}

// errNotAll says that not enough nodes serve yet.
var errNotAll = errors.New("not all nodes serve")

// WaitForServing waits until so many nodes serve, as the node sees it.
func (n *Node) WaitForServing(ctx context.Context, want int) error {
	return n.site.until(ctx, fmt.Sprintf("%d nodes serve", want), func() error {
		if err := n.Alive(); err != nil {
			return err
		}
		s, err := n.Status(ctx)
		if err == nil && s.Serving < want {
			err = fmt.Errorf("%w: %+v", errNotAll, s.Nodes)
		}
		return err
	})
}

// Begun returns how many roots of the node's key file have begun by now.
func (n *Node) Begun(now time.Time) (count int, err error) {
	list, err := nts.ReadKeyFile(n.KeyFile())
	for _, r := range list {
		if !r.Since.After(now) {
			count++
		}
	}
	return count, err
}
