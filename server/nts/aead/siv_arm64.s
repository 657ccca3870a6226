//go:build !purego

#include "textflag.h"
#include "macros_arm64.h"

// swap reverses the octets of a block.
DATA ·swap+0(SB)/8, $0x08090a0b0c0d0e0f
DATA ·swap+8(SB)/8, $0x0001020304050607
GLOBL ·swap(SB), RODATA|NOPTR, $16

// poly87 is the polynomial of CMAC's field.
DATA ·poly87+0(SB)/8, $0x87
DATA ·poly87+8(SB)/8, $0
GLOBL ·poly87(SB), RODATA|NOPTR, $16

// tails: VTBL with the 16 octets at tails+16-n moves a block up by n octets, at
// tails+32-n down by 16-n, clearing the rest; those at tails+64-n have 0x80 in
// octet n.
DATA ·tails+0(SB)/8, $0x8080808080808080
DATA ·tails+8(SB)/8, $0x8080808080808080
DATA ·tails+16(SB)/8, $0x0706050403020100
DATA ·tails+24(SB)/8, $0x0f0e0d0c0b0a0908
DATA ·tails+32(SB)/8, $0x8080808080808080
DATA ·tails+40(SB)/8, $0x8080808080808080
DATA ·tails+48(SB)/8, $0
DATA ·tails+56(SB)/8, $0
DATA ·tails+64(SB)/8, $0x80
DATA ·tails+72(SB)/8, $0
GLOBL ·tails(SB), RODATA|NOPTR, $80

// rotWord broadcasts the last word of a block, rotated, to all four (FIPS 197
// section 5.2).
DATA ·rotWord+0(SB)/8, $0x0c0f0e0d0c0f0e0d
DATA ·rotWord+8(SB)/8, $0x0c0f0e0d0c0f0e0d
GLOBL ·rotWord(SB), RODATA|NOPTR, $16

DATA ·rcon+0(SB)/8, $0x0000000100000001
DATA ·rcon+8(SB)/8, $0x0000000100000001
DATA ·rcon+16(SB)/8, $0x0000001b0000001b
DATA ·rcon+24(SB)/8, $0x0000001b0000001b
GLOBL ·rcon(SB), RODATA|NOPTR, $32

// sivMask clears bits 31 and 63, counted from the end, of a reversed block.
DATA ·sivMask+0(SB)/8, $0x7fffffff7fffffff
DATA ·sivMask+8(SB)/8, $0xffffffffffffffff
GLOBL ·sivMask(SB), RODATA|NOPTR, $16

DATA ·one+0(SB)/8, $1
DATA ·one+8(SB)/8, $0
GLOBL ·one(SB), RODATA|NOPTR, $16

// topBit is the bit that AES-GCM-SIV sets in a counter block; notTop is all
// others; polyval is the upper half of the field's polynomial without x^128.
DATA ·topBit+0(SB)/8, $0
DATA ·topBit+8(SB)/8, $0x8000000000000000
GLOBL ·topBit(SB), RODATA|NOPTR, $16
DATA ·notTop+0(SB)/8, $0xffffffffffffffff
DATA ·notTop+8(SB)/8, $0x7fffffffffffffff
GLOBL ·notTop(SB), RODATA|NOPTR, $16
DATA ·polyval+0(SB)/8, $0xc200000000000000
DATA ·polyval+8(SB)/8, $0
GLOBL ·polyval(SB), RODATA|NOPTR, $16

// Key expansion takes SubWord from AESE with a zero key on a block of four
// equal words, which ShiftRows does not change. V31 is zero, V30 ·rotWord, V29 the
// round constant.

// FOLD adds to each word of K all words before it, and then T.
#define FOLD(K, T, U) \
	VEXT $12, K.B16, V31.B16, U.B16; \
	VEOR U.B16, K.B16, K.B16; \
	VEXT $8, K.B16, V31.B16, U.B16; \
	VEOR U.B16, K.B16, K.B16; \
	VEOR T.B16, K.B16, K.B16

