import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { hostPlanQuery } from "../../api/queries";
import type { HostPlan as Plan, PlanFinding, PlanStep } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { Command } from "../../components/Copy";
import { Fact, Facts } from "../../components/Facts";
import { Card, Section } from "../../components/Page";
import { RESTART, Steps } from "../../components/Steps";
import stepClasses from "../../components/Steps.module.css";
import { HostMoment } from "../../components/When";
import { count } from "../../lib/words";
import classes from "./HostPlan.module.css";

const FILES = ["ps1", "cmd", "reg"] as const;

/** What mends all findings of the host, in order, and as files. Shown and downloaded, never run. */
export function HostPlan({ id, offset }: { id: number; offset: number | null | undefined }) {
  const query = useQuery(hostPlanQuery(id));
  return <Content query={query}>{(plan) => <Body id={id} plan={plan} offset={offset} />}</Content>;
}

function Body({ id, plan, offset }: { id: number; plan: Plan; offset: number | null | undefined }) {
  const steps = plan.steps.length + plan.after_restart.length;
  if (steps === 0 && plan.by_hand.length === 0) {
    return <Nothing title="Nothing is to be done on this host">No open finding asks for a change.</Nothing>;
  }
  return (
    <>
      <Section
        title="Plan"
        aside={
          steps > 0 ? (
            <div className={classes.files}>
              {FILES.map((file) => (
                <Button
                  key={file}
                  component="a"
                  size="xs"
                  variant="default"
                  leftSection={<Download size={14} aria-hidden />}
                  href={`/api/v1/hosts/${id}/plan.${file}`}
                  download
                >
                  Download .{file}
                </Button>
              ))}
            </div>
          ) : null
        }
      >
        <Card>
          <p className={classes.summary}>
            {steps > 0 ? `${count(steps, "step")} for ${plan.applies_to}` : "Everything is left to a person"};{" "}
            {RESTART[plan.restart]}.
          </p>
          <p className={classes.about}>
            {plan.collected_at ? (
              <>
                Made from the report of <HostMoment at={plan.collected_at} offset={offset} />.{" "}
              </>
            ) : null}
            People run it: the scripts check the host and what was before, and skip what is done. Nothing here
            runs them.
          </p>
          <PlanSteps label="Steps of the plan" steps={plan.steps} />
        </Card>
      </Section>
      {plan.after_restart.length > 0 ? (
        <Section title="After the restart">
          <Card>
            <PlanSteps label="Steps after the restart" steps={plan.after_restart} />
          </Card>
        </Section>
      ) : null}
      {plan.by_hand.length > 0 ? (
        <Section title="Left to you">
          <Card>
            {plan.by_hand.map((each) => (
              <div key={each.finding.id} className={classes.byHand}>
                <FindingLink finding={each.finding} />
                <Steps label={`By hand: ${each.finding.title}`} steps={each.steps} />
              </div>
            ))}
          </Card>
        </Section>
      ) : null}
      {plan.undo.length > 0 ? (
        <Section title="Undo">
          <Card>
            <details className={classes.undo}>
              <summary>{count(plan.undo.length, "step")}, the last change first</summary>
              <ol className={stepClasses.steps} aria-label="Steps that undo the plan">
                {plan.undo.map((step) => (
                  <li key={`${step.text}-${step.commands}`}>
                    <div>{step.text}</div>
                    {step.commands.map((command) => (
                      <Command key={command} text={command} />
                    ))}
                  </li>
                ))}
              </ol>
            </details>
          </Card>
        </Section>
      ) : null}
    </>
  );
}

function PlanSteps({ label, steps }: { label: string; steps: PlanStep[] }) {
  return (
    <ol className={stepClasses.steps} aria-label={label}>
      {steps.map((step) => (
        <li key={`${step.text}-${step.commands}`}>
          <div className={classes.text}>{step.text}</div>
          {step.commands.map((command) => (
            <Command key={command} text={command} />
          ))}
          <details className={classes.more}>
            <summary>Conditions, risk, proof</summary>
            <Facts>
              {step.precondition ? <Fact name="Only if">{step.precondition}</Fact> : null}
              {step.risk ? <Fact name="Risk">{step.risk}</Fact> : null}
              {step.restart === "none" ? null : <Fact name="Restart">{RESTART[step.restart]}</Fact>}
              {step.undo ? <Fact name="Undo">{step.undo}</Fact> : null}
              <Fact name="Proven when">{step.proven_when}</Fact>
              <Fact name="For">
                {step.findings.map((finding) => (
                  <div key={finding.id}>
                    <FindingLink finding={finding} />
                  </div>
                ))}
              </Fact>
            </Facts>
          </details>
        </li>
      ))}
    </ol>
  );
}

function FindingLink({ finding }: { finding: PlanFinding }) {
  return (
    <Link to="/findings/$id" params={{ id: finding.id }}>
      {finding.title}
    </Link>
  );
}
