package cardsetup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/internal/privileges"
	"noonmark/server/transport/sockets"
)

// Helper is the process, seen by ntsserve. Its methods may be called from any
// goroutine.
type Helper struct {
	mu    sync.Mutex
	fd    int // -1: it has ended
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// answerWithin is how long the process may take: some drivers restart their link.
const answerWithin = 5 * time.Second

// Start starts the process, while this one still has CAP_NET_ADMIN. It becomes user, if
// that is not nil and root starts it. lost is called, from another goroutine, if the
// process ends by itself while nobody asks it; whoever asks gets ErrEnded.
func Start(user *privileges.User, lost func(error)) (*Helper, error) {
	fail := func(err error) (*Helper, error) { return nil, fmt.Errorf("start %s: %w", Argument, err) }
	// A packet is a question or an answer, and the end of one side is seen by the other.
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(os.NewSyscallError("socketpair", err))
	}
	theirs := os.NewFile(uintptr(fds[1]), "cards")
	limit := syscall.NsecToTimeval(int64(answerWithin))
	args := []string{Argument}
	if user != nil && os.Geteuid() == 0 {
		args = append(args, strconv.Itoa(user.UID), strconv.Itoa(user.GID))
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	// It does not speak for the daemon to the service manager.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_") || strings.HasPrefix(v, "LISTEN_")
	})
	err = os.NewSyscallError("setsockopt", syscall.SetsockoptTimeval(fds[0], syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit))
	if err == nil {
		err = cmd.Start()
	}
	theirs.Close() // so that its end is seen here
	if err != nil {
		syscall.Close(fds[0])
		return fail(err)
	}
	h := &Helper{fd: fds[0], cmd: cmd, ended: make(chan struct{})}
	h.mu.Lock() // if it ends now, that is the error of Start and nothing that was lost
	go h.wait(lost)
	_, err = h.ask(".")
	h.mu.Unlock()
	if !errors.Is(err, syscall.EINVAL) { // it is ready once it has refused this
		h.Close()
		return fail(err)
	}
	return h, nil
}

// PID is the number of the process.
func (h *Helper) PID() int { return h.cmd.Process.Pid }

// Widen lets the process do what sockets.Widen does. Its errors are those of the
// system, or wrap ErrEnded.
func (h *Helper) Widen(name string) (sockets.Setting, error) {
	if !validName(name) {
		return sockets.Setting{}, os.NewSyscallError("ioctl SIOCSHWTSTAMP", syscall.EINVAL)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ask(name)
}

// ask sends a question and waits for the answer. After a failure there is no other:
// an answer that comes too late must not be taken for that to a later question.
func (h *Helper) ask(name string) (s sockets.Setting, err error) {
	if h.fd < 0 {
		return s, ErrEnded
	}
	var b [answerLen + 1]byte
	n, err := syscall.Write(h.fd, []byte(name))
	if err == nil {
		n, err = readPacket(h.fd, b[:])
	}
	var errno uint32
	if err == nil {
		s, errno, err = parseAnswer(b[:n])
	}
	if err != nil {
		h.end()
		return s, fmt.Errorf("%w (%w)", ErrEnded, err)
	}
	if errno != 0 {
		return s, os.NewSyscallError("ioctl SIOCSHWTSTAMP", syscall.Errno(errno))
	}
	return s, nil
}

// readPacket reads one packet.
func readPacket(fd int, b []byte) (n int, err error) {
	for {
		if n, err = syscall.Read(fd, b); err != syscall.EINTR {
			return n, err
		}
	}
}

// end closes the socket, which ends the process.
func (h *Helper) end() {
	if h.fd >= 0 {
		syscall.Close(h.fd)
		h.fd = -1
	}
}

// wait waits for the end of the process.
func (h *Helper) wait(lost func(error)) {
	_ = h.cmd.Wait() // its state says how it ended
	h.mu.Lock()
	unexpected := h.fd >= 0
	h.end()
	h.mu.Unlock()
	if unexpected {
		lost(fmt.Errorf("%w (%s)", ErrEnded, h.cmd.ProcessState))
	}
	close(h.ended)
}

// Close ends the process and waits for it.
func (h *Helper) Close() {
	h.mu.Lock()
	h.end()
	h.mu.Unlock()
	<-h.ended
}

// pause follows each question: a process that has been taken over cannot keep drivers
// busy.
const pause = 100 * time.Millisecond

// Main is the process, from its arguments after Argument to its exit code. It answers
// on descriptor 3 until the other end is closed.
func Main(args []string) int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP) // it ends with ntsserve
	runtime.GOMAXPROCS(1)
	_ = os.WriteFile("/proc/self/comm", []byte("ntsserve-cards"), 0) // its name in lists of processes
	const fd = 3
	var user *privileges.User
	if len(args) == 2 {
		uid, err1 := strconv.Atoi(args[0])
		gid, err2 := strconv.Atoi(args[1])
		if err := errors.Join(err1, err2); err != nil {
			return exitcode.Usage
		}
		user = &privileges.User{UID: uid, GID: gid}
	}
	if t, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE); err != nil || t != syscall.SOCK_SEQPACKET {
		fmt.Fprintln(os.Stderr, Argument+" is for ntsserve only, which starts it")
		return exitcode.Usage
	}
	if err := privileges.KeepNetAdmin(user); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", Argument, err)
		return exitcode.Permission
	}
	var b [maxName + 1]byte
	for {
		n, err := readPacket(fd, b[:])
		if n <= 0 || err != nil {
			return exitcode.OK
		}
		var s sockets.Setting
		errno := syscall.EINVAL
		if name := string(b[:n]); validName(name) {
			s, errno = widen(name)
			time.Sleep(pause)
		}
		if _, err := syscall.Write(fd, appendAnswer(nil, s, uint32(errno))); err != nil {
			return exitcode.OK
		}
	}
}

// widen changes one card. An error that is not the system's becomes EIO.
func widen(name string) (sockets.Setting, syscall.Errno) {
	s, err := sockets.Widen(name)
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		errno = syscall.EIO
	}
	return s, errno
}