// NEXT128 makes the next AES-128 round key of K.
#define NEXT128(K, T, U) \
	VTBL V30.B16, [K.B16], T.B16; \
	AESE V31.B16, T.B16; \
	VEOR V29.B16, T.B16, T.B16; \
	FOLD(K, T, U)

#define TWICE VADD V29.S4, V29.S4, V29.S4

// EXPAND128 writes the AES-128 round keys of V0 to A, and advances A. R6
// points to ·rcon+16.
#define EXPAND128(A) \
	VST1.P [V0.B16], 16(A); \
	NEXT128(V0, V1, V2); VST1.P [V0.B16], 16(A); TWICE; \
	NEXT128(V0, V1, V2); VST1.P [V0.B16], 16(A); TWICE; \
	NEXT128(V0, V1, V2); VST1.P [V0.B16], 16(A); TWICE; \
	NEXT128(V0, V1, V2); VST1.P [V0.B16], 16(A); TWICE; \
	NEXT128(V0, V1, V2); VST1.P [V0.B16], 16(A); TWICE; \
	NEXT128(V0, V1, V2); VST1.P [V0.B16], 16(A); TWICE; \
	NEXT128(V0, V1, V2); VST1.P [V0.B16], 16(A); TWICE; \
	NEXT128(V0, V1, V2); VST1.P [V0.B16], 16(A); TWICE; \
	VLD1 (R6), [V29.B16]; \
	NEXT128(V0, V1, V2); VST1.P [V0.B16], 16(A); TWICE; \
	NEXT128(V0, V1, V2); VST1.P [V0.B16], 16(A)

// CONSTANTS loads the constants of key expansion.
#define CONSTANTS \
	VEOR V31.B16, V31.B16, V31.B16; \
	MOVD $·rotWord(SB), R6; \
	VLD1 (R6), [V30.B16]; \
	MOVD $·rcon(SB), R6; \
	VLD1.P 16(R6), [V29.B16]

// SUBKEYS makes k1, k2 and zero of the round keys in V16 and up.
#define SUBKEYS(ENC) \
	VEOR V31.B16, V31.B16, V31.B16; \
	MOVD $·poly87(SB), R6; \
	VLD1 (R6), [V13.B16]; \
	VEOR V0.B16, V0.B16, V0.B16; \
	ENC(V0); \
	DBL(V0, V2, V3); \
	VORR V0.B16, V0.B16, V1.B16; \
	ENC(V1); \
	VORR V0.B16, V0.B16, V4.B16; \
	DBL(V4, V2, V3); \
	ADD $K1, R0, R3; \
	VST1.P [V0.B16], 16(R3); \
	VST1.P [V4.B16], 16(R3); \
	VST1 [V1.B16], (R3)

// func expand128(s *schedule, key *byte)
TEXT ·expand128(SB), NOSPLIT, $0-16
	MOVD s+0(FP), R0
	MOVD key+8(FP), R1
	CONSTANTS
	VLD1 (R1), [V0.B16]
	EXPAND128(R0)
	RET

// func sivInit128(k *hwKey, key *byte)
TEXT ·sivInit128(SB), NOSPLIT, $0-16
	MOVD k+0(FP), R0
	MOVD key+8(FP), R1
	MOVD R0, R3
	CONSTANTS
	VLD1.P 16(R1), [V0.B16]
	EXPAND128(R3)
	ADD $CTR, R0, R3
	CONSTANTS
	VLD1 (R1), [V0.B16]
	EXPAND128(R3)
	MOVD R0, R3
	LOAD10(R3)
	SUBKEYS(ENC10)
	RET

// STEP256A and STEP256B make the next two round keys of an AES-256 key in V0
// and V4.
#define STEP256A(A) \
	VTBL V30.B16, [V4.B16], V1.B16; \
	AESE V31.B16, V1.B16; \
	VEOR V29.B16, V1.B16, V1.B16; \
	FOLD(V0, V1, V2); \
	TWICE; \
	VST1.P [V0.B16], 16(A)

#define STEP256B(A) \
	VDUP V0.S[3], V1.S4; \
	AESE V31.B16, V1.B16; \
	FOLD(V4, V1, V2); \
	VST1.P [V4.B16], 16(A)

