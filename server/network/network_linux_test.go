package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"noonmark/internal/proctest"
)

// message makes a message of the kernel about an interface.
func message(index int32, flags uint32, attrs func(*netlink.AttributeEncoder)) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	e := netlink.NewAttributeEncoder()
	attrs(e)
	a, err := e.Encode()
	if err != nil {
		panic(err)
	}
	return append(b, a...)
}

func kind(e *netlink.AttributeEncoder, k string) {
	e.Nested(unix.IFLA_LINKINFO, func(n *netlink.AttributeEncoder) error { n.String(unix.IFLA_INFO_KIND, k); return nil })
}

func TestParseLink(t *testing.T) {
	t.Parallel()
	named := func(more func(*netlink.AttributeEncoder)) func(*netlink.AttributeEncoder) {
		return func(e *netlink.AttributeEncoder) {
			e.String(unix.IFLA_IFNAME, "x0")
			if more != nil {
				more(e)
			}
		}
	}
	for _, c := range []struct {
		name string
		b    []byte
		want Link
		ok   bool
	}{
		{"empty", nil, Link{}, false},
		{"short", make([]byte, 15), Link{}, false},
		{"no name", message(3, 0, func(*netlink.AttributeEncoder) {}), Link{}, false},
		{"no index", message(0, 0, named(nil)), Link{}, false},
		{"negative index", message(-1, 0, named(nil)), Link{}, false},
		{"attribute that is cut off", message(3, 0, named(nil))[:20], Link{}, false},
		{"short master", message(3, 0, named(func(e *netlink.AttributeEncoder) { e.Uint8(unix.IFLA_MASTER, 1) })), Link{}, false},
		{"other end of a veth", message(3, unix.IFF_UP, named(func(e *netlink.AttributeEncoder) { e.Uint32(unix.IFLA_LINK, 9); kind(e, "veth") })), Link{Index: 3, Name: "x0", Up: true}, true},
		{"unknown attributes", message(3, unix.IFF_RUNNING, named(func(e *netlink.AttributeEncoder) { e.Bytes(999, make([]byte, 300)) })), Link{Index: 3, Name: "x0", Carrier: true}, true},
		{"part of a bridge", message(3, 0, named(func(e *netlink.AttributeEncoder) { e.Uint32(unix.IFLA_MASTER, 7) })), Link{Index: 3, Name: "x0", Master: 7}, true},
		{"vlan", message(3, 0, named(func(e *netlink.AttributeEncoder) { e.Uint32(unix.IFLA_LINK, 2); kind(e, "vlan") })), Link{Index: 3, Name: "x0", Lower: 2, Tagged: true}, true},
		{"vlan on a card of another namespace", message(3, 0, named(func(e *netlink.AttributeEncoder) {
			e.Uint32(unix.IFLA_LINK, 2)
			e.Int32(iflaLinkNetNSID, 0)
			kind(e, "vlan")
		})), Link{Index: 3, Name: "x0", Tagged: true}, true},
		{"macvlan", message(3, 0, named(func(e *netlink.AttributeEncoder) { kind(e, "macvlan"); e.Uint32(unix.IFLA_LINK, 2) })), Link{Index: 3, Name: "x0", Lower: 2}, true},
	} {
		got, ok := parseLink(c.b)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	f.Add(message(3, 1, func(e *netlink.AttributeEncoder) { e.String(unix.IFLA_IFNAME, "x0"); kind(e, "vlan") }))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, ok := parseLink(b); ok && (l.Index <= 0 || l.Name == "") {
			t.Errorf("%x: %+v", b, l)
		}
	})
}

// watched puts the test into a network namespace of its own, and returns the program ip and
// a watch of it.
func watched(t *testing.T) (ip string, w *Watch) {
	t.Helper()
	proctest.RequireRoot(t, "a network namespace of the test's own")
	ip = proctest.Require(t, "ip")
	runtime.LockOSThread() // and never unlocked: the thread is in a namespace of its own
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skip("a network namespace is missing: ", err)
	}
	w, err := NewWatch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return ip, w
}

// A real kernel: changes end a Wait, and the table shows them. Without changes Wait
// ends at its limit, and at once with its context.
func TestWatchOfAKernel(t *testing.T) {
	ip, w := watched(t)
	if err := w.Wait(t.Context(), 10*time.Millisecond); err != nil {
		t.Errorf("nothing has changed: %v", err)
	}
	run := func(args string) {
		if out, err := exec.Command(ip, strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	await := func(what string, is func(Links) bool) {
		t.Helper()
		proctest.Until(t, what, func() bool {
			if err := w.Wait(t.Context(), time.Hour); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			l, err := Read()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			return is(l)
		})
	}
	run("link add v0 type veth peer name v1")
	await("new interfaces", func(l Links) bool { _, ok := l.Named("v0"); return ok })
	run("link add b0 type bridge")
	run("link set v0 master b0")
	await("a bridge over one", func(l Links) bool {
		b, _ := l.Named("b0")
		at := l.Beneath(b.Index)
		return len(at) == 1 && at[0].Name == "v0"
	})
	run("link set v1 up")
	run("link set v0 up")
	await("carrier", func(l Links) bool { v, _ := l.Named("v0"); return v.Up && v.Carrier })
	run("addr add 10.0.0.1/24 dev v1")
	await("an address", func(Links) bool { return true })
	run("link del v0")
	await("a removed interface", func(l Links) bool { _, ok := l.Named("v0"); return !ok })

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Wait(ctx, time.Hour) }()
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("after the end of its context: %v", err)
	}
	w.Close()
	if err := w.Wait(t.Context(), time.Hour); err == nil {
		t.Error("a closed watch waits")
	}
}

// More changes than the socket has room for, between two looks: the kernel says ENOBUFS
// and the messages are lost. That is a change too, and the watch goes on.
func TestWatchSurvivesMessagesThatWereLost(t *testing.T) {
	ip, w := watched(t)
	proof, err := NewWatch()
	if err != nil {
		t.Fatal(err)
	}
	defer proof.Close()
	for _, x := range []*Watch{w, proof} {
		if err := x.conn.SetReadBuffer(1); err != nil { // the kernel's least
			t.Fatal(err)
		}
	}
	var many strings.Builder
	many.WriteString("link add v0 type veth peer name v1\n")
	for i := range 200 {
		fmt.Fprintf(&many, "addr add 10.0.%d.1/24 dev v1\n", i)
	}
	c := exec.Command(ip, "-batch", "-")
	c.Stdin = strings.NewReader(many.String())
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("ip -batch: %v: %s", err, out)
	}
	// The loss is reported once, with the messages that found room or before them.
	if err := proof.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for err = nil; !errors.Is(err, unix.ENOBUFS); _, err = proof.conn.Receive() {
		if err != nil {
			t.Fatalf("no message was lost: the test shows nothing: %v", err)
		}
	}
	if err := w.Wait(t.Context(), time.Hour); err != nil {
		t.Fatalf("after the loss: %v", err)
	}
	if out, err := exec.Command(ip, "link", "del", "v0").CombinedOutput(); err != nil {
		t.Fatalf("ip link del: %v: %s", err, out)
	}
	proctest.Until(t, "the next change", func() bool {
		if err := w.Wait(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		l, err := Read()
		_, is := l.Named("v0")
		return err == nil && !is
	})
}
