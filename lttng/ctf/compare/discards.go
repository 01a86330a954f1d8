package compare

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// streamID names a data stream whatever directory a part of it lies in.
type streamID struct {
	uuid            ctf.UUID
	class, instance uint64
}

// warning finds babeltrace2's reports; what it calls the stream and trace is left out.
var warning = regexp.MustCompile(`Tracer (?:may have )?discarded (?:(\d+) )?(events?|packets?) between \[([-0-9.]+)\] and \[([-0-9.]+)\] in trace .* ` +
	`\(UUID: ([-0-9a-f]+)\) within stream .* \(stream class ID: (\d+), stream ID: (\d+)\)`)

// discards compares what our packets' counters say with babeltrace2's reports.
func (res *Result) discards(traces []*ctf.Trace, stderr []byte, w io.Writer) error {
	ours, err := ourDiscards(traces)
	if err != nil {
		return err
	}
	var theirs []string
	for _, m := range warning.FindAllStringSubmatch(string(stderr), -1) {
		theirs = append(theirs, fmt.Sprintf("%s %s between %s and %s in %s, stream class %s, stream %s",
			cmp.Or(m[1], "some"), strings.TrimSuffix(m[2], "s"), m[3], m[4], m[5], m[6], m[7]))
	}
	slices.Sort(theirs)
	for i := range max(len(ours), len(theirs)) {
		var a, b string
		if i < len(ours) {
			a = ours[i]
		}
		if i < len(theirs) {
			b = theirs[i]
		}
		if a == b {
			res.Discarded++
			continue
		}
		res.differ(w, "discarded", []byte(a), []byte(b))
	}
	return nil
}

// lastPacket is what a stream's last packet said.
type lastPacket struct {
	end            int64
	seq, discarded uint64
}

func ourDiscards(traces []*ctf.Trace) ([]string, error) {
	streams := make(map[streamID][]*ctf.Stream)
	for _, t := range traces {
		for _, s := range t.Streams {
			id := streamID{t.Metadata.UUID, s.Class.ID, s.Instance}
			streams[id] = append(streams[id], s)
		}
	}
	var out []string
	for id, parts := range streams {
		slices.SortFunc(parts, func(a, b *ctf.Stream) int { return cmp.Compare(a.First.Begin, b.First.Begin) })
		var last *lastPacket
		for _, s := range parts {
			r := s.Reader()
			for r.NextPacket() {
				out = append(out, reports(id, last, &r.Packet)...)
				last = &lastPacket{r.Packet.EndNS, r.Packet.Seq, r.Packet.Discarded}
			}
			if err := cmp.Or(r.Err(), r.Close()); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// reports says what is missing between two packets of a stream; last is nil before
// the first packet.
func reports(id streamID, last *lastPacket, p *ctf.Packet) (out []string) {
	report := func(n, what string, from, to int64) {
		out = append(out, fmt.Sprintf("%s %s between %s and %s in %s, stream class %d, stream %d",
			n, what, appendSeconds(nil, from), appendSeconds(nil, to), id.uuid, id.class, id.instance))
	}
	if last == nil {
		if p.Discarded > 0 {
			report("some", "event", p.BeginNS, p.EndNS)
		}
		return out
	}
	mask := uint64(math.MaxUint64)
	if p.HasDiscarded {
		mask >>= 64 - p.DiscardedBits
	}
	if n := (p.Discarded - last.discarded) & mask; n > 0 {
		report(fmt.Sprint(n), "event", last.end, p.EndNS)
	}
	if p.HasSeq && p.Seq > last.seq+1 {
		report(fmt.Sprint(p.Seq-last.seq-1), "packet", last.end, p.BeginNS)
	}
	return out
}
