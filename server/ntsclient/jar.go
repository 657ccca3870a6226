package ntsclient

// jarSize is how many cookies a client holds (RFC 8915, section 4.1.6: a server
// gives eight, so that a client can lose some packets without a new key
// exchange).
const jarSize = 8

// maxCookie bounds what is kept of a server; a longer cookie would not leave
// room in a packet that must not be fragmented.
const maxCookie = 1024

// jar holds unused cookies, the oldest first. Each leaves it once.
type jar struct {
	c [jarSize][]byte
	n int
}

// put keeps a copy of the cookie; a full jar loses its oldest, which would be
// the first for the server to forget. It reports whether the cookie fits.
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
