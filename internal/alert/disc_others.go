//go:build !linux

package alert

import "errors"

func discOf(string) (Disc, error) { return Disc{}, errors.ErrUnsupported }
