/* What a meeting link means, and which links a bot may be sent to. Two readings of one URL are
 * deliberately apart: meeting_url_parse() follows the spec's generous rules (§2), because it only
 * derives a name; meeting_url_refusal() guards where a browser will go, so it refuses every
 * spelling that a browser would read as another host than we do. */
#include "lib/meeting_url.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "lib/py_text.h"

#define LINK_MAX      8192
#define NATIVE_ID_MAX 255

struct span {
    const char *s;
    size_t n;
};

/* A URL cut where Python's urlsplit cuts it. */
struct split {
    struct span scheme, authority, path, query;
    bool has_authority;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static size_t span_until(struct span in, const char *stops)
{
    size_t i = 0;
    while (i < in.n && !strchr(stops, in.s[i]))
        i++;
    return i;
}

static struct span span_from(struct span in, size_t at)
{
    return (struct span){in.s + at, in.n - at};
}

static struct split split_url(const char *url)
{
    struct split u = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, false};
    struct span rest = {url, strlen(url)};
    size_t i = 0;
    while (i < rest.n && (is_alpha(url[i]) || is_digit(url[i]) || strchr("+-.", url[i])))
        i++;
    if (i > 0 && i < rest.n && url[i] == ':' && is_alpha(url[0])) {
        u.scheme = (struct span){url, i};
        rest = span_from(rest, i + 1);
    }
    if (rest.n >= 2 && rest.s[0] == '/' && rest.s[1] == '/') {
        rest = span_from(rest, 2);
        size_t n = span_until(rest, "/?#");
        u.has_authority = true;
        u.authority = (struct span){rest.s, n};
        rest = span_from(rest, n);
    }
    rest.n = span_until(rest, "#");
    size_t n = span_until(rest, "?");
    u.path = (struct span){rest.s, n};
    if (n < rest.n)
        u.query = span_from(rest, n + 1);
    return u;
}

/* The authority without user info and port; brackets of an IPv6 literal are kept. */
static struct span host_span(struct span authority)
{
    struct span h = authority;
    for (size_t i = authority.n; i > 0; i--) {
        if (authority.s[i - 1] == '@') {
            h = span_from(authority, i);
            break;
        }
    }
    if (h.n > 0 && h.s[0] == '[') {
        size_t close = span_until(h, "]");
        h.n = close < h.n ? close + 1 : h.n;
    } else {
        h.n = span_until(h, ":");
    }
    return h;
}

/* The host in lower case, in the arena; "" when there is none, NULL when out of memory. */
static char *host_of(struct arena *a, const struct split *u)
{
    struct span h = host_span(u->authority);
    char *host = arena_strndup(a, h.s, h.n);
    for (char *p = host; p && *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    }
    return host;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoded copy. "%00" and broken escapes stay as they are. NULL when out of memory. */
static char *url_decode(struct arena *a, struct span in, bool plus_is_space)
{
    char *out = arena_alloc(a, in.n + 1);
    if (!out)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        int hi = i + 2 < in.n && in.s[i] == '%' ? hex_value(in.s[i + 1]) : -1;
        int lo = hi >= 0 ? hex_value(in.s[i + 2]) : -1;
        if (lo >= 0 && (hi || lo)) {
            out[n++] = (char)(hi << 4 | lo);
            i += 2;
        } else {
            out[n++] = plus_is_space && in.s[i] == '+' ? ' ' : in.s[i];
        }
    }
    out[n] = '\0';
    return out;
}

/* Is text three, four and three letters, "abc-defg-hij" (any case)? */
static bool is_meet_code(const char *s, size_t n)
{
    if (n != 12)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (i == 3 || i == 8 ? s[i] != '-' : !is_alpha(s[i]))
            return false;
    }
    return true;
}

/* Sets platform and id; an id of n bytes at s is copied. */
static int found(struct arena *a, struct meeting_link *out, const char *platform, const char *s,
                 size_t n)
{
    out->platform = platform;
    out->native_id = arena_strndup(a, s, n);
    return out->native_id ? 0 : -2;
}

static int found_meet(struct arena *a, struct meeting_link *out, const char *s, size_t n)
{
    if (!is_meet_code(s, n))
        return -1;
    char *code = arena_strndup(a, s, n);
    if (!code)
        return -2;
    for (char *p = code; *p; p++)
        *p = *p == '-' ? '-' : (char)(*p | 0x20);
    out->platform = "google_meet";
    out->native_id = code;
    return 0;
}

