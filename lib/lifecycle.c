/* The lifecycle table and what an ended process means. The table is the spec's (§3.1); the rows
 * that start from nothing are lenient, because a bot never repeats the "joining" it lost (§10.7),
 * and joining -> needs_help is legal, because bots skip awaiting_admission (§7.3). */
#include "lib/lifecycle.h"

#include <string.h>

enum state {
    S_NONE,
    S_JOINING,
    S_AWAITING,
    S_NEEDS_HELP,
    S_ACTIVE,
    S_COMPLETED,
    S_FAILED,
    S_COUNT
};

static const char *const names[S_COUNT] = {
    NULL, "joining", "awaiting_admission", "needs_help", "active", "completed", "failed"};

/* allowed[from][to]: '.' illegal, 'a' advance, 's' after a synthetic joining hop.
 * (none) -> failed is a bot that died before it could say anything else. */
/* clang-format off */
static const char allowed[S_COUNT][S_COUNT + 1] = {
    /*               -jwhacf */
    [S_NONE] =       ".asss.a",
    [S_JOINING] =    "..aaa.a",
    [S_AWAITING] =   "...aa.a",
    [S_NEEDS_HELP] = "....a.a",
    [S_ACTIVE] =     ".....aa",
    [S_COMPLETED] =  ".......",
    [S_FAILED] =     ".......",
};
/* clang-format on */

/* S_NONE for NULL and for every word that is not the machine's. */
static enum state state_of(const char *word)
{
    for (int i = S_JOINING; word && i < S_COUNT; i++) {
        if (strcmp(word, names[i]) == 0)
            return (enum state)i;
    }
    return S_NONE;
}

static bool is_stopping(const char *row_status)
{
    return row_status && strcmp(row_status, "stopping") == 0;
}

const char *lifecycle_state(const char *row_status)
{
    return names[is_stopping(row_status) ? S_ACTIVE : state_of(row_status)];
}

bool lifecycle_is_terminal(const char *status)
{
    return state_of(status) >= S_COMPLETED;
}

enum lifecycle_verdict lifecycle_judge(const char *state, const char *to, bool forced)
{
    enum state from = state_of(state), next = state_of(to);
    if (next == S_NONE)
        return LIFECYCLE_ILLEGAL;
    if (from == next)
        return LIFECYCLE_SAME;
    if (from >= S_COMPLETED)
        return LIFECYCLE_ILLEGAL;
    if (forced && next >= S_COMPLETED)
        return LIFECYCLE_ADVANCE;
    switch (allowed[from][next]) {
    case 'a':
        return LIFECYCLE_ADVANCE;
    case 's':
        return LIFECYCLE_SYNTHETIC;
    default:
        return LIFECYCLE_ILLEGAL;
    }
}

const char *lifecycle_failure_stage(const char *state)
{
    switch (state_of(state)) {
    case S_JOINING:
        return names[S_JOINING];
    case S_AWAITING:
    case S_NEEDS_HELP:
        return names[S_AWAITING];
    case S_ACTIVE:
        return names[S_ACTIVE];
    default:
        return "requested";
    }
}

struct lifecycle_ending lifecycle_ending_of(const char *row_status, bool stop_requested)
{
    enum state s = state_of(row_status);
    bool stopped = stop_requested || is_stopping(row_status);
    if (s >= S_COMPLETED)
        return (struct lifecycle_ending){NULL, NULL};
    if (is_stopping(row_status) || s == S_ACTIVE || s == S_NEEDS_HELP)
        return (struct lifecycle_ending){"completed", stopped ? "stopped" : "left_alone"};
    if (stopped)
        return (struct lifecycle_ending){"failed", "stopped"};
    return (struct lifecycle_ending){"failed", s == S_AWAITING ? "awaiting_admission_timeout"
                                                               : "join_failure"};
}
