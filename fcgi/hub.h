/* The hub: one thread that owns every open event stream. A stream's state is its cursor and the
 * tail of a half-written frame. See design.md "Streams". */
#ifndef VX_HUB_H
#define VX_HUB_H

#include "handlers/http.h"
#include "handlers/stream_spec.h"

struct hub;

/* Starts the thread with its own read connection. */
enum vx_err hub_start(const struct app *app, struct hub **out);
/* Takes over fd (a FastCGI connection on which the headers, the armed id and the preamble were
 * already sent; of the long-poll form nothing was sent, the hub writes the whole answer);
 * request_id is the FastCGI one. Copies spec. The hub writes STDOUT and END_REQUEST records itself
 * and closes fd at the end. On an error nothing is taken: fd and the reserved place stay the
 * caller's. */
enum vx_err hub_add(struct hub *hub, int fd, unsigned request_id, const struct stream_spec *spec);
/* hub_add() for a connection the web server asked to keep: when the stream ended cleanly it goes to
 * the keeper instead of being closed. (nginx may send its next request on a connection in the
 * moment between END_REQUEST and our close; that request would be lost.) */
enum vx_err hub_add_kept(struct hub *hub, int fd, unsigned request_id,
                         const struct stream_spec *spec);
/* Who takes ended connections back; fn must be short and not call the hub. NULL: nobody, all are
 * closed. After it returned the former keeper is not called any more. */
typedef void hub_keep_fn(int fd, void *ctx);
void hub_keeper(struct hub *hub, hub_keep_fn *fn, void *ctx);
/* Checked before headers are sent: VX_OK, VX_ERR_STREAM_CAPACITY (all) or VX_ERR_RATE_LIMITED
 * (this user). Reserves a place that hub_add() uses up or hub_unreserve() gives back. */
enum vx_err hub_reserve(struct hub *hub, int64_t user_id);
void hub_unreserve(struct hub *hub, int64_t user_id);
/* How many streams a user may have and has. */
void hub_usage(struct hub *hub, int64_t user_id, unsigned *limit, unsigned *in_use);
/* Plans the end of every stream after ms when stream.max_seconds is 0: where the web server ends
 * long requests by force. */
void hub_plan_end(struct hub *hub, int64_t ms);
/* Takes the limits of a configuration that was read again. Open streams stay. */
void hub_configure(struct hub *hub, const struct config *cfg);
/* Ends every stream with a jittered retry: line and END_REQUEST, joins the thread. Kept connections
 * go to the keeper, when there is one. */
void hub_stop(struct hub *hub);
unsigned hub_streams(struct hub *hub);

#endif