/* Google Meet: the last non-empty path segment. */
static int parse_meet(struct arena *a, struct span path, struct meeting_link *out)
{
    while (path.n > 0 && path.s[path.n - 1] == '/')
        path.n--;
    size_t start = path.n;
    while (start > 0 && path.s[start - 1] != '/')
        start--;
    return found_meet(a, out, path.s + start, path.n - start);
}

/* The first run of nine digits or more, cut at eleven. */
static bool zoom_run(struct span in, struct span *run)
{
    for (size_t i = 0; i < in.n;) {
        size_t n = 0;
        while (i + n < in.n && is_digit(in.s[i + n]))
            n++;
        if (n >= 9) {
            *run = (struct span){in.s + i, n > 11 ? 11 : n};
            return true;
        }
        i += n + 1;
    }
    return false;
}

static int parse_zoom(struct arena *a, const struct split *u, struct meeting_link *out)
{
    struct span run;
    if (!zoom_run(u->path, &run) && !zoom_run(u->query, &run))
        return -1;
    return found(a, out, "zoom", run.s, run.n);
}

/* Length of "19:meeting_…@thread.v2" at s, or 0. */
static size_t thread_len(const char *s)
{
    static const char head[] = "19:meeting_", tail[] = "@thread.v2";
    if (strncasecmp(s, head, sizeof head - 1) != 0)
        return 0;
    size_t i = sizeof head - 1, n = strlen(s), start = i;
    while (i < n && !strchr("@%/", s[i])) {
        uint32_t cp;
        size_t len = utf8_read(s + i, n - i, &cp);
        if (len == 0 || py_is_space(cp))
            return 0;
        i += len;
    }
    if (i == start || strncasecmp(s + i, tail, sizeof tail - 1) != 0)
        return 0;
    return i + sizeof tail - 1;
}

static int parse_teams(struct arena *a, const char *text, struct span path,
                       struct meeting_link *out)
{
    char *plain = url_decode(a, (struct span){text, strlen(text)}, false);
    if (!plain)
        return -2;
    for (const char *p = plain; *p; p++) {
        size_t n = thread_len(p);
        if (n)
            return found(a, out, "teams", p, n);
    }
    static const char meet[] = "/meet/";
    for (size_t i = 0; i + sizeof meet - 1 < path.n; i++) {
        if (strncasecmp(path.s + i, meet, sizeof meet - 1) != 0)
            continue;
        struct span id = span_from(path, i + sizeof meet - 1);
        id.n = span_until(id, "/");
        if (id.n)
            return found(a, out, "teams", id.s, id.n);
    }
    return -1;
}

