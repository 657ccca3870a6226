package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"noonmark/server/ntp"
)

// sendErrors returns how many answers the system has not sent, at the endpoint of port
// 123.
func sendErrors(t *testing.T) float64 {
	t.Helper()
	return metric(t, `noonmark_ntp_send_errors_total{endpoint="0.0.0.0:123"}`)
}

// packetFilter is a table of nftables in this namespace.
type packetFilter struct{ conn *netlink.Conn }

const filterTable, filterChain = "noonmark-test", "out"

// attributes adds nested attributes, big-endian as nftables has them.
func attributes(e *netlink.AttributeEncoder, typ uint16, f func(*netlink.AttributeEncoder)) {
	e.Nested(typ, func(n *netlink.AttributeEncoder) error { n.ByteOrder = binary.BigEndian; f(n); return nil })
}

// expression adds one expression of a rule.
func expression(e *netlink.AttributeEncoder, name string, f func(*netlink.AttributeEncoder)) {
	attributes(e, unix.NFTA_LIST_ELEM, func(e *netlink.AttributeEncoder) {
		e.String(unix.NFTA_EXPR_NAME, name)
		attributes(e, unix.NFTA_EXPR_DATA, f)
	})
}

// filterStep is one message of a change.
func filterStep(t *testing.T, kind int, flags netlink.HeaderFlags, f func(*netlink.AttributeEncoder)) netlink.Message {
	t.Helper()
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	f(e)
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | netlink.Acknowledge | flags},
		Data:   append([]byte{unix.NFPROTO_IPV4, 0, 0, 0}, b...), // nfgenmsg
	}
}

// commit makes a change, all of it or nothing.
func (p packetFilter) commit(steps ...netlink.Message) error {
	edge := func(kind int) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request}, Data: []byte{0, 0, 0, unix.NFNL_SUBSYS_NFTABLES}}
	}
	all := append([]netlink.Message{edge(unix.NFNL_MSG_BATCH_BEGIN)}, steps...)
	if _, err := p.conn.SendMessages(append(all, edge(unix.NFNL_MSG_BATCH_END))); err != nil {
		return err
	}
	for range steps {
		if _, err := p.conn.Receive(); err != nil {
			return err
		}
	}
	return nil
}

// dropTo is a rule that drops what goes to an IPv4 address.
func dropTo(to net.IP) func(*netlink.AttributeEncoder) {
	return func(e *netlink.AttributeEncoder) {
		e.String(unix.NFTA_RULE_TABLE, filterTable)
		e.String(unix.NFTA_RULE_CHAIN, filterChain)
		attributes(e, unix.NFTA_RULE_EXPRESSIONS, func(e *netlink.AttributeEncoder) {
			expression(e, "payload", func(e *netlink.AttributeEncoder) { // the destination in the header
				e.Uint32(unix.NFTA_PAYLOAD_DREG, unix.NFT_REG_1)
				e.Uint32(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_NETWORK_HEADER)
				e.Uint32(unix.NFTA_PAYLOAD_OFFSET, 16)
				e.Uint32(unix.NFTA_PAYLOAD_LEN, 4)
			})
			expression(e, "cmp", func(e *netlink.AttributeEncoder) {
				e.Uint32(unix.NFTA_CMP_SREG, unix.NFT_REG_1)
				e.Uint32(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ)
				attributes(e, unix.NFTA_CMP_DATA, func(e *netlink.AttributeEncoder) { e.Bytes(unix.NFTA_DATA_VALUE, to.To4()) })
			})
			expression(e, "immediate", func(e *netlink.AttributeEncoder) {
				e.Uint32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
				attributes(e, unix.NFTA_IMMEDIATE_DATA, func(e *netlink.AttributeEncoder) {
					attributes(e, unix.NFTA_DATA_VERDICT, func(e *netlink.AttributeEncoder) { e.Uint32(unix.NFTA_VERDICT_CODE, 0) }) // NF_DROP
				})
			})
		})
	}
}

