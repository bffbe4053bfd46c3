/* From a filled response to bytes: status line, headers, body; the two forms of an error body; the
 * opening of an event stream. */
#ifndef VX_FCGI_RESPONSE_H
#define VX_FCGI_RESPONSE_H

#include "handlers/http.h"
#include "lib/buf.h"

struct rendered {
    int status;
    const char *body; /* NULL = none; lives as long as the request's arena */
    size_t body_len;
};

/* Writes the header block (to the empty line) into head and tells what body follows: none for HEAD,
 * 204 and streams; that of a long poll has no Content-Length yet. Ids are those of rq. Never fails:
 * without memory it becomes a short 503. */
void response_render(const struct request *rq, struct response *rs, struct buf *head,
                     struct rendered *out);
/* The first bytes of a stream: the id line that arms the client's cursor, then the preamble. The
 * text lives in the arena; NULL = no memory. */
const char *response_stream_opening(struct arena *a, const char *epoch,
                                    const struct stream_spec *spec);

#endif
