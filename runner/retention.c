/* When the log is swept. A sweep is many steps and a tick does one, so bots never wait for it. */
#include "runner/retention.h"

#include "lib/clock.h"

enum vx_err retention_tick(struct runner *r, int64_t now)
{
    bool done = false;
    if (now < r->next_sweep)
        return VX_OK;
    const struct config *cfg = r->in.cfg;
    int64_t age_ms = config_int(cfg, CFG_RETENTION_EVENTS_SECONDS) * 1000;
    struct retention_limits limits = {
        .before_ms = age_ms > 0 ? clock_now_ms() - age_ms : 0,
        .per_topic = config_int(cfg, CFG_RETENTION_EVENTS_PER_TOPIC),
    };
    enum vx_err err = store_retention_step(r->st, r->rd, &limits, &r->sweep, &done);
    if (!err && done)
        r->next_sweep = now + config_int(cfg, CFG_RETENTION_SWEEP_SECONDS) * 1000;
    return err;
}
