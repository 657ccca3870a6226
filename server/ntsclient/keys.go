package ntsclient

import (
	"context"
	"errors"
	"fmt"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
	"noonmark/server/ntske"
)

// exchangeKeys replaces the session by a new one if that succeeds.
func (c *Client) exchangeKeys(ctx context.Context) error {
	ke, s, err := c.newSession(ctx)
	if err == nil || ctx.Err() == nil && !noNetwork(err) {
		c.keRetry.extend(c.cfg.Now(), 0, maxKEWait) // until an answer proves that the keys work
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeyExchange, err)
	}
	c.drop()
	c.session, c.renew = s, false
	host := ke.Server
	if host == "" {
		host = c.cfg.Host
	}
	c.address = c.target(host, ke.Port)
	return nil
}

// newSession exchanges keys.
func (c *Client) newSession(ctx context.Context) (*ntske.Session, *session, error) {
	ctx, cancel := context.WithTimeout(ctx, keTimeout*c.cfg.Timeout)
	defer cancel()
	ke, err := c.cfg.Exchange(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := &session{alt: ke.AltKeys}
	if err := s.init(&ke.Keys); err != nil {
		return nil, nil, err
	}
	for _, cookie := range ke.Cookies {
		s.jar.put(cookie)
	}
	if s.jar.n == 0 {
		return nil, nil, errors.New("the server sent no usable cookie")
	}
	return ke, s, nil
}

// session is the result of a key exchange.
type session struct {
	c2s, s2c aead.Key
	id       aead.ID
	jar      jar
	alt      *nts.SessionKeys // keys to try after a NAK, see ntske.Session; may be nil
}

// init expands the keys.
func (s *session) init(k *nts.SessionKeys) error {
	s.id = k.AEAD
	if err := s.c2s.Init(s.id, k.C2S[:s.id.KeyLen()]); err != nil {
		return err
	}
	return s.s2c.Init(s.id, k.S2C[:s.id.KeyLen()])
}

// switchKeys changes to the alternative keys and reports whether there are any.
func (s *session) switchKeys() bool {
	alt := s.alt
	s.alt = nil
	return alt != nil && s.init(alt) == nil
}
