/* The script of a meeting: what happens when, in milliseconds of meeting time since the bot became
 * active. Made from a WebVTT recording, or from a mock: scenario. Pure: no clock, no network. */
#ifndef VX_SCRIPT_H
#define VX_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/webvtt.h"

#define SCRIPT_DRAFT_MS    1500  /* a draft grows about this often … */
#define SCRIPT_DRAFTS_MAX  6     /* … but no more than this many drafts a cue */
#define SCRIPT_TEXT_MAX    16384 /* bytes of a text, and */
#define SCRIPT_SPEAKER_MAX 255   /* characters of a name the server takes */

enum script_end {
    SCRIPT_LEFT_ALONE,
    SCRIPT_EVICTED,
    SCRIPT_CRASH, /* the bot kills itself after the last cue */
    SCRIPT_HANG,  /* the bot stays and ignores every request to leave */
    SCRIPT_STAY,  /* the bot stays until it is told to leave */
};

/* One thing that is said: the first text_len bytes of the cue's text, as draft or confirmed. */
struct script_action {
    int64_t due_ms;
    uint32_t cue; /* index; the cue's number is one more */
    uint32_t text_len;
    bool completed;
};

struct script {
    enum vtt_admission admission;
    int64_t wait_ms; /* of VTT_ADMIT_WAIT */
    const struct vtt_cue *cues;
    size_t n_cues;
    struct script_action *actions; /* in the order they are to be sent */
    size_t n_actions;
    enum script_end end;
    int64_t end_ms; /* when the meeting ends */
};

/* Orders drafts and confirmations of a recording. Every cue has at least one draft (unless drafts
 * are off), no draft repeats the one before it, the confirmed text is the whole. out borrows v's
 * cues. VX_ERR_VALIDATION with why (in the arena) when a cue is too long to be sent. */
enum vx_err script_from_vtt(struct arena *a, const struct vtt *v, struct script *out,
                            const char **why);

/* A scripted meeting by the part of the bot's name after "mock:". alone_ms: how long silence lasts
 * before silence-left-alone leaves. VX_ERR_VALIDATION with why for an unknown scenario. */
enum vx_err script_from_mock(struct arena *a, const char *scenario, int64_t alone_ms,
                             struct script *out, const char **why);

#endif