// EXPAND256 writes the AES-256 round keys of the 32 octets at B to A, and advances
// both.
#define EXPAND256(B, A) \
	CONSTANTS; \
	VLD1.P 16(B), [V0.B16]; \
	VLD1.P 16(B), [V4.B16]; \
	VST1.P [V0.B16], 16(A); \
	VST1.P [V4.B16], 16(A); \
	STEP256A(A); STEP256B(A); \
	STEP256A(A); STEP256B(A); \
	STEP256A(A); STEP256B(A); \
	STEP256A(A); STEP256B(A); \
	STEP256A(A); STEP256B(A); \
	STEP256A(A); STEP256B(A); \
	STEP256A(A)

// func sivInit256(k *hwKey, key *byte)
TEXT ·sivInit256(SB), NOSPLIT, $0-16
	MOVD k+0(FP), R0
	MOVD key+8(FP), R1
	MOVD R0, R3
	EXPAND256(R1, R3)
	EXPAND256(R1, R3)
	MOVD R0, R3
	LOAD14(R3)
	SUBKEYS(ENC14)
	RET

#define ENC(X) ENC10(X)
// func s2v128(k *hwKey, v *block, ad, nonce, pt []byte)
TEXT ·s2v128(SB), NOSPLIT, $0-88
	S2VLOAD(LOAD10)
#include "s2v_arm64.h"
#undef ENC

#define ENC(X) ENC14(X)
// func s2v256(k *hwKey, v *block, ad, nonce, pt []byte)
TEXT ·s2v256(SB), NOSPLIT, $0-88
	S2VLOAD(LOAD14)
#include "s2v_arm64.h"
#undef ENC

#define NEXT(X) VTBL V6.B16, [V5.B16], X.B16; VADD V7.D2, V5.D2, V5.D2

#define ENC(X) ENC10(X)
#define ENC4 ENC10X4
// func ctrSIV128(k *hwKey, v *block, dst, src []byte)
TEXT ·ctrSIV128(SB), NOSPLIT, $0-64
	CTRSIV(LOAD10)
#include "ctr_arm64.h"
#undef ENC
#undef ENC4

#define ENC(X) ENC14(X)
#define ENC4 ENC14X4
// func ctrSIV256(k *hwKey, v *block, dst, src []byte)
TEXT ·ctrSIV256(SB), NOSPLIT, $0-64
	CTRSIV(LOAD14)
#include "ctr_arm64.h"
#undef ENC
#undef ENC4
#undef NEXT

// GCM-SIV.

// func gcmDerive(m *gcmKeys, s *schedule, nonce *byte)
TEXT ·gcmDerive(SB), NOSPLIT, $0-24
	MOVD s+8(FP), R3
	LOAD10(R3)
	MOVD nonce+16(FP), R1
	MOVD (R1), R10
	MOVWU 8(R1), R11
	// A block is a 32-bit counter and the nonce.
	LSL $32, R10, R12
	LSR $32, R10, R10
	LSL $32, R11, R11
	ORR R11, R10, R10
	VMOV R12, V0.D[0]
	VMOV R10, V0.D[1]
	MOVD $·one(SB), R6
	VLD1 (R6), [V7.B16]
	VADD V7.S4, V0.S4, V1.S4
	VADD V7.S4, V1.S4, V2.S4
	VADD V7.S4, V2.S4, V3.S4
	ENC10X4
	MOVD m+0(FP), R0
	VMOV V1.D[0], V0.D[1]
	VST1.P [V0.B16], 16(R0)
	VMOV V3.D[0], V2.D[1]
	VORR V2.B16, V2.B16, V0.B16
	CONSTANTS
	EXPAND128(R0)
	RET

