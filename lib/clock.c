/* Time: clocks and their text. */
#include "lib/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts); /* cannot fail for these two clocks */
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_now_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

const char *clock_format(int64_t ms, char out[CLOCK_TEXT_MAX])
{
    int64_t rest = ms % 1000;
    time_t s = (time_t)(ms / 1000);
    if (rest < 0) {
        rest += 1000;
        s -= 1;
    }
    struct tm tm;
    if (!gmtime_r(&s, &tm))
        tm = (struct tm){.tm_mday = 1, .tm_year = 70};
    size_t n = strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest)
        snprintf(out + n, CLOCK_TEXT_MAX - n, ".%03dZ", (int)rest);
    else
        snprintf(out + n, CLOCK_TEXT_MAX - n, "Z");
    return out;
}

/* Exactly n digits at *s; moves on. -1 when they are not there. */
static int digits(const char **s, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if ((*s)[i] < '0' || (*s)[i] > '9')
            return -1;
        v = v * 10 + ((*s)[i] - '0');
    }
    *s += n;
    return v;
}

static bool take(const char **s, char c)
{
    if (**s != c)
        return false;
    (*s)++;
    return true;
}

/* The fraction after a dot, as milliseconds; further digits are cut. */
static int fraction_ms(const char **s)
{
    int ms = 0, scale = 100, n = 0;
    for (; **s >= '0' && **s <= '9'; (*s)++, n++) {
        ms += (**s - '0') * scale;
        scale /= 10;
    }
    return n ? ms : -1;
}

int clock_parse(const char *s, int64_t *ms)
{
    int y, mo, d, h, mi, sec, frac = 0, off = 0;
    if ((y = digits(&s, 4)) < 0 || !take(&s, '-') || (mo = digits(&s, 2)) < 1 || mo > 12 ||
        !take(&s, '-') || (d = digits(&s, 2)) < 1 || d > 31)
        return -1;
    if (*s != 'T' && *s != 't' && *s != ' ')
        return -1;
    s++;
    if ((h = digits(&s, 2)) < 0 || h > 23 || !take(&s, ':') || (mi = digits(&s, 2)) < 0 ||
        mi > 59 || !take(&s, ':') || (sec = digits(&s, 2)) < 0 || sec > 60)
        return -1;
    if (take(&s, '.') && (frac = fraction_ms(&s)) < 0)
        return -1;
    if (*s == 'Z' || *s == 'z') {
        s++;
    } else if (*s == '+' || *s == '-') {
        int sign = *s++ == '-' ? -1 : 1, oh, om;
        if ((oh = digits(&s, 2)) < 0 || oh > 23 || !take(&s, ':') || (om = digits(&s, 2)) < 0 ||
            om > 59)
            return -1;
        off = sign * (oh * 60 + om);
    }
    if (*s)
        return -1;
    struct tm tm = {.tm_year = y - 1900,
                    .tm_mon = mo - 1,
                    .tm_mday = d,
                    .tm_hour = h,
                    .tm_min = mi,
                    .tm_sec = sec};
    time_t t = timegm(&tm);
    if (tm.tm_mday != d) /* 30 February became March */
        return -1;
    *ms = ((int64_t)t - off * 60) * 1000 + frac;
    return 0;
}

int clock_parse_cue(const char *s, size_t n, int64_t *ms)
{
    char text[24];
    if (n == 0 || n >= sizeof text)
        return -1;
    memcpy(text, s, n);
    text[n] = '\0';
    const char *p = text;
    int64_t first = 0;
    int count = 0;
    for (; *p >= '0' && *p <= '9' && count < 6; p++, count++)
        first = first * 10 + (*p - '0');
    if (count < 2 || !take(&p, ':'))
        return -1;
    int64_t hours = 0;
    int mi, sec, milli;
    if (strchr(p, ':')) {
        hours = first;
        if ((mi = digits(&p, 2)) < 0 || !take(&p, ':'))
            return -1;
    } else {
        if (count != 2)
            return -1;
        mi = (int)first;
    }
    if (mi > 59 || (sec = digits(&p, 2)) < 0 || sec > 59 || !take(&p, '.') ||
        (milli = digits(&p, 3)) < 0 || *p)
        return -1;
    *ms = ((hours * 60 + mi) * 60 + sec) * 1000 + milli;
    return 0;
}
