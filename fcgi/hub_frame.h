/* Frames of an event stream as bytes on a FastCGI connection: text packed once into STDOUT
 * records, reference counted, so that every subscriber with the same request id shares it. All of
 * it belongs to the hub's thread. */
#ifndef VX_HUB_FRAME_H
#define VX_HUB_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/store_events.h"

struct frame {
    unsigned refs;
    size_t len;
    unsigned char data[]; /* whole FastCGI records, each padded to 8 bytes */
};

/* n bytes of stream text as STDOUT records. NULL when out of memory. */
struct frame *frame_new(unsigned request_id, const char *text, size_t n)
    __attribute__((warn_unused_result));
/* The end of a stream: text (may be NULL), the empty STDOUT record, END_REQUEST; before them what
 * is left of a half-written frame (rest_len bytes of rest). NULL when out of memory. */
struct frame *frame_end(unsigned request_id, const char *text, const void *rest, size_t rest_len)
    __attribute__((warn_unused_result));
/* f for another request id: f itself when made for the same, else a copy. A new reference. */
struct frame *frame_as(struct frame *f, unsigned request_id) __attribute__((warn_unused_result));
void frame_unref(struct frame *f);
/* Text as it is, without records. NULL when out of memory. */
struct frame *frame_raw(const char *text, size_t n) __attribute__((warn_unused_result));

/* Replaces the text in b by "id: <epoch>-<n>\ndata: <json>\n\n"; topic != NULL is put into the
 * object. 0, or -1 when memory ran out. */
int frame_event_text(struct buf *b, const char *epoch, const struct event *e, const char *topic);
/* Same as {"id":"<epoch>-<n>","data":<json>}. */
int frame_event_json(struct buf *b, const char *epoch, const struct event *e, const char *topic);
/* Appends a gap frame (no id line). 0 or -1. */
int frame_gap_text(struct buf *b, const char *epoch, int64_t after, int64_t floor,
                   const char *topic);

#endif
