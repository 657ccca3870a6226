// Package nts has the keys of Network Time Security on the NTP side (RFC 8915,
// section 5): session keys, the cookies that contain them, the ring of keys that
// seals cookies, and the authenticator extension field.
package nts

import (
	"fmt"
	"log/slog"

	"noonmark/server/nts/aead"
)

// SessionKeys is the result of NTS-KE (RFC 8915, section 5.1). The first
// AEAD.KeyLen() octets of each key are used.
type SessionKeys struct {
	AEAD     aead.ID
	C2S, S2C [aead.MaxKeyLen]byte
}

// String names the keys without showing them.
func (s SessionKeys) String() string { return s.AEAD.String() + " session keys" }

// Format hides the keys from every fmt verb.
func (s SessionKeys) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue hides the keys from slog.
func (s SessionKeys) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON hides the keys from encoders.
func (s SessionKeys) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }
