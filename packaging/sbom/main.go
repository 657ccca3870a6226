// Command sbom prints the software bill of materials of built Go programs in SPDX
// 2.3 (JSON): the programs with their checksums, and the modules that the linker
// recorded in them. What is not recorded there, such as licences, is NOASSERTION.
//
//	sbom -name NAME -version VERSION -root DIR PROGRAM...
package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	var b bill
	flag.StringVar(&b.name, "name", "", "`NAME` of the package")
	flag.StringVar(&b.version, "version", "", "its `VERSION`")
	flag.StringVar(&b.root, "root", "/", "the `DIR` that the paths of the programs are shown below")
	flag.Parse()
	if err := b.write(os.Stdout, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// bill describes one package.
type bill struct{ name, version, root string }

// The parts of an SPDX 2.3 document that are used (SPDX specification, chapters 6 to 11).
type (
	document struct {
		Version       string         `json:"spdxVersion"`
		License       string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      creation       `json:"creationInfo"`
		Packages      []spdxPackage  `json:"packages"`
		Files         []spdxFile     `json:"files"`
		Relationships []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		Name      string        `json:"name"`
		ID        string        `json:"SPDXID"`
		Version   string        `json:"versionInfo"`
		Download  string        `json:"downloadLocation"`
		Analyzed  bool          `json:"filesAnalyzed"`
		Concluded string        `json:"licenseConcluded"`
		Declared  string        `json:"licenseDeclared"`
		Copyright string        `json:"copyrightText"`
		Checksums []checksum    `json:"checksums,omitempty"`
		External  []externalRef `json:"externalRefs,omitempty"`
		Comment   string        `json:"comment,omitempty"`
	}
	externalRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxFile struct {
		Name      string     `json:"fileName"`
		ID        string     `json:"SPDXID"`
		Types     []string   `json:"fileTypes"`
		Checksums []checksum `json:"checksums"`
		Concluded string     `json:"licenseConcluded"`
		Copyright string     `json:"copyrightText"`
	}
	checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	relationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

const unknown = "NOASSERTION"

// write writes the document of the programs.
func (b *bill) write(w io.Writer, programs []string) error {
	if b.name == "" || b.version == "" || len(programs) == 0 {
		return fmt.Errorf("want -name, -version and at least one program")
	}
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH has to be the time of the sources: %w", err)
	}
	d := document{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: b.name + "-" + b.version,
		Creation: creation{time.Unix(epoch, 0).UTC().Format(time.RFC3339), []string{"Tool: noonmark/packaging/sbom"}},
		Packages: []spdxPackage{{Name: b.name, ID: "SPDXRef-package", Version: b.version, Download: unknown, Concluded: "Apache-2.0", Declared: "Apache-2.0", Copyright: unknown}},
	}
	d.relate("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-package")
	all := sha256.New() // of all programs, for the name space
	for _, path := range programs {
		if err := d.program(path, b.root, all); err != nil {
			return err
		}
	}
	d.Namespace = "https://spdx.invalid/" + d.Name + "-" + hex.EncodeToString(all.Sum(nil))
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(d)
}

// program adds one program and the modules in it.
func (d *document) program(path, root string, all io.Writer) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read build information of %s: %w", path, err)
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	s1, s256 := sha1.Sum(data), sha256.Sum256(data)
	all.Write(s256[:])
	file := spdxFile{Name: "./" + filepath.ToSlash(rel), ID: "SPDXRef-file-" + idText(rel), Types: []string{"BINARY"}, Concluded: unknown, Copyright: unknown,
		Checksums: []checksum{{"SHA1", hex.EncodeToString(s1[:])}, {"SHA256", hex.EncodeToString(s256[:])}}}
	d.Files = append(d.Files, file)
	d.relate("SPDXRef-package", "CONTAINS", file.ID)
	d.relate(file.ID, "STATIC_LINK", d.add(&debug.Module{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}))
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		d.relate(file.ID, "STATIC_LINK", d.add(m))
	}
	return nil
}

// add adds a module unless it is there, and returns its identifier.
func (d *document) add(m *debug.Module) string {
	id := "SPDXRef-module-" + idText(m.Path+"-"+m.Version)
	if slices.ContainsFunc(d.Packages, func(p spdxPackage) bool { return p.ID == id }) {
		return id
	}
	p := spdxPackage{Name: m.Path, ID: id, Version: m.Version, Download: unknown, Concluded: unknown, Declared: unknown, Copyright: unknown,
		External: []externalRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + m.Path + "@" + m.Version}}}
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(sum) == sha256.Size {
		p.Comment = "go.sum " + m.Sum + " (SHA-256 over the list of the module's files)"
	}
	d.Packages = append(d.Packages, p)
	return id
}

func (d *document) relate(from, kind, to string) {
	d.Relationships = append(d.Relationships, relationship{from, kind, to})
}

var notID = regexp.MustCompile(`[^A-Za-z0-9.-]`)

// idText replaces what an identifier must not have.
func idText(s string) string { return notID.ReplaceAllString(s, "-") }
