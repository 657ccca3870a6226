//go:build cgo

package cardsetup

const withCgo = true
