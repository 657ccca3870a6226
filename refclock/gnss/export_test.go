package gnss

// Held returns the octets and marks that d holds, and for how many it has room.
func (d *Decoder) Held() (octets, octetRoom, marks, markRoom int) {
	return len(d.framer.buf), cap(d.framer.buf), len(d.framer.marks), cap(d.framer.marks)
}
