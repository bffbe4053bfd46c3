/* Texts the way Python treats them, because Vexa's error details and checks were born there:
 * repr(), str.strip(), len(). Also the UTF-8 reader they rest on. Pure. */
#ifndef VX_PY_TEXT_H
#define VX_PY_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"

/* Reads one character of the n bytes at s: its length (1..4) and *cp; 0 when the bytes are not
 * valid UTF-8 (overlong, surrogate, past U+10FFFF, cut short) or n is 0. */
size_t utf8_read(const char *s, size_t n, uint32_t *cp);
/* Writes cp (a scalar value) to out and returns its length, 1..4. */
size_t utf8_write(uint32_t cp, char out[4]);
/* Offset of the first byte that is not valid UTF-8, or n when all is valid. */
size_t utf8_check(const char *s, size_t n);

/* Is cp white space to str.strip() and \s? */
bool py_is_space(uint32_t cp);
/* len(s): characters; a broken byte counts as one. */
size_t py_len(const char *s);
/* s without white space at both ends, in the arena; NULL when out of memory. */
char *py_strip(struct arena *a, const char *s);
/* repr(s) in the arena: 'abc', "it's", 'a\n\x7f'. NULL when out of memory. */
char *py_repr(struct arena *a, const char *s);

#endif
