#include "httpd/body.h"

#include <observer/error.h>
#include <stdlib.h>
#include <zlib.h>

enum { HEX_DIGITS = 16, GROWTH = 16 << 10 /* most room for one step of decompression */ };

static bool too_large(const obs_httpd_body *b, obs_httpd_fault *why) {
  return obs_httpd_refuse(why, 413, "message: larger than %zu bytes", b->limit);
}

static bool no_memory(obs_httpd_fault *why) {
  return obs_httpd_refuse(why, 503, "%s", observer_strerror(OBSERVER_E_NOMEM));
}

bool obs_httpd_body_begin(obs_httpd_body *b, const obs_httpd_head *h, size_t limit, obs_httpd_fault *why) {
  *b = (obs_httpd_body){.limit = limit, .coding = h->coding};
  if (h->coding == OBS_HTTPD_UNKNOWN_CODING)
    return obs_httpd_refuse(why, 415, "content-encoding: must be gzip, deflate or identity");
  if (h->chunked) {
    b->state = OBS_HTTPD_SIZE;
    return true;
  }
  b->left = h->length;
  return h->length <= limit || too_large(b, why);
}

void obs_httpd_body_end(obs_httpd_body *b) {
  if (b->inflate == NULL) return;
  (void)inflateEnd(b->inflate); /* it frees in any state */
  free(b->inflate);
  b->inflate = NULL;
}

/* ---- compressed bytes ---- */

static const char *coding_name(const obs_httpd_body *b) {
  return b->coding == OBS_HTTPD_GZIP ? "gzip" : "deflate";
}

static z_stream *start_inflate(const obs_httpd_body *b) {
  z_stream *z = calloc(1, sizeof *z);
  if (z != NULL && inflateInit2(z, b->coding == OBS_HTTPD_GZIP ? 16 + MAX_WBITS : MAX_WBITS) == Z_OK) return z;
  free(z);
  return NULL;
}

static bool decompress(obs_httpd_body *b, const uint8_t *p, size_t len, obs_buf *out, obs_httpd_fault *why) {
  z_stream *z = b->inflate != NULL ? b->inflate : start_inflate(b);
  if (z == NULL) return no_memory(why);
  b->inflate = z;
  z->next_in = (Bytef *)p; /* zlib only reads it */
  z->avail_in = (uInt)len;
  bool full;
  do {
    if (b->ended) { /* gzip may come in several members, one behind the other */
      if (b->coding != OBS_HTTPD_GZIP || inflateReset(z) != Z_OK)
        return obs_httpd_refuse(why, 400, "content-encoding: unexpected bytes after the end of the %s data",
                                coding_name(b));
      b->ended = false;
    }
    size_t left = b->limit - out->len,
           room = left < GROWTH ? left + 1 : GROWTH; /* one more tells that it is too large */
    if (!obs_buf_reserve(out, room)) return no_memory(why);
    z->next_out = (Bytef *)out->p + out->len;
    z->avail_out = (uInt)room;
    int rv = inflate(z, Z_NO_FLUSH);
    full = z->avail_out == 0;
    out->len += room - z->avail_out;
    if (out->len > b->limit) return too_large(b, why);
    if (rv == Z_MEM_ERROR) return no_memory(why);
    if (rv != Z_OK && rv != Z_STREAM_END && rv != Z_BUF_ERROR)
      return obs_httpd_refuse(why, 400, "content-encoding: invalid %s data", coding_name(b));
    b->ended = rv == Z_STREAM_END;
  } while (z->avail_in > 0 || (full && !b->ended));
  return true;
}

/* Bytes of the body itself. */
static bool put(obs_httpd_body *b, const uint8_t *p, size_t len, obs_buf *out, obs_httpd_fault *why) {
  if (len > b->limit - b->received) return too_large(b, why);
  b->received += len;
  if (b->coding != OBS_HTTPD_IDENTITY) return len == 0 || decompress(b, p, len, out, why);
  obs_buf_append(out, p, len);
  return !out->oom || no_memory(why);
}

