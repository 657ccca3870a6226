// Package seal seals root secrets to the key of one node, so that a copy of etcd opens
// no cookie. A seal is a NaCl sealed box: X25519 with a key that is used once,
// XSalsa20-Poly1305. It starts no goroutine and logs nothing.
//
// A sealed box does not show who made it. So Open compares the content with the
// fingerprint in the plan, and the plan is what etcd must protect.
package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/box"

	"noonmark/fleet/roots"
	"noonmark/internal/durable"
)

const keyLen = 32

// Len is the length of a seal, octets.
const Len = box.AnonymousOverhead + len(label) + keyLen

// label is sealed in front of the secret: a box that was made for another use is no
// seal.
const label = "noonmark root 1\n"

// Errors of Open and of keys.
var (
	ErrSeal        = errors.New("seal is damaged, or for another node")
	ErrFingerprint = errors.New("seal has another secret than the plan")
	ErrKeyFile     = errors.New("key of the node is not usable")
)

// Public is the key to which others seal. Its text is base64.
type Public [keyLen]byte

// String returns the key in base64.
func (p Public) String() string { return base64.StdEncoding.EncodeToString(p[:]) }

// MarshalText writes the key in base64.
func (p Public) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a key. Keys of low order, to which everybody has the private
// key, are refused.
func (p *Public) UnmarshalText(b []byte) error {
	k, err := base64.StdEncoding.Strict().AppendDecode(nil, b)
	if err != nil || len(k) != keyLen {
		return fmt.Errorf("public key is not base64 of %d octets", keyLen)
	}
	if _, err := curve25519.X25519(bytes.Repeat([]byte{8}, keyLen), k); err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	copy(p[:], k)
	return nil
}

// Private is the key of this node. It hides itself from fmt and logs.
type Private struct {
	public Public
	secret [keyLen]byte
}

// Generate draws a key.
func Generate() *Private {
	pub, sec, err := box.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // impossible: crypto/rand ends the process itself
	}
	return &Private{public: *pub, secret: *sec}
}

// Public returns the key to which others seal.
func (k *Private) Public() Public { return k.public }

// String names the key without its secret.
func (k *Private) String() string { return "key " + k.public.String() }

// Format hides the secret from every fmt verb.
func (k *Private) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// Seal seals a secret to a node.
func Seal(to Public, secret *[roots.SecretLen]byte) ([]byte, error) {
	b, err := box.SealAnonymous(nil, append([]byte(label), secret[:]...), (*[keyLen]byte)(&to), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("seal root: %w", err)
	}
	return b, nil
}

// Open opens the seal of the root that the plan calls id. The error wraps ErrSeal or
// ErrFingerprint.
func (k *Private) Open(id roots.ID, sealed []byte) (secret [roots.SecretLen]byte, err error) {
	if len(sealed) != Len {
		return secret, fmt.Errorf("open root %v: %w: %d octets, want %d", id, ErrSeal, len(sealed), Len)
	}
	b, ok := box.OpenAnonymous(nil, sealed, (*[keyLen]byte)(&k.public), &k.secret)
	if !ok || !bytes.HasPrefix(b, []byte(label)) {
		return secret, fmt.Errorf("open root %v: %w", id, ErrSeal)
	}
	copy(secret[:], b[len(label):])
	if roots.Fingerprint(&secret) != id {
		return [roots.SecretLen]byte{}, fmt.Errorf("open root %v: %w", id, ErrFingerprint)
	}
	return secret, nil
}

// OpenKey reads the key of this node from a file, or draws one and writes it there,
// mode 0600, if there is none. A file that others may read, or that is damaged, is
// refused with ErrKeyFile and never replaced.
func OpenKey(path string) (*Private, error) {
	k, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		text := base64.StdEncoding.EncodeToString(Generate().secret[:]) + "\n"
		err = durable.WriteFile(path, []byte(text), 0o600, false)
		if err == nil || errors.Is(err, fs.ErrExist) { // another process has drawn it
			k, err = readKey(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open key of the node: %w", err)
	}
	return k, nil
}

func readKey(path string) (*Private, error) {
	f, st, err := durable.Open(path)
	if errors.Is(err, durable.ErrNotRegular) {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseKey(path, f, st.Mode())
}

// parseKey does not quote the file in its errors, because it is a secret.
func parseKey(path string, r io.Reader, mode os.FileMode) (*Private, error) {
	if p := mode.Perm(); p&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w: mode %04o gives others access; run: chmod 600 %[1]s", path, ErrKeyFile, p)
	}
	text, err := io.ReadAll(io.LimitReader(r, 256))
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, bytes.TrimSuffix(text, []byte("\n")))
	if err != nil || len(b) != keyLen {
		return nil, fmt.Errorf("%s: %w: it is not base64 of %d octets; restore it, or remove it and join the fleet again", path, ErrKeyFile, keyLen)
	}
	k := &Private{}
	copy(k.secret[:], b)
	pub, err := curve25519.X25519(k.secret[:], curve25519.Basepoint)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrKeyFile, err)
	}
	copy(k.public[:], pub)
	return k, nil
}