// forbidAnswersTo drops what this namespace sends to an address, and returns what ends
// that. It skips the test where that is not possible.
func forbidAnswersTo(t *testing.T, to string) (permit func()) {
	t.Helper()
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		t.Skipf("no netlink socket of the packet filter: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	p := packetFilter{c}
	err = p.commit(
		filterStep(t, unix.NFT_MSG_NEWTABLE, netlink.Create, func(e *netlink.AttributeEncoder) { e.String(unix.NFTA_TABLE_NAME, filterTable) }),
		filterStep(t, unix.NFT_MSG_NEWCHAIN, netlink.Create, func(e *netlink.AttributeEncoder) {
			e.String(unix.NFTA_CHAIN_TABLE, filterTable)
			e.String(unix.NFTA_CHAIN_NAME, filterChain)
			e.String(unix.NFTA_CHAIN_TYPE, "filter")
			attributes(e, unix.NFTA_CHAIN_HOOK, func(e *netlink.AttributeEncoder) {
				e.Uint32(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_LOCAL_OUT)
				e.Uint32(unix.NFTA_HOOK_PRIORITY, 0)
			})
		}),
		filterStep(t, unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, dropTo(net.ParseIP(to))))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		t.Skipf("no nftables here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := p.commit(filterStep(t, unix.NFT_MSG_DELTABLE, 0, func(e *netlink.AttributeEncoder) { e.String(unix.NFTA_TABLE_NAME, filterTable) })); err != nil {
			t.Fatal(err)
		}
	}
}

// from asks once from a local address, and reports whether there was an answer in time.
func from(t *testing.T, local string, limit time.Duration) bool {
	t.Helper()
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(local)}, &net.UDPAddr{IP: net.ParseIP(ourAddr), Port: 123})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, ntp.HeaderLen)
	(&ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: 1}).Put(b)
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(limit))
	n, err := c.Read(b)
	return err == nil && n == ntp.HeaderLen
}

// A packet filter that forbids answers to one client (EPERM) takes none from another,
// and each is counted. When it permits them, they leave.
func TestForbiddenAnswersAreCountedAndTakeNothingFromOthers(t *testing.T) {
	dir := setup(t)
	s := prepare(t, dir, newPKI(t, dir), "")
	s.measured(t)
	s.start(t)
	before := sendErrors(t)
	permit := forbidAnswersTo(t, addrPlain)
	const rounds = 10
	for i := range rounds {
		if from(t, addrPlain, silence) {
			t.Fatal("the rule forbids nothing")
		}
		if !from(t, addrNTS, longWait) {
			t.Errorf("round %d: another client gets no answer", i)
		}
	}
	until(t, "each answer that was not sent is counted", s.proc, func() (bool, string) {
		n := sendErrors(t) - before
		return n == rounds, fmt.Sprintf("%v are counted, want %d", n, rounds)
	})
	permit()
	until(t, "the client gets answers again", s.proc, func() (bool, string) { return from(t, addrPlain, silence), "" })
}

// Answers to addresses that nobody has wait in the kernel until it gives up the search
// for them, here without the limit that an installation sets (systemd/90-noonmark.conf),
// and fill the send queue of the socket. Answers that find no room are counted, another
// endpoint goes on, and so does this one when the kernel has given up.
func TestFullSendQueueIsCountedAndPasses(t *testing.T) {
	dir := setup(t)
	const limit = "/proc/sys/net/ipv4/neigh/ours/unres_qlen_bytes"
	was, err := os.ReadFile(limit)
	if err == nil {
		err = os.WriteFile(limit, []byte("16777216"), 0)
	}
	if err != nil {
		t.Skipf("the queue of unresolved neighbours cannot be made longer: %v", err)
	}
	t.Cleanup(func() { os.WriteFile(limit, was, 0) })
	raw, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
	if err != nil {
		t.Skipf("no raw socket: %v", err)
	}
	defer syscall.Close(raw)
	s := prepare(t, dir, newPKI(t, dir), "")
	s.measured(t)
	s.start(t)

	to := syscall.SockaddrInet4{Addr: [4]byte(net.ParseIP(ourAddr).To4())}
	request := make([]byte, 20+8+ntp.HeaderLen) // the kernel sets length and checksum of IP
	request[0], request[8], request[9] = 0x45, 64, syscall.IPPROTO_UDP
	copy(request[16:], to.Addr[:])
	binary.BigEndian.PutUint16(request[22:], 123)
	binary.BigEndian.PutUint16(request[24:], uint16(len(request)-20))
	(&ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: 1}).Put(request[28:])
	sent := 0
	until(t, "answers find no room", s.proc, func() (bool, string) {
		for range 500 {
			copy(request[12:], []byte{10, 91, 0, byte(100 + sent%100)})
			binary.BigEndian.PutUint16(request[20:], uint16(1024+sent%60000))
			if err := syscall.Sendto(raw, request, 0, &to); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		return sendErrors(t) > 0, fmt.Sprintf("%d requests", sent)
	})
	if a := answered(t, false, ourAddr, otherPort); !a.answered {
		t.Error("another endpoint gives no answer")
	}
	// Each socket of the endpoint has a queue; ports choose the socket.
	for range 8 {
		until(t, "a client gets an answer again", s.proc, func() (bool, string) { return from(t, addrPlain, silence), "" })
	}
	t.Logf("%d requests, %v answers found no room", sent, sendErrors(t))
}
