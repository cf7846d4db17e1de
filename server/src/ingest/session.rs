//! One stream of one agent, from its opening to its end, and what ends it.
//!
//! Invariant: whatever ends the stream (a fault of ours, of the agent or of the network), what is committed and not
//! acknowledged is acknowledged when it is repeated, and what is not committed is sent again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use proto::fleet::v1::agent_message::Kind as Said;
use proto::fleet::v1::server_message::Kind as Answer;
use proto::fleet::v1::{AgentMessage, Revoked, ServerMessage};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use tracing::{info, warn};
use uuid::Uuid;

use crate::coded;
use crate::db::identity::CertifiedHost;
use crate::db::stream;
use crate::ingest::Ingest;
use crate::ingest::talk::Talk;
use crate::listeners::{AgentPeer, agents};

/// An agent with nothing to say says so this often.
pub(super) const HEARTBEAT: Duration = Duration::from_mins(1);
/// An agent that is silent for this long is gone, whatever the network says.
pub(super) const SILENCE: Duration = Duration::from_mins(3);
/// How long the reason of an end may wait for an agent that does not read.
const FAREWELL: Duration = Duration::from_secs(5);

pub(super) type Outgoing = mpsc::Sender<Result<ServerMessage, Status>>;
pub(super) type Clock = fn() -> DateTime<Utc>;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) ingest: Ingest,
    pub(super) host: CertifiedHost,
    pub(super) peer: AgentPeer,
    pub(super) clock: Clock,
}

pub(super) fn refused(kind: Code, code: &'static str, text: impl Into<String>) -> Status {
    metrics::counter!("portreeve_streams_refused_total", "code" => code).increment(1);
    coded::status(kind, code, text)
}

pub(super) fn store_unavailable(error: &sqlx::Error) -> Status {
    warn!(%error, "Ended a stream because the database did not answer; the agent will send again");
    refused(Code::Unavailable, "store.unavailable", "the database did not answer; nothing is lost, send again later")
}

pub(super) fn fenced() -> Status {
    refused(Code::Aborted, "stream.fenced", "a newer stream of this agent has taken over")
}

impl Session {
    pub(super) fn new(ingest: Ingest, host: CertifiedHost, peer: AgentPeer, clock: Clock) -> Self {
        Self { ingest, host, peer, clock }
    }

    /// Until the agent, the network or the server ends it.
    pub(super) async fn run(self, incoming: Streaming<AgentMessage>, outgoing: Outgoing) {
        let session_id = Uuid::new_v4();
        let key = (self.host.client_id, self.host.host_id);
        let newer = CancellationToken::new();
        let end = tokio::select! {
            biased;
            () = self.ingest.app.identity.revocations.revoked(&self.peer.serial) => {
                // An agent that does not read must not hold up the end of its stream.
                let _ = outgoing.try_send(Ok(message(Answer::Revoked(Revoked {}))));
                Err(agents::revoked())
            }
            () = self.ingest.app.stopping.cancelled() => {
                Err(coded::status(Code::Unavailable, "server.stopping", "the server stops; come back soon"))
            }
            () = newer.cancelled() => Err(fenced()),
            () = self.expired() => Err(refused(
                Code::Unauthenticated,
                "certificate.expired",
                "the certificate of this stream has expired; renew it",
            )),
            end = self.converse(session_id, &newer, incoming, &outgoing) => end,
        };
        self.ingest.streams.leave(key, session_id);
        if let Err(error) = stream::close(&self.ingest.app.db, key, session_id).await {
            warn!(%error, host.id = key.1, "Could not note that a stream has ended");
        }
        if let Err(status) = end {
            let code = coded::code_of(&status).unwrap_or("none").to_owned();
            info!(host.id = key.1, peer = %self.peer.address, code, "Ended a stream: {}", status.message());
            let _ = tokio::time::timeout(FAREWELL, outgoing.send(Err(status))).await;
        }
    }

    /// When the certificate that opened the stream ends: a stream does not outlive the identity it stands on.
    async fn expired(&self) {
        let left = self.host.expires_at - (self.clock)();
        tokio::time::sleep(left.to_std().unwrap_or_default()).await;
    }

    async fn converse(
        &self,
        session_id: Uuid,
        newer: &CancellationToken,
        mut incoming: Streaming<AgentMessage>,
        outgoing: &Outgoing,
    ) -> Result<(), Status> {
        let first = match tokio::time::timeout(SILENCE, incoming.message()).await {
            Ok(first) => first.map_err(|error| undecodable(&error).unwrap_or(error))?,
            Err(_) => return Err(silent()),
        };
        let Some(AgentMessage { kind: Some(Said::Hello(hello)) }) = first else {
            return Err(refused(Code::InvalidArgument, "stream.hello-missing", "a stream begins with a Hello"));
        };
        let mut talk = Talk::open(self, hello, session_id, outgoing).await?;
        // Only now: somebody who is denied disturbs nobody.
        self.ingest.streams.enter((self.host.client_id, self.host.host_id), session_id, newer.clone());
        let mut questions = self.ingest.app.questions.listen((self.host.client_id, self.host.host_id));
        let mut silent_at = Instant::now() + SILENCE;
        loop {
            let said = tokio::select! {
                biased;
                said = tokio::time::timeout_at(silent_at, incoming.message()) => match said {
                    Ok(Ok(Some(said))) => said.kind,
                    Ok(Ok(None)) => return Ok(()),
                    Ok(Err(error)) => return talk.broken(error).await,
                    Err(_) => return Err(silent()),
                },
                Some(question) = questions.recv() => {
                    talk.ask(question).await?;
                    continue;
                }
            };
            silent_at = Instant::now() + SILENCE;
            match said {
                Some(Said::Report(report)) => talk.report(report).await?,
                Some(Said::Heartbeat(heartbeat)) => talk.heartbeat(heartbeat).await?,
                Some(Said::ConnectionList(list)) => talk.answered(list),
                Some(Said::Hello(_)) => {
                    return Err(refused(Code::InvalidArgument, "stream.hello-repeated", "a stream has one Hello"));
                }
                // A kind of message of a newer agent: what it says is not for us.
                None => metrics::counter!("portreeve_messages_unknown_total").increment(1),
            }
        }
    }
}

pub(super) fn silent() -> Status {
    refused(Code::DeadlineExceeded, "stream.silent", "nothing was heard for longer than three heartbeats")
}

pub(super) fn message(answer: Answer) -> ServerMessage {
    ServerMessage { kind: Some(answer) }
}

/// The refusal of a message that tonic could not decode. `None`: the connection broke, nothing was wrong with a message.
pub(super) fn undecodable(error: &Status) -> Option<Status> {
    if error.code() == Code::OutOfRange {
        return Some(refused(Code::ResourceExhausted, "report.too-large", "a message is larger than 256 KiB"));
    }
    // The text is prost's; a broken connection has the same code and another text.
    let is_prost = error.code() == Code::Internal && error.message().starts_with("failed to decode Protobuf message");
    is_prost.then(|| refused(Code::InvalidArgument, "report.malformed", "a message could not be decoded"))
}
