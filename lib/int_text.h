/* Integers and booleans as texts of a path or a query, read as leniently as Vexa does
 * (spec/gateway-identity.md §2.7, "Lax coercions"). Pure. */
#ifndef VX_INT_TEXT_H
#define VX_INT_TEXT_H

#include <stdbool.h>
#include <stdint.h>

enum int_text {
    INT_TEXT_OK,
    INT_TEXT_BAD,  /* not an integer: int_parsing */
    INT_TEXT_RANGE /* an integer outside int64: int_parsing_size */
};

/* White space around, a sign, leading zeros, single '_' between digits and a ".0" suffix are
 * fine; "1.", "1e3", "0x10", "", "1__0" are not. *out is set for INT_TEXT_OK. NULL is bad. */
enum int_text int_text_parse(const char *s, int64_t *out);
/* 0 1 t f true false y n yes no on off, any case, no trimming. 0, or -1 and *out untouched. */
int bool_text_parse(const char *s, bool *out);

#endif