/* Is host an entry of the comma list, ignoring case and space? */
static bool in_list(const char *list, const char *host)
{
    size_t want = strlen(host);
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, ",");
        const char *s = p, *e = p + n;
        while (s < e && (*s == ' ' || *s == '\t'))
            s++;
        while (e > s && (e[-1] == ' ' || e[-1] == '\t'))
            e--;
        if ((size_t)(e - s) == want && want > 0 && strncasecmp(s, host, want) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

static bool has_label(const char *host, const char *label)
{
    size_t want = strlen(label);
    for (const char *p = host; *p;) {
        size_t n = strcspn(p, ".");
        if (n == want && memcmp(p, label, n) == 0)
            return true;
        p += n + (p[n] == '.');
    }
    return false;
}

static bool is_jitsi(const char *host, const char *jitsi_hosts)
{
    return strcmp(host, "meet.jit.si") == 0 || in_list(jitsi_hosts, host) ||
           strstr(host, "jitsi") || has_label(host, "meet");
}

/* A room is one path segment; its case and percent-encoding are part of its name. */
static int parse_jitsi(struct arena *a, struct span path, const char *host,
                       struct meeting_link *out)
{
    while (path.n > 0 && path.s[0] == '/')
        path = span_from(path, 1);
    while (path.n > 0 && path.s[path.n - 1] == '/')
        path.n--;
    if (path.n == 0)
        return -1;
    for (size_t i = 0; i < path.n;) {
        uint32_t cp;
        size_t len = utf8_read(path.s + i, path.n - i, &cp);
        if (len == 0 || cp == '/' || py_is_space(cp))
            return -1;
        i += len;
    }
    if (strcmp(host, "meet.jit.si") == 0)
        return found(a, out, "jitsi", path.s, path.n);
    out->platform = "jitsi";
    out->native_id = arena_printf(a, "%.*s@%s", (int)path.n, path.s, host);
    return out->native_id ? 0 : -2;
}

/* First value of a query parameter that is not empty, decoded; NULL when there is none (or no
 * memory: a passcode is a help, not a must). */
static const char *query_value(struct arena *a, struct span query, const char *name)
{
    while (query.n > 0) {
        struct span pair = {query.s, span_until(query, "&")};
        query = span_from(query, pair.n < query.n ? pair.n + 1 : pair.n);
        size_t eq = span_until(pair, "=");
        if (eq + 1 >= pair.n || eq != strlen(name) || memcmp(pair.s, name, eq) != 0)
            continue;
        char *value = url_decode(a, span_from(pair, eq + 1), true);
        if (value && *value && utf8_check(value, strlen(value)) == strlen(value))
            return value;
    }
    return NULL;
}

static int parse_host(struct arena *a, const char *text, const struct split *u, const char *host,
                      const char *jitsi_hosts, struct meeting_link *out)
{
    if (strstr(host, "meet.google.com"))
        return parse_meet(a, u->path, out);
    if (strstr(host, "zoom"))
        return parse_zoom(a, u, out);
    if (strstr(host, "teams.microsoft.com") || strstr(host, "teams.live.com"))
        return parse_teams(a, text, u->path, out);
    if (is_jitsi(host, jitsi_hosts))
        return parse_jitsi(a, u->path, host, out);
    return -1;
}

int meeting_url_parse(struct arena *a, const char *text, const char *jitsi_hosts,
                      struct meeting_link *out)
{
    *out = (struct meeting_link){NULL, NULL, NULL};
    if (!text || strnlen(text, LINK_MAX + 1) > LINK_MAX)
        return -1;
    char *link = py_strip(a, text);
    if (!link)
        return -2;
    size_t n = strlen(link);
    if (is_meet_code(link, n))
        return found_meet(a, out, link, n);
    struct split u = split_url(link);
    char *host = host_of(a, &u);
    if (!host)
        return -2;
    if (!*host) {
        if (u.has_authority || n < 9 || n > 11 || strspn(link, "0123456789") != n)
            return -1;
        return found(a, out, "zoom", link, n);
    }
    int rc = parse_host(a, link, &u, host, jitsi_hosts, out);
    if (rc != 0)
        return rc;
    out->passcode = query_value(a, u.query, "pwd");
    if (!out->passcode)
        out->passcode = query_value(a, u.query, "p");
    return 0;
}

/* Letters, digits, '-', '_' and single dots; a last dot is allowed. Other scripts must come as
 * punycode: a browser maps full-width digits and dots to an address we would not see. */
static bool is_host_name(const char *host)
{
    size_t n = strlen(host);
    if (n == 0 || n > 254)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (host[i] == '.'
                ? i == 0 || host[i - 1] == '.'
                : !is_alpha(host[i]) && !is_digit(host[i]) && host[i] != '-' && host[i] != '_')
            return false;
    }
    return true;
}

/* Does a browser read host as an IPv4 address? It does when the last label is a number in any
 * base: 127.1, 2130706433, 0x7f.1 (WHATWG URL, "ends in a number"). */
static bool ends_in_number(const char *host)
{
    size_t end = strlen(host);
    if (end > 0 && host[end - 1] == '.')
        end--;
    size_t start = end;
    while (start > 0 && host[start - 1] != '.')
        start--;
    const char *label = host + start;
    size_t n = end - start;
    if (n == 0)
        return false;
    if (n >= 2 && label[0] == '0' && label[1] == 'x')
        return strspn(label + 2, "0123456789abcdef") >= n - 2;
    return strspn(label, "0123456789") >= n;
}

static bool is_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t n = strlen(host), want = sizeof name - 1;
    if (n > 0 && host[n - 1] == '.')
        n--;
    return n >= want && memcmp(host + n - want, name, want) == 0 &&
           (n == want || host[n - want - 1] == '.');
}

