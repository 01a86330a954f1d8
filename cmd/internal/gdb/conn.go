package gdb

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// answerTime is how long the stub may take to answer a command. A guest that is stopped does nothing that it would wait for.
const answerTime = 2 * time.Second

// Conn is a connection to a stub. It is not safe for concurrent use, but Close may be called at any time, and ends what is under way.
type Conn struct {
	conn    net.Conn
	in      *bufio.Reader
	noAck   bool
	most    int    // bytes of memory in one answer
	thread  string // whose registers are read; empty: not known
	stopped bool   // as far as is known
}

// NewConn takes a connection on which a stub is, or will be; Hello is to follow.
func NewConn(conn net.Conn) *Conn {
	return &Conn{conn: conn, in: bufio.NewReader(conn)}
}

// Hello begins: the stub has stopped the guest, or does now, and forgets all breakpoints of whoever was connected before. Errors: ErrProtocol; those of the connection.
func (c *Conn) Hello() error {
	c.stopped = true
	if _, err := c.conn.Write([]byte{'+'}); err != nil { // of what the stub may be waiting for
		return err
	}
	// Stop replies to nobody in particular come first; QEMU sends them on its own account. The question removes breakpoints (QEMU: handle_target_halt).
	if err := c.send("?"); err != nil {
		return err
	}
	text, err := c.answer("?", true)
	if err != nil {
		return err
	}
	if _, err := parseStop(text); err != nil {
		return err
	}
	features, err := c.Command("qSupported:swbreak+;hwbreak+;vContSupported+")
	if err != nil {
		return err
	}
	c.most = memoryLimit(features)
	if !strings.Contains(features, "QStartNoAckMode+") {
		return nil
	}
	if err := c.ok("QStartNoAckMode"); err != nil {
		return err
	}
	c.noAck = true
	return nil
}

// memoryLimit is how many bytes of memory fit into an answer: two digits each.
func memoryLimit(features string) int {
	const usual, least = 1024, 16
	for _, f := range strings.Split(features, ";") {
		if size, is := strings.CutPrefix(f, "PacketSize="); is {
			if n, err := strconv.ParseUint(size, 16, 31); err == nil {
				return max(least, min(int(n)/2-8, usual))
			}
		}
	}
	return usual / 8
}

// send sends a packet, and waits for nothing.
func (c *Conn) send(text string) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	_, err := c.conn.Write(frame(text))
	return err
}

// Command sends a command to a stopped guest's stub and returns its answer. Errors: *Error where the stub refuses; ErrProtocol; those of the connection.
func (c *Conn) Command(text string) (string, error) {
	if err := c.send(text); err != nil {
		return "", err
	}
	return c.answer(text, false)
}

// answer waits for the answer to a command. Stop replies are none, but of "?".
func (c *Conn) answer(command string, stop bool) (string, error) {
	short := command[:min(len(command), 12)]
	end := time.Now().Add(answerTime)
	for range maxStray {
		text, err := c.receive(end, command)
		if err != nil {
			return "", fmt.Errorf("gdb stub: %s: %w", short, err)
		}
		isStop := len(text) > 0 && (text[0] == 'T' || text[0] == 'S')
		switch {
		case isStop != stop:
		case text == "":
			return "", &Error{Command: short}
		case len(text) == 3 && text[0] == 'E' && nibble(text[1]) >= 0 && nibble(text[2]) >= 0:
			return "", &Error{Command: short, Code: text}
		default:
			return text, nil
		}
	}
	return "", fmt.Errorf("%w: no answer to %s among %d packets", ErrProtocol, short, maxStray)
}

// receive reads the next packet and says that it was received. again is what is sent once more where the stub asks for it; empty: nothing is.
func (c *Conn) receive(until time.Time, again string) (string, error) {
	if err := c.conn.SetReadDeadline(until); err != nil {
		return "", err
	}
	for range maxStray {
		b, err := c.in.ReadByte()
		if err != nil {
			return "", err
		}
		switch {
		case b == '-' && again != "":
			if err := c.send(again); err != nil {
				return "", err
			}
		case b == '$':
			if err := c.conn.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
				return "", err
			}
			text, err := readPacket(c.in)
			if errors.Is(err, errChecksum) && !c.noAck {
				if err := c.acknowledge('-'); err != nil {
					return "", err
				}
				continue
			}
			if err != nil {
				return "", err
			}
			if c.noAck {
				return text, nil
			}
			return text, c.acknowledge('+')
		}
	}
	return "", fmt.Errorf("%w: no packet within %d bytes", ErrProtocol, maxStray)
}

func (c *Conn) acknowledge(how byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	_, err := c.conn.Write([]byte{how})
	return err
}

// ok sends a command whose only good answer is OK.
func (c *Conn) ok(text string) error {
	answer, err := c.Command(text)
	if err == nil && answer != "OK" {
		err = fmt.Errorf("%w: %.40q as the answer to %.12q", ErrProtocol, answer, text)
	}
	return err
}

