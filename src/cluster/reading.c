#include "cluster/reading.h"

#include "base/utf8.h"
#include "cluster/record.h"
#include "cluster/words.h"

#include <strings.h>

enum {
  DEEP = 3,             /* objects in strings in objects */
  OBJECT_BYTES = 16384, /* of one; the rest is not looked at */
  OBJECTS = 16          /* braces tried in a text: each may cost a look at all that follows */
};

typedef struct {
  const char *p, *end;
} span;

static size_t length(span s) {
  return (size_t)(s.end - s.p);
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static span trim(span s) {
  while (s.p < s.end && is_blank(*s.p)) s.p++;
  while (s.p < s.end && is_blank(s.end[-1])) s.end--;
  return s;
}

static bool begins(span s, const char *word) {
  size_t n = strlen(word);
  return length(s) >= n && memcmp(s.p, word, n) == 0;
}

static bool begins_any_case(span s, const char *word) {
  size_t n = strlen(word);
  return length(s) >= n && strncasecmp(s.p, word, n) == 0;
}

static const char *find(span s, const char *word) {
  return memmem(s.p, length(s), word, strlen(word));
}

/* ---- lines ---- */

/* The next line of `rest`, with its indentation; false at the end. */
static bool next_line(span *rest, span *line) {
  if (rest->p >= rest->end) return false;
  const char *nl = memchr(rest->p, '\n', length(*rest));
  *line = (span){rest->p, nl != NULL ? nl : rest->end};
  rest->p = nl != NULL ? nl + 1 : rest->end;
  while (line->end > line->p && line->end[-1] == '\r') line->end--;
  return true;
}

static bool is_indented(span line) {
  return line.p < line.end && (*line.p == ' ' || *line.p == '\t');
}

/* `    ^`: points into the line above, which is quoted source. */
static bool is_pointer(span line) {
  line = trim(line);
  size_t marks = 0;
  for (const char *p = line.p; p < line.end; p++) {
    if (*p == '^')
      marks++;
    else if (*p != '~' && *p != ' ')
      return false;
  }
  return marks > 0;
}

/* A frame of a stack, in any of the forms of JavaScript, Java, .NET, Python, Go, Ruby, gdb. */
static bool is_frame(span line) {
  static const char *const marks[] = {"at ",         "from ",       "File \"",         "goroutine ",
                                      "created by ", "Caused by: ", "stack backtrace:"};
  bool indented = is_indented(line);
  line = trim(line);
  for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
    if ((indented || i >= 3) && begins(line, marks[i])) return true;
  }
  return length(line) > 2 && line.p[0] == '#' && is_digit(line.p[1]);
}

/* /app/index.js:12, or File "x.py", line 3: it says where, not what. */
static bool is_place(span line) {
  line = trim(line);
  return begins(line, "File \"") || (length(line) > 2 && is_digit(line.end[-1]) &&
                                     memchr(line.p, ' ', length(line)) == NULL && find(line, ":") != NULL);
}

/* The error of the last traceback in the text: the first line behind its frames. All that follows belongs to it. */
static bool after_traceback(span text, span *out) {
  static const char header[] = "Traceback (most recent call last)";
  const char *last = NULL;
  for (span rest = text; (rest.p = find(rest, header)) != NULL; rest.p += sizeof(header) - 1) last = rest.p;
  if (last == NULL) return false;
  span rest = {last, text.end}, line = rest;
  (void)next_line(&rest, &line);
  while (next_line(&rest, &line)) {
    if (is_indented(line) || length(trim(line)) == 0) continue;
    *out = (span){line.p, text.end};
    return true;
  }
  return false;
}

/* `3 validation errors for Plan`: it counts the errors that follow. */
static bool counts_errors(span line) {
  return line.p < line.end && is_digit(*line.p) && (find(line, " error") != NULL || find(line, " Error") != NULL);
}

