package embedded

import (
	"context"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const loopback = "http://127.0.0.1:0"

func TestImpossibleMembersAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		config Config
		want   string
	}{
		{"nothing", Config{}, "client URL"},
		{"no scheme", Config{Client: "127.0.0.1:1", Peer: loopback}, "client URL"},
		{"not HTTP", Config{Client: loopback, Peer: "ftp://127.0.0.1:1"}, "peer URL"},
		{"no folder", Config{Client: loopback, Peer: loopback, Name: "a"}, "needs a folder"},
		{"not in the list", Config{Client: loopback, Peer: loopback, Name: "a", Dir: "x", Members: map[string]string{"b": loopback}}, "list of members"},
	} {
		if _, err := Start(t.Context(), c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestAMemberKeepsItsDataAndEndsWithItsContext: a member of three that is alone does not
// serve.
func TestAMemberKeepsItsDataAndEndsWithItsContext(t *testing.T) {
	c := Config{Dir: t.TempDir(), Name: "a", Client: loopback, Peer: loopback, Unsafe: true}
	for i := range 2 {
		s, err := Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		etcd, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		r, err := etcd.Txn(t.Context()).Then(clientv3.OpGet("k"), clientv3.OpPut("k", "v")).Commit()
		if err != nil || len(r.Responses[0].GetResponseRange().Kvs) != i {
			t.Errorf("start %d: %v, %v", i+1, r, err)
		}
		etcd.Close()
		s.Close()
	}
	c.Dir = t.TempDir()
	c.Members = map[string]string{"a": loopback, "b": "http://127.0.0.1:1", "c": "http://127.0.0.1:2"}
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := Start(ctx, c); err == nil || !strings.Contains(err.Error(), "most members") {
		t.Errorf("one of three: %v", err)
	}
}
