package main

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// counter counts answers at tc ingress and drops them there, except for one in
// sampleEvery: those pass to a socket, to be verified.
type counter struct {
	m *ebpf.Map
	l link.Link
}

const sampleEvery = 512

func attachCounter(ifindex, minLen int) (*counter, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 2})
	if err != nil {
		return nil, err
	}
	next := int32(-1)
	ins := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, 76, asm.Word),
		asm.LoadMem(asm.R8, asm.R6, 80, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.Add.Imm(asm.R2, 90),
		asm.JGT.Reg(asm.R2, asm.R8, "pass"),
		asm.LoadMem(asm.R3, asm.R7, 12, asm.Half),
		asm.JNE.Imm(asm.R3, 0x0008, "pass"),
		asm.LoadMem(asm.R3, asm.R7, 23, asm.Byte),
		asm.JNE.Imm(asm.R3, 17, "pass"),
		asm.LoadMem(asm.R3, asm.R7, 34, asm.Half),
		asm.JNE.Imm(asm.R3, 0x7b00, "pass"),
		asm.Mov.Imm(asm.R9, 1), // slot 1: malformed or too short
		asm.LoadMem(asm.R3, asm.R7, 42, asm.Byte),
		asm.And.Imm(asm.R3, 7),
		asm.JNE.Imm(asm.R3, 4, "count"),
		asm.LoadMem(asm.R3, asm.R6, 0, asm.Word),
		asm.JLT.Imm(asm.R3, int32(minLen), "count"),
		asm.Mov.Imm(asm.R9, 0),
		asm.StoreMem(asm.RFP, -4, asm.R9, asm.Word).WithSymbol("count"),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.And.Imm(asm.R1, sampleEvery-1),
		asm.JEq.Imm(asm.R1, 0, "pass"),
		asm.Mov.Imm(asm.R0, 2),
		asm.Return(),
		asm.Mov.Imm(asm.R0, next).WithSymbol("pass"),
		asm.Return(),
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: ins, License: "GPL"})
	if err != nil {
		return nil, err
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: p, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		return nil, err
	}
	return &counter{m, l}, nil
}

func (c *counter) read() (good, bad uint64) {
	for k, dst := range []*uint64{&good, &bad} {
		var v []uint64
		if c.m.Lookup(uint32(k), &v) == nil {
			for _, x := range v {
				*dst += x
			}
		}
	}
	return
}
