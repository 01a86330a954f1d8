/*
 * A tracepoint provider with every kind of field that LTTng-UST 2.13 can write, to
 * check the trace reader with.
 */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER fields

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./fields.h"

#if !defined(FIELDS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define FIELDS_H

#include <stdint.h>
#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_ENUM(fields, colour,
	LTTNG_UST_TP_ENUM_VALUES(
		lttng_ust_field_enum_value("BELOW", -5)
		lttng_ust_field_enum_range("NEGATIVE", -100, -10)
		lttng_ust_field_enum_value("ZERO", 0)
		lttng_ust_field_enum_auto("ONE")
		lttng_ust_field_enum_auto("TWO")
		lttng_ust_field_enum_range("MANY", 3, 100)
		lttng_ust_field_enum_value("FIFTY", 50)
		lttng_ust_field_enum_value("with space, \"quotes\"", 200)
	)
)

LTTNG_UST_TRACEPOINT_ENUM(fields, flavour,
	LTTNG_UST_TP_ENUM_VALUES(
		lttng_ust_field_enum_auto("sweet")
		lttng_ust_field_enum_auto("sour")
		lttng_ust_field_enum_range("hot", 100, 250)
		lttng_ust_field_enum_value("last", 255)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(fields, integers,
	LTTNG_UST_TP_ARGS(uint64_t, v),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer(int8_t, i8, (int8_t) v)
		lttng_ust_field_integer(uint8_t, u8, (uint8_t) v)
		lttng_ust_field_integer(int16_t, i16, (int16_t) v)
		lttng_ust_field_integer(uint16_t, u16, (uint16_t) v)
		lttng_ust_field_integer(int32_t, i32, (int32_t) v)
		lttng_ust_field_integer(uint32_t, u32, (uint32_t) v)
		lttng_ust_field_integer(int64_t, i64, (int64_t) v)
		lttng_ust_field_integer(uint64_t, u64, v)
		lttng_ust_field_integer(char, character, (char) v)
		lttng_ust_field_integer(long, machine_word, (long) v)
		lttng_ust_field_integer_hex(int8_t, x8, (int8_t) v)
		lttng_ust_field_integer_hex(int32_t, x32, (int32_t) v)
		lttng_ust_field_integer_hex(uint64_t, x64, v)
		lttng_ust_field_integer_network(uint16_t, n16, (uint16_t) v)
		lttng_ust_field_integer_network(int32_t, n32, (int32_t) v)
		lttng_ust_field_integer_network(int64_t, n64, (int64_t) v)
		lttng_ust_field_integer_network_hex(uint32_t, nx32, (uint32_t) v)
		lttng_ust_field_integer_network_hex(int64_t, nx64, (int64_t) v)
		lttng_ust_field_integer_nowrite(int64_t, unwritten, (int64_t) v)
		lttng_ust_field_unused(v)
	)
)
LTTNG_UST_TRACEPOINT_LOGLEVEL(fields, integers, LTTNG_UST_TRACEPOINT_LOGLEVEL_INFO)

LTTNG_UST_TRACEPOINT_EVENT(fields, floats,
	LTTNG_UST_TP_ARGS(float, f, double, d),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer(uint8_t, odd, 1)
		lttng_ust_field_float(float, single, f)
		lttng_ust_field_float(double, precise, d)
		lttng_ust_field_float_nowrite(double, unwritten, d)
	)
)
LTTNG_UST_TRACEPOINT_MODEL_EMF_URI(fields, floats, "http://example.org/floats?x=1")

LTTNG_UST_TRACEPOINT_EVENT(fields, arrays,
	LTTNG_UST_TP_ARGS(const uint8_t *, b, const uint16_t *, h, const int32_t *, w, const int64_t *, q),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_array(uint8_t, bytes, b, 6)
		lttng_ust_field_array(int32_t, words, w, 4)
		lttng_ust_field_array_hex(uint8_t, mac, b, 6)
		lttng_ust_field_array_hex(int64_t, longs, q, 2)
		lttng_ust_field_array_network(uint16_t, ports, h, 3)
		lttng_ust_field_array_network_hex(int32_t, addresses, w, 4)
		lttng_ust_field_array(char, characters, (const char *) b, 3)
		lttng_ust_field_array_nowrite(uint8_t, unwritten, b, 2)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(fields, sequences,
	LTTNG_UST_TP_ARGS(const uint8_t *, b, const uint16_t *, h, const int32_t *, w, const int64_t *, q, unsigned int, n),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_sequence(uint8_t, bytes, b, uint8_t, (uint8_t) n)
		lttng_ust_field_sequence(int32_t, words, w, uint16_t, (uint16_t) n)
		lttng_ust_field_sequence_hex(int64_t, longs, q, uint32_t, n)
		lttng_ust_field_sequence_network(uint16_t, ports, h, uint64_t, (uint64_t) n)
		lttng_ust_field_sequence_network_hex(int32_t, addresses, w, size_t, (size_t) n)
		lttng_ust_field_sequence_nowrite(uint8_t, unwritten, b, uint8_t, (uint8_t) n)
		lttng_ust_field_integer(uint8_t, after, 0xA5)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(fields, texts,
	LTTNG_UST_TP_ARGS(const char *, s, const char *, sixteen, unsigned int, n),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_string(string, s)
		lttng_ust_field_array_text(char, fixed, sixteen, 16)
		lttng_ust_field_sequence_text(char, counted, sixteen, unsigned int, n)
		lttng_ust_field_sequence_text(char, empty, sixteen, uint8_t, 0)
		lttng_ust_field_string(again, s)
		lttng_ust_field_string_nowrite(unwritten, s)
		lttng_ust_field_array_text_nowrite(char, unwritten_fixed, sixteen, 16)
	)
)
LTTNG_UST_TRACEPOINT_LOGLEVEL(fields, texts, LTTNG_UST_TRACEPOINT_LOGLEVEL_WARNING)

LTTNG_UST_TRACEPOINT_EVENT(fields, enums,
	LTTNG_UST_TP_ARGS(int, a, unsigned int, b),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_enum(fields, colour, int, signed_colour, a)
		lttng_ust_field_enum(fields, colour, int8_t, small_colour, (int8_t) a)
		lttng_ust_field_enum(fields, flavour, unsigned int, unsigned_flavour, b)
		lttng_ust_field_enum(fields, flavour, uint8_t, small_flavour, (uint8_t) b)
		lttng_ust_field_enum_nowrite(fields, colour, int, unwritten, a)
	)
)

LTTNG_UST_TRACEPOINT_EVENT(fields, nothing, LTTNG_UST_TP_ARGS(), LTTNG_UST_TP_FIELDS())

LTTNG_UST_TRACEPOINT_EVENT_CLASS(fields, numbered,
	LTTNG_UST_TP_ARGS(uint32_t, n),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(uint32_t, n, n))
)
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(fields, numbered, fields, begin, LTTNG_UST_TP_ARGS(uint32_t, n))
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(fields, numbered, fields, end, LTTNG_UST_TP_ARGS(uint32_t, n))

#endif /* FIELDS_H */

#include <lttng/tracepoint-event.h>
