#include "client/answer.h"

#include "client/js_value.h"

/* Of `error` and output_summary, so that the daemon takes the op whatever the gateway said. */
enum { MOST_TEXT = 15 * 1024 };

/* `answer.slice(0, 80)`: of a text, or of an array. */
static void put_answer(obs_js_out *out, obs_js answer) {
  enum { ANSWER_UNITS = 80 };
  obs_js_out cut = {.text = out->text, .left = ANSWER_UNITS};
  obs_buf_puts(out->text, "answer: ");
  if (obs_js_is_array(answer)) {
    obs_js_array_text(answer, ANSWER_UNITS, out);
  } else {
    obs_js_text(answer, &cut);
  }
  obs_buf_puts(out->text, "...");
}

/* The older observer's summarize(), rule by rule. Where that would have thrown (an answer without slice), the JSON. */
static void summarize(obs_js data, obs_buf *text) {
  obs_js_out out = {.text = text, .left = MOST_TEXT};
  obs_js matches = obs_js_get(data, "sql_matches"), rows = obs_js_get(data, "rows");
  obs_js answer = obs_js_get(data, "answer"), sources = obs_js_get(data, "sources");
  if (matches.p != NULL) {
    obs_buf_puts(text, "hybrid: ");
    obs_js_text(matches, &out);
    obs_buf_puts(text, " sql \xe2\x86\x92 ");
    obs_js_text(obs_js_get(data, "vector_reranked"), &out);
    obs_buf_puts(text, " results");
  } else if (obs_js_truthy(rows)) {
    obs_js count = obs_js_get(data, "row_count");
    if (obs_js_truthy(count)) {
      obs_js_text(count, &out);
    } else {
      obs_js_length(rows, &out);
    }
    obs_buf_puts(text, " rows");
  } else if (obs_js_truthy(answer) && (obs_js_is_text(answer) || obs_js_is_array(answer))) {
    put_answer(&out, answer);
  } else if (obs_js_truthy(sources)) {
    obs_js_length(sources, &out);
    obs_buf_puts(text, " sources");
  } else {
    obs_js_json(data, text);
  }
}

/* True when the answer is a success; else `error` says why not. */
static bool read_answer(obs_js data, obs_buf *error) {
  obs_js_out out = {.text = error, .left = MOST_TEXT};
  obs_js reason = obs_js_get(data, "error");
  if (obs_js_is_null(data)) {
    obs_buf_puts(error, "the answer is null, not an object");
  } else if (obs_js_truthy(reason)) {
    obs_js_text(reason, &out);
  } else {
    return true;
  }
  return false;
}

bool obs_answer_judge(const char *body, size_t len, obs_buf *error, obs_buf *summary) {
  obs_js data;
  char reason[128];
  if (!obs_js_parse(body, len, &data, reason, sizeof(reason))) {
    obs_buf_puts(error, reason);
    return false;
  }
  if (!read_answer(data, error)) return false;
  summarize(data, summary);
  return true;
}
