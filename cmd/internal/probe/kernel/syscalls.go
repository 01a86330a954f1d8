package kernel

// attachSyscalls attaches the program of [probe.Syscalls].
func attachSyscalls(Target, Options) (instrument, error) { return instrument{}, ErrUnsupported }
