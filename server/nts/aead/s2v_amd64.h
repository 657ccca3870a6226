// The body of s2v128 and s2v256; they differ in ENC(K, O, X).
//
// The chains of the components follow each other in the code, but are independent:
// the processor executes them in parallel.
//
// BX key, X15 D, X14 byte swap, SI and CX the rest of a component, R11 its
// length, R10 ·tail, R9 whether the nonce follows.
	MOVQ k+0(FP), BX
	LEAQ ·tails+16(SB), R10
	VMOVDQU ·swap(SB), X14
	VMOVDQU ZERO(BX), X15
	MOVQ ad_base+16(FP), SI
	MOVQ ad_len+24(FP), CX
	MOVQ nonce_len+48(FP), R9
component:
	MOVQ CX, R11
	VPXOR X0, X0, X0
	CMPQ CX, $16
	JLE last
blocks:
	VPXOR (SI), X0, X0
	ENC(BX, MAC, X0)
	ADDQ $16, SI
	SUBQ $16, CX
	CMPQ CX, $16
	JGT blocks
last:
	JEQ whole
	CMPQ R11, $16
	JLT short
	// The last 1 to 15 octets, moved to the front of a block.
	MOVQ $16, R12
	SUBQ CX, R12
	VMOVDQU -16(SI)(CX*1), X1
	VPSHUFB (R10)(R12*1), X1, X1
	JMP padded
short:
	LOADSMALL(SI, X1, short4, short1, shortEnd)
	NEGQ R12
	ADDQ $16, R12
padded:
	VPXOR 32(R10)(R12*1), X1, X1 // 10*
	VPXOR K2(BX), X1, X1
	JMP mac
whole:
	VMOVDQU K1(BX), X1
	VPXOR (SI), X1, X1
mac:
	VPXOR X1, X0, X0
	ENC(BX, MAC, X0)
	DBL(X15, X14, X2, X3)
	VPXOR X0, X15, X15
	TESTQ R9, R9
	JEQ plaintext
	MOVQ nonce_base+40(FP), SI
	MOVQ R9, CX
	XORL R9, R9
	JMP component

plaintext:
	MOVQ pt_base+64(FP), SI
	MOVQ pt_len+72(FP), CX
	VPXOR X0, X0, X0
	CMPQ CX, $16
	JLT less
	// All blocks that D does not touch.
	CMPQ CX, $32
	JLT end
free:
	VPXOR (SI), X0, X0
	ENC(BX, MAC, X0)
	ADDQ $16, SI
	SUBQ $16, CX
	CMPQ CX, $32
	JGE free
end:
	// 16 to 31 octets are left; D covers the last 16 (xorend).
	VPXOR -16(SI)(CX*1), X15, X1
	SUBQ $16, CX
	JEQ aligned
	MOVQ $16, R12
	SUBQ CX, R12
	VPSHUFB -16(R10)(R12*1), X15, X2 // D moved up by CX octets
	VPXOR (SI), X2, X2
	VPXOR X2, X0, X0
	ENC(BX, MAC, X0)
	VPSHUFB (R10)(R12*1), X1, X1
	VPXOR 32(R10)(R12*1), X1, X1
	VPXOR K2(BX), X1, X1
	JMP final
aligned:
	VPXOR K1(BX), X1, X1
	JMP final
less:
	LOADSMALL(SI, X1, less4, less1, lessEnd)
	NEGQ R12
	ADDQ $16, R12
	VPXOR 32(R10)(R12*1), X1, X1
	DBL(X15, X14, X2, X3)
	VPXOR X15, X1, X1
	VPXOR K1(BX), X1, X1
final:
	VPXOR X1, X0, X0
	ENC(BX, MAC, X0)
	MOVQ v+8(FP), DI
	VMOVDQU X0, (DI)
	RET
