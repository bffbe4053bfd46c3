/* Posting with retries. Refused connections, timeouts, 429 and 5xx are tried again with growing
 * jittered pauses, for as long as the player waits; every other status is the last word. */
#include "bot/talk.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bot/commands.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/log.h"
#include "lib/secret.h"

#define PAUSE_FIRST 50
#define PAUSE_MAX   1000
#define TOTAL_MS    30000
#define HEADER_MAX  ((size_t)16 * 1024)
#define BODY_MAX    ((size_t)4 * 1024 * 1024)
#define POLL_MAX    60000

struct talk {
    struct talk_config cfg;
    struct http_client *client;
    struct commands *commands;
    int signals;
    char *token_line, *secret_line;
    const char *headers[4]; /* of every call */

    bool busy, answered;
    enum talk_sink sink;
    struct buf body;
    struct http_call *call;
    int64_t again_at; /* when a busy post without a call is tried again */
    int pause_ms;
    unsigned tries;
    struct talk_answer answer;
    struct buf answer_body;
};

static const char *const sink_names[] = {"lifecycle", "transcript"};

/* "<name>: <value>" in memory of its own; NULL when there is no room. */
static char *header_line(const char *name, const char *value)
{
    struct buf b;
    buf_init(&b, HEADER_MAX);
    if (buf_printf(&b, "%s: %s", name, value) != 0)
        return NULL;
    return buf_take(&b);
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

enum vx_err talk_new(const struct talk_config *cfg, struct talk **out)
{
    *out = NULL;
    struct talk *t = calloc(1, sizeof *t);
    if (t == NULL)
        return VX_ERR_NO_MEMORY;
    t->cfg = *cfg;
    buf_init(&t->body, BODY_MAX);
    buf_init(&t->answer_body, (size_t)64 * 1024 + 1);
    t->answer.body = "";
    size_t n = 0;
    enum vx_err err = VX_ERR_SYSTEM;
    t->signals = open_signals();
    if (t->signals < 0)
        goto fail;
    err = VX_ERR_NO_MEMORY;
    if (cfg->token != NULL) {
        t->token_line = header_line("X-Meeting-Token", cfg->token);
        if ((t->headers[n++] = t->token_line) == NULL)
            goto fail;
    }
    if (cfg->internal_secret != NULL) {
        t->secret_line = header_line("X-Internal-Secret", cfg->internal_secret);
        if ((t->headers[n++] = t->secret_line) == NULL)
            goto fail;
    }
    t->client = http_client_new("vexa-replay-bot");
    if (t->client == NULL)
        goto fail;
    if (cfg->command_url != NULL) {
        t->commands = commands_new(t->client, cfg->command_url, t->headers);
        if (t->commands == NULL)
            goto fail;
    }
    *out = t;
    return VX_OK;
fail:
    talk_free(t);
    return err;
}

void talk_free(struct talk *t)
{
    if (t == NULL)
        return;
    commands_free(t->commands);
    http_client_free(t->client);
    if (t->signals >= 0)
        (void)close(t->signals);
    free(t->token_line);
    free(t->secret_line);
    buf_free(&t->body);
    buf_free(&t->answer_body);
    free(t);
}

bool talk_busy(const struct talk *t)
{
    return t->busy;
}

const struct talk_answer *talk_answer(const struct talk *t)
{
    return &t->answer;
}

static void finish(struct talk *t, int status, const char *body, size_t len)
{
    buf_clear(&t->answer_body);
    t->answer.status = status;
    t->answer.body =
        buf_append(&t->answer_body, body, len) == 0 && len > 0 ? t->answer_body.data : "";
    if (t->answer_body.failed)
        buf_free(&t->answer_body);
    t->busy = false;
    t->answered = true;
    if (t->tries > 1)
        log_msg(LOG_INFO_, "post_through", "%s: answered %d after %u tries", sink_names[t->sink],
                status, t->tries);
}

/* Half to all of the pause, so that bots do not come back in step. */
static int64_t jittered(int pause_ms)
{
    unsigned char r = 128;
    (void)secret_bytes(&r, 1); /* without randomness the pause is just regular */
    return pause_ms / 2 + pause_ms / 2 * r / 255;
}

static void try_later(struct talk *t, int status, const char *error)
{
    /* The 1st, 2nd, 4th, 8th, … failure makes a line. */
    if ((t->tries & (t->tries - 1)) == 0)
        log_msg(LOG_WARN_, "post_retry", "%s: try %u failed (status %d%s%s), trying again",
                sink_names[t->sink], t->tries, status, error[0] != '\0' ? ", " : "", error);
    t->again_at = clock_mono_ms() + jittered(t->pause_ms);
    t->pause_ms = t->pause_ms * 2 > PAUSE_MAX ? PAUSE_MAX : t->pause_ms * 2;
}

static void on_done(void *ctx, const struct http_result *r)
{
    struct talk *t = ctx;
    t->call = NULL;
    bool whole = r->fault == HTTP_FINE || r->fault == HTTP_TOO_BIG;
    if (r->fault == HTTP_BAD_URL) {
        log_event(LOG_ERROR_, "bad_url", "sink", sink_names[t->sink], "error", r->error, NULL);
        finish(t, 0, "", 0);
    } else if (!whole || r->status == 429 || r->status >= 500 || r->status < 200) {
        try_later(t, r->status, r->error);
    } else {
        finish(t, r->status, r->body, r->body_len);
    }
}

static void try_post(struct talk *t)
{
    const char *headers[6] = {"Content-Type: application/json"};
    for (size_t i = 0; t->headers[i] != NULL; i++)
        headers[i + 1] = t->headers[i];
    struct http_request rq = {
        .method = "POST",
        .url = t->cfg.urls[t->sink],
        .headers = headers,
        .body = t->body.data,
        .body_len = t->body.len,
        .limits = {.total_ms = TOTAL_MS},
        .direct = true,
        .on_done = on_done,
        .ctx = t,
    };
    t->tries++;
    enum vx_err err = http_client_start(t->client, &rq, &t->call);
    if (err != VX_OK)
        try_later(t, 0, vx_err_info(err)->detail);
}

enum vx_err talk_post(struct talk *t, enum talk_sink sink, const char *body, size_t len)
{
    buf_clear(&t->body);
    if (buf_append(&t->body, body, len) != 0) {
        buf_free(&t->body);
        return VX_ERR_NO_MEMORY;
    }
    t->busy = true;
    t->sink = sink;
    t->tries = 0;
    t->pause_ms = PAUSE_FIRST;
    t->again_at = 0;
    if (t->cfg.urls[sink] == NULL) {
        log_event(LOG_INFO_, "said", "sink", sink_names[sink], "body", t->body.data, NULL);
        finish(t, 200, "", 0);
    }
    return VX_OK;
}

/* Reads every waiting signal; true when there was one. */
static bool signalled(struct talk *t)
{
    struct signalfd_siginfo si;
    bool any = false;
    for (;;) {
        ssize_t n = read(t->signals, &si, sizeof si);
        if (n == (ssize_t)sizeof si)
            any = true;
        else if (n < 0 && errno == EINTR)
            continue;
        else
            return any;
    }
}

int talk_wait(struct talk *t, int64_t until_ms)
{
    for (;;) {
        int64_t now = clock_mono_ms(), wake = until_ms;
        if (t->busy && t->call == NULL && now >= t->again_at)
            try_post(t);
        if (t->busy && t->call == NULL && t->again_at < wake)
            wake = t->again_at;
        if (t->commands != NULL) {
            int64_t at = commands_step(t->commands, now);
            wake = at < wake ? at : wake;
        }
        if (t->answered)
            wake = now;
        int64_t pause = wake - now;
        struct pollfd fd = {.fd = t->signals, .events = POLLIN};
        if (http_client_poll(t->client, &fd, 1,
                             pause < 0          ? 0
                             : pause > POLL_MAX ? POLL_MAX
                                                : (int)pause) < 0)
            return -1;
        int news = 0;
        if (t->answered) {
            t->answered = false;
            news |= TALK_ANSWERED;
        }
        if ((fd.revents != 0 && signalled(t)) ||
            (t->commands != NULL && commands_leave(t->commands)))
            news |= TALK_STOP;
        if (news != 0 || clock_mono_ms() >= until_ms)
            return news;
    }
}
