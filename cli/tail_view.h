/* What vexa tail prints: event frames in, text for the terminal (or a file) out. Pure: it writes
 * into a buffer and knows neither descriptors nor the network. */
#ifndef VX_CLI_TAIL_VIEW_H
#define VX_CLI_TAIL_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"

enum tail_form {
    TAIL_JSON,  /* one line a frame: {"id":…,"data":…} */
    TAIL_LINES, /* confirmed segments and changes of state, one line each */
    TAIL_LIVE,  /* TAIL_LINES, and the draft under way in the terminal's last line */
};

struct tail_view;

/* Text is appended to out, which the caller empties. NULL: no memory. */
struct tail_view *tail_view_new(enum tail_form form, struct buf *out);
void tail_view_free(struct tail_view *v);
/* One event; id may be NULL. False when it was the last one: the meeting has ended. */
bool tail_view_event(struct tail_view *v, const char *id, const char *data, size_t len);
/* TAIL_LIVE: shows the newest draft in the last line, cut to this many columns. To be called once
 * after a batch of events, and when the width has changed. */
void tail_view_draw(struct tail_view *v, size_t columns);
/* TAIL_LIVE: takes the draft off the screen, so that something else can be written there. */
void tail_view_clear(struct tail_view *v);

/* Appends n bytes of UTF-8 without control characters and what reorders text; runs of white space
 * become one space. Bytes that are no UTF-8 become U+FFFD. */
void tail_view_plain(struct buf *out, const char *s, size_t n);
/* Columns a plain text takes on a terminal. */
size_t tail_view_width(const char *s, size_t n);

#endif
