package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/cardsetup"
	"noonmark/internal/keyexchange"
	"noonmark/internal/privileges"
	"noonmark/internal/proctest"
)

// nobody is a user that every machine has, and its number.
const (
	nobody    = "nobody"
	nobodyUID = 65534
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == keyexchange.Argument {
		os.Exit(keyexchange.Main("ntsserve"))
	}
	os.Exit(proctest.Main(m, func() int {
		if os.Getenv(envNoIPv6) != "" {
			if err := denyIPv6(); err != nil {
				panic(err)
			}
		}
		return run(os.Args[1:], os.Stderr)
	}))
}

// program returns a command for the program, without cgo as it is released: this
// very binary, or one that is built if this has cgo, as the race detector needs
// it.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if withCgo {
		return exec.Command(proctest.Program(t, "ntsserve"), args...)
	}
	return proctest.Self(t, args...)
}

// The real program is started, and the kernel is asked what each of its threads
// may do, also after a reload.
func TestPrivilegesOfEveryThread(t *testing.T) {
	me := os.Getuid()
	acme := func(port int) string {
		return fmt.Sprintf("[acme]\nnames = [\"a.test\"]\naccept_terms = true\ndirectory = \"https://127.0.0.1:1/\"\nhttp = \"127.0.0.1:%d\"\nstate_dir = %%q\n", port)
	}
	for _, c := range []struct {
		name, user, more string
		uid              int
		caps             string // in hexadecimal, as in /proc
		say              string
		ambient          []uintptr // capabilities it is started with, as nobody
	}{
		{"root becomes a user", nobody, "", nobodyUID, "0", "capabilities=none", nil},
		{"root becomes a user by its number", fmt.Sprint(nobodyUID), "", nobodyUID, "0", "capabilities=none", nil},
		{"root becomes a user who needs port 80 again", nobody, acme(80), nobodyUID, "400", "capabilities=CAP_NET_BIND_SERVICE", nil},
		{"root becomes a user who needs a low port of NTP again", nobody, "[[endpoint]]\naddress = \"127.0.0.1:129\"\n", nobodyUID, "400", "capabilities=CAP_NET_BIND_SERVICE", nil},
		{"root becomes a user who needs port 8080 again", nobody, acme(8080), nobodyUID, "0", "capabilities=none", nil},
		{"as it is", "", "", me, "0", "capabilities=none", nil},
		{"as the unit starts it", "", "[[endpoint]]\naddress = \"127.0.0.1:129\"\n", nobodyUID, "400", "capabilities=CAP_NET_BIND_SERVICE", []uintptr{10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if me != 0 && (c.user != "" || c.ambient != nil) {
				t.Skip("the right to change users is missing: not root")
			}
			if strings.Contains(c.more, ":80\"") && !privileges.PortNeedsCapability(80) {
				t.Skip("port 80 is for everybody here")
			}
			dir := t.TempDir()
			cert, key, conf := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "t.toml")
			pemPair(t, cert, key, 1)
			more := c.more
			if strings.Contains(more, "%q") {
				more = fmt.Sprintf(more, filepath.Join(dir, "acme"))
			}
			text := fmt.Sprintf("user = %q\n[source]\npath = %q\n%s[ke]\nlisten = \"127.0.0.1:0\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n%s",
				c.user, filepath.Join(dir, "status"), endpoint, cert, key, filepath.Join(dir, "keys"), more)
			proctest.Write(t, conf, text)
			own := func(paths ...string) {
				if c.uid == me {
					return
				}
				for _, p := range paths {
					if err := os.Chown(p, nobodyUID, nobodyUID); err != nil {
						t.Fatal(err)
					}
				}
			}
			own(filepath.Dir(dir), dir, cert, key, conf)

			cmd := program(t, "-config", conf)
			if me == 0 { // root has supplementary groups in many places
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{1, 4}}}
			}
			inherited := "0"
			if c.ambient != nil {
				inherited = c.caps
				cmd.Path = reachable(t, cmd.Path, dir)
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyUID, Gid: nobodyUID}, AmbientCaps: c.ambient}
			}
			p := proctest.StartCmd(t, cmd)
			p.WaitFor(t, "privileges dropped")
			out := p.WaitFor(t, "msg=ready")
			if !strings.Contains(out, c.say) {
				t.Errorf("it does not log %q:\n%s", c.say, out)
			}
			checkThreads(t, p.PID(), c.uid, c.caps, inherited)
			ke := p.Children(t, keyexchange.Argument)
			cards := p.Children(t, cardsetup.Argument)
			if len(ke) != 1 || len(ke)+len(cards) != len(p.Children(t, "")) {
				t.Fatalf("children: %v for NTS-KE, %v for cards, of %v", ke, cards, p.Children(t, ""))
			}
			for _, keeper := range cards {
				checkThreads(t, keeper, c.uid, "1000", "0")
				for _, pid := range proctest.ChildrenOf(t, keeper, cardsetup.Argument) {
					checkThreads(t, pid, c.uid, "1000", "0")
				}
			}
			checkThreads(t, ke[0], c.uid, "0", inherited)
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", ke[0])); err != nil || strings.TrimSpace(string(b)) != "500" {
				t.Errorf("the nts-ke process has the OOM score %s, %v", b, err)
			}
			if fi, err := os.Stat(filepath.Join(dir, "keys")); err != nil || fi.Mode().Perm() != 0o600 || int(fi.Sys().(*syscall.Stat_t).Uid) != c.uid {
				t.Errorf("the key ring: %v, %v", fi, err)
			}

			// A reload reads all that was read before.
			pemPair(t, cert, key, 2)
			own(cert, key)
			proctest.Write(t, conf, text+"[log]\nlevel = \"debug\"\n")
			p.Signal(t, syscall.SIGHUP)
			p.WaitForAfter(t, len(out), "certificate in use")
			if out := p.WaitForAfter(t, len(out), "reload"); strings.Contains(out, "refused") && c.more == "" {
				t.Errorf("the reload is refused:\n%s", out)
			}
			checkThreads(t, p.PID(), c.uid, c.caps, inherited)
			if err := p.Stop(); err != nil {
				t.Errorf("ends with %v", err)
			}
		})
	}
}

// reachable copies a program to a folder that its user can enter.
func reachable(t *testing.T, program, dir string) string {
	t.Helper()
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return proctest.WriteProgram(t, filepath.Join(dir, "ntsserve"), b)
}

// checkThreads compares what the kernel says of every thread of a process.
func checkThreads(t *testing.T, pid, uid int, caps, inherited string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d threads, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		got := map[string]string{}
		for line := range strings.Lines(string(b)) {
			k, v, _ := strings.Cut(line, ":")
			got[k] = strings.Join(strings.Fields(v), " ")
		}
		u := fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", uid)
		none := fmt.Sprintf("%016s", "0")
		want := map[string]string{"Uid": u, "NoNewPrivs": "1", "CapPrm": fmt.Sprintf("%016s", caps), "CapEff": fmt.Sprintf("%016s", caps), "CapInh": fmt.Sprintf("%016s", inherited), "CapAmb": none}
		if uid != os.Getuid() {
			want["Gid"], want["Groups"] = u, ""
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s is %q, want %q", f, k, got[k], v)
			}
		}
	}
}
