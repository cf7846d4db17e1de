// Colours, sizes and defaults of the kit. The traps: Mantine's own primary and dimmed shades fail WCAG AA, hence our
// own tuples and `luminanceThreshold`; the browser test measures them in both schemes.

import { createTheme, type MantineColorsTuple } from "@mantine/core";

const harbour: MantineColorsTuple = [
  "#eef6fb",
  "#dcebf5",
  "#b7d5e9",
  "#93c2e2",
  "#74afd8",
  "#4590c2",
  "#2472a6",
  "#17669b",
  "#145a89",
  "#0f4263",
];

const gray: MantineColorsTuple = [
  "#f8f9fb",
  "#f1f3f6",
  "#e6e9ee",
  "#d9dee5",
  "#c3cad4",
  "#667080",
  "#59636f",
  "#48515c",
  "#303740",
  "#1c2127",
];

const dark: MantineColorsTuple = [
  "#dbe1e8",
  "#bcc5d0",
  "#9aa5b4",
  "#8792a2",
  "#2b333e",
  "#222932",
  "#181e26",
  "#11161c",
  "#0c1015",
  "#07090c",
];

export const theme = createTheme({
  primaryColor: "harbour",
  primaryShade: 7,
  colors: { harbour, gray, dark },
  black: "#1c2127",
  autoContrast: true,
  luminanceThreshold: 0.179,
  fontFamily: '"Inter Variable", system-ui, -apple-system, "Segoe UI", Roboto, sans-serif',
  fontFamilyMonospace: '"JetBrains Mono Variable", ui-monospace, "Cascadia Mono", Consolas, Menlo, monospace',
  headings: { fontWeight: "600" },
  fontSizes: { xs: "12px", sm: "13px", md: "14px", lg: "16px", xl: "20px" },
  defaultRadius: "md",
  radius: { xs: "3px", sm: "4px", md: "6px", lg: "8px", xl: "12px" },
  cursorType: "pointer",
  respectReducedMotion: true,
});
