/* Manual pages: roff of the man macros, for any text. Each writes whole lines on `out`. */
#ifndef OBS_BASE_ROFF_H
#define OBS_BASE_ROFF_H

#include <stdio.h>

/* The page's head: name in lower case. */
void obs_roff_begin(FILE *out, const char *name, int section, const char *version);
void obs_roff_section(FILE *out, const char *title);
/* A new paragraph. */
void obs_roff_paragraph(FILE *out);
/* A tagged one: the tag in bold, `meta` behind it in italics (NULL: none); its text follows. */
void obs_roff_tag(FILE *out, const char *tag, const char *meta);
/* `text` as words, an empty line in it begins a paragraph. */
void obs_roff_text(FILE *out, const char *text);
/* Lines as they are, indented. */
void obs_roff_example(FILE *out, const char *lines);

#endif