static obs_httpd_step finish(const obs_httpd_body *b, obs_httpd_fault *why) {
  if (b->inflate == NULL || b->ended) return OBS_HTTPD_DONE;
  (void)obs_httpd_refuse(why, 400, "content-encoding: the %s data ends too early", coding_name(b));
  return OBS_HTTPD_WRONG;
}

/* ---- chunks ---- */

static int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* One byte of what stands between the data of two chunks. */
static bool frame(obs_httpd_body *b, uint8_t c, obs_httpd_fault *why) {
  int digit;
  switch (b->state) {
  case OBS_HTTPD_SIZE:
    digit = hex_digit(c);
    if (digit >= 0 && b->digits < HEX_DIGITS) {
      b->left = b->left << 4 | (uint64_t)digit;
      b->digits++;
      return true;
    }
    if (b->digits == 0 || digit >= 0 || (c != ';' && c != '\r'))
      return obs_httpd_refuse(why, 400, "chunk: its size must be 1 to 16 hex digits");
    b->state = c == ';' ? OBS_HTTPD_EXTENSION : OBS_HTTPD_SIZE_END;
    return true;
  case OBS_HTTPD_EXTENSION:
    if (c == '\r') {
      b->state = OBS_HTTPD_SIZE_END;
      return true;
    }
    if ((c < ' ' && c != '\t') || c == 0x7f) return obs_httpd_refuse(why, 400, "chunk: a line must end in CR LF");
    if (++b->extra > OBS_HTTPD_HEAD_BYTES) return obs_httpd_refuse(why, 400, "chunk: too many extensions");
    return true;
  case OBS_HTTPD_SIZE_END:
    if (c != '\n') return obs_httpd_refuse(why, 400, "chunk: a line must end in CR LF");
    if (b->left > b->limit - b->received) return too_large(b, why);
    b->state = b->left > 0 ? OBS_HTTPD_DATA : OBS_HTTPD_TRAILERS;
    b->trailers = obs_httpd_scan_trailers;
    return true;
  case OBS_HTTPD_DATA_CR:
    if (c != '\r') return obs_httpd_refuse(why, 400, "chunk: its data must end in CR LF");
    b->state = OBS_HTTPD_DATA_END;
    return true;
  case OBS_HTTPD_DATA_END:
    if (c != '\n') return obs_httpd_refuse(why, 400, "chunk: its data must end in CR LF");
    b->state = OBS_HTTPD_SIZE;
    b->digits = 0;
    return true;
  default: /* data and trailers are not read byte by byte */
    return false;
  }
}

obs_httpd_step obs_httpd_body_feed(obs_httpd_body *b, const uint8_t *p, size_t len, size_t *used, obs_buf *out,
                                   obs_httpd_fault *why) {
  size_t i = 0, n;
  *used = 0;
  if (b->state == OBS_HTTPD_FIXED) {
    n = len < b->left ? len : (size_t)b->left;
    if (!put(b, p, n, out, why)) return OBS_HTTPD_WRONG;
    b->left -= n;
    *used = n;
    return b->left > 0 ? OBS_HTTPD_MORE : finish(b, why);
  }
  while (i < len && b->state != OBS_HTTPD_TRAILERS) {
    if (b->state != OBS_HTTPD_DATA) {
      if (!frame(b, p[i++], why)) return OBS_HTTPD_WRONG;
      continue;
    }
    n = len - i < b->left ? len - i : (size_t)b->left;
    if (!put(b, p + i, n, out, why)) return OBS_HTTPD_WRONG;
    i += n;
    b->left -= n;
    if (b->left == 0) b->state = OBS_HTTPD_DATA_CR;
  }
  *used = i;
  if (b->state != OBS_HTTPD_TRAILERS) return OBS_HTTPD_MORE;
  obs_httpd_step step = obs_httpd_scan_head(&b->trailers, p + i, len - i, &n, why);
  *used += n;
  return step == OBS_HTTPD_DONE ? finish(b, why) : step;
}
