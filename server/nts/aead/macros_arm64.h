// Offsets in hwKey and gcmKeys.
#define CTR  240
#define K1   480
#define K2   496
#define ZERO 512
#define GCMENC 16

#define ROUND(K, X) AESE K.B16, X.B16; AESMC X.B16, X.B16

// ENC10 and ENC14 encrypt the block X with the round keys in V16 to V26 or V30.
#define ROUNDS9(X) \
	ROUND(V16, X); \
	ROUND(V17, X); \
	ROUND(V18, X); \
	ROUND(V19, X); \
	ROUND(V20, X); \
	ROUND(V21, X); \
	ROUND(V22, X); \
	ROUND(V23, X); \
	ROUND(V24, X)

#define ENC10(X) \
	ROUNDS9(X); \
	AESE V25.B16, X.B16; \
	VEOR V26.B16, X.B16, X.B16

#define ENC14(X) \
	ROUNDS9(X); \
	ROUND(V25, X); \
	ROUND(V26, X); \
	ROUND(V27, X); \
	ROUND(V28, X); \
	AESE V29.B16, X.B16; \
	VEOR V30.B16, X.B16, X.B16

// Four blocks at once, V0 to V3.
#define ROUND4(K) ROUND(K, V0); ROUND(K, V1); ROUND(K, V2); ROUND(K, V3)
#define LAST4(K, L) \
	AESE K.B16, V0.B16; \
	AESE K.B16, V1.B16; \
	AESE K.B16, V2.B16; \
	AESE K.B16, V3.B16; \
	VEOR L.B16, V0.B16, V0.B16; \
	VEOR L.B16, V1.B16, V1.B16; \
	VEOR L.B16, V2.B16, V2.B16; \
	VEOR L.B16, V3.B16, V3.B16

#define ROUNDS9X4 \
	ROUND4(V16); \
	ROUND4(V17); \
	ROUND4(V18); \
	ROUND4(V19); \
	ROUND4(V20); \
	ROUND4(V21); \
	ROUND4(V22); \
	ROUND4(V23); \
	ROUND4(V24)

#define ENC10X4 \
	ROUNDS9X4; \
	LAST4(V25, V26)

#define ENC14X4 \
	ROUNDS9X4; \
	ROUND4(V25); \
	ROUND4(V26); \
	ROUND4(V27); \
	ROUND4(V28); \
	LAST4(V29, V30)

// LOAD10 and LOAD14 load the round keys at A, which they move on.
#define LOAD10(A) \
	VLD1.P 64(A), [V16.B16, V17.B16, V18.B16, V19.B16]; \
	VLD1.P 64(A), [V20.B16, V21.B16, V22.B16, V23.B16]; \
	VLD1 (A), [V24.B16, V25.B16, V26.B16]

#define LOAD14(A) \
	VLD1.P 64(A), [V16.B16, V17.B16, V18.B16, V19.B16]; \
	VLD1.P 64(A), [V20.B16, V21.B16, V22.B16, V23.B16]; \
	VLD1.P 64(A), [V24.B16, V25.B16, V26.B16, V27.B16]; \
	VLD1 (A), [V28.B16, V29.B16, V30.B16]

// REVERSE reverses the octets of a block.
#define REVERSE(X) VREV64 X.B16, X.B16; VEXT $8, X.B16, X.B16, X.B16

// DBL doubles D in GF(2^128) as CMAC does (RFC 5297, section 2.3), without a
// branch. V13 holds ·poly87, V31 zero; T and U are clobbered.
#define DBL(D, T, U) \
	REVERSE(D); \
	VUSHR $63, D.D2, T.D2; \
	VADD D.D2, D.D2, D.D2; \
	VEXT $8, T.B16, V31.B16, U.B16; \
	VEOR U.B16, D.B16, D.B16; \
	VEXT $8, V31.B16, T.B16, T.B16; \
	VSUB T.D2, V31.D2, T.D2; \
	VAND V13.B16, T.B16, T.B16; \
	VEOR T.B16, D.B16, D.B16; \
	REVERSE(D)

// LOADSMALL loads the R2 octets at A, 0 to 15, into X and clears the rest. It
// reads nothing else, and clobbers R10 to R13. L4 to LE are labels.
#define LOADSMALL(A, X, L4, L1, LE) \
	MOVD ZR, R10; \
	MOVD ZR, R11; \
	ADD R2, A, R12; \
	CMP $8, R2; \
	BLT L4; \
	MOVD (A), R10; \
	MOVD -8(R12), R11; \
	LSL $3, R2, R13; \
	NEG R13, R13; \
	ADD $120, R13, R13; \
	LSR $8, R11, R11; \
	LSR R13, R11, R11; \
	JMP LE; \
L4: \
	CMP $4, R2; \
	BLT L1; \
	MOVWU (A), R10; \
	MOVWU -4(R12), R11; \
	LSL $3, R2, R13; \
	SUB $32, R13, R13; \
	LSL R13, R11, R11; \
	ORR R11, R10, R10; \
	MOVD ZR, R11; \
	JMP LE; \
L1: \
	CBZ R2, LE; \
	MOVBU -1(R12), R10; \
	LSL $3, R2, R13; \
	SUB $8, R13, R13; \
	LSL R13, R10, R10; \
	LSR $1, R2, R12; \
	LSL $3, R12, R13; \
	ADD R12, A, R12; \
	MOVBU (R12), R11; \
	LSL R13, R11, R11; \
	ORR R11, R10, R10; \
	MOVBU (A), R11; \
	ORR R11, R10, R10; \
	MOVD ZR, R11; \
LE: \
	VMOV R10, X.D[0]; \
	VMOV R11, X.D[1]

// STORESMALL stores the first R2 octets of X, 0 to 15, at A, and clobbers A,
// R10 and R11.
#define STORESMALL(A, X, L4, L2, L1, LE) \
	VMOV X.D[0], R10; \
	VMOV X.D[1], R11; \
	TBZ $3, R2, L4; \
	MOVD.P R10, 8(A); \
	MOVD R11, R10; \
L4: \
	TBZ $2, R2, L2; \
	MOVW.P R10, 4(A); \
	LSR $32, R10, R10; \
L2: \
	TBZ $1, R2, L1; \
	MOVH.P R10, 2(A); \
	LSR $16, R10, R10; \
L1: \
	TBZ $0, R2, LE; \
	MOVB R10, (A); \
LE:

// S2VLOAD loads the registers for s2v_arm64.h, R9 pointing to zero.
#define S2VLOAD(LOAD) \
	MOVD k+0(FP), R0; \
	MOVD R0, R9; \
	LOAD(R9); \
	ADD $K1, R0, R9; \
	VLD1.P 32(R9), [V11.B16, V12.B16]

// CTRSIV loads the registers for ctr_arm64.h. Bit 63 is cleared, so that the low
// half of the counter never overflows.
#define CTRSIV(LOAD) \
	MOVD k+0(FP), R3; \
	ADD $CTR, R3, R3; \
	LOAD(R3); \
	MOVD v+8(FP), R6; \
	VLD1 (R6), [V5.B16]; \
	REVERSE(V5); \
	MOVD $·sivMask(SB), R6; \
	VLD1 (R6), [V6.B16]; \
	VAND V6.B16, V5.B16, V5.B16; \
	MOVD $·swap(SB), R6; \
	VLD1 (R6), [V6.B16]; \
	MOVD $·one(SB), R6; \
	VLD1 (R6), [V7.B16]; \
	MOVD dst_base+16(FP), R0; \
	MOVD src_base+40(FP), R1; \
	MOVD src_len+48(FP), R2
