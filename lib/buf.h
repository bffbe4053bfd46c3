/* The one growable buffer, with a mandatory maximum. After a failed append the buffer is freed,
 * stays failed and ignores further appends, so a chain of appends needs one check at its end. */
#ifndef VX_BUF_H
#define VX_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* NUL-terminated once anything was appended; else NULL */
    size_t len, cap, max;
    bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);  /* usable again afterwards, same max */
void buf_clear(struct buf *b); /* keeps the memory */
/* 0, or -1 when the maximum or memory ran out. */
int buf_append(struct buf *b, const void *p, size_t n);
int buf_append_str(struct buf *b, const char *s);
int buf_append_char(struct buf *b, char c);
int buf_append_json_str(struct buf *b, const char *s, size_t n); /* quoted and escaped */
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
/* The string ("" when empty); the caller owns it, the buffer is empty. NULL when it failed. */
char *buf_take(struct buf *b);

#endif
