import { Alert, Button, Stack } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { useState } from "react";
import { api, take } from "../api/client";
import { sessionQuery } from "../api/queries";
import { Content } from "../components/Content";
import { Card, Page, Section } from "../components/Page";
import { type Belonging, captureForm } from "../lib/captures";
import { describe } from "../lib/problems";
import classes from "./Captures.module.css";
import { FileDrop } from "./captures/FileDrop";
import { Imported } from "./captures/Imported";
import { ImportForm } from "./captures/ImportForm";
import { Preview } from "./captures/Preview";

/** Files of one host, with a number so that what was said of others is not taken for theirs. */
type Chosen = { number: number; files: File[] };

export function Captures() {
  const session = useQuery(sessionQuery);
  const mayImport = session.data?.role !== "viewer";
  const [chosen, choose] = useState<Chosen>({ number: 0, files: [] });
  const queries = useQueryClient();

  const preview = useQuery({
    queryKey: ["capture-preview", chosen.number],
    queryFn: ({ signal }) => send(captureForm(chosen.files), signal),
    enabled: chosen.files.length > 0,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    retry: false,
  });
  const importing = useMutation({
    mutationFn: (belonging: Belonging) => send(captureForm(chosen.files, belonging)),
    onSuccess: () => {
      for (const key of ["hosts", "host", "findings", "overview", "clients", "updates"]) {
        queries.invalidateQueries({ queryKey: [key] });
      }
    },
  });
  const bring = (files: File[]) => {
    importing.reset();
    choose(({ number }) => ({ number: number + 1, files }));
  };

  return (
    <Page
      title="Add a server without an agent"
      below={
        <span>
          Server 2003, 2008 and others that cannot run the agent are known by captures: what their own
          commands print.
        </span>
      }
    >
      <ol className={classes.steps}>
        <li>
          <Section title="Get the script">
            <p className={classes.words}>
              A batch file that uses nothing but what Windows brings. It reads, and changes nothing.
            </p>
            <Button
              component="a"
              href="/api/v1/captures/script"
              download="portreeve-capture.cmd"
              variant="default"
              size="xs"
              leftSection={<Download size={14} aria-hidden />}
            >
              portreeve-capture.cmd
            </Button>
          </Section>
        </li>
        <li>
          <Section title="Run it on the server">
            <p className={classes.words}>
              As an administrator, best while the trouble lasts. It leaves a folder of text files beside
              itself. Output of the same commands from a ticket or an e-mail serves as well, in any language.
            </p>
          </Section>
        </li>
        <li>
          <Section title="Bring its files here">
            {mayImport ? (
              <Stack gap="md">
                {importing.isSuccess ? (
                  <Imported report={importing.data} onNext={() => bring([])} />
                ) : (
                  <FileDrop files={chosen.files} onChoose={bring} />
                )}
                {chosen.files.length > 0 && !importing.isSuccess ? (
                  <Content query={preview}>
                    {(report) => (
                      <>
                        <Preview report={report} />
                        <ImportForm
                          key={chosen.number}
                          report={report}
                          isPending={importing.isPending}
                          onImport={importing.mutate}
                        />
                        {importing.error ? <Refused error={importing.error} /> : null}
                      </>
                    )}
                  </Content>
                ) : null}
              </Stack>
            ) : (
              <Card>
                Your role may look, but not import. Ask an operator, or see the hosts that are{" "}
                <Link to="/hosts" search={{ state: "capture" }}>
                  known by captures
                </Link>
                .
              </Card>
            )}
          </Section>
        </li>
      </ol>
    </Page>
  );
}

function send(form: FormData, signal?: AbortSignal) {
  // The description has files as strings; what is sent is the form.
  return take(api.POST("/api/v1/captures", { body: { files: [] }, bodySerializer: () => form, signal }));
}

function Refused({ error }: { error: Error }) {
  const { title, advice } = describe(error);
  return (
    <Alert color="red" variant="light" role="alert" title={title}>
      {advice}
    </Alert>
  );
}
