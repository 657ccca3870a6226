package doctor

import (
	"strings"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/printable"
)

// taskPTP4LName is the task of refclockd that sets ptp4l. It serves once ptp4l has
// answered.
const taskPTP4LName = "export ptp4l"

// answerTime is how long ptp4l may take for its first answer: until then the task
// serves although nothing is known.
const answerTime = 5 * time.Second

// waitingKinds are the kinds of findings of tasks that wait, by the beginning of their
// names.
var waitingKinds = [...]struct {
	name string
	kind kind
}{
	{"ntp", taskNTP}, {"nts-ke", taskKE}, {"certificates", taskKE}, {"card setup", taskCards}, {"user", taskUser}, {"metrics", taskMetrics}, {"cookie keys", taskKeys}, {"symmetric keys", taskKeys},
	{taskPTP4LName, taskPTP4L}, {"export ", taskExport}, {"fleet", taskFragment}, {"", taskWaiting},
}

// taskFindings judges the states of the tasks of one daemon. The texts of the file are
// another program's.
func taskFindings(f *TaskFacts, now time.Time) (found []Finding) {
	if f.Err != nil {
		return []Finding{tasksUnreadable.with("daemon", f.Daemon, "error", f.Err)}
	}
	count := 0
	for _, t := range f.Tasks {
		k := tasksOK
		switch t.State {
		case daemon.Serving.String():
			count++
			if t.Task == taskPTP4LName && now.Sub(t.Since) > answerTime {
				found = append(found, ptp4lAnswers.with())
			}
		case daemon.Starting.String():
			k = taskStarting
		case daemon.Stuck.String():
			k = taskStuck
		case daemon.Waiting.String():
			k = waitingKind(t.Task)
		}
		if k != tasksOK {
			found = append(found, k.with("daemon", f.Daemon, "task", oneLine(t.Task), "why", oneLine(t.Why), "since", ago(t.Since, now)))
		}
	}
	if len(found) == 0 || count == len(f.Tasks) {
		found = append([]Finding{tasksOK.with("daemon", f.Daemon, "count", count)}, found...)
	}
	return found
}

func waitingKind(task string) kind {
	for _, w := range waitingKinds {
		if strings.HasPrefix(task, w.name) {
			return w.kind
		}
	}
	return taskWaiting
}

// oneLine joins the lines of an error, and quotes what is not printable.
func oneLine(s string) string { return printable.Text(strings.ReplaceAll(s, "\n", "; ")) }

// ago writes an instant as the time since then.
func ago(t, now time.Time) string {
	if d := now.Sub(t); d >= 0 {
		return d.Round(time.Second).String()
	}
	return "the future"
}