/* `fatal: ...`, or a line of a log of that level. */
static bool says_error(span line) {
  enum { LEVEL_BYTES = 48 };
  static const char *const words[] = {"fatal", "error", "stderr", "panic"};
  static const char *const levels[] = {"ERROR", "FATAL", "CRITICAL"};
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    size_t n = strlen(words[i]);
    if (begins_any_case(line, words[i]) && length(line) > n && line.p[n] == ':') return true;
  }
  span begin = {line.p, length(line) < LEVEL_BYTES ? line.end : line.p + LEVEL_BYTES};
  for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
    if (find(begin, levels[i]) != NULL) return true;
  }
  return false;
}

/* A line of a log that is of a lower level. */
static bool says_all_is_well(span line) {
  enum { LEVEL_BYTES = 48 };
  static const char *const levels[] = {"INFO", "DEBUG", "WARN", "TRACE", "NOTICE"};
  span begin = {line.p, length(line) < LEVEL_BYTES ? line.end : line.p + LEVEL_BYTES};
  for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
    if (find(begin, levels[i]) != NULL) return true;
  }
  return false;
}

/* The lines that stand for the text: `first`, and `second` where one is needed (else empty). */
typedef struct {
  span first, second;
} lines;

/* What the first line announces. Of errors that are listed, the message is indented under what it is about. */
static span announced(span rest, bool counted) {
  span line, any = {rest.end, rest.end};
  while (next_line(&rest, &line)) {
    if (length(trim(line)) == 0 || is_frame(line) || is_pointer(line)) continue;
    if (!counted || is_indented(line)) return trim(line);
    if (length(any) == 0) any = trim(line);
  }
  return any;
}

/* The line that calls itself an error, under one that only says what was tried. */
static span named_error(span rest) {
  span line;
  for (int i = 0; i < 8 && next_line(&rest, &line); i++) {
    if (!is_frame(line) && says_error(trim(line))) return trim(line);
  }
  return (span){rest.end, rest.end};
}

/* A text that begins with quoted source, or in the middle of a traceback: its error is behind the line that points into
 * it, else behind all that is indented. */
static span behind_source(span text) {
  span rest = text, line, error = text;
  bool pointed = false, found = false;
  (void)next_line(&rest, &line);
  while (next_line(&rest, &line)) {
    bool counts = length(trim(line)) > 0 && !is_frame(line) && !is_pointer(line);
    if (is_pointer(line)) {
      pointed = true;
    } else if (counts && pointed) {
      return (span){line.p, text.end};
    } else if (counts && !found && !is_indented(line)) {
      error = (span){line.p, text.end};
      found = true;
    }
  }
  return error;
}

static lines choose_lines(span text) {
  span rest = text, line = text;
  (void)next_line(&rest, &line);
  if (is_place(line)) {
    rest = trim(behind_source(text));
    (void)next_line(&rest, &line);
  }
  lines l = {trim(line), {rest.end, rest.end}};
  bool counted = counts_errors(l.first);
  if (length(l.first) == 0) return l;
  if (counted || l.first.end[-1] == ':' || memchr(l.first.p, ' ', length(l.first)) == NULL)
    l.second = announced(rest, counted);
  else if (find(l.first, "rror") == NULL)
    l.second = named_error(rest);
  if (length(l.second) > 0 && says_all_is_well(l.first)) l = (lines){l.second, {rest.end, rest.end}};
  return l;
}

/* ---- markup ---- */

/* What stands in the first element of this name; empty: none. */
static span element(span text, const char *name) {
  size_t n = strlen(name);
  for (const char *p = text.p; (p = memchr(p, '<', (size_t)(text.end - p))) != NULL; p++) {
    span tag = {p + 1, text.end};
    if (!begins_any_case(tag, name) || length(tag) == n || (tag.p[n] != '>' && tag.p[n] != ' ')) continue;
    const char *open = memchr(p, '>', (size_t)(text.end - p));
    const char *close = open != NULL ? memchr(open, '<', (size_t)(text.end - open)) : NULL;
    if (close != NULL) return trim((span){open + 1, close});
  }
  return (span){text.end, text.end};
}

static bool is_markup(span text) {
  static const char *const first[] = {"<!doctype html", "<html", "<?xml", "<error>", "<error ", "<head", "<soap"};
  for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
    if (begins_any_case(text, first[i])) return true;
  }
  return false;
}

/* ---- writing ---- */

typedef struct {
  char *p;
  size_t n;
} writer;

static void put(writer *w, span s) {
  size_t room = OBS_READING_BYTES - w->n, n = length(s) < room ? length(s) : room;
  memcpy(w->p + w->n, s.p, n);
  w->n += n;
}

static void put_text(writer *w, const char *text) {
  put(w, (span){text, text + strlen(text)});
}

static obs_str written(const writer *w) {
  return (obs_str){w->p, (uint32_t)obs_utf8_cut(w->p, w->n, OBS_READING_BYTES), 0};
}

static obs_str view(span s) {
  return obs_utf8_cut_str((obs_str){s.p, (uint32_t)length(s), 0}, OBS_READING_BYTES);
}

/* A code or a type is one word; else it is text. */
static bool is_word(span s) {
  if (length(s) == 0 || length(s) > 120) return false;
  for (const char *p = s.p; p < s.end; p++) {
    unsigned class = obs_word_class(*p);
    if (class == OBS_WORD_SPACE || (class == OBS_WORD_SPLIT && *p != ':' && *p != '=' && *p != '#')) return false;
  }
  return true;
}

static obs_str read_text(span text, char *room, int depth);

static bool has_digit(span s) {
  for (const char *p = s.p; p < s.end; p++) {
    if (is_digit(*p)) return true;
  }
  return false;
}

/* `{"status":"failed","step":"deploy"}`: nothing but the step says what failed. */
static bool is_told_by_step(const obs_record *r) {
  for (int i = 0; i < OBS_RECORD_STEP; i++) {
    if ((i == OBS_RECORD_STATUS) != (r->field[i].p != NULL)) return false;
  }
  return r->field[OBS_RECORD_STATUS].len > 0 && !is_digit(r->field[OBS_RECORD_STATUS].p[0]);
}

static void put_record(writer *w, const obs_record *r, int depth) {
  char text[OBS_READING_BYTES], room[OBS_READING_BYTES];
  for (int i = 0; i < OBS_RECORD_FIELDS; i++) {
    obs_str raw = r->field[i];
    if (raw.p == NULL || (i == OBS_RECORD_STEP && !is_told_by_step(r))) continue;
    size_t n = obs_record_unescape(raw, text, sizeof(text));
    span value = trim((span){text, text + n});
    if (w->n > 0 && !is_blank(w->p[w->n - 1])) put_text(w, " ");
    put_text(w, obs_record_names[i]);
    const bool name = i == OBS_RECORD_STEP && is_word(value) && !has_digit(value); /* else it is an id */
    if (name || (i < OBS_RECORD_ERROR && is_word(value))) {
      static const char constant[] = {'=', OBS_READING_CONSTANT, '\0'};
      put_text(w, constant);
      put(w, value);
    } else if (i == OBS_RECORD_STEP && is_word(value)) {
      put_text(w, "=");
      put(w, value);
    } else {
      put_text(w, ": ");
      obs_str inner = read_text(value, room, depth + 1);
      put(w, (span){inner.p, inner.p + inner.len});
    }
  }
}

/* ---- all together ---- */

static obs_str read_markup(span text, char *room) {
  span title = element(text, "title"), code = element(text, "code"), message = element(text, "message");
  writer w = {room, 0};
  if (length(title) == 0) title = element(text, "h1");
  if (length(title) > 0) return view(title);
  if (length(code) == 0 && length(message) == 0) message = element(text, "faultstring");
  obs_record r = {0};
  if (length(code) > 0) r.field[OBS_RECORD_CODE] = (obs_str){code.p, (uint32_t)length(code), 0};
  if (length(message) > 0) r.field[OBS_RECORD_MESSAGE] = (obs_str){message.p, (uint32_t)length(message), 0};
  put_record(&w, &r, DEEP);
  return w.n > 0 ? written(&w) : view(text);
}

/* Writes a line with its objects read; they may go on in the lines below, up to `end`. True when one of them says what
 * failed: it stands for all that follows it but for text in the line (a remark in brackets is none). */
