//go:build !linux

package proctest

func systemPorts() (low, high int, ok bool) { return 0, 0, false }

// claimPort marks nothing: elsewhere only chance keeps tests apart.
func claimPort(int) (release func(), ok bool) { return func() {}, true }
