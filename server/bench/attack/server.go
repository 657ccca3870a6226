package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"noonmark/server/bench/stage"
)

// contestant is a server that is measured.
type contestant struct {
	name, version string
	usual, public []string // command lines; public: with the limits of a public server
}

// running is a contestant that runs.
type running struct {
	cmd *exec.Cmd
}

func contestants(o options, dir string) ([]*contestant, error) {
	if o.bin == "" {
		build := exec.Command("go", "build", "-o", dir+"/", "./cmd/ntsserve")
		build.Dir, build.Stderr, build.Env = o.top, os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build ntsserve: %w", err)
		}
		o.bin = dir + "/ntsserve"
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := stage.Certificate(cert, key, net.IPv4(127, 0, 0, 1)); err != nil {
		return nil, err
	}
	usual := fmt.Sprintf("[source]\npath = %q\n[[endpoint]]\naddress = \"127.0.0.1:123\"\n[ke]\nlisten = \"[::]:4460\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n",
		dir+"/status", cert, key, dir+"/keys")
	shipped, err := os.ReadFile(filepath.Join(o.top, "configs/ntsserve-public.toml"))
	if err != nil {
		return nil, err
	}
	public := strings.NewReplacer("/run/refclock/status", dir+"/status", "/etc/noonmark/tls/fullchain.pem", cert, "/etc/noonmark/tls/key.pem", key).Replace(string(shipped))
	if !strings.Contains(public, "\n[keys]\n") {
		public += fmt.Sprintf("\n[keys]\nfile = %q\n", dir+"/keys")
	}
	chrony := fmt.Sprintf("bindaddress 127.0.0.1\nport 123\nallow\nlocal stratum 1\nntsport 4460\nntsserverkey %s\nntsservercert %s\nntsdumpdir %s\nmaxntsconnections 512\ncmdport 0\nbindcmdaddress /\npidfile %s/chronyd.pid\n",
		key, cert, dir, dir)
	for name, text := range map[string]string{"usual.toml": usual, "public.toml": public, "chrony.conf": chrony} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	list := []*contestant{{name: "ntsserve", version: "this tree", usual: []string{o.bin, "-config", dir + "/usual.toml"}, public: []string{o.bin, "-config", dir + "/public.toml"}}}
	chronyd, version := stage.Chronyd()
	if chronyd == "" {
		fmt.Fprintln(os.Stderr, "bench-attack: no chronyd found (server/interop/peers fetches one; set NOONMARK_PEERS to what it prints)")
		return list, nil
	}
	args := []string{chronyd, "-x", "-n", "-U", "-u", "root", "-f", dir + "/chrony.conf"}
	return append(list, &contestant{name: "chronyd", version: version, usual: args, public: args}), nil
}

// start starts the server and waits until it gives keys.
func (c *contestant) start(public bool) (*running, error) {
	args := c.usual
	if public {
		args = c.public
	}
	cmd := stage.Command(false, args...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &running{cmd}
	var err error
	for range 50 {
		if err = honest(keServer4); err == nil {
			return r, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.stop()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	return nil, fmt.Errorf("%s gives no keys: %w; its last message: %s", c.name, err, lines[len(lines)-1])
}

func (r *running) stop() {
	r.cmd.Process.Signal(syscall.SIGTERM)
	r.cmd.Wait()
}

func (r *running) pid() int { return r.cmd.Process.Pid }