/* Are the brackets of the authority a whole IPv6 literal? Python refuses such a URL otherwise. */
static bool brackets_parse(struct span authority, struct span host)
{
    bool any = memchr(authority.s, '[', authority.n) || memchr(authority.s, ']', authority.n);
    if (!any)
        return true;
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;
    if (host.n < 3 || host.s[0] != '[' || host.s[host.n - 1] != ']' || host.n - 2 >= sizeof text)
        return false;
    memcpy(text, host.s + 1, host.n - 2);
    text[host.n - 2] = '\0';
    return inet_pton(AF_INET6, text, &addr) == 1;
}

/* After the host: nothing, or a port of digits. */
static bool port_is_fine(struct span authority, struct span host)
{
    const char *p = host.s + host.n, *end = authority.s + authority.n;
    if (p == end)
        return true;
    if (*p++ != ':' || end - p > 5)
        return false;
    long port = 0;
    for (; p < end; p++) {
        if (!is_digit(*p))
            return false;
        port = port * 10 + (*p - '0');
    }
    return port <= 65535;
}

const char *meeting_url_refusal(struct arena *a, const char *url)
{
    static const char bad_host[] = "meeting_url must have a valid hostname";
    static const char no_parse[] = "meeting_url does not parse as a URL";
    char *link = url ? py_strip(a, url) : NULL;
    if (url && !link)
        return no_parse;
    if (!link || !*link)
        return "meeting_url must be a non-empty string";
    struct split u = split_url(link);
    struct span h = host_span(u.authority);
    if (!brackets_parse(u.authority, h)) {
        const char *repr = py_repr(a, link);
        const char *text = repr ? arena_printf(a, "%s: %s", no_parse, repr) : NULL;
        return text ? text : no_parse;
    }
    if (u.scheme.n != 5 || strncasecmp(u.scheme.s, "https", 5) != 0)
        return "meeting_url must use https:// — the bot only joins TLS deployments";
    char *host = host_of(a, &u);
    if (!host || !*host)
        return bad_host;
    /* Browsers end the authority at a backslash and drop tabs and newlines anywhere. */
    if (memchr(u.authority.s, '\\', u.authority.n) || strpbrk(link, "\t\r\n"))
        return bad_host;
    if (host[0] == '[')
        return "meeting_url cannot be an IP literal — use the deployment's hostname";
    if (!is_host_name(host) || !port_is_fine(u.authority, h))
        return bad_host;
    if (is_localhost(host))
        return "meeting_url cannot target localhost";
    if (ends_in_number(host))
        return "meeting_url cannot be an IP literal — use the deployment's hostname";
    return NULL;
}

const char *native_id_refusal(struct arena *a, const char *native_id)
{
    size_t len = py_len(native_id), n = strlen(native_id);
    if (len > NATIVE_ID_MAX) {
        const char *text =
            arena_printf(a, "'native_meeting_id' is %zu characters; the maximum is 255", len);
        return text ? text : "'native_meeting_id' is too long; the maximum is 255";
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)native_id[i] < 0x20 || native_id[i] == 0x7f)
            return "'native_meeting_id' contains control characters";
    }
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        size_t step = utf8_read(native_id + i, n - i, &cp);
        if (step && (py_is_space(cp) || (cp < 0x80 && strchr("?#&=/", (int)cp))))
            return "'native_meeting_id' must be the bare meeting id and cannot contain URL "
                   "characters ('?', '#', '&', '=', '/') or spaces — pass any passcode in "
                   "'passcode' or supply the full 'meeting_url' instead";
        i += step ? step : 1;
    }
    return NULL;
}

const char *meeting_url_from_id(struct arena *a, const char *platform, const char *native_id)
{
    if (platform && strcmp(platform, "google_meet") == 0)
        return arena_printf(a, "https://meet.google.com/%s", native_id);
    if (platform && strcmp(platform, "teams") == 0)
        return arena_printf(a, "https://teams.microsoft.com/l/meetup-join/%s", native_id);
    return NULL;
}

bool platform_is_known(const char *platform)
{
    static const char *const known[] = {"google_meet", "jitsi", "teams", "zoom"};
    for (size_t i = 0; platform && i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(platform, known[i]) == 0)
            return true;
    }
    return false;
}
