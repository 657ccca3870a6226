package gnss

import (
	"reflect"
	"strings"
	"testing"
)

func TestIdentityIsWhatTheReceiverSays(t *testing.T) {
	t.Parallel()
	txt := func(texts ...string) (list []*Message) {
		for _, x := range texts {
			list = append(list, &Message{Protocol: "nmea", Source: "TXT", Reply: Reply{Text: x}})
		}
		return list
	}
	ver := func(sw, hw string, modules ...string) *Message {
		return &Message{Protocol: "ubx", Source: "MON-VER", Reply: Reply{Text: sw, HW: hw, Modules: modules}}
	}
	nmea := []string{"nmea"}
	for _, c := range []struct {
		name string
		from []*Message
		want Identity
		line string
	}{
		{"nothing said", nil, Identity{}, ""},
		{"words that only begin alike", txt("MODE=3", "HWID", "MASTER", "IC", "MA CASIC", "ANTENNA OK", "SW update"), Identity{Protocols: nmea}, ""},
		{"empty parts", txt("MOD=", "FWVER= ", "MA==\x00\x1b"), Identity{Protocols: nmea}, ""},
		{"escapes and length", txt("MOD=\x1b[2J<b>é" + strings.Repeat("x", 200)), Identity{Model: "[2J<b>" + strings.Repeat("x", 55), Protocols: nmea}, ""},
		{"a message of another kind", []*Message{{Protocol: "nmea", Source: "RMC", Reply: Reply{Text: "MOD=X"}}}, Identity{Protocols: nmea}, ""},
		{"LEA-6T starts", txt("u-blox ag - www.u-blox.com", "HW  UBX-G60xx  00040007 FFFFFFF9f", "EXT CORE 6.02 (36023) Oct 15 2009 16:51:54", "ROM BASE 6.02 (36023) Oct 15 2009 16:52:08", "MOD LEA-6T-0", "ANTSUPERV=AC SD PDoS SR"),
			Identity{Maker: "u-blox", Model: "LEA-6T-0", Hardware: "UBX-G60xx 00040007 FFFFFFF9f", Firmware: "EXT CORE 6.02 (36023) Oct 15 2009 16:51:54", Protocols: nmea},
			"u-blox LEA-6T-0, hardware UBX-G60xx 00040007 FFFFFFF9f, firmware EXT CORE 6.02 (36023) Oct 15 2009 16:51:54"},
		{"M8T starts", txt("u-blox AG - www.u-blox.com", "HW UBX-M8030 00080000", "ROM CORE 3.01 (107888)", "FWVER=TIM 1.10", "PROTVER=22.00", "MOD=LEA-M8T-0"),
			Identity{Maker: "u-blox", Model: "LEA-M8T-0", Hardware: "UBX-M8030 00080000", Firmware: "TIM 1.10", Version: "22.00", Protocols: nmea}, ""},
		{"CASIC starts", txt("MA=CASIC", "IC=AT6558-5N-31-0C510801", "SW=URANUS5,V5.1.0.0"),
			Identity{Maker: "CASIC", Hardware: "AT6558-5N-31-0C510801", Firmware: "URANUS5,V5.1.0.0", Protocols: nmea}, "CASIC, hardware AT6558-5N-31-0C510801, firmware URANUS5,V5.1.0.0"},
		{"another receiver on the same port", append(txt("MOD=LEA-M8T-0", "FWVER=TIM 1.10"), ver("EXT CORE 1.00 (61b2dd)", "00190000", "ROM BASE 0x118B2060", "FWVER=TIM 2.20", "PROTVER=29.20", "MOD=ZED-F9T", "GPS;GLO;GAL;BDS")),
			Identity{Maker: "u-blox", Model: "ZED-F9T", Hardware: "00190000", Firmware: "TIM 2.20", Version: "29.20", Protocols: []string{"nmea", "ubx"}}, "u-blox ZED-F9T, hardware 00190000, firmware TIM 2.20, protocol 29.20"},
		{"a start ends what was known", append(txt("MOD=LEA-M8T-0"), txt("u-blox AG - www.u-blox.com")...), Identity{Maker: "u-blox", Protocols: nmea}, "u-blox"},
	} {
		var id Identity
		for _, m := range c.from {
			id.Message(m)
		}
		if !reflect.DeepEqual(id, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, id, c.want)
		}
		if line := id.String(); c.line != "" && line != c.line {
			t.Errorf("%s: %q, want %q", c.name, line, c.line)
		}
	}
}
