package freeports

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
)

// Rows that are asked for at once have no port in common, and none that the system gives to
// connections. A port that a program has is in no row.
func TestRowsHaveNoPortInCommon(t *testing.T) {
	t.Parallel()
	const rows, length = 80, 10 // at random places alone, most runs would have two that meet; a port is a descriptor
	var mu sync.Mutex
	seen := map[int]bool{}
	var all sync.WaitGroup
	for range rows {
		all.Go(func() {
			r, err := Reserve(length)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(r.Release)
			mu.Lock()
			defer mu.Unlock()
			for p := r.First; p < r.First+length; p++ {
				if seen[p] {
					t.Errorf("port %d is in two rows", p)
				}
				seen[p] = true
			}
		})
	}
	all.Wait()
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(b), &low, &high); err != nil {
		t.Fatal(err)
	}
	if low <= highest {
		t.Skipf("the system gives ports from %d on to connections", low)
	}
	for p := range seen {
		if p >= low && p <= high {
			t.Errorf("the system gives port %d to connections", p)
		}
	}
}

// It reserves the same port again: no other test may take it in between.
func TestAPortInUseIsNotReserved(t *testing.T) {
	r, err := Reserve(2)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	other := &Row{First: r.First}
	if err := other.take(1); !errors.Is(err, errTaken) {
		t.Errorf("a reserved port: %v", err)
	}
	for network, listen := range map[string]func(at string) (io.Closer, error){
		"TCP": func(at string) (io.Closer, error) { return net.Listen("tcp4", at) },
		"UDP": func(at string) (io.Closer, error) { return net.ListenPacket("udp4", at) },
	} {
		used, err := listen(fmt.Sprintf("127.0.0.1:%d", r.First+1))
		if err != nil {
			t.Fatal(err)
		}
		if err := free(r.First + 1); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a port that a program has for %s: %v", network, err)
		}
		used.Close()
	}
	first := r.First
	r.Release()
	if err := other.take(2); err != nil || other.First != first {
		t.Errorf("after its release: %v", err)
	}
	other.Release()
}
