package ptp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// ErrRefused is wrapped when the PTP instance answers a request with an error
// status.
var ErrRefused = errors.New("request refused")

// Client manages a PTP instance over its Unix datagram socket, as linuxptp's
// pmc does. It is for one goroutine.
type Client struct {
	path   string // the instance's socket, /var/run/ptp4l
	local  string // our socket, where answers arrive
	domain uint8
	sdoID  uint8
	port   uint16 // of our port identity
	conn   *net.UnixConn
	seq    uint16
}

// NewClient returns a client of the instance with the socket at path. The
// client's own socket is made at local when it is first needed. port
// identifies the client; linuxptp's tools use their process ID.
func NewClient(path, local string, domain uint8, port uint16) *Client {
	return &Client{path: path, local: local, domain: domain, port: port}
}

// Use changes the instance's socket and the majorSdoId of requests: an instance is
// silent to another one than its own.
func (c *Client) Use(path string, sdoID uint8) { c.path, c.sdoID = path, sdoID }

// Close ends the connection and removes the client's socket. Do may be used
// again.
func (c *Client) Close() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	if e := os.Remove(c.local); !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// Do sends one request and returns the data of its answer. It waits until
// deadline.
func (c *Client) Do(action Action, id ManagementID, data []byte, deadline time.Time) ([]byte, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	c.seq++
	m := ManagementMessage{Header: Header{SdoID: c.sdoID, Domain: c.domain, Source: PortIdentity{Port: c.port}, Sequence: c.seq}, Target: allPorts, Action: action, ID: id, Data: data}
	if _, err := c.conn.WriteToUnix(m.Append(nil), &net.UnixAddr{Name: c.path, Net: "unixgram"}); err != nil {
		return nil, err
	}
	var buf [1500]byte
	for {
		n, err := c.conn.Read(buf[:])
		if err != nil {
			return nil, err
		}
		m, err := ParseManagement(buf[:n])
		if err != nil || m.Action != Response || m.Sequence != c.seq || m.ID != id {
			continue // not the answer
		}
		if m.Error != 0 {
			return nil, fmt.Errorf("%w: management error %#04x", ErrRefused, m.Error)
		}
		return append([]byte(nil), m.Data...), nil
	}
}

// open makes the client's socket.
func (c *Client) open() error {
	if c.conn != nil {
		return nil
	}
	if err := os.Remove(c.local); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: c.local, Net: "unixgram"})
	if err != nil {
		return err
	}
	c.conn = conn
	// The instance answers to this path, and may run as another user.
	return os.Chmod(c.local, 0o666)
}
