package snmp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// fresh is how long values are used before they are read again: a walk asks for each
// one apart.
const fresh = time.Second

// maxLine is longer than any line of net-snmp, octets.
const maxLine = 64 << 10

// Serve answers net-snmp's pass_persist protocol (snmpd.conf(5)) until the input ends.
// read returns the variables, by object identifier.
func Serve(in io.Reader, out io.Writer, read func() []Variable) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	w := bufio.NewWriter(out)
	var all []Variable
	var at time.Time
	next := func() (string, bool) {
		ok := lines.Scan()
		return strings.TrimSpace(lines.Text()), ok
	}
	for {
		command, ok := next()
		if !ok || command == "" { // net-snmp asks the program to end by an empty line
			break
		}
		switch strings.ToLower(command) {
		case "ping":
			fmt.Fprintln(w, "PONG")
		case "get", "getnext":
			oid, ok := next()
			if !ok {
				return errors.Join(lines.Err(), w.Flush())
			}
			if time.Since(at) > fresh {
				all, at = read(), time.Now()
			}
			if v := lookup(all, parse(oid), strings.EqualFold(command, "getnext")); v != nil {
				fmt.Fprintf(w, "%s\n%s\n%s\n", dotted(v.OID), v.Type, oneLine(v.Value))
			} else {
				fmt.Fprintln(w, "NONE")
			}
		case "set":
			next() // the object, the value
			if _, ok := next(); !ok {
				return errors.Join(lines.Err(), w.Flush())
			}
			fmt.Fprintln(w, "not-writable")
		default:
			fmt.Fprintln(w, "NONE")
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}

// lookup returns the variable of an object, or the next one behind it; nil if there is
// none.
func lookup(all []Variable, oid []uint32, behind bool) *Variable {
	if oid == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(all, oid, func(v Variable, o []uint32) int { return slices.Compare(v.OID, o) })
	switch {
	case found && behind:
		i++
	case !found && !behind:
		return nil
	}
	if i >= len(all) {
		return nil
	}
	return &all[i]
}

// oneLine keeps a value from ending a line, and from being longer than net-snmp takes.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
	return s[:min(len(s), 255)]
}
