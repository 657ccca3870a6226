package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"noonmark/internal/proctest"
)

// envNoIPv6 makes the program under test run as on a kernel with ipv6.disable=1.
const envNoIPv6 = "NOONMARK_TEST_NO_IPV6"

// denyIPv6 lets socket(AF_INET6) fail with EAFNOSUPPORT, in all threads.
func denyIPv6() error {
	stmt := func(code uint16, k uint32, jt, jf uint8) unix.SockFilter {
		return unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k}
	}
	const ( // struct seccomp_data, little-endian
		number   = 0
		argument = 16
	)
	prog := []unix.SockFilter{
		stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, number, 0, 0),
		stmt(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.SYS_SOCKET, 0, 3),
		stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, argument, 0, 0),
		stmt(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.AF_INET6, 0, 1),
		stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ERRNO|uint32(syscall.EAFNOSUPPORT), 0, 0),
		stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW, 0, 0),
	}
	fp := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fp))); e != 0 {
		return e
	}
	return nil
}

// Where IPv6 is off, where metrics have an address that does not exist, and where the
// address of NTS-KE is taken, time is served on IPv4, and the log says what is lacking.
func TestIPv4IsServedWithoutIPv6(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Skip("no socket: ", err)
	}
	defer taken.Close()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	pemPair(t, cert, key, 1)
	conf := proctest.Write(t, filepath.Join(dir, "t.toml"), fmt.Sprintf(
		"[source]\npath = %q\n[[endpoint]]\naddress = \"127.0.0.1:0\"\n[[endpoint]]\naddress = \"[::]:12391\"\n[metrics]\nlisten = \"192.0.2.77:9124\"\n[ke]\nlisten = %q\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n",
		filepath.Join(dir, "status"), taken.Addr(), cert, key, filepath.Join(dir, "keys")))
	cmd := proctest.Self(t, "-config", conf)
	cmd.Env = append(cmd.Env, envNoIPv6+"=1")
	p := proctest.StartCmd(t, cmd)
	out := p.WaitFor(t, "msg=ready")
	for _, want := range []string{"IPv6 is off on this machine", "metrics.listen", "ke.listen", `endpoint=127.0.0.1:`, "msg=listening"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not log %q:\n%s", want, out)
		}
	}
	_, rest, _ := strings.Cut(out, "msg=listening endpoint=")
	addr, _, _ := strings.Cut(rest, " ")
	c, err := net.Dial("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 48)
	b[0], b[47] = 0x23, 9
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(b); n != 48 || err != nil {
		t.Errorf("answer of %d octets, %v", n, err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("ends with %v", err)
	}
}