// DOT multiplies V0 by H in V8, whose halves are swapped in V10: the dot of RFC
// 8452. V9 has ·polyval. The modulus is 1 mod x^64, so that a Montgomery step is
// one product with its upper half and a swap of halves.
#define DOT \
	VPMULL V8.D1, V0.D1, V1.Q1; \
	VPMULL V10.D1, V0.D1, V2.Q1; \
	VPMULL2 V10.D2, V0.D2, V3.Q1; \
	VPMULL2 V8.D2, V0.D2, V4.Q1; \
	VEOR V3.B16, V2.B16, V2.B16; \
	VEXT $8, V2.B16, V31.B16, V3.B16; \
	VEXT $8, V31.B16, V2.B16, V2.B16; \
	VEOR V3.B16, V1.B16, V1.B16; \
	VEOR V2.B16, V4.B16, V4.B16; \
	VPMULL V9.D1, V1.D1, V2.Q1; \
	VEXT $8, V1.B16, V1.B16, V1.B16; \
	VEOR V2.B16, V1.B16, V1.B16; \
	VPMULL V9.D1, V1.D1, V2.Q1; \
	VEXT $8, V1.B16, V1.B16, V1.B16; \
	VEOR V2.B16, V1.B16, V1.B16; \
	VEOR V1.B16, V4.B16, V0.B16

// HASH adds the R2 octets at R1, padded with zeros, to V0.
#define HASH(LOOP, REST, L4, L1, LE, END) \
	SUBS $16, R2, R2; \
	BLT REST; \
LOOP: \
	VLD1.P 16(R1), [V5.B16]; \
	VEOR V5.B16, V0.B16, V0.B16; \
	DOT; \
	SUBS $16, R2, R2; \
	BGE LOOP; \
REST: \
	ADDS $16, R2, R2; \
	BEQ END; \
	LOADSMALL(R1, V5, L4, L1, LE); \
	VEOR V5.B16, V0.B16, V0.B16; \
	DOT; \
END:

// func gcmTagOf(m *gcmKeys, tag *block, nonce *byte, ad, pt []byte)
TEXT ·gcmTagOf(SB), NOSPLIT, $0-72
	MOVD m+0(FP), R3
	VLD1.P 16(R3), [V8.B16]
	VEXT $8, V8.B16, V8.B16, V10.B16
	LOAD10(R3)
	MOVD $·polyval(SB), R6
	VLD1 (R6), [V9.B16]
	VEOR V31.B16, V31.B16, V31.B16
	VEOR V0.B16, V0.B16, V0.B16
	MOVD ad_base+24(FP), R1
	MOVD ad_len+32(FP), R2
	HASH(adLoop, adRest, ad4, ad1, adLoaded, adEnd)
	MOVD pt_base+48(FP), R1
	MOVD pt_len+56(FP), R2
	HASH(ptLoop, ptRest, pt4, pt1, ptLoaded, ptEnd)
	MOVD ad_len+32(FP), R10
	MOVD pt_len+56(FP), R11
	LSL $3, R10, R10
	LSL $3, R11, R11
	VMOV R10, V5.D[0]
	VMOV R11, V5.D[1]
	VEOR V5.B16, V0.B16, V0.B16
	DOT
	MOVD nonce+16(FP), R1
	MOVD (R1), R10
	MOVWU 8(R1), R11
	VMOV R10, V5.D[0]
	VMOV R11, V5.D[1]
	VEOR V5.B16, V0.B16, V0.B16
	MOVD $·notTop(SB), R6
	VLD1 (R6), [V5.B16]
	VAND V5.B16, V0.B16, V0.B16
	ENC10(V0)
	MOVD tag+8(FP), R6
	VST1 [V0.B16], (R6)
	RET

#define ENC(X) ENC10(X)
#define ENC4 ENC10X4
#define NEXT(X) VORR V5.B16, V5.B16, X.B16; VADD V7.S4, V5.S4, V5.S4
// func ctrGCM(m *gcmKeys, tag *block, dst, src []byte)
TEXT ·ctrGCM(SB), NOSPLIT, $0-64
	MOVD m+0(FP), R3
	ADD $GCMENC, R3, R3
	LOAD10(R3)
	MOVD tag+8(FP), R6
	VLD1 (R6), [V5.B16]
	MOVD $·topBit(SB), R6
	VLD1 (R6), [V6.B16]
	VORR V6.B16, V5.B16, V5.B16
	MOVD $·one(SB), R6
	VLD1 (R6), [V7.B16]
	MOVD dst_base+16(FP), R0
	MOVD src_base+40(FP), R1
	MOVD src_len+48(FP), R2
#include "ctr_arm64.h"
