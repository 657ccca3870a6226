//go:build !linux

package doctor

import (
	"errors"
	"io/fs"
)

func owner(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }

func (hardware) Stamping(string) (Stamping, error) { return Stamping{}, errors.ErrUnsupported }
