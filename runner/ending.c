/* What the end of a bot's process means. */
#include "runner/ending.h"

#include <inttypes.h>
#include <string.h>

#include "lib/lifecycle.h"

const char *ending_how(struct arena *a, const struct ending_facts *f)
{
    const char *text;
    if (!f->known)
        return f->watched ? "ended without a word (its exit status went to an earlier runner)"
                          : "is gone (it ended while no runner was watching)";
    if (f->sig) {
        const char *name = sigabbrev_np(f->sig);
        text = arena_printf(a, "was killed by signal %d%s%s%s", f->sig, name ? " (SIG" : "",
                            name ? name : "", name ? ")" : "");
    } else {
        text = arena_printf(a, "exited with code %d", f->exit_code);
    }
    return text ? text : "ended";
}

/* The spec's texts for a bot that was asked to leave. */
static const char *stop_reason(struct arena *a, const struct ending_facts *f, bool completed)
{
    if (!completed)
        return arena_printf(a, "stopped by the user at %s (never admitted)", f->meeting_status);
    if (f->killed)
        return arena_printf(
            a, "stopped (workload killed after %" PRId64 " s, confirmed by runtime)", f->grace_s);
    return "stopped (workload exited, confirmed by runtime)";
}

static const char *silent_reason(struct arena *a, const struct ending_facts *f)
{
    const char *how = ending_how(a, f), *s = f->meeting_status;
    if (!f->known)
        return arena_printf(a, "the bot process %s", how);
    if (!strcmp(s, "requested"))
        return arena_printf(a, "the bot process %s before it reported anything (never started)",
                            how);
    if (!strcmp(s, "joining") || !strcmp(s, "awaiting_admission"))
        return arena_printf(a, "the bot process %s before it reported an end (never admitted)",
                            how);
    return arena_printf(a, "the bot process %s before it reported an end", how);
}

enum vx_err ending_of(struct arena *a, const struct ending_facts *f, struct ending *out)
{
    struct lifecycle_ending e = lifecycle_ending_of(f->meeting_status, f->stop_requested);
    *out = (struct ending){e.status, e.completion_reason, ""};
    if (!e.status)
        return VX_OK;
    if (f->start_error) {
        out->status = "failed";
        out->completion_reason = "start_failed";
        out->reason = f->start_error;
    } else if (!strcmp(e.completion_reason, "stopped")) {
        out->reason = stop_reason(a, f, !strcmp(e.status, "completed"));
    } else if (f->why == BOT_WHY_MAX_TIME) {
        out->completion_reason = "max_bot_time_exceeded";
        out->reason = arena_printf(
            a, "the bot was ended after %" PRId64 " s, the longest life of a bot here", f->max_s);
    } else {
        out->reason = silent_reason(a, f);
    }
    return out->reason ? VX_OK : VX_ERR_NO_MEMORY;
}
