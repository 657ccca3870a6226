package alert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	config "noonmark/internal/config/alert"
	"noonmark/server/certs/cafile"
)

// Facility and severities of RFC 5424, section 6.2.1.
const (
	facilityDaemon = 3
	severityError  = 3
	severityNotice = 5
)

// syslogTarget sends messages of RFC 5424: over UDP (RFC 5426), TCP (RFC 6587, octet
// counting) or TLS (RFC 5425).
type syslogTarget struct {
	server, transport string
	tls               *tls.Config
}

func newSyslog(t *config.Target) (*syslogTarget, error) {
	roots, err := cafile.Read(t.CA)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(t.Server)
	if err != nil {
		return nil, err
	}
	return &syslogTarget{t.Server, t.Transport, &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}}, nil
}

func (s *syslogTarget) send(ctx context.Context, n *Notice) error {
	msg := syslogMessage(n)
	var c net.Conn
	var err error
	switch s.transport {
	case "tls":
		c, err = (&tls.Dialer{Config: s.tls}).DialContext(ctx, "tcp", s.server)
	default:
		c, err = (&net.Dialer{}).DialContext(ctx, s.transport, s.server)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	if d, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(d); err != nil {
			return err
		}
	}
	if s.transport != "udp" {
		msg = fmt.Sprintf("%d %s", len(msg), msg)
	}
	if _, err = c.Write([]byte(msg)); err != nil {
		return err
	}
	if s.transport == "udp" {
		return refusal(c)
	}
	if x, ok := c.(*tls.Conn); ok { // without it the receiver cannot tell a whole stream from a cut one
		return x.CloseWrite()
	}
	return nil
}

// refusalTime is how long a host or router may take to answer that nobody takes a message.
const refusalTime = 500 * time.Millisecond

// refusal waits for the answer (ICMP) that nobody takes what was sent on a connected socket of
// UDP. Without one nothing is known.
func refusal(c net.Conn) error {
	if err := c.SetReadDeadline(time.Now().Add(refusalTime)); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// syslogMessage writes a notice as RFC 5424 wants it, in ASCII.
func syslogMessage(n *Notice) string {
	severity := severityError
	if n.Status != Firing {
		severity = severityNotice
	}
	fields := []string{fmt.Sprintf("status=%s condition=%s since=%s", n.Status, n.Condition, n.Since.Format(time.RFC3339))}
	if n.Instance != "" {
		fields = append(fields, fmt.Sprintf("instance=%q", n.Instance))
	}
	for _, f := range n.Figures {
		fields = append(fields, fmt.Sprintf("%s=%q", strings.ReplaceAll(f.Name, " ", "_"), f.Value))
	}
	if n.Remedy != "" {
		fields = append(fields, fmt.Sprintf("remedy=%q", n.Remedy))
	}
	host := ascii(strings.ReplaceAll(n.Host, " ", "_"))
	return fmt.Sprintf("<%d>1 %s %s noonmark-alert %d %s - %s", facilityDaemon*8+severity, n.Time.Format(time.RFC3339), host[:min(len(host), 255)], os.Getpid(), n.Condition, ascii(n.Summary+"; "+strings.Join(fields, " ")))
}
