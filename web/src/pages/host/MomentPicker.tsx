import { ActionIcon, Button, Group } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { ChevronLeft, ChevronRight } from "lucide-react";
import { hostStepsQuery } from "../../api/queries";
import { MomentInput } from "../../components/MomentInput";
import { utc } from "../../lib/time";

const route = getRouteApi("/signed-in/hosts/$id");

/** Which moment every tab of the page shows, and a way from change to change. */
export function MomentPicker({ id }: { id: number }) {
  const { at } = route.useSearch();
  const navigate = route.useNavigate();
  const steps = useQuery(hostStepsQuery(id, at)).data;
  const show = (next: string | undefined) =>
    navigate({ search: (before) => ({ ...before, at: next }), replace: true });
  return (
    <Group gap={6} wrap="nowrap" role="group" aria-label="Moment that is shown">
      <Step to={steps?.previous} label="The change before" onStep={show}>
        <ChevronLeft size={16} aria-hidden />
      </Step>
      <MomentInput label="As of, in UTC" value={at} onChoose={show} />
      <Step to={at ? steps?.next : undefined} label="The change after" onStep={show}>
        <ChevronRight size={16} aria-hidden />
      </Step>
      <Button size="xs" variant="default" disabled={at === undefined} onClick={() => show(undefined)}>
        Now
      </Button>
    </Group>
  );
}

type StepProps = {
  to: string | null | undefined;
  label: string;
  onStep: (at: string) => void;
  children: React.ReactNode;
};

function Step({ to, label, onStep, children }: StepProps) {
  return (
    <ActionIcon
      variant="default"
      size={30}
      aria-label={label}
      title={to ? `${label}, of ${utc(to)}` : label}
      disabled={!to}
      onClick={() => to && onStep(to)}
    >
      {children}
    </ActionIcon>
  );
}
