/* Meeting links and native ids (spec/meetings.md §2 and the checks of §1.1.1). Pure. */
#ifndef VX_MEETING_URL_H
#define VX_MEETING_URL_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"

struct meeting_link {
    const char *platform, *native_id; /* native_id in the arena */
    const char *passcode;             /* first non-empty query value of pwd, then p; or NULL */
};

/* Pasted mode (§2). jitsi_hosts: comma list from the config, may be "". 0, -1 unrecognised,
 * -2 out of memory. */
int meeting_url_parse(struct arena *a, const char *text, const char *jitsi_hosts,
                      struct meeting_link *out);
/* The https and SSRF rules of POST /bots for a meeting_url: NULL when fine, else the detail text
 * (in the arena) of the 422, exactly as the spec has it. */
const char *meeting_url_refusal(struct arena *a, const char *url);
/* Bounds of a native id: NULL when fine, else the detail text. */
const char *native_id_refusal(struct arena *a, const char *native_id);
/* "https://meet.google.com/{n}" for google_meet and teams; NULL for others or no memory. */
const char *meeting_url_from_id(struct arena *a, const char *platform, const char *native_id);
/* Is it google_meet, jitsi, teams or zoom? */
bool platform_is_known(const char *platform);

#endif
