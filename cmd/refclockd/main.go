// Command refclockd makes a disciplined clock of a satellite receiver and a
// clock of this machine, and publishes how good it is.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }
