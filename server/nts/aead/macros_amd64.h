// Offsets in hwKey and gcmKeys.
#define MAC  0
#define CTR  240
#define K1   480
#define K2   496
#define ZERO 512
#define GCMH   0
#define GCMENC 16

// ENC10 and ENC14 encrypt the block X with the AES-128 or AES-256 round keys at
// K+O.
#define ENC10(K, O, X) \
	VPXOR (O+0)(K), X, X; \
	VAESENC (O+16)(K), X, X; \
	VAESENC (O+32)(K), X, X; \
	VAESENC (O+48)(K), X, X; \
	VAESENC (O+64)(K), X, X; \
	VAESENC (O+80)(K), X, X; \
	VAESENC (O+96)(K), X, X; \
	VAESENC (O+112)(K), X, X; \
	VAESENC (O+128)(K), X, X; \
	VAESENC (O+144)(K), X, X; \
	VAESENCLAST (O+160)(K), X, X

#define ENC14(K, O, X) \
	VPXOR (O+0)(K), X, X; \
	VAESENC (O+16)(K), X, X; \
	VAESENC (O+32)(K), X, X; \
	VAESENC (O+48)(K), X, X; \
	VAESENC (O+64)(K), X, X; \
	VAESENC (O+80)(K), X, X; \
	VAESENC (O+96)(K), X, X; \
	VAESENC (O+112)(K), X, X; \
	VAESENC (O+128)(K), X, X; \
	VAESENC (O+144)(K), X, X; \
	VAESENC (O+160)(K), X, X; \
	VAESENC (O+176)(K), X, X; \
	VAESENC (O+192)(K), X, X; \
	VAESENC (O+208)(K), X, X; \
	VAESENCLAST (O+224)(K), X, X

// Four blocks at once, X0 to X3.
#define WHITE4(M) VPXOR M, X0, X0; VPXOR M, X1, X1; VPXOR M, X2, X2; VPXOR M, X3, X3
#define ROUND4(M) VMOVDQU M, X4; VAESENC X4, X0, X0; VAESENC X4, X1, X1; VAESENC X4, X2, X2; VAESENC X4, X3, X3
#define LAST4(M) VMOVDQU M, X4; VAESENCLAST X4, X0, X0; VAESENCLAST X4, X1, X1; VAESENCLAST X4, X2, X2; VAESENCLAST X4, X3, X3

#define ROUNDS4_1TO9(K, O) \
	ROUND4((O+16)(K)); \
	ROUND4((O+32)(K)); \
	ROUND4((O+48)(K)); \
	ROUND4((O+64)(K)); \
	ROUND4((O+80)(K)); \
	ROUND4((O+96)(K)); \
	ROUND4((O+112)(K)); \
	ROUND4((O+128)(K)); \
	ROUND4((O+144)(K))

#define ENC10X4(K, O) \
	WHITE4((O+0)(K)); \
	ROUNDS4_1TO9(K, O); \
	LAST4((O+160)(K))

#define ENC14X4(K, O) \
	WHITE4((O+0)(K)); \
	ROUNDS4_1TO9(K, O); \
	ROUND4((O+160)(K)); \
	ROUND4((O+176)(K)); \
	ROUND4((O+192)(K)); \
	ROUND4((O+208)(K)); \
	LAST4((O+224)(K))

// DBL doubles D in GF(2^128) as CMAC does (RFC 5297, section 2.3), without a
// branch. SWAP holds ·swap; T and U are clobbered.
#define DBL(D, SWAP, T, U) \
	VPSHUFB SWAP, D, D; \
	VPSRLQ $63, D, T; \
	VPADDQ D, D, D; \
	VPSLLDQ $8, T, U; \
	VPOR U, D, D; \
	VPSRLDQ $8, T, T; \
	VPXOR U, U, U; \
	VPSUBQ T, U, T; \
	VPAND ·poly87(SB), T, T; \
	VPXOR T, D, D; \
	VPSHUFB SWAP, D, D

// LOADSMALL loads the CX octets at P, 0 to 15, into X and clears the rest. It
// reads nothing else, and clobbers AX, CX, DX and R12. L4 to LE are
// labels.
#define LOADSMALL(P, X, L4, L1, LE) \
	MOVQ CX, R12; \
	XORL AX, AX; \
	XORL DX, DX; \
	CMPQ R12, $8; \
	JLT L4; \
	MOVQ (P), AX; \
	MOVQ -8(P)(R12*1), DX; \
	SHLQ $3, CX; \
	NEGQ CX; \
	ADDQ $120, CX; \
	SHRQ $8, DX; \
	SHRQ CX, DX; \
	JMP LE; \
L4: \
	CMPQ R12, $4; \
	JLT L1; \
	MOVL (P), AX; \
	MOVL -4(P)(R12*1), DX; \
	SHLQ $3, CX; \
	SUBQ $32, CX; \
	SHLQ CX, DX; \
	ORQ DX, AX; \
	XORL DX, DX; \
	JMP LE; \
L1: \
	TESTQ R12, R12; \
	JEQ LE; \
	MOVBLZX -1(P)(R12*1), AX; \
	LEAQ -8(CX*8), CX; \
	SHLQ CX, AX; \
	MOVQ R12, CX; \
	SHRQ $1, CX; \
	MOVBLZX (P)(CX*1), DX; \
	SHLQ $3, CX; \
	SHLQ CX, DX; \
	ORQ DX, AX; \
	MOVBLZX (P), DX; \
	ORQ DX, AX; \
	XORL DX, DX; \
LE: \
	VMOVQ AX, X; \
	VPINSRQ $1, DX, X, X

// STORESMALL stores the first CX octets of X, 0 to 15, at P, and clobbers X, P
// and AX.
#define STORESMALL(P, X, L4, L2, L1, LE) \
	TESTQ $8, CX; \
	JEQ L4; \
	VMOVQ X, (P); \
	VPSRLDQ $8, X, X; \
	ADDQ $8, P; \
L4: \
	TESTQ $4, CX; \
	JEQ L2; \
	VMOVD X, (P); \
	VPSRLDQ $4, X, X; \
	ADDQ $4, P; \
L2: \
	VMOVD X, AX; \
	TESTQ $2, CX; \
	JEQ L1; \
	MOVW AX, (P); \
	SHRL $16, AX; \
	ADDQ $2, P; \
L1: \
	TESTQ $1, CX; \
	JEQ LE; \
	MOVB AX, (P); \
LE:

// CTRSIV loads the registers for ctr_amd64.h. Bit 63 is cleared, so that the low
// half of the counter never overflows.
#define CTRSIV \
	MOVQ k+0(FP), BX; \
	MOVQ v+8(FP), AX; \
	MOVQ dst_base+16(FP), DI; \
	MOVQ src_base+40(FP), SI; \
	MOVQ src_len+48(FP), CX; \
	VMOVDQU ·swap(SB), X6; \
	VMOVDQU ·one(SB), X7; \
	VMOVDQU (AX), X5; \
	VPSHUFB X6, X5, X5; \
	VPAND ·sivMask(SB), X5, X5
