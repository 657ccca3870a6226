//go:build !purego

#include "textflag.h"
#include "macros_amd64.h"

// swap reverses the octets of a block.
DATA ·swap+0(SB)/8, $0x08090a0b0c0d0e0f
DATA ·swap+8(SB)/8, $0x0001020304050607
GLOBL ·swap(SB), RODATA|NOPTR, $16

// poly87 is the polynomial of CMAC's field.
DATA ·poly87+0(SB)/8, $0x87
DATA ·poly87+8(SB)/8, $0
GLOBL ·poly87(SB), RODATA|NOPTR, $16

// tails: VPSHUFB with the 16 octets at tails+16-n moves a block up by n octets,
// at tails+32-n down by 16-n, clearing the rest; those at tails+64-n have 0x80
// in octet n.
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

// Key expansion takes SubWord from VAESENCLAST on a block of four equal words,
// which ShiftRows does not change; that is faster than VAESKEYGENASSIST.

// FOLD adds to each word of K all words before it, and then T.
#define FOLD(K, T, U) \
	VPSLLDQ $4, K, U; \
	VPXOR U, K, K; \
	VPSLLDQ $8, K, U; \
	VPXOR U, K, K; \
	VPXOR T, K, K

// NEXT128 makes the next AES-128 round key of K; X2 holds the round constant, X3
// ·rotWord.
#define NEXT128(K, T, U) \
	VPSHUFB X3, K, T; \
	VAESENCLAST X2, T, T; \
	FOLD(K, T, U)

// STEP128 makes round key N of the two keys in X0 and X1 and does a round of
// X8 with the first one's.
#define STEP128(N, ROUND) \
	NEXT128(X0, X4, X5); \
	NEXT128(X1, X6, X7); \
	VPSLLD $1, X2, X2; \
	VMOVDQU X0, (MAC+16*N)(BX); \
	VMOVDQU X1, (CTR+16*N)(BX); \
	ROUND X0, X8, X8

// SUBKEYS has E(0) in X8 and makes k1, k2 and zero.
#define SUBKEYS(ENC) \
	VMOVDQU ·swap(SB), X14; \
	DBL(X8, X14, X4, X5); \
	VMOVDQU X8, K1(BX); \
	VMOVDQU X8, X9; \
	ENC(BX, MAC, X9); \
	VMOVDQU X9, ZERO(BX); \
	DBL(X8, X14, X4, X5); \
	VMOVDQU X8, K2(BX)

// func sivInit128(k *hwKey, key *byte)
TEXT ·sivInit128(SB), NOSPLIT, $0-16
	MOVQ k+0(FP), BX
	MOVQ key+8(FP), SI
	VMOVDQU (SI), X0
	VMOVDQU 16(SI), X1
	VMOVDQU X0, MAC(BX)
	VMOVDQU X1, CTR(BX)
	VMOVDQU X0, X8
	VMOVDQU ·rcon(SB), X2
	VMOVDQU ·rotWord(SB), X3
	STEP128(1, VAESENC)
	STEP128(2, VAESENC)
	STEP128(3, VAESENC)
	STEP128(4, VAESENC)
	STEP128(5, VAESENC)
	STEP128(6, VAESENC)
	STEP128(7, VAESENC)
	STEP128(8, VAESENC)
	VMOVDQU ·rcon+16(SB), X2
	STEP128(9, VAESENC)
	STEP128(10, VAESENCLAST)
	SUBKEYS(ENC10)
	RET

// EXPAND128 writes the AES-128 round keys of X0 to P+O; X2 has ·rcon, X3
// ·rotWord.
#define EXPAND128(P, O) \
	VMOVDQU X0, (O)(P); \
	NEXT128(X0, X4, X5); \
	VMOVDQU X0, (O+16)(P); \
	VPSLLD $1, X2, X2; \
	NEXT128(X0, X4, X5); \
	VMOVDQU X0, (O+32)(P); \
	VPSLLD $1, X2, X2; \
	NEXT128(X0, X4, X5); \
	VMOVDQU X0, (O+48)(P); \
	VPSLLD $1, X2, X2; \
	NEXT128(X0, X4, X5); \
	VMOVDQU X0, (O+64)(P); \
	VPSLLD $1, X2, X2; \
	NEXT128(X0, X4, X5); \
	VMOVDQU X0, (O+80)(P); \
	VPSLLD $1, X2, X2; \
	NEXT128(X0, X4, X5); \
	VMOVDQU X0, (O+96)(P); \
	VPSLLD $1, X2, X2; \
	NEXT128(X0, X4, X5); \
	VMOVDQU X0, (O+112)(P); \
	VPSLLD $1, X2, X2; \
	NEXT128(X0, X4, X5); \
	VMOVDQU X0, (O+128)(P); \
	VPSLLD $1, X2, X2; \
	VMOVDQU ·rcon+16(SB), X2; \
	NEXT128(X0, X4, X5); \
	VMOVDQU X0, (O+144)(P); \
	VPSLLD $1, X2, X2; \
	NEXT128(X0, X4, X5); \
	VMOVDQU X0, (O+160)(P); \
	VPSLLD $1, X2, X2

