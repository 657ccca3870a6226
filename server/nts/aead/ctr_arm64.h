// The body of the CTR functions. V5 has the counter in the order in which
// NEXT counts it, V6 ·swap, V7 one; NEXT(X) puts the next counter block into X.
// R1, R0, R2: source, destination, octets left. The round keys are in V16 and
// up.
	CMP $64, R2
	BLT single
four:
	NEXT(V0)
	NEXT(V1)
	NEXT(V2)
	NEXT(V3)
	ENC4
	VLD1.P 64(R1), [V8.B16, V9.B16, V10.B16, V11.B16]
	VEOR V8.B16, V0.B16, V0.B16
	VEOR V9.B16, V1.B16, V1.B16
	VEOR V10.B16, V2.B16, V2.B16
	VEOR V11.B16, V3.B16, V3.B16
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
	SUB $64, R2
	CMP $64, R2
	BGE four
single:
	CMP $16, R2
	BLT tail
one:
	NEXT(V0)
	ENC(V0)
	VLD1.P 16(R1), [V8.B16]
	VEOR V8.B16, V0.B16, V0.B16
	VST1.P [V0.B16], 16(R0)
	SUB $16, R2
	CMP $16, R2
	BGE one
tail:
	CBZ R2, done
	NEXT(V0)
	ENC(V0)
	LOADSMALL(R1, V1, load4, load1, loadEnd)
	VEOR V1.B16, V0.B16, V0.B16
	STORESMALL(R0, V0, store4, store2, store1, storeEnd)
done:
	RET
