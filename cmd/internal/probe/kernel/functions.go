package kernel

// attachFunctions attaches the programs of [probe.Functions].
func attachFunctions(Target, Options) (instrument, error) { return instrument{}, ErrUnsupported }
