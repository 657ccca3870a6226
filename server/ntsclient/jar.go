package ntsclient

// jarSize is the number of cookies that a client keeps (RFC 8915, section 4.1.6: a
// server sends eight, so that a client can lose some packets without a new key
// exchange).
const jarSize = 8

// maxCookie is the longest cookie that is kept, octets: a longer one would leave no
// room in a packet that must not be fragmented.
const maxCookie = 1024

// jar has unused cookies, the oldest first. It returns each once.
type jar struct {
	c [jarSize][]byte
	n int
}

// put adds a copy of the cookie and reports whether its length is acceptable. A full
// jar loses its oldest cookie, which is the first to become invalid.
func (j *jar) put(cookie []byte) bool {
	if len(cookie) == 0 || len(cookie) > maxCookie {
		return false
	}
	if j.n == jarSize {
		j.take()
	}
	j.c[j.n] = append([]byte(nil), cookie...)
	j.n++
	return true
}

// take removes and returns the oldest cookie, nil if there is none.
func (j *jar) take() []byte {
	if j.n == 0 {
		return nil
	}
	c := j.c[0]
	copy(j.c[:], j.c[1:j.n])
	j.n--
	j.c[j.n] = nil
	return c
}
