package mac

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"noonmark/internal/durable"
)

// maxFile is the size in octets of the largest file of keys.
const maxFile = 1 << 20

// ReadFile reads a file of keys in the format of chrony.keys: one key a line,
//
//	ID TYPE KEY
//
// where KEY is HEX: and hexadecimal digits, or ASCII: and text, or text. Lines that
// begin with one of !;#% are comments. Other than with chrony, the type must be
// there, because leaving it out means MD5. All errors come at once, joined, beside
// the keys of the good lines; each names the line, none the key.
func ReadFile(path string) ([]*Key, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := parse(text)
	if err != nil {
		return keys, fmt.Errorf("read %s: %w", path, err)
	}
	return keys, nil
}

// ReadSecret reads a file that has one key, in the form of Decode.
func ReadSecret(path string) ([]byte, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	b, err := Decode(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// readFile reads a regular file of at most maxFile octets.
func readFile(path string) (string, error) {
	b, _, err := durable.ReadFile(path, maxFile)
	return string(b), err
}

// parse reads the lines of a file of keys.
func parse(text string) ([]*Key, error) {
	var keys []*Key
	var errs []error
	line := make(map[uint32]int)
	n := 0
	for l := range strings.Lines(text) {
		n++
		l = strings.TrimSpace(l)
		if l == "" || strings.ContainsRune("!;#%", rune(l[0])) {
			continue
		}
		k, err := parseLine(strings.Fields(l))
		if err == nil && line[k.id] != 0 {
			err = fmt.Errorf("key %d is in line %d already", k.id, line[k.id])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		line[k.id] = n
		keys = append(keys, k)
	}
	return keys, errors.Join(errs...)
}

func parseLine(words []string) (*Key, error) {
	if len(words) == 2 {
		return nil, errors.New("the type is missing, which means MD5; write the type, and prefer AES128 or SHA256")
	}
	if len(words) != 3 {
		return nil, errors.New("want key identifier, type and key")
	}
	id, err := strconv.ParseUint(words[0], 10, 32)
	if err != nil {
		return nil, errors.New("the key identifier is not a number from 1 to 4294967295")
	}
	t, ok := ParseType(words[1])
	if !ok {
		// The word may be a part of a key with a space in it.
		return nil, fmt.Errorf("the second word is not a type; want one of %s", strings.Join(TypeNames(), ", "))
	}
	secret, err := Decode(words[2])
	if err != nil {
		return nil, err
	}
	return NewKey(uint32(id), t, secret)
}

// Decode reads the text of a key: HEX: and hexadecimal digits, or ASCII: and text,
// or text. The error does not contain the key.
func Decode(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, "HEX:"); ok {
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, errors.New("the key has other characters than hexadecimal digits after HEX:, or an odd number of them")
		}
		return b, nil
	}
	return []byte(strings.TrimPrefix(text, "ASCII:")), nil
}
