import { TextInput } from "@mantine/core";
import { useState } from "react";

type Props = {
  label: string;
  /** As the API writes it. `undefined`: now. */
  value: string | undefined;
  onChoose: (at: string | undefined) => void;
};

/** A moment in UTC. What is still to come is not taken; emptied, it is now. */
export function MomentInput({ label, value, onChoose }: Props) {
  const [draft, setDraft] = useState<string>();
  const shown = draft ?? value?.slice(0, 19) ?? "";
  const settle = () => {
    if (draft === undefined) return;
    setDraft(undefined);
    if (draft === "") onChoose(undefined);
    const at = Date.parse(`${draft}Z`);
    if (!Number.isNaN(at) && at <= Date.now()) onChoose(new Date(at).toISOString());
  };
  return (
    <TextInput
      type="datetime-local"
      step={1}
      size="xs"
      aria-label={label}
      title={label}
      value={shown}
      max={new Date().toISOString().slice(0, 19)}
      onChange={(event) => setDraft(event.currentTarget.value)}
      onBlur={settle}
      onKeyDown={(event) => {
        if (event.key === "Enter") settle();
      }}
      w={196}
    />
  );
}
