import { List, Loader } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { AGENT_PACKAGE, agentPackageQuery } from "../api/queries";
import { Command } from "./Copy";
import { Card } from "./Page";

/** An empty fleet: how to add the first server. The page turns by itself when the host appears. */
export function FirstServer() {
  const { hostname: server, origin } = window.location;
  const hasPackage = useQuery(agentPackageQuery).data === true;
  return (
    <Card>
      <List
        type="ordered"
        spacing="md"
        size="sm"
        styles={{ itemWrapper: { width: "100%" }, itemLabel: { width: "100%" } }}
      >
        <List.Item>
          On this server, name the client and its site, and make a token:
          <Command
            text={
              'portreeve-server client create --name "Contoso"\n' +
              'portreeve-server site create --client CLIENT-ID --name "Head office"\n' +
              "portreeve-server enroll-token create --site SITE-ID"
            }
          />
        </List.Item>
        <List.Item>
          On the Windows server, in an elevated command prompt, with the token at hand:
          {hasPackage ? (
            <>
              <Command
                text={`msiexec /i ${origin}${AGENT_PACKAGE} /qn SERVER_URL=${server} ENROLL_TOKEN=TOKEN`}
              />
              Or take <a href={AGENT_PACKAGE}>the package</a> there another way.
            </>
          ) : (
            <Command text={`portreeve-agent enroll --server ${server}\nportreeve-agent install`} />
          )}
        </List.Item>
        <List.Item>
          <span style={{ display: "inline-flex", gap: 10, alignItems: "center" }} role="status">
            <Loader size={14} /> Waiting for the first report. The host appears here by itself.
          </span>
        </List.Item>
      </List>
      <p style={{ margin: "16px 0 0", fontSize: 13 }}>
        A server that is too old for the agent? <Link to="/captures">Add it by a capture.</Link>
      </p>
    </Card>
  );
}
