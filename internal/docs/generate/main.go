// Command generate writes the generated documents of docs/. Its argument is the
// root of the tree, by default the current folder.
package main

import (
	"fmt"
	"os"

	"noonmark/internal/docs"
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	changed, err := docs.Write(root)
	for _, p := range changed {
		fmt.Println("wrote", p)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}
