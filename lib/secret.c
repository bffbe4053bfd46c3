/* Secrets through OpenSSL. */
#include "lib/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

int secret_bytes(void *out, size_t n)
{
    return n <= 0x7fffffff && RAND_bytes(out, (int)n) == 1 ? 0 : -1;
}

int secret_alnum(char *out, size_t n)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char pool[64];
    size_t have = 0, done = 0;
    while (done < n) {
        if (have == 0) {
            if (secret_bytes(pool, sizeof pool))
                return -1;
            have = sizeof pool;
        }
        unsigned char b = pool[--have];
        if (b < 248) /* 248 = 4 * 62: keeps the choice uniform */
            out[done++] = set[b % 62];
    }
    out[n] = '\0';
    OPENSSL_cleanse(pool, sizeof pool);
    return 0;
}

int secret_hex(char *out, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char pool[32];
    for (size_t i = 0; i < n; i++) {
        if (i % (2 * sizeof pool) == 0 && secret_bytes(pool, sizeof pool))
            return -1;
        unsigned char b = pool[i / 2 % sizeof pool];
        out[i] = hex[i % 2 ? b & 15 : b >> 4];
    }
    out[n] = '\0';
    return 0;
}

int secret_uuid(char out[37])
{
    unsigned char b[16];
    if (secret_bytes(b, sizeof b))
        return -1;
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    return 0;
}

int secret_sha256(const void *data, size_t n, unsigned char out[SECRET_SHA256])
{
    return EVP_Digest(data, n, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -1;
}

int secret_hmac_sha256(const void *key, size_t key_len, const void *data, size_t n,
                       unsigned char out[SECRET_SHA256])
{
    unsigned len = 0;
    if (key_len > 0x7fffffff || !HMAC(EVP_sha256(), key, (int)key_len, data, n, out, &len))
        return -1;
    return len == SECRET_SHA256 ? 0 : -1;
}

bool secret_equal(const char *a, const char *b)
{
    if (!a || !b)
        return false;
    size_t n = strlen(a);
    return n == strlen(b) && CRYPTO_memcmp(a, b, n) == 0;
}

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void secret_b64url_encode(const void *data, size_t n, char *out)
{
    const unsigned char *p = data;
    size_t o = 0;
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)p[i] << 16;
        if (i + 1 < n)
            v |= (unsigned)p[i + 1] << 8;
        if (i + 2 < n)
            v |= p[i + 2];
        out[o++] = b64[v >> 18 & 63];
        out[o++] = b64[v >> 12 & 63];
        if (i + 1 < n)
            out[o++] = b64[v >> 6 & 63];
        if (i + 2 < n)
            out[o++] = b64[v & 63];
    }
    out[o] = '\0';
}

long secret_b64url_decode(const char *s, size_t n, unsigned char *out, size_t cap)
{
    if (n % 4 == 1)
        return -1;
    unsigned v = 0;
    int bits = 0;
    size_t o = 0;
    for (size_t i = 0; i < n; i++) {
        const char *at = s[i] ? strchr(b64, s[i]) : NULL;
        if (!at)
            return -1;
        v = v << 6 | (unsigned)(at - b64);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (o == cap)
                return -1;
            out[o++] = (unsigned char)(v >> bits & 255);
        }
    }
    if (v & ((1U << bits) - 1)) /* non-canonical: stray low bits */
        return -1;
    return (long)o;
}
