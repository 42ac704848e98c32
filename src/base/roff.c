#include "base/roff.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* Characters that roff reads as something else than themselves. */
static const char *escape_of(char c) {
  switch (c) {
  case '\\':
    return "\\(rs";
  case '-':
    return "\\-";
  case '\'':
    return "\\(aq";
  case '`':
    return "\\(ga";
  case '"':
    return "\\(dq";
  case '^':
    return "\\(ha";
  case '~':
    return "\\(ti";
  default:
    return NULL;
  }
}

/* Decodes the UTF-8 sequence at `p`, which is taken to be whole; returns its length. */
static size_t code_point(const unsigned char *p, unsigned *out) {
  size_t n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
  *out = *p & (0xffu >> (n + 1));
  for (size_t i = 1; i < n && p[i] != '\0'; i++) *out = *out << 6 | (p[i] & 0x3f);
  return n;
}

/* Within a line. */
static void put(FILE *out, const char *p, size_t len) {
  for (const char *end = p + len; p < end; p++) {
    unsigned c = (unsigned char)*p;
    const char *escape = escape_of(*p);
    if (c >= 0x80) {
      p += code_point((const unsigned char *)p, &c) - 1;
      fprintf(out, "\\[u%04X]", c);
    } else if (escape != NULL) {
      fputs(escape, out);
    } else {
      fputc(*p, out);
    }
  }
}

/* A line of text: a dot or an apostrophe at its beginning would make it a request. */
static void put_line(FILE *out, const char *p, size_t len) {
  if (len > 0 && (*p == '.' || *p == '\'')) fputs("\\&", out);
  put(out, p, len);
  fputc('\n', out);
}

void obs_roff_begin(FILE *out, const char *name, int section, const char *version) {
  fputs(".TH ", out);
  for (const char *p = name; *p != '\0'; p++) fputc(toupper((unsigned char)*p), out);
  fprintf(out, " %d \"\" \"observer %s\" \"observer\"\n", section, version);
  fputs(".nh\n.ad l\n", out);
}

void obs_roff_section(FILE *out, const char *title) {
  fprintf(out, ".SH %s\n", title);
}

void obs_roff_paragraph(FILE *out) {
  fputs(".PP\n", out);
}

void obs_roff_tag(FILE *out, const char *tag, const char *meta) {
  fputs(".TP\n\\fB", out);
  put(out, tag, strlen(tag));
  fputs("\\fR", out);
  if (meta != NULL) {
    fputs(" \\fI", out);
    put(out, meta, strlen(meta));
    fputs("\\fR", out);
  }
  fputc('\n', out);
}

void obs_roff_text(FILE *out, const char *text) {
  for (const char *p = text; *p != '\0';) {
    size_t len = strcspn(p, "\n");
    if (len > 0) put_line(out, p, len);
    p += len;
    size_t ends = strspn(p, "\n");
    if (ends > 1 && p[ends] != '\0') obs_roff_paragraph(out);
    p += ends;
  }
}

void obs_roff_example(FILE *out, const char *lines) {
  fputs(".RS 4\n.nf\n", out);
  for (const char *p = lines; *p != '\0';) {
    size_t len = strcspn(p, "\n");
    put_line(out, p, len);
    p += len;
    p += *p == '\n';
  }
  fputs(".fi\n.RE\n", out);
}
