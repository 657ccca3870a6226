// Package embedded runs etcd's own server inside the process, for a fleet of one or three
// nodes that has no etcd yet.
package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Limits of the server. A fleet of 1,000 nodes has about 8,000 seals of 200 octets and
// writes 100 records a second.
const (
	quota = 512 << 20 // octets; etcd refuses writes beyond it
	// maxLearners: the second member becomes a voter only together with the third.
	maxLearners = 2
	retention   = "1h" // revisions that are kept; a watch that is older reads all again
)

// Config is one member of the cluster.
type Config struct {
	Dir    string // its data
	Name   string // of the member
	Client string // URL on which it serves agents; port 0: any free one
	Peer   string // URL at which other members find it
	Listen string // URL on which it listens for other members; empty: Peer

	// Members are the peer URLs of all members by name, this one included. Empty: it is
	// the only one.
	Members map[string]string
	Joins   bool // the others run already and have added it; without effect once it has data

	TLS *TLS // nil: none, with URLs of http

	Log *zap.Logger // nil: no log

	// Unsafe does not wait for the disc. For tests.
	Unsafe bool
}

// TLS are the files of a member, PEM. It authenticates everybody who connects. The files
// are read again for each connection.
type TLS struct {
	Cert, Key string // for clients and servers
	CA        string
	Revoked   string // revocation list, DER
}

func (t *TLS) info() transport.TLSInfo {
	return transport.TLSInfo{CertFile: t.Cert, KeyFile: t.Key, TrustedCAFile: t.CA, CRLFile: t.Revoked, ClientCertAuth: true, MinVersion: tls.VersionTLS13}
}

// Server is a running member.
type Server struct {
	etcd *embed.Etcd
	once sync.Once
}

// Start starts a member and waits until it serves, or until ctx ends. A cluster serves
// when most members run. After an error nothing runs.
func Start(ctx context.Context, c Config) (*Server, error) {
	e, err := c.etcd()
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	etcd, err := embed.StartEtcd(e)
	if err != nil {
		return nil, fmt.Errorf("start etcd in %s: %w", c.Dir, err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return &Server{etcd: etcd}, nil
	case err = <-etcd.Err():
	case <-ctx.Done():
		err = fmt.Errorf("it does not serve: %w; most members must run and reach each other", ctx.Err())
	}
	etcd.Server.Stop() // Close waits for handlers, and they wait until the server serves or stops
	etcd.Close()
	return nil, fmt.Errorf("start etcd in %s: %w", c.Dir, err)
}

func (c Config) etcd() (*embed.Config, error) {
	client, err := address("client", c.Client)
	if err != nil {
		return nil, err
	}
	peer, err := address("peer", c.Peer)
	if err != nil {
		return nil, err
	}
	listen := peer
	if c.Listen != "" {
		if listen, err = address("listen", c.Listen); err != nil {
			return nil, err
		}
	}
	for _, u := range [...]url.URL{client, peer, listen} {
		if (u.Scheme == "https") != (c.TLS != nil) {
			return nil, fmt.Errorf("URL %s: https and the files of TLS belong together", u.String())
		}
	}
	if c.Dir == "" || c.Name == "" {
		return nil, errors.New("a member needs a folder and a name")
	}
	e := embed.NewConfig()
	e.Dir, e.Name = c.Dir, c.Name
	e.ListenClientUrls, e.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	e.ListenPeerUrls, e.AdvertisePeerUrls = []url.URL{listen}, []url.URL{peer}
	e.EnableGRPCGateway = false // nothing here uses it
	e.MaxLearners = maxLearners
	if c.TLS != nil {
		e.ClientTLSInfo, e.PeerTLSInfo = c.TLS.info(), c.TLS.info()
	}
	if c.Joins {
		e.ClusterState = embed.ClusterStateFlagExisting
	}
	e.QuotaBackendBytes = quota
	e.AutoCompactionMode, e.AutoCompactionRetention = embed.CompactorModePeriodic, retention
	e.UnsafeNoFsync = c.Unsafe
	e.InitialCluster = e.InitialClusterFromName(c.Name)
	if len(c.Members) > 0 {
		if c.Members[c.Name] != c.Peer {
			return nil, fmt.Errorf("member %s has the peer URL %s in the list of members, and listens on %s", c.Name, c.Members[c.Name], c.Peer)
		}
		var list []string
		for name, at := range c.Members {
			list = append(list, name+"="+at)
		}
		e.InitialCluster = strings.Join(list, ",")
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	e.ZapLoggerBuilder = embed.NewZapLoggerBuilder(c.Log)
	return e, nil
}

func address(what, text string) (url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return url.URL{}, fmt.Errorf("%s URL %q; want one such as https://192.0.2.1:2379", what, text)
	}
	return *u, nil
}

// Endpoint is where agents connect, HOST:PORT.
func (s *Server) Endpoint() string { return s.etcd.Clients[0].Addr().String() }

// Err reports an error that has ended the server.
func (s *Server) Err() <-chan error { return s.etcd.Err() }

// Close stops the member. It may be called more than once.
func (s *Server) Close() { s.once.Do(s.etcd.Close) }
