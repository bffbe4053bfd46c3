/* A state machine driven by three things: the answer to the post under way, the clock, a request to
 * leave. Posts are strictly one after the other, so the server sees what was said in the order it
 * was said; while one is tried again the clock goes on and what falls due waits its turn. Due times
 * are absolute (start of the phase plus meeting time / speed), so nothing drifts. */
#include "bot/replay.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/log.h"

#define BATCH_MAX       200
#define BATCH_BYTES     ((size_t)512 * 1024) /* a batch that grew past this is sent */
#define BODY_MAX        ((size_t)2 * 1024 * 1024)
#define GIVE_UP_MS      600000 /* how long the last words are tried */
#define FOR_EVER        INT64_MAX
#define ANSWER_TREE_MAX ((size_t)16 * 1024 * 1024)

enum phase {
    PHASE_START,
    PHASE_JOINING,  /* "joining" is under way */
    PHASE_ASKING,   /* "awaiting_admission" is under way */
    PHASE_WAITING,  /* in the lobby since phase_at */
    PHASE_ENTERING, /* "active" is under way */
    PHASE_ACTIVE,   /* in the meeting since phase_at */
    PHASE_ENDING,   /* the terminal event is under way */
    PHASE_OVER,
};

struct player {
    const struct invocation *inv;
    const struct script *script;
    const struct replay_fault *fault;
    int64_t speed;
    struct talk *talk;

    enum phase phase;
    int64_t phase_at;
    size_t next;  /* first action the server has not accepted */
    size_t limit; /* actions that will be said; fewer than all after a request to leave */
    size_t sent;  /* actions in the post under way */
    size_t batch; /* most actions of a post; shrinks when a batch is refused */
    bool stopping;
    int64_t give_up_at;
    int exit_status;
    struct buf body;
};

/* The words of the terminal event. */
struct ending {
    const char *status, *completion_reason, *stage, *reason;
    int exit_code;
};

static const char *const phase_names[] = {"start",    "joining", "asking", "waiting",
                                          "entering", "active",  "ending", "over"};

static void over(struct player *p, int exit_status)
{
    p->phase = PHASE_OVER;
    p->exit_status = exit_status;
}

/* Posts p->body; without memory the bot cannot go on. */
static void post(struct player *p, enum talk_sink sink)
{
    if (p->body.failed ||
        talk_post(p->talk, sink, p->body.data != NULL ? p->body.data : "", p->body.len) != VX_OK) {
        log_msg(LOG_ERROR_, "out_of_memory", "the bot cannot build its next message");
        over(p, 1);
    }
}

static void put_member(struct buf *b, const char *name, const char *value)
{
    if (value == NULL)
        return;
    buf_printf(b, ",\"%s\":", name);
    buf_append_json_str(b, value, strlen(value));
}

/* Posts a lifecycle event; end is NULL for those that are not the last. */
static void post_lifecycle(struct player *p, const char *status, const struct ending *end)
{
    char now[CLOCK_TEXT_MAX];
    struct buf *b = &p->body;
    buf_free(b);
    buf_append_str(b, "{\"connection_id\":");
    buf_append_json_str(b, p->inv->connection_id, strlen(p->inv->connection_id));
    put_member(b, "container_id", p->inv->container_name);
    put_member(b, "status", status);
    put_member(b, "timestamp", clock_format(clock_now_ms(), now));
    if (end != NULL) {
        put_member(b, "completion_reason", end->completion_reason);
        put_member(b, "failure_stage", end->stage);
        put_member(b, "reason", end->reason);
        buf_printf(b, ",\"exit_code\":%d", end->exit_code);
    }
    buf_append_char(b, '}');
    log_event(LOG_INFO_, "lifecycle", "status", status, "completion_reason",
              end != NULL && end->completion_reason != NULL ? end->completion_reason : "", "reason",
              end != NULL && end->reason != NULL ? end->reason : "", NULL);
    post(p, TALK_LIFECYCLE);
}

static void enter(struct player *p, enum phase phase)
{
    p->phase = phase;
    p->phase_at = clock_mono_ms();
}

