//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
)

func hwtstamp(context.Context, []string, io.Writer) error { return errors.ErrUnsupported }

func txstamp(context.Context, []string, io.Writer) error { return errors.ErrUnsupported }
