package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"noonmark/internal/durable"
	"noonmark/internal/printable"
)

// MaxFragment limits the fragment of one program, octets.
const MaxFragment = MaxSize / 2

// Why a fragment is refused. Its error wraps one of them.
var (
	ErrFragmentRead    = errors.New("the fragment of the fleet cannot be read")
	ErrFragmentOwner   = errors.New("the fragment of the fleet may be of somebody else")
	ErrFragmentContent = errors.New("the fragment of the fleet has keys or values that a fleet may not set")
)

// LoadFragment reads the file that the agent of a fleet writes beside the file of the
// operator, into dst, which has only the keys that a fleet may set. content names what the
// file has; it is empty without an error if there is no file, and then f is nil.
func LoadFragment(path string, dst any) (f *File, content string, err error) {
	b, err := durable.ReadOwned(path, MaxFragment)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", nil
	case errors.Is(err, durable.ErrOwner), errors.Is(err, durable.ErrNotRegular):
		return nil, "", fmt.Errorf("%w: %w", ErrFragmentOwner, err)
	case err != nil:
		return nil, "", fmt.Errorf("%w: %w", ErrFragmentRead, err)
	}
	if f, err = Parse(path, b, dst); err != nil {
		return nil, "", RefuseFragment(err)
	}
	return f, FragmentContent(string(b)), nil
}

// RefuseFragment wraps what is wrong with the values of a fragment.
func RefuseFragment(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrFragmentContent, err)
}

// maxRefusal limits what is shown of a refusal, octets.
const maxRefusal = 300

// FragmentRefusal is why a fragment is refused, as it is shown: what others have written is in it.
func FragmentRefusal(err error) string {
	text := err.Error()
	return printable.Text(text[:min(len(text), maxRefusal)])
}

// FragmentContent names a text by its content: half of its SHA-256, hexadecimal. A program
// publishes it, so that the agent sees what is in force.
func FragmentContent(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:16])
}
