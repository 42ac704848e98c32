#include "cluster/groups.h"

#include "cluster/words.h"

enum { GROUP_TOKENS = 6 };

static bool is_sign(const obs_mask_token *t, char sign) {
  return t->sign == sign;
}

/* The last token of `a, b and c` from `i` on; `i` itself when there is no list. Each item is one word. */
static size_t end_of_list(const obs_mask_token *t, size_t n, size_t i) {
  size_t last = i;
  while (last + 2 < n && t[last].word && t[last + 1].sign == ',' && t[last + 2].word) {
    last += 2;
    if (last + 1 < n && obs_word_is_and(&t[last]) && t[last + 1].word) last++; /* , and c */
  }
  if (last > i && last + 2 < n && t[last + 1].word && obs_word_is_and(&t[last + 1]) && t[last + 2].word) last += 2;
  return last;
}

/* A list stands in brackets, or behind a plural and a colon, up to the end of the sentence. */
static bool is_list(const obs_mask_token *t, size_t n, size_t i, size_t last) {
  if (last == i || i == 0) return false;
  char before = t[i - 1].sign, behind = last + 1 < n ? t[last + 1].sign : 0;
  if (before == '[') return behind == ']';
  if (before == '(') return behind == ')';
  if (before == '{') return behind == '}';
  if (before != ':' || i < 2 || !t[i - 2].word) return false;
  const obs_mask_token *head = &t[i - 2];
  bool plural = head->len > 3 && head->p[head->len - 1] == 's' && head->p[head->len - 2] != 's';
  bool one_of = head->len == 2 && memcmp(head->p, "of", 2) == 0;
  char stop = t[last].p[t[last].len - 1];
  bool ends = last + 1 == n || stop == '.' || stop == '?' || behind == ';' || behind == ')' || behind == '.';
  return (plural || one_of) && ends;
}

size_t obs_group_join_lists(obs_mask_token *t, size_t n) {
  size_t out = 0;
  for (size_t i = 0; i < n; i++) {
    size_t last = i + 2 < n && t[i].word && t[i + 1].sign != 0 ? end_of_list(t, n, i) : i;
    if (last > i && is_list(t, n, i, last)) {
      obs_mask_token list = t[i];
      list.len = (uint16_t)(t[last].p + t[last].len - t[i].p);
      list.value = true;
      list.fixed = false;
      t[out++] = list;
      i = last;
    } else {
      if (out != i) t[out] = t[i];
      out++;
    }
  }
  return out;
}

static bool same_tokens(const obs_mask_token *a, const obs_mask_token *b, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (a[i].hash != b[i].hash || a[i].value != b[i].value) return false;
  }
  return true;
}

static bool is_group(const obs_mask_token *t, size_t n) {
  bool holds = false;
  for (size_t i = 0; i < n; i++) holds = holds || t[i].value;
  return holds && !is_sign(t, ')') && !is_sign(t, ']');
}

/* `a <*> ok a <*> ok`: what repeats, values and all, is one; a comma or the like may stand between. */
size_t obs_group_join_repeats(obs_mask_token *t, size_t n) {
  size_t out = 0;
  for (size_t i = 0; i < n;) {
    if (out != i) t[out] = t[i];
    out++;
    i++;
    if (!t[out - 1].value && t[out - 1].sign == 0) continue; /* a group ends with a value, or with what closes it */
    for (size_t g = 2; g <= GROUP_TOKENS && g <= out; g++) {
      size_t skip = i < n && (t[i].sign == ',' || t[i].sign == ';') ? 1 : 0;
      while (i + skip + g <= n && t[out - g].hash == t[i + skip].hash && is_group(&t[out - g], g) &&
             same_tokens(&t[out - g], &t[i + skip], g)) {
        i += skip + g;
        skip = i < n && (t[i].sign == ',' || t[i].sign == ';') ? 1 : 0;
      }
    }
  }
  return out;
}