/* Says the last word. */
static void end_with(struct player *p, const struct ending *end)
{
    enter(p, PHASE_ENDING);
    if (p->give_up_at == FOR_EVER)
        p->give_up_at = p->phase_at + GIVE_UP_MS;
    post_lifecycle(p, end->status, end);
}

static void fail_with(struct player *p, const char *completion_reason, const char *stage,
                      const char *reason)
{
    struct ending e = {"failed", completion_reason, stage, reason, 1};
    end_with(p, &e);
}

/* Asked to leave before the meeting let us in. */
static void withdraw(struct player *p, const char *stage)
{
    struct ending e = {"failed", "stopped", stage,
                       "stopped while awaiting admission (withdrew the join request)", 0};
    end_with(p, &e);
}

static void complete_with(struct player *p, const char *completion_reason)
{
    struct ending e = {"completed", completion_reason, NULL, NULL, 0};
    end_with(p, &e);
}

/* When meeting time ms of this phase comes; a time beyond all clocks never does. */
static int64_t due(const struct player *p, int64_t ms)
{
    int64_t wait = ms / p->speed;
    return wait > FOR_EVER - p->phase_at ? FOR_EVER : p->phase_at + wait;
}

/* Milliseconds as seconds, as short as they read back the same: 2867 -> 2.867, 3000 -> 3. */
static void put_seconds(struct buf *b, int64_t ms)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
    while (n > 0 && text[n - 1] == '0')
        n--;
    if (n > 0 && text[n - 1] == '.')
        n--;
    buf_append(b, text, (size_t)n);
}

static void put_segment(struct player *p, const struct script_action *act)
{
    struct buf *b = &p->body;
    const struct vtt_cue *cue = &p->script->cues[act->cue];
    char id[256];
    int n = snprintf(id, sizeof id, "%s:%u", p->inv->connection_id, (unsigned)act->cue + 1);
    buf_append_str(b, "{\"segment_id\":");
    buf_append_json_str(b, id, (size_t)n);
    put_member(b, "speaker", cue->speaker);
    buf_append_str(b, ",\"text\":");
    buf_append_json_str(b, cue->text, act->text_len);
    buf_append_str(b, ",\"start\":");
    put_seconds(b, cue->start_ms);
    buf_append_str(b, ",\"end\":");
    put_seconds(b, cue->end_ms);
    buf_printf(b, ",\"completed\":%s,\"language\":\"en\"}", act->completed ? "true" : "false");
}

/* Posts what is due, in order, as much as one body takes. */
static void post_segments(struct player *p, size_t n)
{
    struct buf *b = &p->body;
    buf_free(b);
    buf_printf(b, "{\"type\":\"transcription\",\"meeting_id\":%" PRId64, p->inv->meeting_id);
    put_member(b, "native_meeting_id", p->inv->native_id);
    put_member(b, "session_uid", p->inv->connection_id);
    buf_append_str(b, ",\"segments\":[");
    for (p->sent = 0; p->sent < n && b->len < BATCH_BYTES; p->sent++) {
        if (p->sent > 0)
            buf_append_char(b, ',');
        put_segment(p, &p->script->actions[p->next + p->sent]);
    }
    buf_append_str(b, "]}");
    post(p, TALK_TRANSCRIPT);
}

/* Actions from p->next on that are due by now and go into one post. */
static size_t due_actions(const struct player *p, int64_t now)
{
    size_t n = 0;
    while (n < p->batch && p->next + n < p->limit &&
           due(p, p->script->actions[p->next + n].due_ms) <= now)
        n++;
    return n;
}

/* Everything was said and accepted and it is time. Returns when to come back. */
static int64_t end_meeting(struct player *p)
{
    switch (p->script->end) {
    case SCRIPT_LEFT_ALONE:
        complete_with(p, "left_alone");
        break;
    case SCRIPT_EVICTED:
        complete_with(p, "evicted");
        break;
    case SCRIPT_CRASH:
        log_event(LOG_INFO_, "crash", "reason", "the script says so", NULL);
        (void)kill(getpid(), SIGKILL);
        break;
    case SCRIPT_HANG:
    case SCRIPT_STAY:
        break;
    }
    return FOR_EVER;
}

static int64_t advance_active(struct player *p, int64_t now)
{
    size_t n = due_actions(p, now);
    if (n > 0) {
        post_segments(p, n);
        return FOR_EVER;
    }
    if (p->stopping) {
        complete_with(p, "stopped");
        return FOR_EVER;
    }
    if (p->next < p->limit)
        return due(p, p->script->actions[p->next].due_ms);
    int64_t end = due(p, p->script->end_ms);
    return now < end ? end : end_meeting(p);
}

static int64_t advance_waiting(struct player *p, int64_t now)
{
    const struct script *s = p->script;
    char why[80];
    int64_t at = p->phase_at;
    if (s->admission == VTT_ADMIT_WAIT)
        at = due(p, s->wait_ms);
    if (s->admission == VTT_ADMIT_TIMEOUT ||
        (s->admission == VTT_ADMIT_WAIT && s->wait_ms > p->inv->waiting_room_ms)) {
        at = due(p, p->inv->waiting_room_ms);
        if (now < at)
            return at;
        (void)snprintf(why, sizeof why, "nobody let the bot in within %" PRId64 " s",
                       p->inv->waiting_room_ms / 1000);
        fail_with(p, "awaiting_admission_timeout", "awaiting_admission", why);
        return FOR_EVER;
    }
    if (now < at)
        return at;
    if (s->admission == VTT_ADMIT_REJECT) {
        fail_with(p, "awaiting_admission_rejected", "awaiting_admission",
                  "the host rejected the request to join");
        return FOR_EVER;
    }
    enter(p, PHASE_ENTERING);
    post_lifecycle(p, "active", NULL);
    return FOR_EVER;
}

/* One step while nothing is under way. Returns when to come back if nothing happens before. */
static int64_t advance(struct player *p, int64_t now)
{
    switch (p->phase) {
    case PHASE_START:
        enter(p, PHASE_JOINING);
        post_lifecycle(p, "joining", NULL);
        break;
    case PHASE_JOINING:
        if (p->stopping) {
            withdraw(p, "joining");
        } else if (p->fault->completion_reason != NULL) {
            fail_with(p, p->fault->completion_reason, "joining", p->fault->reason);
        } else {
            enter(p, PHASE_ASKING);
            post_lifecycle(p, "awaiting_admission", NULL);
        }
        break;
    case PHASE_ASKING:
        enter(p, PHASE_WAITING);
        return advance(p, now);
    case PHASE_WAITING:
        if (!p->stopping)
            return advance_waiting(p, now);
        withdraw(p, "awaiting_admission");
        break;
    case PHASE_ENTERING:
        enter(p, PHASE_ACTIVE);
        if (p->stopping)
            p->limit = 0;
        return advance_active(p, p->phase_at);
    case PHASE_ACTIVE:
        return advance_active(p, now);
    case PHASE_ENDING:
        over(p, 0);
        break;
    case PHASE_OVER:
        break;
    }
    return FOR_EVER;
}

/* Copies a string member of a JSON answer; "" when there is none. */
static void answer_member(const char *body, const char *name, char *out, size_t size)
{
    struct arena *a = arena_new(ANSWER_TREE_MAX);
    struct json_object *o = NULL;
    struct json_fault fault;
    const char *s = NULL;
    if (a != NULL && json_read(a, body, strlen(body), &o, &fault) == VX_OK && o != NULL &&
        json_object_is_type(o, json_type_object))
        s = json_get_str(o, name);
    (void)snprintf(out, size, "%s", s != NULL ? s : "");
    arena_free(a);
}

