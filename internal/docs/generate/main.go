// Command generate writes the generated documents of docs/. With -share DIR it
// writes manual pages and completions below DIR instead. It builds the programs,
// because they print their own descriptions.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"noonmark/internal/docs"
)

func main() {
	root := flag.String("root", ".", "root of the tree")
	share := flag.String("share", "", "write manual pages and completions below this `DIR`")
	flag.Parse()
	if err := generate(*root, *share); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// generate builds the programs and writes the documents, or what belongs below
// share.
func generate(root, share string) error {
	bin, err := os.MkdirTemp("", "noonmark-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin+string(filepath.Separator), "./cmd/...")
	build.Dir, build.Stdout, build.Stderr = root, os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the programs: %w", err)
	}
	t := docs.Tree{Root: root, Program: func(name string) (string, error) { return filepath.Join(bin, name), nil }}
	if share != "" {
		_, err := docs.WriteShare(t, share)
		return err
	}
	changed, err := docs.Write(t)
	for _, p := range changed {
		fmt.Println("wrote", p)
	}
	return err
}
