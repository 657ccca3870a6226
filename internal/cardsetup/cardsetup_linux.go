package cardsetup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"noonmark/internal/privileges"
	"noonmark/server/transport/sockets"
)

// Helper is the processes, seen by ntsserve, and the task that says whether they work.
// Its methods may be called from any goroutine.
type Helper struct {
	cmd   *exec.Cmd     // ntsserve-keeper; nil: it could not be started
	ends  *os.File      // where it reports each end of ntsserve-cards
	ended chan struct{} // closed when it has ended itself

	asking sync.Mutex // one question at a time
	fd     int        // of questions; -1: closed
	number uint32     // of the last question

	mu     sync.Mutex
	lost   error         // why a restart of ntsserve is needed; nil: it is not
	down   error         // why no card can be set up now; nil: they can
	closed bool          // what ends now ends as it should
	failed chan error    // why the task fails
	ready  chan struct{} // of the next or present run
}

// answerWithin is how long an answer may take: some drivers restart their link.
const answerWithin = 5 * time.Second

// Start starts the processes, while this one still has CAP_NET_ADMIN. They become user,
// if that is not nil and root starts them. The error says why no card can be set up; the
// task says it too.
func Start(user *privileges.User) (*Helper, error) {
	h := &Helper{fd: -1, ended: make(chan struct{}), failed: make(chan error, 1)}
	err := h.start(user)
	if err != nil {
		close(h.ended)
		err = fmt.Errorf("%w (start %s: %w)", ErrLost, Argument, err)
		h.lost, h.down = err, err
		return h, err
	}
	return h, h.probe()
}

func (h *Helper) start(user *privileges.User) error {
	// A packet is a question or an answer, and the end of one side is seen by the other.
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "cards")
	defer theirs.Close() // so that its end is seen here
	ends, report, err := os.Pipe()
	if err != nil {
		syscall.Close(fds[0])
		return err
	}
	defer report.Close()
	args := []string{Argument}
	if user != nil && os.Geteuid() == 0 {
		args = append(args, strconv.Itoa(user.UID), strconv.Itoa(user.GID))
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.ExtraFiles = []*os.File{theirs, report}
	cmd.Stderr = os.Stderr
	// It does not speak for the daemon to the service manager.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_") || strings.HasPrefix(v, "LISTEN_")
	})
	if err := cmd.Start(); err != nil {
		syscall.Close(fds[0])
		ends.Close()
		return err
	}
	h.cmd, h.ends, h.fd = cmd, ends, fds[0]
	go h.watch()
	return nil
}

// watch notes each end of ntsserve-cards, and the end of ntsserve-keeper.
func (h *Helper) watch() {
	defer close(h.ended)
	var b [4]byte
	for {
		if _, err := io.ReadFull(h.ends, b[:]); err != nil {
			break
		}
		h.fails(fmt.Errorf("%w (%s)", ErrEnded, describe(syscall.WaitStatus(binary.NativeEndian.Uint32(b[:])))))
	}
	h.ends.Close()   // once more after Close
	_ = h.cmd.Wait() // its state says how it ended
	h.loses(fmt.Errorf("%w (%s)", ErrAlone, h.cmd.ProcessState))
}

// describe says how a process has ended.
func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "signal: " + s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// fails notes why no card can be set up now. Once nothing but a restart of ntsserve
// helps, that remains the reason.
func (h *Helper) fails(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if errors.Is(h.lost, ErrLost) {
		err = h.lost
	}
	h.down = err
	select {
	case h.failed <- err:
	default: // the task has an earlier failure, and asks after it
	}
}

// loses notes why ntsserve has to be restarted. ntsserve-cards may still work.
func (h *Helper) loses(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if h.lost == nil { // both may be gone already
		h.lost = err
	}
	select {
	case h.failed <- err:
	default:
	}
}

// PID is the number of ntsserve-keeper; 0 if it could not be started.
func (h *Helper) PID() int {
	if h.cmd == nil {
		return 0
	}
	return h.cmd.Process.Pid
}

// String names the task in logs.
func (h *Helper) String() string { return "card setup" }

