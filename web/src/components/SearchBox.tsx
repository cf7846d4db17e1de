import { Kbd, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { Search } from "lucide-react";
import { useState } from "react";

type Props = {
  label: string;
  placeholder: string;
  value: string | undefined;
  onSearch: (q: string | undefined) => void;
};

/** The search of a page: `/` focuses it, and what is typed goes to the URL once typing pauses. */
export function SearchBox({ label, placeholder, value, onSearch }: Props) {
  const [draft, setDraft] = useState(value ?? "");
  const [seen, setSeen] = useState(value);
  const [sent, setSent] = useState(value);
  const search = useDebouncedCallback((text: string) => {
    const q = text.trim() || undefined;
    setSent(q);
    onSearch(q);
  }, 200);
  if (seen !== value) {
    setSeen(value);
    // The URL changed by other means (back, a link): it wins. Otherwise it only caught up with what was typed.
    if (value !== sent) setDraft(value ?? "");
  }
  return (
    <TextInput
      data-page-search
      type="search"
      size="xs"
      aria-label={label}
      placeholder={placeholder}
      value={draft}
      maxLength={200}
      onChange={(event) => {
        setDraft(event.currentTarget.value);
        search(event.currentTarget.value);
      }}
      leftSection={<Search size={14} aria-hidden />}
      rightSection={draft ? null : <Kbd size="xs">/</Kbd>}
      w={{ base: "100%", xs: 280 }}
    />
  );
}
