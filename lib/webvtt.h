/* WebVTT recordings, with our NOTE replay block (shapes.md "Bots and meetings", Replay). Pure. */
#ifndef VX_WEBVTT_H
#define VX_WEBVTT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"

struct vtt_cue {
    int64_t start_ms, end_ms;
    const char *speaker; /* "" without <v> */
    const char *text;    /* entities decoded, tags stripped, lines joined by \n */
};

enum vtt_admission { VTT_ADMIT_OK, VTT_ADMIT_WAIT, VTT_ADMIT_REJECT, VTT_ADMIT_TIMEOUT };
enum vtt_end { VTT_END_LEFT_ALONE, VTT_END_EVICTED, VTT_END_CRASH, VTT_END_HANG };

struct vtt {
    struct vtt_cue *cues;
    size_t n;
    enum vtt_admission admission;
    int64_t wait_ms; /* of VTT_ADMIT_WAIT */
    enum vtt_end end;
    bool drafts; /* default on */
};

/* VX_OK, or VX_ERR_VALIDATION with why (in the arena) naming the line. Text is n bytes. */
enum vx_err vtt_parse(struct arena *a, const char *text, size_t n, struct vtt *out,
                      const char **why);

#endif
