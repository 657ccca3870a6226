package mac

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const secret = "000102030405060708090a0b0c0d0e0f"

func key(t testing.TB, typ Type) *Key {
	t.Helper()
	b := octets(t, secret)
	if typ == AES256 {
		b = append(b, b...)
	}
	k, err := NewKey(0x01020304, typ, b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The digests of packet under secret, as `openssl dgst` and `openssl mac` of
// OpenSSL 3.0.17 compute them.
const packet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"

var digests = []struct {
	typ  Type
	want string
}{
	{MD5, "000d2422f9a6cc05d25ebaefd7710f8b"},
	{SHA1, "29ba115286884b2db23c8bd1c9b53195e00fa214"},
	{SHA256, "89cb3ee1290ae947ac9c0a247d27bf7b116a82c02465747c75001ffbca669add"},
	{SHA384, "384502da0926fa7f5147f129a0475c660dfc82d115fb19c67a31bf1390d0131ac7d497148778dd87220b5fa105af1c2a"},
	{SHA512, "dcd99229e16cb7517f9876df55768b85bb9f8e30ccf1b382661fb903de1119fde1b3ef744f1a499b47edb0d9a160775b571121bd6ab0d8f582805129552d95e2"},
	{AES128, "e8500965be0dbae019e27a71a9756e99"},
	{AES256, "25d14fdd1097936aa4e557ce210f8ad7"},
}

func TestDigestsAreThoseOfOpenSSL(t *testing.T) {
	t.Parallel()
	var s Scratch
	for _, c := range digests {
		if got := key(t, c.typ).digest([]byte(packet), &s); hex.EncodeToString(got) != c.want {
			t.Errorf("%v: %x, want %s", c.typ, got, c.want)
		}
	}
	// A packet that is no multiple of the block, also from openssl.
	if got := key(t, AES128).digest([]byte(packet[:45]), &s); hex.EncodeToString(got) != "ce0971959b51099223c065472debf790" {
		t.Errorf("45 octets: %x", got)
	}
}

// The examples of RFC 4493, section 4.
func TestCMACExamplesOfTheRFC(t *testing.T) {
	t.Parallel()
	m := octets(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	k, err := NewKey(1, AES128, octets(t, "2b7e151628aed2a6abf7158809cf4f3c"))
	if err != nil {
		t.Fatal(err)
	}
	var s Scratch
	for n, want := range map[int]string{
		0: "bb1d6929e95937287fa37d129b756746", 16: "070a16b46b4d4144f79bdd9dd04a287c",
		40: "dfa66747de9ae63030ca32611497c827", 64: "51f0bebf7e3b9d92fc49741779363cfe",
	} {
		if got := k.digest(m[:n], &s); hex.EncodeToString(got) != want {
			t.Errorf("%d octets: %x, want %s", n, got, want)
		}
	}
}

// A digest has 16 or 20 octets; one of more is truncated to 20, or whole before
// NTPv4. Nothing else is accepted, and the answer's has the length of the
// request's.
func TestTruncationIsThatOfChronyAndNTPsec(t *testing.T) {
	t.Parallel()
	var s Scratch
	for _, c := range digests {
		k := key(t, c.typ)
		whole := append([]byte{1, 2, 3, 4}, octets(t, c.want)...)
		for n := range len(whole) + 2 {
			code := whole[:min(n, len(whole))]
			if n > len(whole) {
				code = append(bytes.Clone(whole), 0)
			}
			for v := uint8(1); v <= 4; v++ {
				want := n == k.Len() || v < 4 && n == len(whole)
				if got := k.Verify([]byte(packet), code, v, &s); got != want {
					t.Errorf("%v, version %d, %d octets: %v", c.typ, v, n, got)
				}
				if want {
					b := k.Append([]byte(packet), n, &s)
					if !bytes.Equal(b, append([]byte(packet), code...)) {
						t.Errorf("%v: appends %x", c.typ, b[len(packet):])
					}
				}
			}
		}
	}
}

func TestChangedPacketsAndMACsAreRefused(t *testing.T) {
	t.Parallel()
	var s Scratch
	for _, c := range digests {
		k := key(t, c.typ)
		b := k.Append([]byte(packet), k.Len(), &s)
		for i := range 8 * len(b) {
			b[i/8] ^= 1 << (i % 8)
			if k.Verify(b[:len(packet)], b[len(packet):], 4, &s) {
				t.Errorf("%v: bit %d of %d is flipped, and it verifies", c.typ, i, 8*len(b))
			}
			b[i/8] ^= 1 << (i % 8)
		}
		if !k.Verify(b[:len(packet)], b[len(packet):], 4, &s) {
			t.Errorf("%v: what was made here does not verify", c.typ)
		}
		if k.Verify(make([]byte, MaxPacket+1), b[len(packet):], 4, &s) {
			t.Errorf("%v: a packet that is too long verifies", c.typ)
		}
	}
}

func TestKeysThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id  uint32
		typ Type
		n   int
	}{
		{0, AES128, 16}, {1, 0, 16}, {1, SHA1 + 1, 16}, {1, AES128, 15}, {1, AES128, 32}, {1, AES256, 16}, {1, SHA256, 0}, {1, SHA256, maxKey + 1},
	} {
		if k, err := NewKey(c.id, c.typ, make([]byte, c.n)); err == nil {
			t.Errorf("%v of %d octets", k, c.n)
		}
	}
	k := key(t, AES128)
	if _, err := NewKeys(k, k); err == nil {
		t.Error("two keys with one identifier")
	}
	s, err := NewKeys(k)
	if err != nil || s.Len() != 1 || s.Find(k.ID()) != k || s.Find(1) != nil {
		t.Errorf("%v", err)
	}
	if s = nil; s.Len() != 0 || s.Find(1) != nil {
		t.Error("no set is not empty")
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	k, err := NewKey(7, SHA256, bytes.Repeat([]byte{0x41}, 32))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, k, *k, struct{ K *Key }{k})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "set", []*Key{k})
	if err := json.NewEncoder(&out).Encode(map[string]any{"key": k}); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "4141") || strings.Contains(s, "65 65") || strings.Contains(s, "AAAA") || strings.Contains(s, "QUFB") || !strings.Contains(s, "SHA256 key 7") {
		t.Error(s)
	}
}

func TestFilesOfKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, err string }{
		{"no type", "\n1 hunter2hunter2\n", "line 2: the type is missing, which means MD5"},
		{"only a number", "1\n", "line 1: want key identifier, type and key"},
		{"a key with a space", "1 hunter2 hunter2\n", "line 1: the second word is not a type; want one of AES128, AES256, SHA256, SHA384, SHA512, MD5, SHA1"},
		{"four words", "1 MD5 hunter2 hunter2\n", "line 1: want key identifier"},
		{"identifier 0", "0 MD5 hunter2\n", "line 1: key identifier 0"},
		{"identifier of 33 bits", "4294967296 MD5 hunter2\n", "line 1: the key identifier is not a number"},
		{"no number", "x MD5 hunter2\n", "line 1: the key identifier is not a number"},
		{"type that does not exist here", "1 TIGER hunter2\n", "line 1: the second word is not a type"},
		{"no hexadecimal digits", "1 AES128 HEX:hunter2\n", "line 1: the key has other characters"},
		{"odd digits", "1 SHA1 HEX:123\n", "line 1: the key has other characters"},
		{"key of another length", "1 AES128 HEX:1234\n", "line 1: AES128 needs a key of 16 octets, not 2"},
		{"no key", "1 SHA1 HEX:\n", "line 1: a key of 0 octets"},
		{"identifier twice", "1 SHA1 a\n2 SHA1 a\n1 SHA1 hunter2\n", "line 3: key 1 is in line 1 already"},
		{"all errors at once", "x\ny\n", "line 2: "},

		{"nothing", "", ""},
		{"comments and blanks", "! a\n ; b\n# c\n% d\n\n \t\n", ""},
		{"chrony.keys(5)", "1 MD5 ASCII:AVeryLongAndRandomPassword\n10 SHA1 HEX:1dc764e0791b11fa67efc7ecbc4b0d73f68a070c\r\n\t20  AES128\tHEX:000102030405060708090a0b0c0d0e0f  \n30 SHA256 text", ""},
		{"names of NTPsec", "1 AES HEX:" + secret + "\n2 aes-128 HEX:" + secret + "\n3 sha-256 text\n", ""},
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := ReadFile(path)
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error shows the key: %v", c.name, err)
		}
		if c.name == "chrony.keys(5)" {
			if len(keys) != 4 || keys[0].Type() != MD5 || string(keys[0].secret) != "AVeryLongAndRandomPassword" || keys[1].ID() != 10 || len(keys[1].secret) != 20 ||
				!bytes.Equal(keys[2].secret, octets(t, secret)) || string(keys[3].secret) != "text" {
				t.Errorf("%v", keys)
			}
			if !keys[0].Weak() || !keys[1].Weak() || keys[2].Weak() || !keys[3].Weak() {
				t.Error("weak keys")
			}
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte("#\n"), maxFile), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), dir, large} {
		if _, err := ReadFile(path); err == nil {
			t.Errorf("%s: read", path)
		}
		if _, err := ReadSecret(path); err == nil {
			t.Errorf("%s: read as one key", path)
		}
	}
	one := filepath.Join(dir, "one")
	for text, want := range map[string]string{"HEX:4142\n": "AB", " ASCII:x y \n": "x y", "HEX:4\n": ""} {
		if err := os.WriteFile(one, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := ReadSecret(one); string(b) != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", text, b, err)
		}
	}
}

