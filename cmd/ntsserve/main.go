// Command ntsserve answers NTP and Network Time Security requests from the
// clock that refclockd publishes.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }
