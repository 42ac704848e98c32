#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

static uint64_t read_ns(clockid_t id) {
  struct timespec ts;
  clock_gettime(id, &ts);
  return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int64_t obs_clock_wall_ms(void) {
  return (int64_t)(read_ns(CLOCK_REALTIME) / 1000000u);
}
uint64_t obs_clock_mono_ms(void) {
  return read_ns(CLOCK_MONOTONIC) / 1000000u;
}
uint64_t obs_clock_mono_ns(void) {
  return read_ns(CLOCK_MONOTONIC);
}

/* ---- receipt ---- */

enum { DAY_MS = 24 * 60 * 60 * 1000, MS_NS = 1000000 };

/* Receipt at the machine's start, ns, so that it turns to the next millisecond with the wall clock; 0: nobody has asked
 * yet. */
static _Atomic int64_t receipt_base;

void obs_clock_receipt_begin(int64_t last_ms) {
  int64_t now = (int64_t)read_ns(CLOCK_REALTIME), none = 0;
  if (last_ms > now / MS_NS && last_ms - now / MS_NS <= DAY_MS) now = last_ms * MS_NS;
  (void)atomic_compare_exchange_strong(&receipt_base, &none, now - (int64_t)read_ns(CLOCK_BOOTTIME));
}

int64_t obs_clock_receipt_ms(void) {
  int64_t base = atomic_load_explicit(&receipt_base, memory_order_relaxed);
  if (base == 0) {
    obs_clock_receipt_begin(0);
    base = atomic_load(&receipt_base);
  }
  return (base + (int64_t)read_ns(CLOCK_BOOTTIME)) / MS_NS;
}

/* ---- ISO 8601 ---- */

/* Days since 1970-01-01 of a civil date and back (H. Hinnant's algorithms, proleptic Gregorian). */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d) {
  y -= m <= 2;
  int64_t era = (y >= 0 ? y : y - 399) / 400;
  unsigned yoe = (unsigned)(y - era * 400);
  unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + (int64_t)doe - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, unsigned *m, unsigned *d) {
  z += 719468;
  int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  unsigned doe = (unsigned)(z - era * 146097);
  unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  unsigned mp = (5 * doy + 2) / 153;
  *d = doy - (153 * mp + 2) / 5 + 1;
  *m = mp < 10 ? mp + 3 : mp - 9;
  *y = (int64_t)yoe + era * 400 + (*m <= 2);
}

static char *put_digits(char *out, unsigned v, unsigned n) {
  for (unsigned i = n; i-- > 0; v /= 10) out[i] = (char)('0' + v % 10);
  return out + n;
}

void obs_clock_format(int64_t wall_ms, char out[OBS_ISO8601_LEN + 1]) {
  if (wall_ms < OBS_CLOCK_MIN_MS) wall_ms = OBS_CLOCK_MIN_MS;
  if (wall_ms > OBS_CLOCK_MAX_MS) wall_ms = OBS_CLOCK_MAX_MS;
  int64_t days = wall_ms / 86400000, ms = wall_ms % 86400000;
  if (ms < 0) {
    ms += 86400000;
    days--;
  }
  int64_t y;
  unsigned m, d;
  civil_from_days(days, &y, &m, &d);
  unsigned t = (unsigned)ms;
  char *p = put_digits(out, (unsigned)y, 4);
  *p++ = '-';
  p = put_digits(p, m, 2);
  *p++ = '-';
  p = put_digits(p, d, 2);
  *p++ = 'T';
  p = put_digits(p, t / 3600000, 2);
  *p++ = ':';
  p = put_digits(p, t / 60000 % 60, 2);
  *p++ = ':';
  p = put_digits(p, t / 1000 % 60, 2);
  *p++ = '.';
  p = put_digits(p, t % 1000, 3);
  *p++ = 'Z';
  *p = '\0';
}

/* A cursor over the text; every reader moves it and says whether it could. */
typedef struct {
  const char *p, *end;
} cursor;

static bool take(cursor *c, char want) {
  if (c->p == c->end || *c->p != want) return false;
  c->p++;
  return true;
}

static bool digits(cursor *c, unsigned n, unsigned max, unsigned *out) {
  unsigned v = 0;
  if ((size_t)(c->end - c->p) < n) return false;
  for (; n > 0; n--, c->p++) {
    unsigned digit = (unsigned char)*c->p - (unsigned)'0';
    if (digit > 9) return false;
    v = v * 10 + digit;
  }
  *out = v;
  return v <= max;
}

static bool read_date(cursor *c, int64_t *days) {
  static const unsigned char month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  unsigned y, m, d;
  if (!digits(c, 4, 9999, &y) || !take(c, '-') || !digits(c, 2, 12, &m) || !take(c, '-') || !digits(c, 2, 31, &d)) {
    return false;
  }
  if (m == 0 || d == 0) return false;
  bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
  if (d > (unsigned)month_days[m - 1] + (m == 2 && leap)) return false;
  *days = days_from_civil(y, m, d);
  return true;
}

/* `hh:mm[:ss[.fraction]]`; a leap second counts as the next one. */
static bool read_time(cursor *c, int64_t *ms) {
  unsigned h, m, s = 0;
  if (!digits(c, 2, 23, &h) || !take(c, ':') || !digits(c, 2, 59, &m)) return false;
  if (take(c, ':') && !digits(c, 2, 60, &s)) return false;
  *ms = ((int64_t)h * 3600 + m * 60 + s) * 1000;
  if (!take(c, '.') && !take(c, ',')) return true;
  const char *start = c->p;
  for (int64_t unit = 100; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, unit /= 10) {
    *ms += (*c->p - '0') * unit;
  }
  return c->p > start;
}

static bool read_zone(cursor *c, int64_t *offset_ms) {
  unsigned h, m = 0;
  *offset_ms = 0;
  if (c->p == c->end || take(c, 'Z') || take(c, 'z')) return true;
  bool west = take(c, '-');
  if (!west && !take(c, '+')) return false;
  if (!digits(c, 2, 23, &h)) return false;
  bool colon = take(c, ':');
  if ((colon || c->p < c->end) && !digits(c, 2, 59, &m)) return false;
  *offset_ms = ((int64_t)h * 60 + m) * 60000 * (west ? -1 : 1);
  return true;
}

bool obs_clock_parse(const char *s, size_t len, int64_t *wall_ms) {
  cursor c = {s, s + len};
  int64_t days, ms = 0, offset = 0;
  if (!read_date(&c, &days)) return false;
  if (c.p < c.end) {
    if (!take(&c, 'T') && !take(&c, 't') && !take(&c, ' ')) return false;
    if (!read_time(&c, &ms) || !read_zone(&c, &offset)) return false;
  }
  *wall_ms = days * 86400000 + ms - offset;
  return c.p == c.end;
}

/* ---- numbers since the epoch ---- */

enum { SECONDS_DIGITS = 10, MILLISECONDS_DIGITS = 13 };

bool obs_clock_parse_epoch(const char *s, size_t len, int64_t *wall_ms) {
  cursor c = {s, s + len};
  int64_t whole = 0, fraction_ms = 0;
  for (; c.p < c.end && c.p - s <= MILLISECONDS_DIGITS && *c.p >= '0' && *c.p <= '9'; c.p++)
    whole = whole * 10 + (*c.p - '0');
  int64_t n = c.p - s;
  bool seconds = n == SECONDS_DIGITS;
  if ((!seconds && n != MILLISECONDS_DIGITS) || *s == '0') return false;
  if (take(&c, '.')) {
    const char *start = c.p;
    for (int64_t unit = 100; c.p < c.end && *c.p >= '0' && *c.p <= '9'; c.p++, unit /= 10)
      fraction_ms += (*c.p - '0') * unit;
    if (c.p == start) return false;
  }
  *wall_ms = seconds ? whole * 1000 + fraction_ms : whole;
  return c.p == c.end;
}

bool obs_clock_of_epoch(double number, int64_t *wall_ms) {
  bool seconds = number >= 1e9 && number < 1e10;
  if (!seconds && !(number >= 1e12 && number < 1e13)) return false;
  /* The nearest double of 1763697250.29 is a little less: without the fraction of a microsecond it were 289 ms. */
  *wall_ms = (int64_t)(seconds ? number * 1000 + 1e-3 : number);
  return true;
}
