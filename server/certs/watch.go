package certs

import (
	"fmt"
	"os"
	"time"
)

// watched is a pair of files and what was seen of them.
type watched struct {
	pair    Pair
	seen    string // mark of the files when they were last read
	again   bool   // read them again although the mark is the same
	pending string // mark at which they were broken, not told yet
	told    string // mark at which they were broken, told
}

// settle is how old a file must be for its time stamp to show every further
// change: the coarsest stamps in use (FAT, some network file systems) tick every
// 2 s.
const settle = 2 * time.Second

// due reports whether the files should be read, and with which mark. Time,
// size and inode tell, since files may be replaced by rename or in place.
func (w *watched) due(now time.Time) (mark string, due bool) {
	young := false
	for _, p := range [...]string{w.pair.Cert, w.pair.Key} {
		fi, err := os.Stat(p)
		if err != nil {
			mark += "missing;"
			continue
		}
		mark += fmt.Sprintf("%d %d %d;", fi.ModTime().UnixNano(), fi.Size(), inode(fi))
		if age := now.Sub(fi.ModTime()); age > -settle && age < settle {
			young = true
		}
	}
	due = mark != w.seen || w.again
	w.seen, w.again = mark, young
	return mark, due
}

// tell decides whether a failure at mark is told. The two files of a pair do
// not change at one instant, so what is broken at the first look gets a second
// one, unless somebody asked.
func (w *watched) tell(mark string, asked bool) bool {
	if !asked && w.told == mark {
		return false
	}
	if !asked && w.pending != mark {
		w.pending, w.again = mark, true
		return false
	}
	w.told = mark
	return true
}
