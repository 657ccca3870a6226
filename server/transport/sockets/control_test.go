package sockets

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

func cmsg(word int, level, typ uint32, body []byte) []byte {
	return pad(append(appendHeader(nil, word, level, typ, len(body)), body...), word)
}

func u32(v ...uint32) (b []byte) {
	for _, x := range v {
		b = binary.NativeEndian.AppendUint32(b, x)
	}
	return b
}

func u64(v ...uint64) (b []byte) {
	for _, x := range v {
		b = binary.NativeEndian.AppendUint64(b, x)
	}
	return b
}

func TestParseControl(t *testing.T) {
	t.Parallel()
	stamps := u64(1, 2, 0, 0, 3, 4)
	for _, w := range []int{4, 8} {
		for _, c := range []struct {
			name string
			b    []byte
			want control
		}{
			{"empty", nil, control{}},
			{"truncated header", make([]byte, w+7), control{}},
			{"length 0", make([]byte, w+8), control{}},
			{"length beyond the end", append(appendHeader(nil, w, solSocket, scmTimestampingNew, 48), make([]byte, 40)...), control{}},
			{"truncated timestamps", cmsg(w, solSocket, scmTimestampingNew, stamps[:40]), control{}},
			{"nanoseconds out of range", cmsg(w, solSocket, scmTimestampingNew, u64(1, 1e9, 0, 0, 1<<40, 0)), control{}},
			{"truncated pktinfo", cmsg(w, solIP, ipPktinfo, make([]byte, 8)), control{}},
			{"unknown level", cmsg(w, 99, 99, stamps), control{}},
			{"timestamps", cmsg(w, solSocket, scmTimestampingNew, stamps), control{soft: 1e9 + 2, hard: 3e9 + 4}},
			{"interface 0", append(cmsg(w, solSocket, scmStampPktinfo, u32(0, 90, 0, 0)), cmsg(w, solIP, ipPktinfo, append(u32(7), 10, 0, 0, 1, 10, 0, 0, 255))...),
				control{ifindex: 7, localIf: 7, local: netip.MustParseAddr("10.0.0.1")}},
			{"all", bytes.Join([][]byte{cmsg(w, solSocket, scmTimestampingNew, stamps), cmsg(w, solSocket, scmStampPktinfo, u32(3, 90, 0, 0)),
				cmsg(w, solIPv6, ipv6Pktinfo, append(netip.MustParseAddr("fe80::1").AsSlice(), u32(9)...))}, nil),
				control{soft: 1e9 + 2, hard: 3e9 + 4, ifindex: 3, length: 90, localIf: 9, local: netip.MustParseAddr("fe80::1"), toUs: true}},
			{"sent to us", cmsg(w, solIP, ipPktinfo, append(u32(7), 10, 0, 0, 1, 10, 0, 0, 1)), control{ifindex: 7, localIf: 7, local: netip.MustParseAddr("10.0.0.1"), toUs: true}},
			{"limited broadcast", cmsg(w, solIP, ipPktinfo, append(u32(7), 255, 255, 255, 255, 255, 255, 255, 255)), control{ifindex: 7, localIf: 7, local: netip.MustParseAddr("255.255.255.255")}},
			{"multicast", cmsg(w, solIP, ipPktinfo, append(u32(7), 10, 0, 0, 1, 224, 0, 0, 1)), control{ifindex: 7, localIf: 7, local: netip.MustParseAddr("10.0.0.1")}},
			{"IPv6 multicast", cmsg(w, solIPv6, ipv6Pktinfo, append(netip.MustParseAddr("ff02::1").AsSlice(), u32(9)...)), control{ifindex: 9, localIf: 9, local: netip.MustParseAddr("ff02::1")}},
			{"transmit timestamp", append(cmsg(w, solSocket, scmTimestampingNew, stamps), cmsg(w, solIP, ipRecvErr, append([]byte{42, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0}, u32(77)...))...),
				control{soft: 1e9 + 2, hard: 3e9 + 4, id: 77, isID: true}},
			{"error that is no timestamp", cmsg(w, solIP, ipRecvErr, make([]byte, 16)), control{}},
		} {
			var got control
			if parseControl(c.b, w, &got); got != c.want {
				t.Errorf("%s (word %d): %+v, want %+v", c.name, w, got, c.want)
			}
		}
	}
}

func TestAppendPktinfo(t *testing.T) {
	t.Parallel()
	for _, w := range []int{4, 8} {
		for _, c := range []struct {
			addr string
			ifi  uint32
			want uint32
		}{{"10.1.2.3", 5, 0}, {"2001:db8::1", 5, 0}, {"fe80::1", 5, 5}, {"169.254.1.1", 5, 5}} {
			info := appendPktinfo(nil, w, netip.MustParseAddr(c.addr), c.ifi)
			b := appendStampRequest(info, w, 3)
			var got control
			if parseControl(b, w, &got); got.local.String() != c.addr || got.localIf != c.want || len(info)%w != 0 || len(b)%w != 0 || len(b) > 72 {
				t.Errorf("%s: %+v in %d and %d octets", c.addr, got, len(info), len(b))
			}
		}
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(cmsg(8, solSocket, scmTimestampingNew, u64(1, 2, 0, 0, 3, 4)), true)
	f.Add(cmsg(4, solIP, ipPktinfo, u32(1, 2, 3)), false)
	f.Fuzz(func(t *testing.T, b []byte, wide bool) {
		w := 4
		if wide {
			w = 8
		}
		var c control
		parseControl(b, w, &c)
		if c.soft < 0 || c.hard < 0 {
			t.Errorf("negative timestamp %+v", c)
		}
	})
}
