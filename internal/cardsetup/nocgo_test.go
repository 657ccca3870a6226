//go:build !cgo

package cardsetup

const withCgo = false
