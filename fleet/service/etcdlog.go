package service

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// etcdLog is the log of the member of etcd: its errors, before the last of which it ends
// the process, as lines of this program. Its warnings are left out, because a slow disc
// causes many; what matters of them, the agent reports. So are errors while it is stopped,
// when ctx has ended.
func etcdLog(ctx context.Context, log *slog.Logger) *zap.Logger {
	return zap.New(&etcdCore{LevelEnabler: zapcore.ErrorLevel, ctx: ctx, log: log})
}

type etcdCore struct {
	zapcore.LevelEnabler
	ctx    context.Context
	log    *slog.Logger
	fields []zapcore.Field
}

// With returns a core with more fields.
func (c *etcdCore) With(f []zapcore.Field) zapcore.Core {
	return &etcdCore{c.LevelEnabler, c.ctx, c.log, append(c.fields[:len(c.fields):len(c.fields)], f...)}
}

// Check adds the core to an entry that it writes.
func (c *etcdCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write writes an entry.
func (c *etcdCore) Write(e zapcore.Entry, f []zapcore.Field) error {
	if c.ctx.Err() != nil {
		return nil
	}
	m := zapcore.NewMapObjectEncoder()
	for _, x := range append(c.fields[:len(c.fields):len(c.fields)], f...) {
		x.AddTo(m)
	}
	args := []any{"message", e.Message}
	for _, key := range [...]string{"error", "path", "address", "remote-addr"} {
		if v, ok := m.Fields[key]; ok {
			args = append(args, key, v)
		}
	}
	c.log.Log(c.ctx, slog.LevelError, "etcd reports an error", args...)
	return nil
}

// Sync has nothing to do: slog does not buffer.
func (c *etcdCore) Sync() error { return nil }
