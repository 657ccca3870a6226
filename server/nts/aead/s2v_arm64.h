// The body of s2v128 and s2v256; they differ in ENC(X). The round keys are in
// V16 and up.
//
// R0 key, V15 D, R1 and R2 the rest of a component, R3 its length, R4 ·tails+16,
// R5 whether the nonce follows.
	VLD1 (R9), [V15.B16] // zero
	VEOR V31.B16, V31.B16, V31.B16
	MOVD $·poly87(SB), R6
	VLD1 (R6), [V13.B16]
	MOVD $·tails(SB), R4
	ADD $16, R4
	MOVD ad_base+16(FP), R1
	MOVD ad_len+24(FP), R2
	MOVD nonce_len+48(FP), R5
component:
	MOVD R2, R3
	VEOR V0.B16, V0.B16, V0.B16
	CMP $16, R2
	BLE last
blocks:
	VLD1.P 16(R1), [V1.B16]
	VEOR V1.B16, V0.B16, V0.B16
	ENC(V0)
	SUB $16, R2
	CMP $16, R2
	BGT blocks
last:
	BEQ whole
	CMP $16, R3
	BLT short
	// The last 1 to 15 octets, moved to the front of a block.
	ADD R2, R1, R6
	SUB $16, R6
	VLD1 (R6), [V1.B16]
	SUB R2, R4, R6
	ADD $16, R6
	VLD1 (R6), [V2.B16]
	VTBL V2.B16, [V1.B16], V1.B16
	JMP padded
short:
	LOADSMALL(R1, V1, short4, short1, shortEnd)
	SUB R2, R4, R6
	ADD $16, R6
padded:
	ADD $32, R6
	VLD1 (R6), [V2.B16] // 10*
	VEOR V2.B16, V1.B16, V1.B16
	VEOR V12.B16, V1.B16, V1.B16
	JMP mac
whole:
	VLD1 (R1), [V1.B16]
	VEOR V11.B16, V1.B16, V1.B16
mac:
	VEOR V1.B16, V0.B16, V0.B16
	ENC(V0)
	DBL(V15, V2, V3)
	VEOR V0.B16, V15.B16, V15.B16
	CBZ R5, plaintext
	MOVD nonce_base+40(FP), R1
	MOVD R5, R2
	MOVD ZR, R5
	JMP component

plaintext:
	MOVD pt_base+64(FP), R1
	MOVD pt_len+72(FP), R2
	VEOR V0.B16, V0.B16, V0.B16
	CMP $16, R2
	BLT less
	// All blocks that D does not touch.
	CMP $32, R2
	BLT end
free:
	VLD1.P 16(R1), [V1.B16]
	VEOR V1.B16, V0.B16, V0.B16
	ENC(V0)
	SUB $16, R2
	CMP $32, R2
	BGE free
end:
	// 16 to 31 octets are left; D covers the last 16 (xorend).
	SUB $16, R2
	ADD R2, R1, R6
	VLD1 (R6), [V1.B16]
	VEOR V15.B16, V1.B16, V1.B16
	CBZ R2, aligned
	SUB R2, R4, R6
	VLD1 (R6), [V2.B16]
	VTBL V2.B16, [V15.B16], V2.B16 // D moved up by R2 octets
	VLD1 (R1), [V3.B16]
	VEOR V3.B16, V2.B16, V2.B16
	VEOR V2.B16, V0.B16, V0.B16
	ENC(V0)
	ADD $16, R6
	VLD1 (R6), [V2.B16]
	VTBL V2.B16, [V1.B16], V1.B16
	ADD $32, R6
	VLD1 (R6), [V2.B16]
	VEOR V2.B16, V1.B16, V1.B16
	VEOR V12.B16, V1.B16, V1.B16
	JMP final
aligned:
	VEOR V11.B16, V1.B16, V1.B16
	JMP final
less:
	LOADSMALL(R1, V1, less4, less1, lessEnd)
	SUB R2, R4, R6
	ADD $48, R6
	VLD1 (R6), [V2.B16]
	VEOR V2.B16, V1.B16, V1.B16
	DBL(V15, V2, V3)
	VEOR V15.B16, V1.B16, V1.B16
	VEOR V11.B16, V1.B16, V1.B16
final:
	VEOR V1.B16, V0.B16, V0.B16
	ENC(V0)
	MOVD v+8(FP), R6
	VST1 [V0.B16], (R6)
	RET