// Memory reads guest memory at an address as the current thread sees it. Where the stub reads less, so does it. Errors: *Error for what is not mapped.
func (c *Conn) Memory(address uint64, size int) ([]byte, error) {
	var all []byte
	for len(all) < size {
		n := min(size-len(all), c.most)
		text, err := c.Command(fmt.Sprintf("m%x,%x", address+uint64(len(all)), n))
		if err != nil {
			return nil, err
		}
		part, err := hex.DecodeString(text)
		if err != nil || len(part) == 0 || len(part) > n {
			return nil, fmt.Errorf("%w: memory of %d digits for %d bytes", ErrProtocol, len(text), n)
		}
		all = append(all, part...)
	}
	return all, nil
}

// SetBreak sets a hardware breakpoint, which does not change the guest's memory.
func (c *Conn) SetBreak(address uint64) error { return c.ok(fmt.Sprintf("Z1,%x,1", address)) }

// ClearBreak removes it.
func (c *Conn) ClearBreak(address uint64) error { return c.ok(fmt.Sprintf("z1,%x,1", address)) }

// Forget has the stub of a stopped guest forget all breakpoints, of each virtual CPU: some versions of QEMU forget only those of one CPU at a time when they are asked why it stopped.
func (c *Conn) Forget() error {
	const most = 1024 // virtual CPUs
	for n := 1; n <= most; n++ {
		err := c.ok(fmt.Sprintf("Hc%x", n))
		var refused *Error
		if errors.As(err, &refused) && n > 1 {
			return nil // there is no such CPU
		}
		if err != nil {
			return err
		}
		if err := c.send("?"); err != nil {
			return err
		}
		if _, err := c.answer("?", true); err != nil {
			return err
		}
	}
	return nil
}

// Select has registers be those of a thread (a virtual CPU, as a stop names it).
func (c *Conn) Select(thread string) error {
	if thread == c.thread {
		return nil
	}
	if err := c.ok("Hg" + thread); err != nil {
		return err
	}
	c.thread = thread
	return nil
}

// Registers reads the block of registers of the selected thread.
func (c *Conn) Registers() ([]byte, error) {
	text, err := c.Command("g")
	if err != nil {
		return nil, err
	}
	block, err := hex.DecodeString(strings.ReplaceAll(text, "x", "0")) // x: unavailable
	if err != nil {
		return nil, fmt.Errorf("%w: registers of %d digits", ErrProtocol, len(text))
	}
	return block, nil
}

// Write is a value for a register.
type Write struct {
	Register int // by its number in the target description
	Value    uint64
}

// SetRegisters sets 64-bit registers of the selected thread. All are sent at once: a stub answers them in turn.
func (c *Conn) SetRegisters(list ...Write) error {
	var out []byte
	for _, w := range list {
		out = append(out, frame(fmt.Sprintf("P%x=%016x", w.Register, swap(w.Value)))...)
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := c.conn.Write(out); err != nil {
		return err
	}
	for range list {
		text, err := c.answer("P", false)
		if err != nil {
			return err
		}
		if text != "OK" {
			return fmt.Errorf("%w: %.40q as the answer to P", ErrProtocol, text)
		}
	}
	return nil
}

// swap turns the bytes of a value around: the digits of a register are in the guest's order, little end first.
func swap(v uint64) (out uint64) {
	for range 8 {
		out, v = out<<8|v&0xff, v>>8
	}
	return out
}

// Continue lets all virtual CPUs run.
func (c *Conn) Continue() error {
	if err := c.send("vCont;c"); err != nil {
		return err
	}
	c.stopped = false
	return nil
}

// Interrupt asks the stub to stop the guest; a stop follows, see Wait.
func (c *Conn) Interrupt() error {
	return c.acknowledge(0x03)
}

// Stopped says whether the guest is stopped, as far as the connection knows.
func (c *Conn) Stopped() bool { return c.stopped }

// Wait waits until a time for the guest to stop. Errors: os.ErrDeadlineExceeded when it goes on running; ErrProtocol; io.EOF when the stub has gone.
func (c *Conn) Wait(until time.Time) (Stop, error) {
	for range maxStray {
		if err := c.conn.SetReadDeadline(until); err != nil {
			return Stop{}, err
		}
		b, err := c.in.Peek(1)
		if err != nil {
			return Stop{}, err
		}
		if b[0] != '$' {
			_, _ = c.in.Discard(1) // an acknowledgement
			continue
		}
		text, err := c.receive(time.Now().Add(answerTime), "")
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) { // within a packet: that is not the guest that runs on
				err = io.ErrUnexpectedEOF
			}
			return Stop{}, err
		}
		s, err := parseStop(text)
		if err == nil {
			c.stopped = true
		}
		return s, err
	}
	return Stop{}, fmt.Errorf("%w: no stop within %d bytes", ErrProtocol, maxStray)
}

// Detach removes all breakpoints and lets the guest run. The connection is of no use then, but for Close.
func (c *Conn) Detach() error {
	err := c.ok("D")
	var refused *Error
	if errors.As(err, &refused) { // with the extension for several processes, of which one is to be named
		err = c.ok("D;1")
	}
	if err == nil {
		c.stopped = false
	}
	return err
}

// Close ends the connection. It neither detaches nor resumes: a guest that is stopped stays so.
func (c *Conn) Close() error { return c.conn.Close() }
