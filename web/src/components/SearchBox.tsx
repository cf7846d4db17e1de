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
  const search = useDebouncedCallback((text: string) => onSearch(text.trim() || undefined), 200);
  if (seen !== value) {
    // The URL changed by itself (back, a link): it wins, unless it only caught up with what is being typed.
    setSeen(value);
    if ((value ?? "") !== draft.trim()) setDraft(value ?? "");
  }
  return (
    <TextInput
      data-page-search
      type="search"
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
