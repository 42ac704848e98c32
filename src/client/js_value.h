/* JSON values as JavaScript sees them: what the older observer's rules for an answer are written in.
 *
 * A value is a view of its text; nothing is kept or copied. obs_js_parse checks the whole text once, strictly by
 * RFC 8259; everything else walks checked text. Numbers are doubles, objects with a repeated key have its last value,
 * bytes that are no UTF-8 read as U+FFFD. Thread-safe: no state; numbers are read and written in the C locale. */
#ifndef OBS_CLIENT_JS_VALUE_H
#define OBS_CLIENT_JS_VALUE_H

#include "base/buf.h"

typedef struct {
  const char *p; /* NULL: undefined */
  const char *end;
} obs_js;

/* Text being written: at most `left` more UTF-16 code units, as String.prototype.slice counts them. A character that
 * would be cut in two is left out; a lone surrogate and U+0000, which a C text cannot hold, are U+FFFD. */
typedef struct {
  obs_buf *text;
  size_t left;
  bool full; /* something was left out */
} obs_js_out;

/* False: `reason` says where and why `text` is not JSON (or that there is no memory). */
bool obs_js_parse(const char *text, size_t len, obs_js *out, char *reason, size_t size);

/* value.name; undefined where there is none, and for a value that is no object. */
obs_js obs_js_get(obs_js value, const char *name);
bool obs_js_is_null(obs_js v);
bool obs_js_is_text(obs_js v);
bool obs_js_is_array(obs_js v);
bool obs_js_truthy(obs_js v);

/* Writes String(value). */
void obs_js_text(obs_js v, obs_js_out *out);
/* Writes String(value.length). */
void obs_js_length(obs_js v, obs_js_out *out);
/* Writes String(array.slice(0, n)). */
void obs_js_array_text(obs_js array, size_t n, obs_js_out *out);

enum { OBS_JS_JSON_UNITS = 100 };
/* Writes JSON.stringify(value).slice(0, OBS_JS_JSON_UNITS). */
void obs_js_json(obs_js v, obs_buf *text);

enum { OBS_JS_NUMBER_SIZE = 48 };
/* String(number) of a number's text, and the number. */
double obs_js_number_text(const char *p, const char *end, char out[OBS_JS_NUMBER_SIZE]);

#endif
