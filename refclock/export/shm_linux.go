package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// shmKey is the System V key of unit 0 ("NTP0", ntpd's refclock_shm.c).
const shmKey = 0x4e545030

// shmLayout holds the offsets of struct shmTime (ntpd's refclock_shm.c) for one
// size of C long.
type shmLayout struct {
	mode, count, clockSec, clockUsec, recvSec, recvUsec, leap, precision, nsamples, valid, clockNsec, recvNsec, size int
}

var (
	shm64 = shmLayout{0, 4, 8, 16, 24, 32, 36, 40, 44, 48, 52, 56, 96}
	shm32 = shmLayout{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 80}
)

// SHM feeds the NTP shared-memory reference clock that ntpd, chronyd and
// others read.
type SHM struct {
	unit  int
	mem   []byte
	l     shmLayout
	fence atomic.Uint32
}

// NewSHM attaches the segment of a unit and creates it if it does not exist: with
// mode 0600 for units 0 and 1, as ntpd does, and 0666 for others.
func NewSHM(unit int) (*SHM, error) {
	if unit < 0 || unit > 255 {
		return nil, fmt.Errorf("open NTP SHM: unit %d is not in 0 to 255", unit)
	}
	l, perm := shm64, 0o666
	if strconv.IntSize == 32 {
		l = shm32
	}
	if unit < 2 {
		perm = 0o600
	}
	id, err := unix.SysvShmGet(shmKey+unit, l.size, unix.IPC_CREAT|perm)
	if err != nil {
		hint := "if a segment of another size exists, remove it with ipcrm"
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			hint = "units 0 and 1 are for root; use unit 2 or above, or run as the segment's owner"
		}
		return nil, wrap("NTP SHM unit", strconv.Itoa(unit), hint, err)
	}
	mem, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return nil, wrap("NTP SHM unit", strconv.Itoa(unit), "see ipcs -m", err)
	}
	if len(mem) < l.size {
		return nil, errors.Join(fmt.Errorf("NTP SHM unit %d: segment has %d octets, want %d; remove it with ipcrm", unit, len(mem), l.size), unix.SysvShmDetach(mem))
	}
	return &SHM{unit: unit, mem: mem, l: l}, nil
}

func (s *SHM) String() string { return "NTP SHM unit " + strconv.Itoa(s.unit) }

// Close detaches the segment, which stays for its readers.
func (s *SHM) Close() error { return unix.SysvShmDetach(s.mem) }

// Export writes one sample in mode 1 of the segment: the counter changes before and
// after, so that a reader that overlaps notices.
func (s *SHM) Export(sm Sample) error {
	s.u32(s.l.mode, 1)
	s.u32(s.l.valid, 0)
	s.bump()
	s.long(s.l.clockSec, sm.True/1e9)
	s.u32(s.l.clockUsec, uint32(sm.True%1e9/1e3))
	s.u32(s.l.clockNsec, uint32(sm.True%1e9))
	s.long(s.l.recvSec, sm.Real/1e9)
	s.u32(s.l.recvUsec, uint32(sm.Real%1e9/1e3))
	s.u32(s.l.recvNsec, uint32(sm.Real%1e9))
	s.u32(s.l.leap, uint32(sm.Leap))
	s.u32(s.l.precision, uint32(precision(sm)))
	s.u32(s.l.nsamples, 0)
	s.bump()
	s.u32(s.l.valid, 1)
	s.fence.Add(1)
	return nil
}

// bump changes the counter between two full barriers, because the fields are plain
// memory and their order matters. An atomic add is a barrier on every
// architecture.
func (s *SHM) bump() {
	s.fence.Add(1)
	s.u32(s.l.count, binary.NativeEndian.Uint32(s.mem[s.l.count:])+1)
	s.fence.Add(1)
}

func (s *SHM) u32(off int, v uint32) { binary.NativeEndian.PutUint32(s.mem[off:], v) }

func (s *SHM) long(off int, v int64) {
	if strconv.IntSize == 32 {
		s.u32(off, uint32(v))
		return
	}
	binary.NativeEndian.PutUint64(s.mem[off:], uint64(v))
}
