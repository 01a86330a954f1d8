package main

import (
	"bytes"
	"io"
	"testing"
	"time"
)

func TestStatusLine(t *testing.T) {
	var b bytes.Buffer
	s := newStatusLine(&b)
	s.Show(func(time.Time) string { return "line" })
	_, _ = io.WriteString(s, "said\n")
	s.Close()
	if got := b.String(); got != "said\n" {
		t.Errorf("not a terminal: %q", got)
	}
	b.Reset()
	s = newStatusLine(&b)
	s.terminal = true
	s.Show(func(time.Time) string { return "line" })
	_, _ = io.WriteString(s, "said\n")
	s.Close()
	if got, want := b.String(), clearLine+"line"+clearLine+"said\nline"+clearLine; got != want {
		t.Errorf("terminal: %q, want %q", got, want)
	}
}

func TestEvaluationFlags(t *testing.T) {
	for _, args := range [][]string{
		{"evaluation"},
		{"evaluation", "-o", "x", "--short", "--each", "1m"},
		{"evaluation", "-o", "x", "--normal", "1s"},
		{"evaluation", "-o", "x", "more"},
	} {
		root := newRoot()
		root.SetArgs(append([]string{"--dir", t.TempDir() + "/virtsentry-lab-none"}, args...))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if root.Execute() == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
