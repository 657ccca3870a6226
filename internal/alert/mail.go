package alert

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"

	"github.com/wneessen/go-mail"

	config "noonmark/internal/config/alert"
	"noonmark/server/certs/cafile"
)

// mailer sends e-mails by a mail server.
type mailer struct {
	target *config.Target
	host   string
	port   int
	tls    *tls.Config

	password string // empty: none
}

func newMail(t *config.Target) (*mailer, error) {
	host, port, err := net.SplitHostPort(t.Server)
	if err != nil {
		return nil, err
	}
	m := &mailer{target: t, host: host}
	if m.port, err = strconv.Atoi(port); err != nil {
		return nil, fmt.Errorf("port of %s: %w", t.Server, err)
	}
	if _, _, m.password, err = t.Secrets(); err != nil {
		return nil, err
	}
	roots, err := cafile.Read(t.CA)
	if err != nil {
		return nil, err
	}
	m.tls = &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
	return m, nil
}

func (m *mailer) send(ctx context.Context, n *Notice) error {
	t := m.target
	msg := mail.NewMsg()
	if err := msg.From(t.From); err != nil {
		return err
	}
	if err := msg.To(t.To...); err != nil {
		return err
	}
	msg.Subject(n.Title())
	msg.SetDate()
	msg.SetMessageID()
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no answers of absence
	msg.SetBodyString(mail.TypeTextPlain, n.Text())
	opt := []mail.Option{mail.WithPort(m.port), mail.WithTLSConfig(m.tls), mail.WithTimeout(sendTimeout)}
	switch t.TLS {
	case "tls":
		opt = append(opt, mail.WithSSL())
	case "none":
		opt = append(opt, mail.WithTLSPolicy(mail.NoTLS))
	default:
		opt = append(opt, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if t.User != "" {
		opt = append(opt, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(t.User), mail.WithPassword(m.password))
	}
	c, err := mail.NewClient(m.host, opt...)
	if err != nil {
		return err
	}
	return c.DialAndSendWithContext(ctx, msg)
}
