//go:build !linux

package doctor

import (
	"errors"
	"io/fs"
)

func owner(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }

func stampsOf(string) (stamps, error) { return stamps{}, errors.ErrUnsupported }
