// The shapes that the page expects of answers are those that proto/openapi.json describes: every member that a type names is
// described, is there where the type does not say that it may be absent, and can be null only where the type says so.
// scripts/plane.sh runs it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import ts from '../../src/plane/node_modules/typescript/lib/typescript.js';

const at = (path) => new URL(`../../${path}`, import.meta.url).pathname;
const { schemas } = JSON.parse(readFileSync(at('proto/openapi.json'), 'utf8')).components;

/** Which of the page's types is which of the described ones. */
const SAME = {
  'types.ts': {
    Live: 'Moment', LiveOp: 'LiveOp', History: 'History', Changes: 'Changes', Alerts: 'Alerts', Clusters: 'Clusters', Cluster: 'ClusterInFull',
    Analysis: 'AnalysisInFull', Playbooks: 'Playbooks', Summary: 'Summary', RecordedOp: 'RecordedOp', Ops: 'Ops',
    FleetPicture: 'FleetPicture',
  },
  'views/trace_layout.ts': { Timeline: 'Timeline', OpRow: 'TimelineOp', RunRow: 'TimelineRun', IdleRow: 'TimelineIdle', CorrectionRow: 'TimelineCorrection', ChangeRow: 'TimelineChange' },
};

const files = Object.keys(SAME).map((name) => at(`src/plane/src/${name}`));
const program = ts.createProgram(files, { strict: true, exactOptionalPropertyTypes: true, noEmit: true, skipLibCheck: true, types: [], target: ts.ScriptTarget.ES2022, moduleResolution: ts.ModuleResolutionKind.Bundler, module: ts.ModuleKind.ESNext });
const checker = program.getTypeChecker();
const { Null, Undefined, StringLike, NumberLike, BooleanLike } = ts.TypeFlags;

/** The schema with what it refers to: all its members, which of them are required, what else it may be. */
function whole(schema) {
  if (schema.$ref) return whole(schemas[schema.$ref.split('/').pop()]);
  const all = { ...schema, properties: { ...schema.properties }, required: [...(schema.required ?? [])] };
  for (const part of schema.allOf ?? []) {
    const { properties, required, ...rest } = whole(part);
    Object.assign(all, rest, { properties: { ...properties, ...all.properties }, required: [...required, ...all.required] });
  }
  return all;
}

/** What a value of it can be: names of JSON's types, and the schemas of its objects and arrays. */
function kinds(schema) {
  const s = whole(schema);
  if (s.anyOf ?? s.oneOf) return (s.anyOf ?? s.oneOf).flatMap(kinds);
  const types = [s.type ?? (s.enum ? s.enum.map((v) => (v === null ? 'null' : typeof v)) : Object.keys(s.properties).length ? 'object' : 'any')].flat();
  // A seq of a fleet is a text; the page asks its own daemon alone.
  const own = s.description?.includes('; with scope=cluster `') ? types.filter((type) => type !== 'string') : types;
  return [...new Set(own)].map((type) => ({ type, schema: s }));
}

function compare(type, schema, path, say, seen = new Set()) {
  const some = kinds(schema);
  if (some.some((k) => k.type === 'any')) return;
  const parts = (type.isUnion() ? type.types : [type]).filter((t) => !(t.flags & Undefined));
  const nullable = parts.some((t) => t.flags & Null);
  if (some.some((k) => k.type === 'null') && !nullable) say(`${path} can be null`);
  const accepts = {
    string: (t) => t.flags & StringLike,
    integer: (t) => t.flags & NumberLike,
    number: (t) => t.flags & NumberLike,
    boolean: (t) => t.flags & BooleanLike,
    array: (t) => checker.isArrayType(t),
    object: (t) => t.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection) && !checker.isArrayType(t),
    null: () => true,
  };
  for (const { type: name, schema: s } of some) {
    const fits = parts.filter(accepts[name]);
    if (name !== 'null' && !fits.length) say(`${path} is ${name}, not ${checker.typeToString(type)}`);
    const words = fits.filter((t) => t.isStringLiteral()).map((t) => t.value);
    if (name === 'string' && words.length && words.length === fits.length) {
      if (s.enum) for (const word of s.enum) if (word !== null && !words.includes(word)) say(`${path} can be "${word}"`);
    }
    if (name === 'array' && s.items && fits[0]) compare(checker.getTypeArguments(fits[0])[0], s.items, `${path}[]`, say, seen);
    // An object without members is described elsewhere.
    if (name === 'object' && (Object.keys(s.properties).length || s.additionalProperties)) for (const t of ofKind(fits, s)) members(t, s, path, say, seen);
  }
}

/** Of several sorts of object those that the schema's `kind` names. */
function ofKind(types, schema) {
  const kind = schema.properties.kind?.const ?? schema.properties.kind?.enum?.[0];
  const named = (t) => t.getProperty('kind') && checker.getTypeOfSymbol(t.getProperty('kind')).value;
  return types.length > 1 && kind ? types.filter((t) => named(t) === kind) : types;
}

function members(type, schema, path, say, seen) {
  const known = `${checker.typeToString(type)} ${Object.keys(schema.properties).join()}`;
  if (seen.has(known) && Object.keys(schema.properties).length) return;
  seen.add(known);
  const others = checker.getIndexTypeOfType(type, ts.IndexKind.String);
  if (others && typeof schema.additionalProperties === 'object') compare(others, schema.additionalProperties, `${path}.*`, say, seen);
  for (const member of checker.getPropertiesOfType(type)) {
    const described = schema.properties[member.name] ?? (typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined);
    if (!described) {
      // Paged is of all lists, and few say how many there are.
      if (schema.additionalProperties !== true && member.name !== 'total') say(`${path}.${member.name} is not described`);
      continue;
    }
    if (!(member.flags & ts.SymbolFlags.Optional) && schema.properties[member.name] && !schema.required.includes(member.name)) say(`${path}.${member.name} may be absent`);
    compare(checker.getTypeOfSymbol(member), described, `${path}.${member.name}`, say, seen);
  }
}

for (const [file, pairs] of Object.entries(SAME))
  for (const [name, schema] of Object.entries(pairs))
    test(`${file}: ${name} is what is described as ${schema}`, () => {
      const source = program.getSourceFile(at(`src/plane/src/${file}`));
      const symbol = checker.getExportsOfModule(checker.getSymbolAtLocation(source)).find((s) => s.name === name);
      assert.ok(symbol, `${file} has no ${name}`);
      const found = [];
      compare(checker.getDeclaredTypeOfSymbol(symbol), { $ref: `#/components/schemas/${schema}` }, name, (what) => found.push(what));
      assert.deepEqual(found, []);
    });