// func expand128(s *schedule, key *byte)
TEXT ·expand128(SB), NOSPLIT, $0-16
	MOVQ s+0(FP), BX
	MOVQ key+8(FP), SI
	VMOVDQU (SI), X0
	VMOVDQU ·rcon(SB), X2
	VMOVDQU ·rotWord(SB), X3
	EXPAND128(BX, 0)
	RET

// STEP256A and STEP256B make round keys N and N+1 of two AES-256 keys, in X0,
// X10 and X1, X11, and do rounds of X8 with the first one's.
#define STEP256A(N, ROUND) \
	VPSHUFB X3, X10, X4; \
	VAESENCLAST X2, X4, X4; \
	FOLD(X0, X4, X5); \
	VPSHUFB X3, X11, X6; \
	VAESENCLAST X2, X6, X6; \
	FOLD(X1, X6, X7); \
	VPSLLD $1, X2, X2; \
	VMOVDQU X0, (MAC+16*N)(BX); \
	VMOVDQU X1, (CTR+16*N)(BX); \
	ROUND X0, X8, X8

#define STEP256B(N) \
	VPSHUFD $0xff, X0, X4; \
	VAESENCLAST X12, X4, X4; \
	FOLD(X10, X4, X5); \
	VPSHUFD $0xff, X1, X6; \
	VAESENCLAST X12, X6, X6; \
	FOLD(X11, X6, X7); \
	VMOVDQU X10, (MAC+16*N)(BX); \
	VMOVDQU X11, (CTR+16*N)(BX); \
	VAESENC X10, X8, X8

// func sivInit256(k *hwKey, key *byte)
TEXT ·sivInit256(SB), NOSPLIT, $0-16
	MOVQ k+0(FP), BX
	MOVQ key+8(FP), SI
	VMOVDQU (SI), X0
	VMOVDQU 16(SI), X10
	VMOVDQU 32(SI), X1
	VMOVDQU 48(SI), X11
	VMOVDQU X0, MAC(BX)
	VMOVDQU X10, (MAC+16)(BX)
	VMOVDQU X1, CTR(BX)
	VMOVDQU X11, (CTR+16)(BX)
	VAESENC X10, X0, X8
	VPXOR X12, X12, X12
	VMOVDQU ·rcon(SB), X2
	VMOVDQU ·rotWord(SB), X3
	STEP256A(2, VAESENC)
	STEP256B(3)
	STEP256A(4, VAESENC)
	STEP256B(5)
	STEP256A(6, VAESENC)
	STEP256B(7)
	STEP256A(8, VAESENC)
	STEP256B(9)
	STEP256A(10, VAESENC)
	STEP256B(11)
	STEP256A(12, VAESENC)
	STEP256B(13)
	STEP256A(14, VAESENCLAST)
	SUBKEYS(ENC14)
	RET

#define ENC(K, O, X) ENC10(K, O, X)
// func s2v128(k *hwKey, v *block, ad, nonce, pt []byte)
TEXT ·s2v128(SB), NOSPLIT, $0-88
#include "s2v_amd64.h"
#undef ENC

#define ENC(K, O, X) ENC14(K, O, X)
// func s2v256(k *hwKey, v *block, ad, nonce, pt []byte)
TEXT ·s2v256(SB), NOSPLIT, $0-88
#include "s2v_amd64.h"
#undef ENC

// sivMask clears bits 31 and 63, counted from the end, of a reversed block.
DATA ·sivMask+0(SB)/8, $0x7fffffff7fffffff
DATA ·sivMask+8(SB)/8, $0xffffffffffffffff
GLOBL ·sivMask(SB), RODATA|NOPTR, $16

DATA ·one+0(SB)/8, $1
DATA ·one+8(SB)/8, $0
GLOBL ·one(SB), RODATA|NOPTR, $16

#define NEXT(X) VPSHUFB X6, X5, X; VPADDQ X7, X5, X5
#define KEYS CTR

#define ENC(K, O, X) ENC10(K, O, X)
#define ENC4(K, O) ENC10X4(K, O)
// func ctrSIV128(k *hwKey, v *block, dst, src []byte)
TEXT ·ctrSIV128(SB), NOSPLIT, $0-64
	CTRSIV
#include "ctr_amd64.h"
#undef ENC
#undef ENC4

#define ENC(K, O, X) ENC14(K, O, X)
#define ENC4(K, O) ENC14X4(K, O)
// func ctrSIV256(k *hwKey, v *block, dst, src []byte)
TEXT ·ctrSIV256(SB), NOSPLIT, $0-64
	CTRSIV
#include "ctr_amd64.h"
#undef ENC
#undef ENC4
#undef NEXT
#undef KEYS

// GCM-SIV.

// topBit is the bit that AES-GCM-SIV sets in a counter block and clears before
// a tag is encrypted; polyval is the field's polynomial without x^128.
DATA ·topBit+0(SB)/8, $0
DATA ·topBit+8(SB)/8, $0x8000000000000000
GLOBL ·topBit(SB), RODATA|NOPTR, $16
DATA ·polyval+0(SB)/8, $1
DATA ·polyval+8(SB)/8, $0xc200000000000000
GLOBL ·polyval(SB), RODATA|NOPTR, $16

