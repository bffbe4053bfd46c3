/* Event ids "<epoch>-<n>" as clients send them back (Last-Event-ID, ?since=). Pure. */
#ifndef VX_CURSOR_H
#define VX_CURSOR_H

#include <stdint.h>

enum cursor_kind {
    CURSOR_NONE,    /* absent or empty: a fresh start */
    CURSOR_GARBAGE, /* not of our form: a fresh start (422 for ?since=) */
    CURSOR_FOREIGN, /* another epoch: reset */
    CURSOR_FUTURE,  /* past the tip: reset */
    CURSOR_OK
};

/* text may be NULL; epoch is the database's, tip its largest id. *n is set for CURSOR_OK. */
enum cursor_kind cursor_parse(const char *text, const char *epoch, int64_t tip, int64_t *n);
#define CURSOR_TEXT_MAX 64
/* "<epoch>-<n>"; returns out. */
const char *cursor_format(const char *epoch, int64_t n, char out[CURSOR_TEXT_MAX]);

#endif
