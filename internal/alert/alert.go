// Package alert watches what refclockd and ntsserve publish and sends alerts: by
// webhook, e-mail, syslog and command. It runs in a process of its own, which reads
// files and cannot hurt time, and which can report that a daemon is gone.
//
// Facts are gathered (facts.go), conditions judge them (conditions.go), the engine
// decides what is new (engine.go), and a sender for each target delivers it
// (sender.go). What was sent is kept in a file, so that nothing is sent twice after a
// restart.
package alert

import (
	"fmt"
	"strings"
	"time"
)

// Status of a Notice.
const (
	Firing   = "firing"
	Resolved = "resolved"
	Test     = "test"
)

// Notice is one message. Its JSON keys are a contract: they only grow.
type Notice struct {
	ID        string    `json:"id"` // the same for the begin and the end of one alert
	Status    string    `json:"status"`
	Condition string    `json:"condition"`
	Instance  string    `json:"instance,omitempty"` // which one: a witness, a disc, a certificate
	Host      string    `json:"host"`
	Since     time.Time `json:"since"` // when it began
	Time      time.Time `json:"time"`  // when it was reported
	Summary   string    `json:"summary"`
	Figures   []Figure  `json:"figures"`
	Remedy    string    `json:"remedy,omitempty"`
}

// Figure is one value that explains an alert.
type Figure struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Title is the notice in one line.
func (n *Notice) Title() string {
	what := n.Condition
	if n.Instance != "" {
		what += " " + n.Instance
	}
	return fmt.Sprintf("[%s] %s: %s", n.Status, n.Host, what)
}

// Text is the notice for people, several lines.
func (n *Notice) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nsince   %s", n.Summary, n.Since.UTC().Format(time.RFC3339))
	if n.Status == Resolved {
		fmt.Fprintf(&b, ", ended %s after %v", n.Time.UTC().Format(time.RFC3339), n.Time.Sub(n.Since).Round(time.Second))
	}
	b.WriteByte('\n')
	for _, f := range n.Figures {
		fmt.Fprintf(&b, "%-7s %s\n", f.Name, f.Value)
	}
	if n.Remedy != "" && n.Status == Firing {
		fmt.Fprintf(&b, "remedy  %s\n", n.Remedy)
	}
	return b.String()
}
