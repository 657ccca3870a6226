// Package nearest finds the word that somebody probably meant.
package nearest

// Word returns the known word that was probably meant, or "" if none is near. At
// most a third of the letters may be wrong.
func Word(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	best, name := len(word)/3+1, ""
	for _, k := range known {
		if d := distance(word, k); d < best || d == best && name == "" {
			best, name = d, k
		}
	}
	return name
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	row := make([][]int, len(a)+1)
	for i := range row {
		row[i] = make([]int, len(b)+1)
		row[i][0] = i
	}
	for j := range row[0] {
		row[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[i][j] = min(row[i-1][j]+1, row[i][j-1]+1, row[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[i][j] = min(row[i][j], row[i-2][j-2]+1)
			}
		}
	}
	return row[len(a)][len(b)]
}