// func gcmDerive(m *gcmKeys, s *schedule, nonce *byte)
TEXT ·gcmDerive(SB), NOSPLIT, $0-24
	MOVQ m+0(FP), DI
	MOVQ s+8(FP), BX
	MOVQ nonce+16(FP), SI
	MOVQ (SI), AX
	MOVL 8(SI), CX
	// A block is a 32-bit counter and the nonce.
	MOVQ AX, DX
	SHLQ $32, DX
	SHRQ $32, AX
	SHLQ $32, CX
	ORQ CX, AX
	VMOVQ DX, X0
	VPINSRQ $1, AX, X0, X0
	VMOVDQU ·one(SB), X7
	VPADDD X7, X0, X1
	VPADDD X7, X1, X2
	VPADDD X7, X2, X3
	ENC10X4(BX, 0)
	VPUNPCKLQDQ X1, X0, X0
	VMOVDQU X0, GCMH(DI)
	VPUNPCKLQDQ X3, X2, X0
	VMOVDQU ·rcon(SB), X2
	VMOVDQU ·rotWord(SB), X3
	EXPAND128(DI, GCMENC)
	RET

// DOT multiplies X0 by H in X8: the dot of RFC 8452. X9 has ·polyval. The modulus is
// 1 mod x^64, so that a Montgomery step is one product with its upper half and
// a swap of halves.
#define DOT \
	VPCLMULQDQ $0x00, X8, X0, X1; \
	VPCLMULQDQ $0x10, X8, X0, X2; \
	VPCLMULQDQ $0x01, X8, X0, X3; \
	VPCLMULQDQ $0x11, X8, X0, X4; \
	VPXOR X3, X2, X2; \
	VPSLLDQ $8, X2, X3; \
	VPSRLDQ $8, X2, X2; \
	VPXOR X3, X1, X1; \
	VPXOR X2, X4, X4; \
	VPCLMULQDQ $0x10, X9, X1, X2; \
	VPSHUFD $0x4e, X1, X1; \
	VPXOR X2, X1, X1; \
	VPCLMULQDQ $0x10, X9, X1, X2; \
	VPSHUFD $0x4e, X1, X1; \
	VPXOR X2, X1, X1; \
	VPXOR X1, X4, X0

// HASH adds the CX octets at SI, padded with zeros, to X0.
#define HASH(LOOP, REST, L4, L1, LE, END) \
	SUBQ $16, CX; \
	JLT REST; \
LOOP: \
	VPXOR (SI), X0, X0; \
	DOT; \
	ADDQ $16, SI; \
	SUBQ $16, CX; \
	JGE LOOP; \
REST: \
	ADDQ $16, CX; \
	JEQ END; \
	LOADSMALL(SI, X1, L4, L1, LE); \
	VPXOR X1, X0, X0; \
	DOT; \
END:

// func gcmTagOf(m *gcmKeys, tag *block, nonce *byte, ad, pt []byte)
TEXT ·gcmTagOf(SB), NOSPLIT, $0-72
	MOVQ m+0(FP), BX
	VMOVDQU GCMH(BX), X8
	VMOVDQU ·polyval(SB), X9
	VPXOR X0, X0, X0
	MOVQ ad_base+24(FP), SI
	MOVQ ad_len+32(FP), CX
	HASH(adLoop, adRest, ad4, ad1, adLoaded, adEnd)
	MOVQ pt_base+48(FP), SI
	MOVQ pt_len+56(FP), CX
	HASH(ptLoop, ptRest, pt4, pt1, ptLoaded, ptEnd)
	MOVQ ad_len+32(FP), AX
	MOVQ pt_len+56(FP), CX
	SHLQ $3, AX
	SHLQ $3, CX
	VMOVQ AX, X1
	VPINSRQ $1, CX, X1, X1
	VPXOR X1, X0, X0
	DOT
	MOVQ nonce+16(FP), SI
	VMOVQ (SI), X1
	MOVL 8(SI), AX
	VPINSRQ $1, AX, X1, X1
	VPXOR X1, X0, X0
	VMOVDQU ·topBit(SB), X2
	VPANDN X0, X2, X0
	ENC10(BX, GCMENC, X0)
	MOVQ tag+8(FP), DI
	VMOVDQU X0, (DI)
	RET

#define ENC(K, O, X) ENC10(K, O, X)
#define ENC4(K, O) ENC10X4(K, O)
#define NEXT(X) VMOVDQU X5, X; VPADDD X7, X5, X5
#define KEYS GCMENC
// func ctrGCM(m *gcmKeys, tag *block, dst, src []byte)
TEXT ·ctrGCM(SB), NOSPLIT, $0-64
	MOVQ m+0(FP), BX
	MOVQ tag+8(FP), AX
	MOVQ dst_base+16(FP), DI
	MOVQ src_base+40(FP), SI
	MOVQ src_len+48(FP), CX
	VMOVDQU ·one(SB), X7
	VMOVDQU (AX), X5
	VPOR ·topBit(SB), X5, X5
#include "ctr_amd64.h"
