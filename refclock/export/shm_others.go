//go:build !linux

package export

import "errors"

// SHM is the NTP shared-memory exporter; it exists on Linux only.
type SHM struct{}

// NewSHM fails: there is no shared-memory exporter on this system.
func NewSHM(unit int) (*SHM, error) {
	return nil, errors.New("NTP SHM is supported on Linux only")
}

func (s *SHM) String() string      { return "NTP SHM" }
func (s *SHM) Export(Sample) error { return errors.ErrUnsupported }
func (s *SHM) Close() error        { return nil }
