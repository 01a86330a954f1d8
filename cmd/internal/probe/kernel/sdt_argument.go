package kernel

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxSDTArguments is how many arguments <sys/sdt.h> lets a probe have.
const maxSDTArguments = 12

// errOperand says that an argument is where the program does not look.
var errOperand = errors.New("operand is not a register, memory at a displacement from one, or a constant of 32 bits")

// sdtRegisters has the registers' names by the words of struct pt_regs on x86-64, in the sizes 8, 4, 2 and 1.
var sdtRegisters = func() map[string]uint64 {
	m := make(map[string]uint64)
	for word, names := range map[uint64]string{
		10: "rax eax ax al", 5: "rbx ebx bx bl", 11: "rcx ecx cx cl", 12: "rdx edx dx dl",
		13: "rsi esi si sil", 14: "rdi edi di dil", 4: "rbp ebp bp bpl", 19: "rsp esp sp spl",
	} {
		for name := range strings.FieldsSeq(names) {
			m[name] = word
		}
	}
	for n, word := range map[int]uint64{8: 9, 9: 8, 10: 7, 11: 6, 12: 3, 13: 2, 14: 1, 15: 0} {
		for _, suffix := range []string{"", "d", "w", "b"} {
			m["r"+strconv.Itoa(n)+suffix] = word
		}
	}
	return m
}()

// sdtArgument returns where argument n of a probe is, from the note's description of all of them in the assembler's words: "8@%rdi -4@-20(%rbp) 4@$3".
// Only the one that is asked for has to be understood.
func sdtArgument(arguments string, n int) (argument, error) {
	fields := strings.Fields(arguments)
	if len(fields) > maxSDTArguments || n < 0 || n >= len(fields) {
		return argument{}, fmt.Errorf("argument %d of the %d in %q: there is none", n, len(fields), arguments)
	}
	a, err := parseSDTArgument(fields[n])
	if err != nil {
		return argument{}, fmt.Errorf("argument %d, %q: %w", n, fields[n], err)
	}
	return a, nil
}

// parseSDTArgument parses one argument.
func parseSDTArgument(s string) (argument, error) {
	size, operand, ok := strings.Cut(s, "@")
	if !ok {
		return argument{}, errors.New("no size")
	}
	a := argument{}
	size, a.signed = strings.CutPrefix(size, "-")
	switch size {
	case "1", "2", "4", "8":
		a.size = uint64(size[0] - '0')
	default:
		return argument{}, fmt.Errorf("size %q is not 1, 2, 4 or 8", size)
	}
	switch {
	case strings.HasPrefix(operand, "$"):
		a.place = placeConstant
		return a, a.setNumber(operand[1:])
	case strings.HasPrefix(operand, "%"):
		a.place = placeRegister
		return a, a.setRegister(operand[1:])
	}
	displacement, register, ok := strings.Cut(operand, "(%")
	register, closed := strings.CutSuffix(register, ")")
	if !ok || !closed {
		return argument{}, errOperand
	}
	a.place = placeMemory
	if displacement != "" {
		if err := a.setNumber(displacement); err != nil {
			return argument{}, err
		}
	}
	if !strings.HasPrefix(register, "r") || strings.ContainsAny(register[len(register)-1:], "dwb") {
		return argument{}, errOperand // not an address of 64 bits
	}
	return a, a.setRegister(register)
}

func (a *argument) setNumber(s string) error {
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil || !fits(n) {
		return errOperand
	}
	a.number = int32(n)
	return nil
}

func (a *argument) setRegister(name string) error {
	word, ok := sdtRegisters[name]
	if !ok {
		return errOperand
	}
	a.register = word
	return nil
}
