package sim

// carry returns what a port at rate to reads of octets that are sent at rate from,
// eight bits without parity: a start bit, the lowest bit first, a stop bit. Where no
// stop bit is read, Linux delivers a zero.
func carry(octets []byte, from, to int) []byte {
	if from == to || from <= 0 || to <= 0 {
		return octets
	}
	const frame = 10                 // bits
	level := func(at float64) bool { // s since the first start bit
		i := int(at * float64(from))
		if at < 0 || i >= len(octets)*frame {
			return true
		}
		switch k := i % frame; k {
		case 0:
			return false
		case frame - 1:
			return true
		default:
			return octets[i/frame]>>(k-1)&1 != 0
		}
	}
	bit := 1 / float64(to)
	step := bit / 16 // a UART looks for the start bit 16 times a bit
	read := make([]byte, 0, len(octets))
	end := float64(len(octets)*frame) / float64(from)
	for at := 0.0; at < end; {
		if level(at) || level(at+bit/2) {
			at += step
			continue
		}
		var x byte
		for k := range 8 {
			if level(at + (float64(k)+1.5)*bit) {
				x |= 1 << k
			}
		}
		if !level(at + (frame-0.5)*bit) {
			x = 0
			for at += (frame - 0.5) * bit; at < end && !level(at); {
				at += step // a break lasts until the line is idle
			}
		} else {
			at += (frame - 0.5) * bit
		}
		read = append(read, x)
	}
	return read
}
