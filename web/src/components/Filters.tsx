import { Group, NativeSelect, SegmentedControl } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { clientsQuery } from "../api/queries";

/** The line above a list that says which of it is shown. */
export function FilterBar({ children }: { children: ReactNode }) {
  return (
    <Group gap="xs" mb="sm" role="search">
      {children}
    </Group>
  );
}

type ChoiceProps<T extends string> = {
  label: string;
  value: T;
  choices: readonly { value: T; label: string }[];
  onChoose: (value: T) => void;
};

export function Choice<T extends string>({ label, value, choices, onChoose }: ChoiceProps<T>) {
  return (
    <SegmentedControl
      aria-label={label}
      size="xs"
      maw="100%"
      style={{ overflowX: "auto" }}
      value={value}
      data={choices.map((choice) => ({ ...choice }))}
      onChange={(chosen) => onChoose(chosen as T)}
    />
  );
}

type ClientProps = { value: number | undefined; onChoose: (client: number | undefined) => void };

export function ClientFilter({ value, onChoose }: ClientProps) {
  const clients = useQuery(clientsQuery);
  const choices = (clients.data?.items ?? []).map(({ id, name }) => ({ value: String(id), label: name }));
  return (
    <NativeSelect
      aria-label="Client"
      size="xs"
      maw={200}
      value={value === undefined ? "" : String(value)}
      data={[{ value: "", label: "All clients" }, ...choices]}
      onChange={(event) =>
        onChoose(event.currentTarget.value ? Number(event.currentTarget.value) : undefined)
      }
    />
  );
}