// A file with an error keeps the keys that it had; at first it has those of its
// good lines.
func TestSourceKeepsWhatWasGood(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list, one := filepath.Join(dir, "list"), filepath.Join(dir, "one")
	given, err := NewKey(1, SHA256, []byte("given"))
	if err != nil {
		t.Fatal(err)
	}
	s := Source{Keys: []*Key{given}, Files: []KeyFile{{2, SHA256, one}}, List: list}
	var l *Loaded
	for _, c := range []struct {
		name, list, one string // empty: no file
		err             string
		want            []uint32
		weak            int
	}{
		{"no files", "", "", "no such file", []uint32{1}, 1},
		{"a line that is wrong", "3 SHA256 text\nx\n", "0123456789abcdef", "line 2", []uint32{1, 2, 3}, 2},
		{"good", "3 SHA1 text\n4 SHA256 0123456789abcdef\n", "0123456789abcdef", "", []uint32{1, 2, 3, 4}, 2},
		{"damaged", "4\n", "HEX:1", "line 1", []uint32{1, 2, 3, 4}, 2},
		{"gone", "", "", "no such file", []uint32{1, 2, 3, 4}, 2},
		{"an identifier twice", "2 SHA256 0123456789abcdef\n", "0123456789abcdef", "two keys with the identifier 2", []uint32{1, 2}, 1},
		{"removed", "#\n", "x", "", []uint32{1, 2}, 2},
	} {
		for path, text := range map[string]string{list: c.list, one: c.one} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if text == "" {
				os.Remove(path)
			}
		}
		l, err = s.Load(l)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
		if l.Keys.Len() != len(c.want) || len(l.Keys.Weak()) != c.weak {
			t.Errorf("%s: %d keys, weak %v", c.name, l.Keys.Len(), l.Keys.Weak())
		}
		for _, id := range c.want {
			if l.Keys.Find(id) == nil {
				t.Errorf("%s: key %d is missing", c.name, id)
			}
		}
	}
}

func TestVerifyAndAppendDoNotAllocate(t *testing.T) {
	s := new(Scratch)
	for _, c := range digests {
		k := key(t, c.typ)
		b := k.Append([]byte(packet), k.Len(), s)
		if n := testing.AllocsPerRun(100, func() {
			if !k.Verify(b[:len(packet)], b[len(packet):], 4, s) {
				t.Fatal("does not verify")
			}
			k.Append(b[:len(packet)], k.Len(), s)
		}); n > 0 {
			t.Errorf("%v: %v allocations", c.typ, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1 MD5 x\n20 AES128 HEX:" + secret + "\n# c\n")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := parse(text)
		if _, twice := NewKeys(keys...); err == nil && twice != nil {
			t.Error(twice)
		}
		for _, k := range keys {
			var s Scratch
			if b := k.Append([]byte(packet), k.Len(), &s); !k.Verify(b[:len(packet)], b[len(packet):], 4, &s) {
				t.Errorf("%v does not verify its own MAC", k)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	s := new(Scratch)
	for _, c := range digests {
		k := key(b, c.typ)
		p := k.Append([]byte(packet), k.Len(), s)
		b.Run(c.typ.String(), func(b *testing.B) {
			for b.Loop() {
				k.Verify(p[:len(packet)], p[len(packet):], 4, s)
			}
		})
	}
}
