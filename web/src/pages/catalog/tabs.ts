/** Parts of the page of the catalog, as the URL has them. */
export const catalogTabs = ["entries", "overrides", "own", "releases"] as const;
export type CatalogTab = (typeof catalogTabs)[number];
