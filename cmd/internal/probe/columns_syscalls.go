package probe

// syscallsColumns returns what [Syscalls] counts.
func syscallsColumns() []Column { return nil }
