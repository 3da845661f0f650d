"""Style of the report: one column, light and dark, from phone to desk."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f7f6f3; --card: #ffffff; --ink: #1d1c1a; --soft: #6a6862; --rule: #e4e2dc; --cell: #f1efea;
  --a: #2a6fc9; --b: #e0662f; --c: #8a8880; --d: #1b8f6a; --on: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #161615; --card: #1f1f1d; --ink: #efede8; --soft: #a5a29a; --rule: #35342f; --cell: #292825;
    --a: #5b9bee; --b: #ee8350; --c: #8f8c84; --d: #3fb98f; --on: #0f0f0e;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; font-weight: 650; letter-spacing: -0.01em; }
h2 { font-size: 20px; line-height: 1.3; margin: 0 0 10px; font-weight: 620; }
h3 { font-size: 15px; margin: 0 0 6px; font-weight: 600; }
p { margin: 0 0 14px; max-width: 68ch; }
.lead { font-size: 18px; }
.note, .each, figcaption, .legend, .empty { color: var(--soft); font-size: 14px; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 22px 24px;
  margin-top: 20px; }
section > :last-child { margin-bottom: 0; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 500; vertical-align: top; }
.accuracy th { width: 44%; padding: 10px 18px 10px 0; font-weight: 600; }
.accuracy td { padding: 12px 0; vertical-align: top; }
.accuracy tr + tr > * { border-top: 1px solid var(--rule); }
.each { font-weight: 400; font-size: 14px; line-height: 1.45; }
.track { position: relative; height: 20px; margin-top: 3px; background: var(--cell); border-radius: 4px; }
.track i { display: block; height: 100%; border-radius: 4px; }
.track b { position: absolute; top: -3px; bottom: -3px; width: 2px; background: var(--soft); }
.value { width: 8.5em; text-align: right; font-size: 19px; font-weight: 620; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.value small { font-size: 14px; color: var(--soft); font-weight: 400; }
i.a { background: var(--a); } i.b { background: var(--b); } i.c { background: var(--c);
  } i.d { background: var(--d); }
.example { display: grid; grid-template-columns: repeat(3, 1fr); gap: 6px 14px; margin-top: 18px; }
.said { grid-column: 1 / -1; display: flex; align-items: center; gap: 14px; flex-wrap: wrap; }
.said h3 { margin: 0; }
audio { height: 32px; width: 230px; max-width: 100%; }
figure { margin: 0; min-width: 0; }
img { width: 100%; aspect-ratio: 1.5; display: block; border-radius: 6px; }
.charts { display: grid; grid-template-columns: repeat(2, 1fr); gap: 22px 28px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); } .axis { stroke: var(--soft); stroke-opacity: 0.6; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.a { stroke: var(--a); } .line.b { stroke: var(--b); } .line.c { stroke: var(--c);
  } .line.d { stroke: var(--d); }
.dot.a { fill: var(--a); } .dot.b { fill: var(--b); } .dot.c { fill: var(--c); } .dot.d { fill: var(--d); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; padding-left: 10px; }
.legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 7px;
  vertical-align: middle; }
.scroll { overflow-x: auto; }
.confusion { min-width: 480px; max-width: 680px; margin: 0 auto; }
.cell { fill: var(--cell); } .right { fill: var(--a); } .wrong { fill: var(--b); }
svg .count { fill: var(--ink); font-size: 10px; } svg .count.strong { fill: var(--on); }
.facts { columns: 2; column-gap: 36px; }
.facts > div { break-inside: avoid; margin-bottom: 20px; }
.facts th, .facts td { padding: 3px 0; font-size: 14px; line-height: 1.45; }
.facts th { color: var(--soft); width: 42%; padding-right: 12px; font-weight: 400; }
.facts td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
@media (max-width: 640px) {
  main { padding: 22px 12px 40px; }
  section { padding: 18px 16px; }
  .charts { grid-template-columns: 1fr; }
  .facts { columns: 1; }
  .example { gap: 4px 6px; }
  figcaption { font-size: 12px; line-height: 1.3; margin-top: 3px; }
  .accuracy tr { display: grid; grid-template-columns: 1fr auto; padding: 10px 0; }
  .accuracy tr + tr { border-top: 1px solid var(--rule); }
  .accuracy tr + tr > * { border-top: 0; }
  .accuracy th { grid-column: 1 / -1; width: auto; padding: 0 0 6px; }
  .accuracy td { padding: 0; }
  .value { padding-left: 12px !important; }
}
"""