// Ready returns a channel that is closed once the next run has seen that cards can be set
// up, or that only a restart of ntsserve helps.
func (h *Helper) Ready() <-chan struct{} {
	h.ready = make(chan struct{})
	return h.ready
}

// Waiting returns why ntsserve has to be restarted, nil if it has not.
func (h *Helper) Waiting() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// Run ends with an error when ntsserve-cards has ended or does not answer; the next run
// asks whether it works again, unless no process is left.
func (h *Helper) Run(ctx context.Context) error {
	if !errors.Is(h.Waiting(), ErrLost) {
		if err := h.probe(); err != nil {
			return err
		}
	}
	close(h.ready)
	select {
	case <-ctx.Done():
		return nil
	case err := <-h.failed:
		return err
	}
}

// Widen lets ntsserve-cards do what sockets.Widen does. Its errors are those of the
// system, or of this package.
func (h *Helper) Widen(name string) (sockets.Setting, error) {
	if !validName(name) {
		return sockets.Setting{}, os.NewSyscallError("ioctl SIOCSHWTSTAMP", syscall.EINVAL)
	}
	h.mu.Lock()
	down := h.down
	h.mu.Unlock()
	if down != nil {
		return sockets.Setting{}, down
	}
	s, err := h.ask(name)
	if err != nil && !errors.As(err, new(syscall.Errno)) {
		h.fails(err)
	}
	return s, err
}

// probe asks whether ntsserve-cards works: it refuses a name that is none.
func (h *Helper) probe() error {
	_, err := h.ask(".")
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.Is(err, syscall.EINVAL):
		h.down = nil
		return nil
	case errors.Is(err, ErrNoAnswer) && errors.Is(h.down, ErrEnded):
		return h.down // it is not back yet
	}
	return err
}

// ask sends a question and waits for its answer. Answers to earlier questions, which
// came too late, are dropped.
func (h *Helper) ask(name string) (sockets.Setting, error) {
	h.asking.Lock()
	defer h.asking.Unlock()
	var none sockets.Setting
	if h.fd < 0 {
		return none, ErrLost
	}
	h.number++
	until := time.Now().Add(answerWithin)
	if err := syscall.Sendto(h.fd, appendQuestion(nil, h.number, name), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, nil); err != nil {
		return none, h.lostOr(err)
	}
	var b [answerLen + 1]byte
	for {
		left := time.Until(until)
		if left <= 0 { // however many other answers come
			return none, ErrNoAnswer
		}
		limit := syscall.NsecToTimeval(int64(max(left, time.Microsecond)))
		if err := syscall.SetsockoptTimeval(h.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit); err != nil {
			return none, h.lostOr(err)
		}
		n, err := readPacket(h.fd, b[:])
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != nil {
			return none, h.lostOr(err)
		}
		number, s, errno, err := parseAnswer(b[:n])
		switch {
		case err != nil || number != h.number:
		case errno != 0:
			return none, os.NewSyscallError("ioctl SIOCSHWTSTAMP", syscall.Errno(errno))
		default:
			return s, nil
		}
	}
}

// lostOr turns an error of the socket into one of this package: it is no error of a card.
// Other errors than a missing answer mean that no process is left.
func (h *Helper) lostOr(err error) error {
	if errors.Is(err, syscall.EAGAIN) {
		return ErrNoAnswer
	}
	err = fmt.Errorf("%w (%v)", ErrLost, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.lost, h.down = err, err
	}
	return err
}

// readPacket reads one packet.
func readPacket(fd int, b []byte) (n int, err error) {
	for {
		if n, err = syscall.Read(fd, b); err != syscall.EINTR {
			return n, err
		}
	}
}

// Close ends the processes and waits for them, but not for a driver that hangs.
func (h *Helper) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	if h.ends != nil {
		h.ends.Close() // before the socket, so that ntsserve-cards is not started again
	}
	h.asking.Lock()
	if h.fd >= 0 {
		syscall.Close(h.fd)
		h.fd = -1
	}
	h.asking.Unlock()
	select {
	case <-h.ended:
	case <-time.After(answerWithin):
	}
}
