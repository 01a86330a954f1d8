/*
 * Trace points whose fields are mostly of sizes that the data tells: texts, and sequences of all lengths of counts and orders of bytes.
 */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER dense

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./dense.h"

#if !defined(DENSE_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define DENSE_H

#include <stdint.h>
#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(dense, name, LTTNG_UST_TP_ARGS(uint64_t, v, const char *, s),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(uint64_t, v, v) lttng_ust_field_string(name, s)))

LTTNG_UST_TRACEPOINT_EVENT(dense, names, LTTNG_UST_TP_ARGS(uint32_t, v, const char *, a, const char *, b),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_string(from, a) lttng_ust_field_string(to, b) lttng_ust_field_integer(uint32_t, v, v)))

LTTNG_UST_TRACEPOINT_EVENT(dense, arrays, LTTNG_UST_TP_ARGS(uint8_t *, b, int32_t *, w, const char *, text),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_array(uint8_t, mac, b, 6) lttng_ust_field_array(int32_t, words, w, 4)
		lttng_ust_field_array_text(char, text, text, 8)))

LTTNG_UST_TRACEPOINT_EVENT(dense, sequences, LTTNG_UST_TP_ARGS(uint8_t *, b, uint16_t *, h, int32_t *, w, int64_t *, q, uint32_t, n),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_sequence(uint8_t, bytes, b, uint8_t, (uint8_t) n) lttng_ust_field_sequence(int32_t, words, w, uint16_t, (uint16_t) (n / 4))
		lttng_ust_field_sequence_hex(int64_t, longs, q, uint32_t, n / 8) lttng_ust_field_sequence_network(uint16_t, ports, h, uint64_t, (uint64_t) (n / 3))
		lttng_ust_field_integer(uint8_t, after, 0xA5)))

LTTNG_UST_TRACEPOINT_EVENT(dense, text, LTTNG_UST_TP_ARGS(const char *, s, const char *, t, uint32_t, n),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_string(line, s) lttng_ust_field_sequence_text(char, counted, t, uint32_t, n)))

#endif /* DENSE_H */

#include <lttng/tracepoint-event.h>
