package libsvmgo

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	libsvm "github.com/ewalker544/libsvm-go"
	"golang.org/x/sys/unix"
)

// Each row carries a mark that no other has: a value of 2^-600 in a dimension of its
// own. Its square is 0 in floating point, so that the kernel does not see it. With
// the linear kernel, the vector of 2^660 in that dimension alone has the product
// 2^60 with that row and 0 with every other: asked for the value of it, the
// library's predictor answers 2^60·α - ρ, and -ρ for a vector of nothing.
const (
	mark   = 0x1p-600
	probe  = 0x1p660
	weight = mark * probe
)

// ν-classification separates two classes, of which each has coefficients between 0
// and 1 that add up to half of ν times all rows. The rows of a one-class problem
// are the first class; the second one are anchors, vectors so far from
// everything that their kernel is 0, so that neither class knows of the other and
// the first one's part is the one-class problem. One anchor more than the
// coefficients' sum has whole parts leaves one of them free, from which the
// library takes the second class's offset.
const anchor = 1e100

// load hands x and some anchors to the library, through memory that has a file name
// only within this process.
func load(x [][]float64, anchors int, param *libsvm.Parameter) (*libsvm.Problem, error) {
	fd, err := unix.MemfdCreate("virtsentry-rows", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("libsvm-go: memory for the rows: %w", err)
	}
	f := os.NewFile(uintptr(fd), "rows")
	defer f.Close()
	if _, err := f.Write(text(x, anchors)); err != nil {
		return nil, fmt.Errorf("libsvm-go: hand over the rows: %w", err)
	}
	problem, err := libsvm.NewProblem(fmt.Sprintf("/proc/self/fd/%d", fd), param)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLibrary, err)
	}
	if n := problem.ProblemSize(); n != len(x)+anchors {
		return nil, fmt.Errorf("%w: it read %d of %d rows", ErrLibrary, n, len(x)+anchors)
	}
	return problem, nil
}

// text writes rows and anchors in the library's format, with as many digits as give
// the same numbers back. Marks come first, so that they are found fast.
func text(x [][]float64, anchors int) []byte {
	var b bytes.Buffer
	dimension := func(index int, value float64) {
		b.WriteByte(' ')
		b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(index), 10))
		b.WriteByte(':')
		b.Write(strconv.AppendFloat(b.AvailableBuffer(), value, 'g', -1, 64))
	}
	for i, row := range x {
		b.WriteString("1")
		dimension(1+i, mark)
		for j, v := range row {
			if v != 0 {
				dimension(1+len(x)+j, v)
			}
		}
		b.WriteByte('\n')
	}
	for i := range anchors {
		b.WriteString("-1")
		dimension(1+len(x)+len(x[0])+i, anchor)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// coefficients reads those of the n marked rows, and the offset, out of a trained
// machine. It changes the machine's parameters.
func coefficients(machine *libsvm.Model, param *libsvm.Parameter, n int) (alpha []float64, offset float64) {
	param.KernelType = libsvm.LINEAR
	value := func(x map[int]float64) float64 {
		_, values := machine.PredictValues(x)
		return values[0]
	}
	offset = -value(nil)
	alpha = make([]float64, n)
	for i := range alpha {
		alpha[i] = (value(map[int]float64{1 + i: probe}) + offset) / weight
	}
	return alpha, offset
}
