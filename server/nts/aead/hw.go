//go:build (amd64 || arm64) && !purego

package aead

// The assembly runs in constant time. Its branches and addresses depend only on
// lengths, which are public; it has no table that is indexed by data (the tails are
// masked by length). AESENC, AESENCLAST and PCLMULQDQ, AESE and PMULL take the same
// time for every operand (Intel: data operand independent timing, Arm: DIT). Key
// expansion uses AESENCLAST or AESE instead of an S-box in memory. Doubling in
// GF(2^128) masks the polynomial. Tags are compared as a whole. Only the result,
// authentic or not, differs, and it is public.

// hwKey is a key for the assembly engine, which depends on its layout.
type hwKey struct {
	mac  schedule // AES-SIV: for S2V; AES-GCM-SIV: the key-generating key
	ctr  schedule // AES-SIV: for CTR
	k1   block    // CMAC's subkeys (RFC 4493, section 2.3)
	k2   block
	zero block // CMAC of the zero block, S2V's start
}

// schedule is AES round keys: 11 for AES-128, 15 for AES-256.
type schedule [15 * 16]byte

// gcmKeys are the keys of one AES-GCM-SIV message (RFC 8452, section 4). The assembly
// depends on their layout.
type gcmKeys struct {
	h   block    // message-authentication key
	enc schedule // message-encryption key
}

func (k *hwKey) init(id ID, key []byte) {
	switch id {
	case AESSIVCMAC256:
		sivInit128(k, &key[0])
	case AESSIVCMAC512:
		sivInit256(k, &key[0])
	case AES128GCMSIV:
		expand128(&k.mac, &key[0])
	}
}

func (k *hwKey) seal(id ID, out, nonce, pt, ad []byte) {
	var v block
	switch id {
	case AESSIVCMAC256:
		s2v128(k, &v, ad, nonce, pt)
		ctrSIV128(k, &v, out[tagLen:], pt)
		copy(out, v[:])
	case AESSIVCMAC512:
		s2v256(k, &v, ad, nonce, pt)
		ctrSIV256(k, &v, out[tagLen:], pt)
		copy(out, v[:])
	case AES128GCMSIV:
		var m gcmKeys
		gcmDerive(&m, &k.mac, &nonce[0])
		gcmTagOf(&m, &v, &nonce[0], ad, pt)
		ctrGCM(&m, &v, out, pt)
		copy(out[len(pt):], v[:])
	}
}

func (k *hwKey) open(id ID, out, nonce, ct, ad []byte) bool {
	var v, want block
	switch id {
	case AESSIVCMAC256:
		want = block(ct)
		ctrSIV128(k, &want, out, ct[tagLen:])
		s2v128(k, &v, ad, nonce, out)
	case AESSIVCMAC512:
		want = block(ct)
		ctrSIV256(k, &want, out, ct[tagLen:])
		s2v256(k, &v, ad, nonce, out)
	case AES128GCMSIV:
		var m gcmKeys
		n := len(ct) - tagLen
		want = block(ct[n:])
		gcmDerive(&m, &k.mac, &nonce[0])
		ctrGCM(&m, &want, out, ct[:n])
		gcmTagOf(&m, &v, &nonce[0], ad, out)
	}
	return equal(&v, &want)
}

// equal compares in constant time.
func equal(a, b *block) bool {
	x, y := loadGF(a[:]), loadGF(b[:])
	return (x.lo^y.lo)|(x.hi^y.hi) == 0
}

// sivInit128 and sivInit256 expand both halves of an AES-SIV key of 32 or 64
// octets and set k1, k2 and zero.
//
//go:noescape
func sivInit128(k *hwKey, key *byte)

//go:noescape
func sivInit256(k *hwKey, key *byte)

// expand128 expands an AES-128 key.
//
//go:noescape
func expand128(s *schedule, key *byte)

// s2v128 and s2v256 compute S2V (RFC 5297, section 2.4) of ad, nonce unless it is
// empty, and pt.
//
//go:noescape
func s2v128(k *hwKey, v *block, ad, nonce, pt []byte)

//go:noescape
func s2v256(k *hwKey, v *block, ad, nonce, pt []byte)

// ctrSIV128 and ctrSIV256 encrypt len(src) octets in CTR mode from v with its
// bits 31 and 63 cleared (RFC 5297, section 2.5). dst has at least as many, and
// is src's memory or does not overlap it.
//
//go:noescape
func ctrSIV128(k *hwKey, v *block, dst, src []byte)

//go:noescape
func ctrSIV256(k *hwKey, v *block, dst, src []byte)

// gcmDerive derives a message's keys from the key-generating key and 12 octets
// of nonce (RFC 8452, section 4).
//
//go:noescape
func gcmDerive(m *gcmKeys, s *schedule, nonce *byte)

// gcmTagOf computes a message's tag (RFC 8452, section 4).
//
//go:noescape
func gcmTagOf(m *gcmKeys, tag *block, nonce *byte, ad, pt []byte)

// ctrGCM encrypts len(src) octets in CTR mode from tag with its top bit set and
// a 32-bit little-endian counter in front (RFC 8452, section 4). dst as for
// ctrSIV128.
//
//go:noescape
func ctrGCM(m *gcmKeys, tag *block, dst, src []byte)
