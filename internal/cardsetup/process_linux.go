package cardsetup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/internal/privileges"
	"noonmark/server/transport/sockets"
)

// workArgument is the second argument of ntsserve-cards.
const workArgument = "work"

// Descriptors of the processes.
const (
	questions = 3 // the socket to ntsserve
	endings   = 4 // of ntsserve-keeper: the pipe for the ends of ntsserve-cards
)

const (
	// pause follows each question: a process that has been taken over cannot keep
	// drivers busy.
	pause = 100 * time.Millisecond
	// firstDelay is the delay before ntsserve-cards is started again. It doubles up to
	// maxDelay while runs are shorter than that, so that one that cannot work takes no
	// time from the processes that answer.
	firstDelay = time.Second
	maxDelay   = 10 * time.Second
	// startFailed is the wait status of a process that could not be started: exit
	// status 127, as of a shell.
	startFailed = 127 << 8
)

// Main is both processes, from their arguments after Argument to their exit codes. They
// end when ntsserve has closed its ends of socket and pipe.
func Main(args []string) int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP) // they end with ntsserve
	runtime.GOMAXPROCS(1)
	if t, err := syscall.GetsockoptInt(questions, syscall.SOL_SOCKET, syscall.SO_TYPE); err != nil || t != syscall.SOCK_SEQPACKET {
		fmt.Fprintln(os.Stderr, Argument+" is for ntsserve only, which starts it")
		return exitcode.Usage
	}
	if slices.Equal(args, []string{workArgument}) {
		return work()
	}
	return keep(args)
}

// keep is ntsserve-keeper. It keeps the capability, with which it starts ntsserve-cards,
// and reads nothing that another process sends.
func keep(args []string) int {
	_ = os.WriteFile("/proc/self/comm", []byte("ntsserve-keeper"), 0) // its name in lists of processes
	var user *privileges.User
	if len(args) == 2 {
		uid, err1 := strconv.Atoi(args[0])
		gid, err2 := strconv.Atoi(args[1])
		if err := errors.Join(err1, err2); err != nil {
			return exitcode.Usage
		}
		user = &privileges.User{UID: uid, GID: gid}
	}
	if err := privileges.KeepNetAdmin(user); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", Argument, err)
		return exitcode.Permission
	}
	syscall.CloseOnExec(endings)
	socket := os.NewFile(questions, "cards")
	defer socket.Close()
	var s starts
	for {
		begun := time.Now()
		status := runWorker(socket, s.mayLog())
		if _, err := syscall.Write(endings, binary.NativeEndian.AppendUint32(nil, status)); err != nil {
			return exitcode.OK // ntsserve has ended
		}
		if endsWithin(endings, s.ended(status, time.Since(begun))) {
			return exitcode.OK
		}
	}
}

// starts spaces the starts of ntsserve-cards, and limits what its runs log. The zero value
// is for the first one.
type starts struct {
	delay  time.Duration
	last   uint32 // how the last run ended
	logged uint32 // how the last run that could log ended; 0: none of this series
}

// mayLog reports whether the next run may log: it is the first of a series of short runs,
// or the last one ended in another way than what is logged.
func (s *starts) mayLog() bool { return s.logged == 0 || s.last != s.logged }

// ended notes how a run ended and how long it lasted. It returns the delay before the next.
func (s *starts) ended(status uint32, lasted time.Duration) time.Duration {
	spoke := s.mayLog()
	s.delay = min(max(2*s.delay, firstDelay), maxDelay)
	if lasted >= maxDelay {
		*s = starts{delay: firstDelay}
		return s.delay
	}
	s.last = status
	if spoke {
		s.logged = status
	}
	return s.delay
}

// endsWithin waits for d and returns false, or true as soon as nobody reads the pipe any
// more: then select(2) calls its other end readable.
func endsWithin(pipe int, d time.Duration) bool {
	until := time.Now().Add(d)
	for left := d; left > 0; left = time.Until(until) {
		var fds syscall.FdSet
		word := 1024 / len(fds.Bits) // FD_SETSIZE
		fds.Bits[pipe/word] = 1 << (pipe % word)
		limit := syscall.NsecToTimeval(int64(max(left, time.Microsecond)))
		if n, err := syscall.Select(pipe+1, &fds, nil, nil, &limit); n > 0 {
			return true
		} else if err != nil && err != syscall.EINTR {
			time.Sleep(left)
		}
	}
	return false
}

// runWorker runs ntsserve-cards once. It returns its wait status.
func runWorker(socket *os.File, log bool) uint32 {
	cmd := exec.Command("/proc/self/exe", Argument, workArgument)
	cmd.ExtraFiles = []*os.File{socket}
	if log {
		cmd.Stderr = os.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: []uintptr{uintptr(privileges.NetAdmin)}}
	if err := cmd.Run(); cmd.ProcessState == nil {
		if log {
			fmt.Fprintf(os.Stderr, "%s: start ntsserve-cards: %v\n", Argument, err)
		}
		return startFailed
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return uint32(status)
}

// work is ntsserve-cards. Once it has ended it is started again, so it is the one to go
// when memory is short.
func work() int {
	_ = privileges.PreferForOOM("ntsserve-cards") // without /proc it is as likely as others
	if err := privileges.KeepNetAdmin(nil); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", Argument, err)
		return exitcode.Permission
	}
	var b [numberLen + maxName + 1]byte
	for {
		n, err := readPacket(questions, b[:])
		if n <= 0 || err != nil {
			return exitcode.OK
		}
		number, name, ok := parseQuestion(b[:n])
		if !ok {
			continue // nobody waits for an answer without a number
		}
		var s sockets.Setting
		errno := syscall.EINVAL
		if validName(name) {
			s, errno = widen(name)
			time.Sleep(pause)
		}
		if _, err := syscall.Write(questions, appendAnswer(nil, number, s, uint32(errno))); err != nil {
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
