#include "cluster/record.h"

#include <strings.h>

enum { NESTING = 12, KEY_MAX = 32 };

const char *const obs_record_names[OBS_RECORD_FIELDS] = {"type", "code", "status", "error", "message", "step"};

/* Keys without case, `_` and `-`. A lower rank is the better word for the field; `inner`: an object there is part of
 * the error, and its own keys count. */
static const struct {
  const char *key;
  int field, rank;
  bool inner;
} keys[] = {
    {"type", OBS_RECORD_TYPE, 0, false},
    {"errortype", OBS_RECORD_TYPE, 1, false},
    {"exceptiontype", OBS_RECORD_TYPE, 1, false},
    {"code", OBS_RECORD_CODE, 0, false},
    {"errorcode", OBS_RECORD_CODE, 1, false},
    {"errcode", OBS_RECORD_CODE, 1, false},
    {"errno", OBS_RECORD_CODE, 2, false},
    {"status", OBS_RECORD_STATUS, 0, false},
    {"statuscode", OBS_RECORD_STATUS, 1, false},
    {"httpstatus", OBS_RECORD_STATUS, 1, false},
    {"error", OBS_RECORD_ERROR, 0, true},
    {"errors", OBS_RECORD_ERROR, 1, true},
    {"err", OBS_RECORD_ERROR, 1, true},
    {"innererror", OBS_RECORD_ERROR, 2, true},
    {"exception", OBS_RECORD_ERROR, 1, true},
    {"fault", OBS_RECORD_ERROR, 1, true},
    {"message", OBS_RECORD_MESSAGE, 0, true},
    {"msg", OBS_RECORD_MESSAGE, 1, false},
    {"errormessage", OBS_RECORD_MESSAGE, 1, false},
    {"errmsg", OBS_RECORD_MESSAGE, 1, false},
    {"errordescription", OBS_RECORD_MESSAGE, 2, false},
    {"title", OBS_RECORD_MESSAGE, 3, false},
    {"detail", OBS_RECORD_MESSAGE, 4, true},
    {"details", OBS_RECORD_MESSAGE, 6, true},
    {"reason", OBS_RECORD_MESSAGE, 5, false},
    {"description", OBS_RECORD_MESSAGE, 5, false},
    {"faultstring", OBS_RECORD_MESSAGE, 1, false},
    {"text", OBS_RECORD_MESSAGE, 7, false},
    {"step", OBS_RECORD_STEP, 0, false},
    {"stage", OBS_RECORD_STEP, 1, false},
    {"phase", OBS_RECORD_STEP, 1, false},
    {"operation", OBS_RECORD_STEP, 2, false},
    {"action", OBS_RECORD_STEP, 3, false},
    {"tool", OBS_RECORD_STEP, 4, false},
    {"body", -1, 0, true},
    {"content", -1, 0, true},
    {"extensions", -1, 0, true},
    {"response", -1, 0, true},
};

typedef struct {
  const char *p, *end;
  obs_record *out;
} parser;

static void skip_blank(parser *x) {
  while (x->p < x->end && (*x->p == ' ' || *x->p == '\t' || *x->p == '\r' || *x->p == '\n')) x->p++;
}

static bool is_quote(char c) {
  return c == '"' || c == '\'';
}

/* A string, from behind its quote on; the view is without quotes. */
static obs_str take_string(parser *x) {
  char quote = *x->p++;
  const char *begin = x->p, *p = begin, *close = NULL;
  while (close == NULL && p < x->end) { /* each byte is looked at twice at most */
    const char *next = memchr(p, quote, (size_t)(x->end - p)), *until = next != NULL ? next : x->end, *escape;
    while ((escape = memchr(p, '\\', (size_t)(until - p))) != NULL && escape + 1 < until) p = escape + 2;
    if (escape == NULL)
      close = until;
    else
      p = until < x->end ? until + 1 : until; /* the quote itself is escaped */
  }
  if (close == NULL) close = x->end;
  obs_str s = {begin, (uint32_t)(close - begin), 0};
  x->p = close < x->end ? close + 1 : x->end;
  return s;
}

/* A number, a name, or what else ends at the next comma or bracket. */
static obs_str take_scalar(parser *x) {
  const char *begin = x->p;
  while (x->p < x->end && strchr(",]})\n", *x->p) == NULL) x->p++;
  const char *end = x->p;
  while (end > begin && end[-1] == ' ') end--;
  return (obs_str){begin, (uint32_t)(end - begin), 0};
}

/* Whatever is here, up to its end. */
static void skip_value(parser *x) {
  int open = 0;
  do {
    skip_blank(x);
    if (x->p >= x->end) return;
    if (is_quote(*x->p)) {
      (void)take_string(x);
    } else if (*x->p == '{' || *x->p == '[' || *x->p == '(') {
      open++;
      x->p++;
    } else if (*x->p == '}' || *x->p == ']' || *x->p == ')') {
      if (open == 0) return;
      open--;
      x->p++;
    } else if (open > 0 && (*x->p == ',' || *x->p == ':')) {
      x->p++;
    } else {
      const char *before = x->p;
      (void)take_scalar(x);
      if (x->p == before) x->p++;
    }
  } while (open > 0);
}