/* The server will not take this event and never will. */
static void lifecycle_refused(struct player *p, const struct talk_answer *ans)
{
    char from[32], detail[256];
    answer_member(ans->body, "from", from, sizeof from);
    answer_member(ans->body, "detail", detail, sizeof detail);
    log_msg(LOG_WARN_, "lifecycle_refused", "%s: status %d %s", phase_names[p->phase], ans->status,
            detail);
    bool ended = strcmp(from, "completed") == 0 || strcmp(from, "failed") == 0;
    if (p->phase == PHASE_ENDING) {
        over(p, ans->status == 409 ? 0 : 1);
    } else if (ans->status == 409 && ended) {
        log_event(LOG_INFO_, "meeting_over", "from", from, NULL);
        over(p, 0);
    }
}

/* A batch was refused: what is refused alone is left out, the rest is still said. */
static void segments_refused(struct player *p, const struct talk_answer *ans)
{
    char detail[256];
    answer_member(ans->body, "detail", detail, sizeof detail);
    log_msg(LOG_WARN_, "segments_refused", "%zu segments from cue %u on: status %d %s", p->sent,
            (unsigned)p->script->actions[p->next].cue + 1, ans->status, detail);
    if (p->sent > 1) {
        p->batch = p->sent / 2;
        return;
    }
    p->next += p->sent;
}

static void answered(struct player *p)
{
    const struct talk_answer *ans = talk_answer(p->talk);
    bool fine = ans->status >= 200 && ans->status < 300;
    if (ans->status == 0 || ans->status == 401 || ans->status == 403 || ans->status == 404) {
        char detail[256];
        answer_member(ans->body, "detail", detail, sizeof detail);
        log_msg(LOG_ERROR_, "denied", "%s: status %d %s, the bot ends", phase_names[p->phase],
                ans->status, detail);
        over(p, 1);
    } else if (p->phase != PHASE_ACTIVE) {
        if (!fine)
            lifecycle_refused(p, ans);
    } else if (!fine) {
        segments_refused(p, ans);
    } else {
        p->next += p->sent;
        p->batch = p->batch * 2 > BATCH_MAX ? BATCH_MAX : p->batch * 2;
    }
}

/* Asked to leave: what was due by now is still said, then the last word. */
static void stop(struct player *p, int64_t now)
{
    if (p->script->end == SCRIPT_HANG && p->fault->completion_reason == NULL) {
        log_event(LOG_WARN_, "stop_ignored", "reason", "the recording says end: hang", NULL);
        return;
    }
    if (p->stopping || p->phase >= PHASE_ENDING)
        return;
    log_event(LOG_INFO_, "stop", "phase", phase_names[p->phase], NULL);
    p->stopping = true;
    p->give_up_at = now + GIVE_UP_MS;
    if (p->phase != PHASE_ACTIVE)
        return;
    size_t said = p->next + (talk_busy(p->talk) ? p->sent : 0);
    while (said < p->limit && due(p, p->script->actions[said].due_ms) <= now)
        said++;
    p->limit = said;
}

int replay_run(const struct invocation *inv, const struct script *script,
               const struct replay_fault *fault, int64_t speed, struct talk *talk)
{
    struct player p = {
        .inv = inv,
        .script = script,
        .fault = fault,
        .speed = speed < 1 ? 1 : speed,
        .talk = talk,
        .limit = script->n_actions,
        .batch = BATCH_MAX,
        .give_up_at = FOR_EVER,
    };
    buf_init(&p.body, BODY_MAX);
    while (p.phase != PHASE_OVER) {
        int64_t now = clock_mono_ms(), wake = FOR_EVER;
        if (!talk_busy(talk))
            wake = advance(&p, now);
        if (p.phase == PHASE_OVER)
            break;
        if (now >= p.give_up_at) {
            log_msg(LOG_ERROR_, "gave_up", "the server took no answer for %d s", GIVE_UP_MS / 1000);
            over(&p, 1);
            break;
        }
        int news = talk_wait(talk, wake < p.give_up_at ? wake : p.give_up_at);
        if (news < 0)
            over(&p, 1);
        if (news > 0 && (news & TALK_ANSWERED) != 0)
            answered(&p);
        if (news > 0 && (news & TALK_STOP) != 0 && p.phase != PHASE_OVER)
            stop(&p, clock_mono_ms());
    }
    buf_free(&p.body);
    return p.exit_status;
}
