package mac

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"strings"
)

// Type is the algorithm of a key.
type Type uint8

// The types. MD5 and SHA1 are broken hash functions, for clients that have no
// other.
const (
	AES128 Type = iota + 1 // AES-CMAC with a key of 16 octets (RFC 8573)
	AES256                 // AES-CMAC with a key of 32 octets
	SHA256
	SHA384
	SHA512
	MD5
	SHA1
)

// typeNames are the names in chrony.keys.
var typeNames = [...]string{AES128: "AES128", AES256: "AES256", SHA256: "SHA256", SHA384: "SHA384", SHA512: "SHA512", MD5: "MD5", SHA1: "SHA1"}

// ParseType reads the name of a type: those of chrony.keys, also with the hyphens
// and small letters of NTPsec, for which "AES" is AES128.
func ParseType(name string) (Type, bool) {
	name = strings.ReplaceAll(strings.ToUpper(name), "-", "")
	if name == "AES" {
		return AES128, true
	}
	for t := AES128; t.valid(); t++ {
		if typeNames[t] == name {
			return t, true
		}
	}
	return 0, false
}

// TypeNames returns the names of all types, the recommended ones first.
func TypeNames() (names []string) {
	for t := AES128; t.valid(); t++ {
		names = append(names, t.String())
	}
	return names
}

// String returns the name of the type.
func (t Type) String() string {
	if !t.valid() {
		return "unknown"
	}
	return typeNames[t]
}

func (t Type) valid() bool { return t >= AES128 && t <= SHA1 }

// aesLen is the length in octets of a key for AES, 0 for the other types.
func (t Type) aesLen() int {
	switch t {
	case AES128:
		return 16
	case AES256:
		return 32
	}
	return 0
}

// digestLen is the length in octets of the whole digest.
func (t Type) digestLen() int {
	switch t {
	case SHA1:
		return sha1.Size
	case SHA256:
		return sha256.Size
	case SHA384:
		return sha512.Size384
	case SHA512:
		return sha512.Size
	}
	return minDigest
}

// hash writes the hash of in to out and returns its length. Each function is called
// directly, because a call through hash.Hash would allocate.
func (t Type) hash(out, in []byte) int {
	switch t {
	case SHA256:
		d := sha256.Sum256(in)
		return copy(out, d[:])
	case SHA384:
		d := sha512.Sum384(in)
		return copy(out, d[:])
	case SHA512:
		d := sha512.Sum512(in)
		return copy(out, d[:])
	case SHA1:
		d := sha1.Sum(in)
		return copy(out, d[:])
	}
	d := md5.Sum(in)
	return copy(out, d[:])
}
