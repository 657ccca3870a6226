package main

import (
	"net"
	"os"
	"path/filepath"
	"time"

	"noonmark/server/certs"
)

// writeCertificates makes a certificate authority that lives for a day and a
// certificate of localhost from it: ca.pem, server.pem, server.key. The
// authority's key is never written.
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

// freePorts returns a UDP and a TCP port of 127.0.0.1 that nobody uses now.
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