static bool put_line(writer *w, span line, const char *end, int depth) {
  const char *brace;
  for (int i = 0; i < OBJECTS && (brace = memchr(line.p, '{', length(line))) != NULL; i++) {
    obs_record r = {0};
    bool listed = brace > line.p && brace[-1] == '[';
    const char *limit = end - brace > OBJECT_BYTES ? brace + OBJECT_BYTES : end;
    const char *after = obs_record_read(brace, limit, &r);
    if (after == NULL) { /* no object */
      put(w, (span){line.p, brace + 1});
      line.p = brace + 1;
      continue;
    }
    bool named = brace > line.p && brace[-1] == '='; /* a value of that name */
    bool says = !named && depth < DEEP && obs_record_says(&r);
    put(w, (span){line.p, says && listed ? brace - 1 : brace});
    if (says)
      put_record(w, &r, depth);
    else
      put_text(w, "\"{}\"");
    line = (span){after, line.end > after ? line.end : after};
    if (!says) continue;
    span behind = trim(line);
    if (length(behind) > 0 && memchr("([])}", *behind.p, 5) == NULL) put(w, line);
    return true;
  }
  put(w, line);
  return false;
}

/* `(1062, "Duplicate entry")`, as Python prints an error's arguments: where it begins, its number and its text. */
static const char *find_arguments(span line, span *code, span *message) {
  for (const char *p = line.p; (p = memchr(p, '(', (size_t)(line.end - p))) != NULL; p++) {
    const char *q = p + 1;
    if (p > line.p && !is_blank(p[-1])) continue;
    while (q < line.end && (is_digit(*q) || (*q == '-' && q == p + 1))) q++;
    if (q == p + 1 || q + 3 >= line.end || q[0] != ',' || q[1] != ' ' || (q[2] != '"' && q[2] != '\'')) continue;
    *code = (span){p + 1, q};
    const char *end = line.end - (line.end[-1] == ')');
    *message = (span){q + 3, end - (end > q + 3 && end[-1] == q[2])};
    return p;
  }
  return NULL;
}

static obs_str read_arguments(span line, const char *begin, span code, span message, char *room, int depth) {
  writer w = {room, 0};
  obs_record r = {0};
  put(&w, (span){line.p, begin});
  r.field[OBS_RECORD_CODE] = (obs_str){code.p, (uint32_t)length(code), 0};
  r.field[OBS_RECORD_MESSAGE] = (obs_str){message.p, (uint32_t)length(message), 0};
  put_record(&w, &r, depth);
  return written(&w);
}

static obs_str read_lines(span text, lines l, char *room, int depth) {
  writer w = {room, 0};
  span code, message;
  const char *begin = depth < DEEP ? find_arguments(l.first, &code, &message) : NULL;
  if (begin != NULL) return read_arguments(l.first, begin, code, message, room, depth);
  if (length(l.second) == 0 && memchr(l.first.p, '{', length(l.first)) == NULL) return view(l.first);
  if (!put_line(&w, l.first, text.end, depth) && length(l.second) > 0) {
    put_text(&w, " ");
    (void)put_line(&w, l.second, text.end, depth);
  }
  return written(&w);
}

static obs_str read_text(span text, char *room, int depth) {
  text = trim(text);
  lines l = {text, {text.end, text.end}};
  bool several = memchr(text.p, '\n', length(text)) != NULL;
  if (is_markup(text)) return read_markup(text, room);
  if (several) {
    span last;
    if (after_traceback(text, &last)) text = trim(last);
    l = choose_lines(text);
    if (length(text) > 0 && (*text.p == '{' || *text.p == '['))
      l = (lines){text, {text.end, text.end}}; /* JSON over several lines */
  }
  return read_lines(text, l, room, depth);
}

obs_str obs_reading_of(obs_str text, char room[OBS_READING_BYTES]) {
  span s = {text.p, text.p + (text.len < OBS_READING_SCANNED ? text.len : OBS_READING_SCANNED)};
  if (text.len == 0) return text;
  span code, message;
  if (*s.p != '<' && memchr(s.p, '\n', length(s)) == NULL && memchr(s.p, '{', length(s)) == NULL &&
      find_arguments(s, &code, &message) == NULL)
    return obs_utf8_cut_str(text, OBS_READING_BYTES);
  return read_text(s, room, 0);
}
