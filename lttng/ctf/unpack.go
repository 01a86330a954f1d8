package ctf

import (
	"encoding/binary"
	"fmt"
	"strings"
)

const (
	metadataMagic      = 0x75D11D57
	metadataHeaderSize = 37      // bytes
	maxMetadata        = 1 << 24 // bytes of a metadata file; that of all trace points of a QEMU has a tenth
)

// MetadataText returns the plain text of a metadata file's bytes, which ParseMetadata
// takes as well. LTTng divides the same text into packets in different ways, so it is
// the text that tells whether two chunks of a session have the same metadata.
func MetadataText(data []byte) (string, error) {
	text, _, err := unpackMetadata(data)
	return text, err
}

// unpackMetadata returns the plain text of a metadata file and the UUID that its
// packets' headers carry, nil where the file is plain text already.
func unpackMetadata(data []byte) (string, *UUID, error) {
	if len(data) > maxMetadata {
		return "", nil, &Error{Offset: maxMetadata, Msg: fmt.Sprintf("metadata larger than %d bytes", maxMetadata)}
	}
	var order binary.ByteOrder
	switch {
	case len(data) >= 4 && binary.LittleEndian.Uint32(data) == metadataMagic:
		order = binary.LittleEndian
	case len(data) >= 4 && binary.BigEndian.Uint32(data) == metadataMagic:
		order = binary.BigEndian
	case len(data) > 0 && (data[0] == 0x1e || data[0] == '{' || data[0] == '['):
		return "", nil, &Error{Msg: "metadata is CTF 2 (JSON); only CTF 1.8 is read"}
	default:
		return string(data), nil, nil
	}
	var text strings.Builder
	text.Grow(len(data))
	var uuid UUID
	for off := 0; off < len(data); {
		payload, size, err := metadataPacket(data, off, order)
		if err != nil {
			return "", nil, err
		}
		var u UUID
		copy(u[:], data[off+4:])
		if off > 0 && u != uuid {
			return "", nil, &Error{Offset: int64(off), Msg: "metadata packet of another trace: UUID " + u.String()}
		}
		uuid = u
		text.Write(payload)
		off += size
	}
	return text.String(), &uuid, nil
}

// metadataPacket checks the packet at off and returns its text and its whole size.
func metadataPacket(data []byte, off int, order binary.ByteOrder) ([]byte, int, error) {
	fail := func(format string, args ...any) ([]byte, int, error) {
		return nil, 0, &Error{Offset: int64(off), Msg: "metadata packet: " + fmt.Sprintf(format, args...)}
	}
	b := data[off:]
	if len(b) < metadataHeaderSize {
		return fail("cut short: %d bytes", len(b))
	}
	if magic := order.Uint32(b); magic != metadataMagic {
		return fail("wrong magic number %#x", magic)
	}
	content, size := order.Uint32(b[24:]), order.Uint32(b[28:])
	if b[32] != 0 || b[33] != 0 {
		return fail("compressed or encrypted")
	}
	if b[35] != 1 || b[36] != 8 {
		return fail("version %d.%d, not 1.8", b[35], b[36])
	}
	switch {
	case content%8 != 0 || size%8 != 0 || content > size || content/8 < metadataHeaderSize:
		return fail("content of %d bits in a packet of %d bits", content, size)
	case int64(size/8) > int64(len(b)):
		return fail("cut short: %d of %d bytes", len(b), size/8)
	}
	return b[metadataHeaderSize : content/8], int(size / 8), nil
}
