package manager

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
)

// tokenPrefix names the format of a token.
const tokenPrefix = "nmf1."

// maxToken limits the length of a token.
const maxToken = 1024

// secretLen is the length of the secret of a token, octets: nobody guesses it.
const secretLen = 16

// ErrTokenText is wrapped by errors about a text that is no token.
var ErrTokenText = errors.New("this is no token; copy the whole line that `noonmark-fleet token NODE` printed")

// Token is what a machine needs to join: where, a proof that it may, and by what it
// recognises the fleet.
type Token struct {
	Manager     string `json:"m"` // HOST:PORT
	ID          string `json:"i"`
	Secret      []byte `json:"s"`
	Fingerprint []byte `json:"c"` // SHA-256 of the certificate of the authority
}

// Fingerprint returns Token.Fingerprint.
func Fingerprint(ca *x509.Certificate) []byte {
	h := sha256.Sum256(ca.Raw)
	return h[:]
}

// String returns the token as one word. It is a secret.
func (t *Token) String() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic(err) // impossible: texts and octets
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads a token. Its error wraps ErrTokenText and does not quote it.
func ParseToken(text string) (*Token, error) {
	code, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	if !ok || len(code) > maxToken {
		return nil, ErrTokenText
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(code)
	if err != nil {
		return nil, ErrTokenText
	}
	var t Token
	if err := json.Unmarshal(b, &t); err != nil || len(t.Secret) != secretLen || len(t.Fingerprint) != sha256.Size {
		return nil, ErrTokenText
	}
	if _, _, err := net.SplitHostPort(t.Manager); err != nil || t.ID == "" {
		return nil, fmt.Errorf("%w: it has no address", ErrTokenText)
	}
	return &t, nil
}
