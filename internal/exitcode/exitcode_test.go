package exitcode

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"
)

// wrong is an error type that names its own exit code.
type wrong struct{ cause error }

func (e wrong) Error() string        { return "wrong" }
func (e wrong) Unwrap() error        { return e.cause }
func (e wrong) Is(target error) bool { return target == ErrConfig }

func TestExitCodeOfAnError(t *testing.T) {
	t.Parallel()
	_, missing := os.Open("/nonexistent/device")
	for _, tt := range []struct {
		err  error
		code int
	}{
		{errors.New("something"), Software},
		{fmt.Errorf("%w: -x is not known", ErrUsage), Usage},
		{fmt.Errorf("open: %w", syscall.EACCES), Permission},
		{fmt.Errorf("adjust: %w", syscall.EPERM), Permission},
		{wrong{fs.ErrPermission}, Permission},
		{wrong{fs.ErrNotExist}, Config},
		{errors.Join(errors.New("more"), wrong{nil}), Config},
		{missing, Unavailable},
		{&net.OpError{Op: "listen", Err: syscall.EADDRINUSE}, Unavailable},
		{fmt.Errorf("open: %w", syscall.ENODEV), Unavailable},
		{fmt.Errorf("ask: %w", ErrUnavailable), Unavailable},
		{nil, OK},
	} {
		if got := Of(tt.err); got != tt.code {
			t.Errorf("exit code of %v is %d, want %d", tt.err, got, tt.code)
		}
	}
}