/* The row of `keys` for a key; -1: it says nothing. */
static int find_key(obs_str key) {
  char name[KEY_MAX];
  size_t n = 0;
  for (uint32_t i = 0; i < key.len; i++) {
    if (key.p[i] == '_' || key.p[i] == '-') continue;
    if (n == sizeof(name) - 1) return -1;
    char c = key.p[i];
    name[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  name[n] = '\0';
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
    if (keys[i].key[0] == name[0] && strcmp(keys[i].key, name) == 0) return (int)i;
  }
  return -1;
}

static bool is_nothing(obs_str value, bool quoted) {
  return value.len == 0 || (!quoted && (obs_str_is(value, "null") || obs_str_is(value, "None")));
}

static void keep(parser *x, int key, obs_str value, bool quoted, int depth) {
  int f = keys[key].field, rank = keys[key].rank;
  obs_record *r = x->out;
  if (f < 0 || is_nothing(value, quoted)) return;
  /* Truth is no code, and what follows from `error: true` is said elsewhere. */
  if (!quoted && (strncasecmp(value.p, "true", value.len) == 0 || strncasecmp(value.p, "false", value.len) == 0))
    return;
  bool deeper = depth > r->depth[f], same = depth == r->depth[f], text = f >= OBS_RECORD_ERROR;
  /* The inner type or code is the exact one; of texts the one that is called so. */
  bool better = text ? rank < r->rank[f] || (rank == r->rank[f] && deeper) : deeper || (same && rank < r->rank[f]);
  if (r->field[f].p != NULL && !better) return;
  r->field[f] = value;
  r->depth[f] = depth;
  r->rank[f] = rank;
}

static bool take_object(parser *x, int depth);

/* The value of a key that says something. Of a list the first item counts. */
static void take_value(parser *x, int key, int depth) {
  skip_blank(x);
  if (x->p >= x->end) return;
  if (*x->p == '{' && keys[key].inner && depth < NESTING) {
    parser inner = *x;
    if (take_object(&inner, depth + 1))
      x->p = inner.p;
    else
      skip_value(x);
  } else if (*x->p == '[' && keys[key].inner && depth < NESTING) {
    parser list = *x;
    list.p++;
    take_value(&list, key, depth + 1);
    skip_value(x);
  } else if (is_quote(*x->p)) {
    keep(x, key, take_string(x), true, depth);
  } else if (*x->p == '{' || *x->p == '[' || *x->p == '(') {
    skip_value(x);
  } else {
    keep(x, key, take_scalar(x), false, depth);
  }
}

/* False: it is no object. */
static bool take_object(parser *x, int depth) {
  x->p++;
  skip_blank(x);
  if (x->p < x->end && *x->p == '}') {
    x->p++;
    return true;
  }
  for (bool first = true; x->p < x->end; first = false) {
    skip_blank(x);
    if (x->p >= x->end) break;
    if (!is_quote(*x->p)) return false;
    obs_str key = take_string(x);
    skip_blank(x);
    if (x->p >= x->end) return !first;
    if (*x->p != ':') return false;
    x->p++;
    int known = find_key(key);
    if (known >= 0)
      take_value(x, known, depth);
    else
      skip_value(x);
    skip_blank(x);
    if (x->p >= x->end) break;
    if (*x->p == '}') {
      x->p++;
      return true;
    }
    if (*x->p != ',') return false;
    x->p++;
  }
  return true;
}

const char *obs_record_read(const char *p, const char *end, obs_record *out) {
  parser x = {p, end, out};
  return take_object(&x, 0) ? x.p : NULL;
}

bool obs_record_says(const obs_record *r) {
  return r->field[OBS_RECORD_CODE].p != NULL || r->field[OBS_RECORD_STATUS].p != NULL ||
         r->field[OBS_RECORD_ERROR].p != NULL || r->field[OBS_RECORD_MESSAGE].p != NULL;
}

/* ---- escapes ---- */

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at p; -1: there are none. */
static int hex4(const char *p, const char *end) {
  int v = 0;
  for (int i = 0; i < 4; i++) {
    int d = p + i < end ? hex_digit(p[i]) : -1;
    if (d < 0) return -1;
    v = v * 16 + d;
  }
  return v;
}

static size_t put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 63));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = (char)(0xE0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 63));
    out[2] = (char)(0x80 | (c & 63));
    return 3;
  }
  out[0] = (char)(0xF0 | c >> 18);
  out[1] = (char)(0x80 | (c >> 12 & 63));
  out[2] = (char)(0x80 | (c >> 6 & 63));
  out[3] = (char)(0x80 | (c & 63));
  return 4;
}

/* Of \uXXXX at p (the u), with its second half where it has one; moves p behind it. */
static uint32_t take_unicode(const char **p, const char *end) {
  int c = hex4(*p + 1, end);
  if (c < 0) {
    (*p)++;
    return 'u';
  }
  *p += 5;
  bool high = c >= 0xD800 && c < 0xDC00;
  int low = high && *p + 1 < end && (*p)[0] == '\\' && (*p)[1] == 'u' ? hex4(*p + 2, end) : -1;
  if (low >= 0xDC00 && low < 0xE000) {
    *p += 6;
    return 0x10000 + (((uint32_t)c & 0x3FF) << 10) + ((uint32_t)low & 0x3FF);
  }
  return high || (c >= 0xDC00 && c < 0xE000) ? 0xFFFD : (uint32_t)c;
}

size_t obs_record_unescape(obs_str raw, char *out, size_t max) {
  const char *p = raw.p, *end = raw.p + raw.len;
  size_t n = 0;
  if (raw.len <= max && memchr(p, '\\', raw.len) == NULL) {
    memcpy(out, p, raw.len);
    return raw.len;
  }
  while (p < end && n + 4 <= max) {
    if (*p != '\\' || p + 1 == end) {
      out[n++] = *p++;
      continue;
    }
    p++;
    if (*p == 'u') {
      n += put_utf8(out + n, take_unicode(&p, end));
      continue;
    }
    out[n++] = (char)(*p == 'n' ? '\n' : *p == 't' || *p == 'r' || *p == 'b' || *p == 'f' ? ' ' : *p);
    p++;
  }
  return n;
}
