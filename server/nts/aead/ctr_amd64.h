// The body of the CTR functions. BX+KEYS has the round keys, X5 the counter in
// the order in which NEXT counts it, X6 ·swap; NEXT(X) puts the next counter
// block into X. SI, DI, CX: source, destination, octets left.
	CMPQ CX, $64
	JLT single
four:
	NEXT(X0)
	NEXT(X1)
	NEXT(X2)
	NEXT(X3)
	ENC4(BX, KEYS)
	VPXOR (SI), X0, X0
	VPXOR 16(SI), X1, X1
	VPXOR 32(SI), X2, X2
	VPXOR 48(SI), X3, X3
	VMOVDQU X0, (DI)
	VMOVDQU X1, 16(DI)
	VMOVDQU X2, 32(DI)
	VMOVDQU X3, 48(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $64, CX
	CMPQ CX, $64
	JGE four
single:
	CMPQ CX, $16
	JLT tail
one:
	NEXT(X0)
	ENC(BX, KEYS, X0)
	VPXOR (SI), X0, X0
	VMOVDQU X0, (DI)
	ADDQ $16, SI
	ADDQ $16, DI
	SUBQ $16, CX
	CMPQ CX, $16
	JGE one
tail:
	TESTQ CX, CX
	JEQ done
	NEXT(X0)
	ENC(BX, KEYS, X0)
	MOVQ CX, R8
	LOADSMALL(SI, X1, load4, load1, loadEnd)
	VPXOR X1, X0, X0
	MOVQ R8, CX
	STORESMALL(DI, X0, store4, store2, store1, storeEnd)
done:
	RET
