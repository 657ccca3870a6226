package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"noonmark/server/certs"
)

// writeCertificates makes a certificate authority that is valid for a day and a
// certificate for localhost: ca.pem, server.pem, server.key. The authority's key
// is not written.
func writeCertificates(dir string) error {
	const life = 24 * time.Hour
	now := time.Now()
	ca, err := certs.NewAuthority(certs.AuthorityConfig{Name: "Noonmark demo CA", Life: life}, now)
	if err != nil {
		return err
	}
	leaf, err := ca.Issue([]string{"localhost", "127.0.0.1", "::1"}, life, nil, now)
	if err != nil {
		return err
	}
	if err := leaf.Save(dir); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, certs.AuthorityCert), ca.CertPEM(), 0o644)
}

const refclockdTOML = `runtime_dir = %[1]q
state_dir = %[1]q
[clock]
source = "sim"
[pulse]
source = "sim"
[sim]
seed = %[2]d
`

const ntsserveTOML = `[source]
type = "snapshot"
path = "%[1]s/status"
[[endpoint]]
address = "127.0.0.1:%[2]d"
nts = "allow"
[ke]
listen = "127.0.0.1:%[3]d"
certificate = "%[1]s/server.pem"
key = "%[1]s/server.key"
server = "localhost"
port = %[2]d
[keys]
file = "%[1]s/keys"
`

// writeConfigs writes the configuration of both daemons into dir, where they also
// keep their files.
func writeConfigs(dir string, seed uint64, udp, tcp int) error {
	for name, text := range map[string]string{
		"refclockd.toml": fmt.Sprintf(refclockdTOML, dir, seed),
		"ntsserve.toml":  fmt.Sprintf(ntsserveTOML, dir, udp, tcp),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// freePorts returns a UDP and a TCP port of 127.0.0.1 that is free now.
func freePorts() (udp, tcp int, err error) {
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, 0, err
	}
	defer u.Close()
	t, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, 0, err
	}
	defer t.Close()
	return u.LocalAddr().(*net.UDPAddr).Port, t.Addr().(*net.TCPAddr).Port, nil
}
